"""The roles and bindings that every cluster begins with, out of `roles.txt`.

Upstream's post-start hook writes them straight to storage, past authorization (`pkg/registry/rbac/rest/storage_rbac.go`); so
does this, and as they are the same in every cluster of a release, they are made once in a process and shared: only the uid
and the time differ.  The three roles that gather others' rules come with these, as clusterrole-aggregation-controller
would have put them there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubesim import ids, schema
from kubesim.apiserver import managedfields

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
TABLE = Path(__file__).with_name("roles.txt")
VERBS = {
    "read": ("get", "list", "watch"),
    "write": ("create", "delete", "deletecollection", "patch", "update"),
    "all": ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
}
EVENTS: Object = {
    "verbs": ["create", "patch", "update"],
    "apiGroups": ["", "events.k8s.io"],
    "resources": ["events"],
}
AGGREGATE = GROUP + "/aggregate-to-"
# admin takes in edit, which takes in view.
INNER_FIRST = ("view", "edit", "admin")
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
# The server brings them up to date when it starts, unless somebody turns this off.
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
ANNOTATIONS = {AUTOUPDATE: "true"}
CONTROLLER = "system:controller:"
SERVER, AGGREGATOR = "kube-apiserver", "clusterrole-aggregation-controller"
METADATA = ("name", "namespace", "uid", "creationTimestamp", "labels", "annotations")


@dataclass
class Role:
    """A block of the table.  `bound` is its binding's name where that is not its own."""

    name: str
    namespace: str = ""
    gathers: str = ""
    into: str = ""
    bound: str = ""
    since: int = 0
    subjects: list[Object] = field(default_factory=list)
    has_binding: bool = False
    rules: list[Object] = field(default_factory=list)


def store(server: ApiServer) -> None:
    """Put them into the store; what is there already gets the rules and subjects that it lacks (`rbac/reconciliation`)."""
    now = ids.timestamp(server.world.now)
    tracked = server.settings.minor >= managedfields.SINCE
    for resource, manifest in manifests(server.settings.minor):
        fixed = manifest["metadata"]
        known = server.store.get(resource, fixed.get("namespace", ""), fixed["name"])
        if known is not None:
            _reconcile(server, resource, known, manifest)
            continue
        own = {"uid": ids.uid(server.world), "creationTimestamp": now}
        metadata = {field: own.get(field) or fixed.get(field) for field in METADATA if field in own or field in fixed}
        if tracked:
            metadata["managedFields"] = _owners(resource, manifest, now)
        server.store.create(resource, {**manifest, "metadata": metadata})


def _reconcile(server: ApiServer, resource: str, known: Object, manifest: Object) -> None:
    if known["metadata"].get("annotations", {}).get(AUTOUPDATE) != "true":
        return
    field = "rules" if "roles." in resource else "subjects"
    there = known.get(field) or []
    missing = [each for each in manifest.get(field) or () if each not in there]
    if missing:
        server.store.update(resource, {**known, field: [*there, *missing]})


@cache
def manifests(minor: int) -> tuple[tuple[str, Object], ...]:
    """(resource, object) of a release, in the order in which they are written; not to be changed."""
    found = [role for role in parse(TABLE.read_text(encoding="utf-8"), minor) if minor >= role.since]
    _gather(found)
    wide = [role for role in found if not role.namespace]
    narrow = [role for role in found if role.namespace]
    made: list[tuple[str, Object]] = []
    for roles, prefix in ((wide, "Cluster"), (narrow, "")):
        made += [(f"{prefix.lower()}roles.{GROUP}", _role(role)) for role in roles]
        made += [(f"{prefix.lower()}rolebindings.{GROUP}", _binding(role)) for role in roles if role.has_binding]
    return tuple(made)


# -- the table ----------------------------------------------------------------------------------------------


def parse(text: str, minor: int = 99) -> list[Role]:
    """The roles of a table; rules that a release does not have are left out.  ValueError for a line that is none."""
    found: list[Role] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            found.append(_head(line))
            continue
        words = line.split()
        if words[0] == "for":
            found[-1].has_binding = True
            if words[1] != "nobody":
                found[-1].subjects.append(_subject(*words[1:]))
            continue
        if words[0].startswith("["):
            release = int(words.pop(0)[1:-1])
            if minor < release or -minor <= release < 0:
                continue
        found[-1].rules.append(EVENTS if words == ["events"] else _rule(" ".join(words)))
    return found


