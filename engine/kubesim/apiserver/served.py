"""Which groups, versions and resources a server of a given release serves."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from kubesim import schema
from kubesim.apiserver import conversions
from kubesim.apiserver.customresources import resource as custom
from kubesim.schema import Resource

# (group, version): served from this minor release on.  What is not here was always there (since 1.16, that is).
SINCE = {
    ("autoscaling", "v2"): 23,
    ("batch", "v1", "cronjobs"): 21,
    ("networking.k8s.io", "v1", "ingresses"): 19,
    ("networking.k8s.io", "v1", "ingressclasses"): 19,
    ("networking.k8s.io", "v1", "ipaddresses"): 33,
    ("networking.k8s.io", "v1", "servicecidrs"): 33,
    ("discovery.k8s.io", "v1"): 21,
    ("events.k8s.io", "v1"): 19,
    ("policy", "v1"): 21,
    ("certificates.k8s.io", "v1"): 19,
    ("node.k8s.io", "v1"): 20,
    ("flowcontrol.apiserver.k8s.io", "v1"): 29,
    ("resource.k8s.io", "v1"): 34,
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): 28,
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"): 30,
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings"): 30,
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies"): 36,
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings"): 36,
    ("storage.k8s.io", "v1", "csidrivers"): 18,
    ("storage.k8s.io", "v1", "csinodes"): 17,
    ("storage.k8s.io", "v1", "csistoragecapacities"): 24,
    ("storage.k8s.io", "v1", "volumeattributesclasses"): 34,
}


class Served:
    """The resources of one server, found by path.  Those of CRDs come and go with `add` and `remove`."""

    def __init__(self, minor: int) -> None:
        self._minor = minor
        # Counts changes of what is served.
        self.generation = 0
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        # Of each definition: its served versions, and the one that objects are kept in.
        self._custom: dict[str, tuple[tuple[custom.CustomResource, ...], custom.CustomResource]] = {}
        self._conversions = conversions.of_release(minor)
        for resource in schema.RESOURCES.values():
            if resource.group:
                # extensions stands right behind the core group (kube-apiserver `pkg/controlplane`, priorities of groups).
                self._add_converted("extensions")
            for version in resource.versions:
                since = SINCE.get((resource.group, version, resource.plural), SINCE.get((resource.group, version), 0))
                if minor >= since:
                    self._by_path[resource.group, version, resource.plural] = resource
        self._add_converted()
        self._builtin = dict(self._by_path)

    def add(self, name: str, versions: Iterable[custom.CustomResource], storage: custom.CustomResource) -> bool:
        """Serve what a definition describes, in place of what it described before; False when nothing has changed."""
        made = (tuple(versions), storage)
        if self._custom.get(name) == made:
            return False
        self._custom[name] = made
        self._changed()
        return True

    def remove(self, name: str) -> bool:
        """Serve it no longer; False when it was not."""
        if self._custom.pop(name, None) is None:
            return False
        self._changed()
        return True

    def _changed(self) -> None:
        self.generation += 1
        self.__dict__.pop("_groups", None)
        found = [each for versions, _ in self._custom.values() for each in versions]
        found.sort(key=lambda each: (each.group, custom.priority(each.versions[0]), each.plural))
        self._by_path = dict(self._builtin)
        for each in found:
            # A built-in resource is never hidden.
            self._by_path.setdefault((each.group, each.versions[0], each.plural), each)

    def named(self, name: str) -> Resource | None:
        """By "plural" or "plural.group"; of a custom resource the version that is stored."""
        made = self._custom.get(name)
        return schema.RESOURCES.get(name) or (made[1] if made else None)

    def kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an object's apiVersion and kind, or None."""
        found = schema.resource_for_kind(api_version, kind)
        if found is not None:
            return found
        versions = (each for made, _ in self._custom.values() for each in made)
        return next((each for each in versions if (each.api_version, each.kind) == (api_version, kind)), None)

    def _add_converted(self, group: str = "") -> None:
        """The versions that other ones are converted to; of one group, or of all."""
        for path, conversion in self._conversions.items():
            if group in ("", path[0]):
                self._by_path.setdefault(path, conversion.resource())

    def conversion(self, group: str, version: str, plural: str) -> conversions.Conversion | None:
        """How objects of this version become stored ones; None where it is the stored version."""
        return self._conversions.get((group, version, plural))

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def has(self, group: str, version: str) -> bool:
        return version in self.groups().get(group, ())

    def groups(self) -> dict[str, list[str]]:
        """group -> its versions, preferred first, in the order of discovery ("" for the core group first)."""
        return self._groups

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return found

    def resources(self, group: str, version: str) -> list[Resource]:
        """Sorted by name, as discovery lists them."""
        found = [resource for (g, v, _), resource in self._by_path.items() if (g, v) == (group, version)]
        return sorted(found, key=lambda resource: resource.plural)
