"""A ClusterRole with an aggregationRule has the rules of all ClusterRoles that its selectors match.

Source: `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects, selectors

ROLES = "clusterroles.rbac.authorization.k8s.io"


class ClusterRoleAggregationController(Controller):
    name = "clusterrole-aggregation-controller"

    def start(self) -> None:
        self._aggregated: set[str] = set()
        self.informers.of(ROLES).on_event(self._changed)

    def _changed(self, kind: str, role: Object, _before: Object | None) -> None:
        """Any role may be a part of any that aggregates."""
        name = objects.name(role)
        if kind == "DELETED" or not role.get("aggregationRule"):
            self._aggregated.discard(name)
        else:
            self._aggregated.add(name)
        for each in sorted(self._aggregated):
            self.enqueue(each)

    def reconcile(self, key: str) -> None:
        role = self.client.find(ROLES, key)
        if role is None or not role.get("aggregationRule"):
            return
        parts: dict[str, Object] = {}
        for each in role["aggregationRule"].get("clusterRoleSelectors") or ():
            selector = selectors.from_label_selector(each)
            for other in self.client.list(ROLES):
                if objects.name(other) != key and selector.matches(other["metadata"].get("labels") or {}):
                    parts[objects.name(other)] = other
        wanted: list[Object] = []
        for name in sorted(parts):
            wanted += [rule for rule in parts[name].get("rules") or () if rule not in wanted]
        known = role.get("rules") or []
        # In whatever order: the bootstrap roles were written with those that they gather.
        if len(known) != len(wanted) or any(rule not in known for rule in wanted):
            self.client.patch(ROLES, key, "", {"rules": wanted or None})
