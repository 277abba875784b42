"""Who may do what: impersonation, and RBAC's evaluation of roles.

Members of `system:masters` may do everything, before any role is looked at (`NewPrivilegedGroups`).  The controllers, kubelets
and the scheduler of this process do not come this way (`local`).  Of the Node authorizer there is the role `system:node` for the
group `system:nodes`, without its look at which pods are on the node.

Sources: apiserver `pkg/endpoints/filters/{authorization,impersonation}.go`, `pkg/endpoints/handlers/responsewriters/errors.go`;
`plugin/pkg/auth/authorizer/rbac`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kubesim import http
from kubesim.apiserver import paths
from kubesim.errors import ApiError

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
NODES = "system:nodes"
ACCOUNT = "system:serviceaccount:"


class Forbidden(ApiError):
    """Said by the authorizer and not by admission: the answer is marked `nosniff`."""

    def __init__(self, message: str, details: Object | None = None) -> None:
        super().__init__(403, "Forbidden", message, details or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody would like to do: with a resource ("pods/log"), or (`path`) with something else."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def impersonate(server: ApiServer, request: http.Request) -> http.Request:
    """The request in the name of whom Impersonate-User and -Group say, for those who may."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = [each.strip() for each in headers.get("impersonate-group", "").split(",") if each.strip()]
    uid = headers.get("impersonate-uid", "")
    prefix = "impersonate-extra-"
    extra = {key.removeprefix(prefix): value for key, value in headers.items() if key.startswith(prefix)}
    if not name:
        if groups or uid or extra:
            raise ApiError(
                500, "InternalError", "Internal error occurred: requested impersonation without impersonating a user"
            )
        return request
    user = request.user
    account = name.removeprefix(ACCOUNT).split(":") if name.startswith(ACCOUNT) else []
    if len(account) == 2:
        _must(server, user, Wish(verb="impersonate", resource="serviceaccounts", namespace=account[0], name=account[1]))
        groups = groups or ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    else:
        _must(server, user, Wish(verb="impersonate", resource="users", name=name))
    for group in [each.strip() for each in headers.get("impersonate-group", "").split(",") if each.strip()]:
        _must(server, user, Wish(verb="impersonate", resource="groups", name=group))
    authentication = "authentication.k8s.io"
    if uid:
        _must(server, user, Wish(verb="impersonate", group=authentication, resource="uids", name=uid))
    for key, value in extra.items():
        wish = Wish(verb="impersonate", group=authentication, resource=f"userextras/{key}", name=value)
        _must(server, user, wish)
    if name == http.ANONYMOUS.name:
        return replace(request, user=http.ANONYMOUS)
    if "system:authenticated" not in groups and "system:unauthenticated" not in groups:
        groups.append("system:authenticated")
    other = http.User(
        name=name,
        groups=tuple(groups),
        uid=uid,
        extra=tuple((key, tuple(value.split(", "))) for key, value in sorted(extra.items())),
    )
    return replace(request, user=other)


def check(server: ApiServer, request: http.Request, target: paths.Target | None) -> None:
    """Forbidden when the user may not.  Without a target it is the request's path that is asked for."""
    if MASTERS in request.user.groups:
        return
    if target is None:
        verb = {"POST": "post", "PUT": "put", "PATCH": "patch", "DELETE": "delete"}.get(request.method, "get")
        _must(server, request.user, Wish(verb=verb, path=request.path))
        return
    verb = target.verb(request.method)
    if verb == "list" and (request.param("watch") in ("1", "true") or target.watch):
        verb = "watch"
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    # A namespace is in itself.
    namespace = target.name if target.resource == "namespaces" and not target.group else target.namespace
    _must(
        server,
        request.user,
        Wish(verb=verb, group=target.group, resource=resource, namespace=namespace, name=target.name),
    )


