"""kubectl create role, clusterrole, rolebinding, clusterrolebinding, poddisruptionbudget, quota, priorityclass.

Source: kubectl `pkg/cmd/create/create_role.go` and its neighbours.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import creating, fail, flags, making, session
from kubesim.kubectl.command import Command

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"


def _rules(of: session.Session) -> list[Object]:
    verbs = list(dict.fromkeys(of.flags["verb"]))
    if not verbs:
        raise fail.Failed("error: at least one verb must be specified")
    if "*" in verbs:
        verbs = ["*"]
    urls = of.flags.get("non-resource-url") or []
    if not of.flags["resource"] and not urls:
        if "non-resource-url" in of.flags.values:
            raise fail.Failed("error: one of resource or nonResourceURL must be specified")
        raise fail.Failed("error: at least one resource must be specified")
    groups: dict[str, list[str]] = {}
    for text in of.flags["resource"]:
        word, slash, inner = text.partition("/")
        if word == "*":
            groups.setdefault("*", []).append("*")
            continue
        mapping = of.discovery.find(word)
        groups.setdefault(mapping.group, []).append(mapping.plural + slash + inner)
    rules: list[Object] = []
    for group, resources in groups.items():
        rule: Object = {"verbs": verbs, "apiGroups": [group], "resources": resources}
        if of.flags["resource-name"]:
            rule["resourceNames"] = of.flags["resource-name"]
        rules.append(rule)
    if urls:
        rules.append({"verbs": verbs, "nonResourceURLs": urls})
    return rules


async def role(of: session.Session) -> None:
    made = making.obj(of, f"{RBAC}/v1", "Role", creating.one_name(of))
    made["rules"] = _rules(of)
    creating.finish(of, made, f"roles.{RBAC}", "failed to create role: ")


async def cluster_role(of: session.Session) -> None:
    made = making.obj(of, f"{RBAC}/v1", "ClusterRole", creating.one_name(of), namespaced=False)
    if of.flags["aggregation-rule"]:
        made["rules"] = None
        made["aggregationRule"] = {
            "clusterRoleSelectors": [{"matchLabels": making.labels_of(",".join(of.flags["aggregation-rule"]))}]
        }
    else:
        made["rules"] = _rules(of)
    creating.finish(of, made, f"clusterroles.{RBAC}", "failed to create clusterrole: ")


def _subjects(of: session.Session) -> list[Object]:
    found: list[Object] = [{"kind": "User", "apiGroup": RBAC, "name": name} for name in of.flags["user"]]
    found += [{"kind": "Group", "apiGroup": RBAC, "name": name} for name in of.flags["group"]]
    for text in of.flags["serviceaccount"]:
        namespace, colon, name = text.partition(":")
        if not colon or not namespace or not name:
            raise fail.Failed("error: serviceaccount must be <namespace>:<name>")
        found.append({"kind": "ServiceAccount", "name": name, "namespace": namespace})
    return found


def _binding(of: session.Session, kind: str, resource: str, role_kind: str, role_name: str, namespaced: bool) -> None:
    made = making.obj(of, f"{RBAC}/v1", kind, creating.one_name(of), namespaced=namespaced)
    subjects = _subjects(of)
    if subjects:
        made["subjects"] = subjects
    made["roleRef"] = {"apiGroup": RBAC, "kind": role_kind, "name": role_name}
    creating.finish(of, made, f"{resource}.{RBAC}", f"failed to create {kind.lower()}: ")


async def role_binding(of: session.Session) -> None:
    creating.one_name(of)
    if bool(of.flags["role"]) == bool(of.flags["clusterrole"]):
        raise fail.Failed("error: exactly one of clusterrole or role must be specified")
    kind = "ClusterRole" if of.flags["clusterrole"] else "Role"
    _binding(of, "RoleBinding", "rolebindings", kind, of.flags["clusterrole"] or of.flags["role"], True)


async def cluster_role_binding(of: session.Session) -> None:
    creating.one_name(of)
    _binding(of, "ClusterRoleBinding", "clusterrolebindings", "ClusterRole", of.flags["clusterrole"], False)


async def disruption_budget(of: session.Session) -> None:
    from kubesim.machinery import selectors

    made = making.obj(of, "policy/v1", "PodDisruptionBudget", creating.one_name(of))
    if not of.flags["selector"]:
        raise fail.Failed("error: a selector must be specified")
    low, high = of.flags["min-available"], of.flags["max-unavailable"]
    if not low and not high:
        raise fail.Failed("error: one of min-available or max-unavailable must be specified")
    if low and high:
        raise fail.Failed("error: min-available and max-unavailable cannot be both specified")
    labels = {each.key: each.values[0] for each in selectors.parse(of.flags["selector"]).requirements if each.values}
    spec: Object = {"minAvailable": _int_or_text(low)} if low else {}
    spec["selector"] = {"matchLabels": labels}
    if high:
        spec["maxUnavailable"] = _int_or_text(high)
    made["spec"] = spec
    made["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    creating.finish(of, made, "poddisruptionbudgets.policy", "failed to create poddisruptionbudgets: ")


def _int_or_text(text: str) -> int | str:
    return int(text) if text.isdigit() else text


async def quota(of: session.Session) -> None:
    made = making.obj(of, "v1", "ResourceQuota", creating.one_name(of))
    spec: Object = {}
    if of.flags["hard"]:
        spec["hard"] = making.key_values(of.flags["hard"].split(","), "argument")
    if of.flags["scopes"]:
        spec["scopes"] = of.flags["scopes"].split(",")
    made["spec"] = spec
    made["status"] = {}
    creating.finish(of, made, "resourcequotas", "failed to create quota: ")


async def priority_class(of: session.Session) -> None:
    made = making.obj(of, "scheduling.k8s.io/v1", "PriorityClass", creating.one_name(of), namespaced=False)
    made["value"] = of.flags["value"]
    if of.flags["global-default"]:
        made["globalDefault"] = True
    if of.flags["description"]:
        made["description"] = of.flags["description"]
    made["preemptionPolicy"] = of.flags["preemption-policy"]
    creating.finish(of, made, "priorityclasses.scheduling.k8s.io", "failed to create priorityclass: ")


_RULES = flags.define("verb:list", "resource:list", "resource-name:array")
_SUBJECTS = flags.define("user:array", "group:array", "serviceaccount:array", "clusterrole")
COMMANDS = (
    Command("role", "Create a role with single rule.", role, (*creating.FLAGS, *_RULES)),
    Command(
        "clusterrole",
        "Create a cluster role.",
        cluster_role,
        (*creating.FLAGS, *_RULES, *flags.define("non-resource-url:list", "aggregation-rule:list")),
    ),
    Command(
        "rolebinding",
        "Create a role binding for a particular role or cluster role.",
        role_binding,
        (*creating.FLAGS, *_SUBJECTS, *flags.define("role")),
    ),
    Command(
        "clusterrolebinding",
        "Create a cluster role binding for a particular cluster role.",
        cluster_role_binding,
        (*creating.FLAGS, *_SUBJECTS),
        required=("clusterrole",),
    ),
    Command(
        "poddisruptionbudget",
        "Create a pod disruption budget with the specified name.",
        disruption_budget,
        (*creating.FLAGS, *flags.define("selector", "min-available", "max-unavailable")),
        aliases=("pdb",),
    ),
    Command(
        "quota",
        "Create a quota with the specified name.",
        quota,
        (*creating.FLAGS, *flags.define("hard", "scopes")),
        aliases=("resourcequota",),
    ),
    Command(
        "priorityclass",
        "Create a priority class with the specified name.",
        priority_class,
        (
            *creating.FLAGS,
            *flags.define(
                "value:int32", "global-default:bool", "description", "preemption-policy:=PreemptLowerPriority"
            ),
        ),
        aliases=("pc",),
    ),
)