def _head(line: str) -> Role:
    path, *words = line.split()
    namespace, _, name = path.rpartition("/")
    said = dict(zip(words[::2], words[1::2], strict=True))
    role = Role(name, namespace, said.get("gathers", ""), said.get("into", ""), said.get("bound", ""))
    role.since = int(said.get("since", 0))
    if name.startswith(CONTROLLER) and not namespace:
        role.has_binding = True
        role.subjects.append(_subject("ServiceAccount", f"kube-system/{name.removeprefix(CONTROLLER)}"))
    return role


def _subject(kind: str, name: str) -> Object:
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"kind": kind, "apiGroup": GROUP, "name": name}


def _rule(text: str) -> Object:
    said, _, rest = text.partition(": ")
    verbs = list(VERBS.get(said, said.split()))
    if rest.startswith("urls "):
        return {"verbs": verbs, "nonResourceURLs": rest.split()[1:]}
    rest, _, names = rest.partition(" named ")
    resources, _, groups = rest.partition(" in ")
    rule: Object = {
        "verbs": verbs,
        "apiGroups": ["" if group == "core" else group for group in (groups or "core").split()],
        "resources": resources.split(),
    }
    if names:
        rule["resourceNames"] = names.split()
    return rule


# -- the objects --------------------------------------------------------------------------------------------


def _gather(roles: list[Role]) -> None:
    """What clusterrole-aggregation-controller comes to: the rules of the labelled roles, by name, each once."""
    by_name = {role.name: role for role in roles if not role.namespace}
    for name in INNER_FIRST:
        role = by_name[name]
        for source in sorted((each for each in roles if each.into == role.gathers), key=lambda each: each.name):
            role.rules += [rule for rule in source.rules if rule not in role.rules]


def _metadata(role: Role, name: str) -> Object:
    labels = {**LABELS, AGGREGATE + role.into: "true"} if role.into and name == role.name else LABELS
    namespace = {"namespace": role.namespace} if role.namespace else {}
    return {"name": name, **namespace, "labels": labels, "annotations": ANNOTATIONS}


def _role(role: Role) -> Object:
    made: Object = {
        "kind": "Role" if role.namespace else "ClusterRole",
        "apiVersion": f"{GROUP}/v1",
        "metadata": _metadata(role, role.name),
        "rules": role.rules,
    }
    if role.gathers:
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {AGGREGATE + role.gathers: "true"}}]}
    return made


def _binding(role: Role) -> Object:
    kind = "Role" if role.namespace else "ClusterRole"
    made: Object = {
        "kind": f"{kind}Binding",
        "apiVersion": f"{GROUP}/v1",
        "metadata": _metadata(role, role.bound or role.name) | {"labels": LABELS},
    }
    if role.subjects:
        made["subjects"] = role.subjects
    return {**made, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role.name}}


def _owners(resource: str, manifest: Object, now: str) -> Any:
    """Who set which fields: the server, and of a gathering role the controller its rules."""
    version = manifest["apiVersion"]
    if "aggregationRule" in manifest:
        said = {"apiVersion": version, "time": now, "fieldsType": "FieldsV1"}
        aggregator = {"manager": AGGREGATOR, "operation": "Apply", **said, "fieldsV1": {"f:rules": {}}}
        return [aggregator, {"manager": SERVER, "operation": "Update", **said, "fieldsV1": _server_fields(manifest)}]
    type_name = schema.RESOURCES[resource].type("v1")
    return managedfields.Lazy(None, managedfields.Step(type_name, SERVER, version, "", now, None, manifest))


def _server_fields(manifest: Object) -> Object:
    metadata: Object = {
        f"f:{field}": {".": {}, **{f"f:{key}": {} for key in sorted(manifest["metadata"][field])}}
        for field in ("annotations", "labels")
    }
    return {"f:aggregationRule": {".": {}, "f:clusterRoleSelectors": {}}, "f:metadata": metadata}
