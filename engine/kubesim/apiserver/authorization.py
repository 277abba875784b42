"""Who may do what: impersonation, and a look at the roles (RBAC's evaluation; apiserver `pkg/endpoints/filters`).

The groups `system:masters` and the components of the cluster itself (users `system:...`) may do everything here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import http
from kubesim.apiserver import paths
from kubesim.errors import ApiError
from kubesim.schema import Resource

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"


def impersonate(request: http.Request) -> http.Request:
    """Impersonate-User and Impersonate-Group, for those who may."""
    name = request.headers.get("impersonate-user")
    if not name:
        return request
    from dataclasses import replace

    if "system:masters" not in request.user.groups:
        why = f'User "{request.user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
        details = {"name": name, "kind": "users"}
        raise ApiError(403, "Forbidden", f'users "{name}" is forbidden: {why}', details)
    given = request.headers.get("impersonate-group", "")
    groups = tuple(each.strip() for each in given.split(",") if each.strip())
    return replace(request, user=http.User(name=name, groups=(*groups, "system:authenticated")))


def check(server: ApiServer, request: http.Request, target: paths.Target, resource: Resource | None) -> None:
    """ApiError 403 when the user may not."""
    user = request.user
    if "system:masters" in user.groups or (
        user.name.startswith("system:") and not user.name.startswith("system:serviceaccount:")
    ):
        return
    verb = target.verb(request.method)
    if verb == "list" and (request.param("watch") in ("1", "true") or target.watch):
        verb = "watch"
    full = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    if allowed(server, user, verb, target.group, full, target.namespace, target.name):
        return
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    message = f'User "{user.name}" cannot {verb} resource "{full}" in API group "{target.group}" {where}'
    name = f"{target.resource}.{target.group}" if target.group else target.resource
    text = f'{name} "{target.name}" is forbidden: {message}' if target.name else f"{name} is forbidden: {message}"
    details = {"name": target.name, "group": target.group, "kind": target.resource}
    raise ApiError(403, "Forbidden", text, {key: value for key, value in details.items() if value})


def allowed(
    server: ApiServer, user: http.User, verb: str, group: str, resource: str, namespace: str, name: str
) -> bool:
    """Does any role bound to the user, its groups or its service account allow it?"""
    if "system:masters" in user.groups:
        return True
    return any(_covers(rule, verb, group, resource, name) for rule in rules_of(server, user, namespace))


def rules_of(server: ApiServer, user: http.User, namespace: str) -> list[Object]:
    """All rules that hold for a user in a namespace ("" for the cluster)."""
    store = server.store
    found: list[Object] = []
    bindings = [("", each) for each in store.list(f"clusterrolebindings.{GROUP}")]
    if namespace:
        bindings += [(namespace, each) for each in store.list(f"rolebindings.{GROUP}", namespace)]
    for where, binding in bindings:
        if any(_is_subject(subject, user, where) for subject in binding.get("subjects", ())):
            reference = binding["roleRef"]
            kind = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
            role = store.get(f"{kind}.{GROUP}", where if kind == "roles" else "", reference["name"])
            found += (role or {}).get("rules") or []
    return found


def _is_subject(subject: Object, user: http.User, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"
    return False


def _covers(rule: Object, verb: str, group: str, resource: str, name: str) -> bool:
    def has(field: str, *values: str) -> bool:
        listed = rule.get(field, ())
        return "*" in listed or any(value in listed for value in values)

    subresource = resource.partition("/")[2]
    wild = (f"*/{subresource}",) if subresource else ()
    named = not rule.get("resourceNames") or name in rule["resourceNames"]
    return has("verbs", verb) and has("apiGroups", group) and has("resources", resource, *wild) and named