def _must(server: ApiServer, user: http.User, wish: Wish) -> None:
    if allowed(server, user, wish):
        return
    if wish.path:
        raise Forbidden(f'forbidden: User "{user.name}" cannot {wish.verb} path "{wish.path}"')
    where = f'in the namespace "{wish.namespace}"' if wish.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {wish.verb} resource "{wish.resource}" in API group "{wish.group}" {where}'
    plural = wish.resource.partition("/")[0]
    name = f"{plural}.{wish.group}" if wish.group else plural
    text = f'{name} "{wish.name}" is forbidden: {why}' if wish.name else f"{name} is forbidden: {why}"
    details = {"name": wish.name, "group": wish.group, "kind": plural}
    raise Forbidden(text, {key: value for key, value in details.items() if value})


def allowed(server: ApiServer, user: http.User, wish: Wish) -> bool:
    """Does any role bound to the user, its groups or its service account allow it?"""
    return MASTERS in user.groups or reason(server, user, wish) is not None


def reason(server: ApiServer, user: http.User, wish: Wish) -> str | None:
    """Which binding allows it, as SubjectAccessReview's `reason` says it; None when none does."""
    for rule, binding, subject in _bound(server, user, wish.namespace):
        if _covers(rule, wish):
            return f"RBAC: allowed by {_described(binding, subject)}"
    return None


def rules_of(server: ApiServer, user: http.User, namespace: str) -> list[Object]:
    """All rules that hold for a user in a namespace ("" for the cluster)."""
    return [rule for rule, _, _ in _bound(server, user, namespace)]


def _bound(server: ApiServer, user: http.User, namespace: str) -> Iterator[tuple[Object, Object, Object]]:
    """Each rule with the binding that gives it and the subject that is the user."""
    store = server.store
    if NODES in user.groups:
        role = store.get(f"clusterroles.{GROUP}", "", "system:node") or {}
        subject = {"kind": "Group", "name": NODES}
        for rule in role.get("rules") or ():
            yield rule, _NODES, subject
    bindings = [*store.list(f"clusterrolebindings.{GROUP}")]
    if namespace:
        bindings += store.list(f"rolebindings.{GROUP}", namespace)
    for binding in bindings:
        where = binding["metadata"].get("namespace", "")
        subjects = [each for each in binding.get("subjects") or () if _is_subject(each, user, where)]
        if not subjects:
            continue
        reference = binding["roleRef"]
        kind = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        found = store.get(f"{kind}.{GROUP}", where if kind == "roles" else "", reference["name"])
        for rule in (found or {}).get("rules") or ():
            yield rule, binding, subjects[0]


_NODES: Object = {
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "system:node"},
    "roleRef": {"kind": "ClusterRole", "name": "system:node"},
}


def _described(binding: Object, subject: Object) -> str:
    metadata, role = binding["metadata"], binding["roleRef"]
    namespace = metadata.get("namespace", "")
    name = f"{metadata['name']}/{namespace}" if namespace else metadata["name"]
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or namespace}"
    return f'{binding["kind"]} "{name}" of {role["kind"]} "{role["name"]}" to {subject["kind"]} "{who}"'


def _is_subject(subject: Object, user: http.User, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"{ACCOUNT}{where}:{subject['name']}"
    return False


def _covers(rule: Object, wish: Wish) -> bool:
    def has(field: str, *values: str) -> bool:
        listed = rule.get(field) or ()
        return "*" in listed or any(value in listed for value in values)

    if wish.path:
        return has("verbs", wish.verb) and any(
            each == wish.path or (each.endswith("*") and wish.path.startswith(each[:-1]))
            for each in rule.get("nonResourceURLs") or ()
        )
    subresource = wish.resource.partition("/")[2]
    wild = (f"*/{subresource}",) if subresource else ()
    named = not rule.get("resourceNames") or wish.name in rule["resourceNames"]
    return has("verbs", wish.verb) and has("apiGroups", wish.group) and has("resources", wish.resource, *wild) and named
