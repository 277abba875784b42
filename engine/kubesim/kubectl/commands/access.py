"""kubectl auth: can-i, whoami.

Source: kubectl `pkg/cmd/auth`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import fail, flags, printers, session, tabs
from kubesim.kubectl.command import Command

Object = dict[str, Any]

REVIEWS = "/apis/authorization.k8s.io/v1"


async def can_i(of: session.Session) -> int:
    if of.flags["list"]:
        return _list(of)
    if len(of.args) < 2 or len(of.args) > 3:
        raise fail.Failed(
            "error: you must specify two arguments: verb resource or verb resource/resourceName.\n"
            "See 'kubectl auth can-i -h' for help and examples."
        )
    verb, what = of.args[0], of.args[1]
    spec: Object = {}
    if what.startswith("/"):
        spec["nonResourceAttributes"] = {"path": what, "verb": verb}
    else:
        word, _, name = what.partition("/")
        name = of.args[2] if len(of.args) == 3 else name
        attributes: Object = {"verb": verb, **_resource(of, word)}
        if name:
            attributes["name"] = name
        if of.flags["subresource"]:
            attributes["subresource"] = of.flags["subresource"]
        if not of.flags["all-namespaces"]:
            attributes["namespace"] = of.namespace
        spec["resourceAttributes"] = attributes
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    status = of.rest.ask("POST", f"{REVIEWS}/selfsubjectaccessreviews", body=body).get("status") or {}
    if not of.flags["quiet"]:
        answer = "yes" if status.get("allowed") else "no"
        if status.get("reason") and not status.get("allowed"):
            answer += f" - {status['reason']}"
        of.io.print(answer)
    return 0 if status.get("allowed") else 1


def _resource(of: session.Session, word: str) -> Object:
    if word == "*":
        return {"group": "*", "resource": "*"}
    try:
        mapping = of.discovery.find(word)
    except fail.NoResource:
        of.io.complain(f"Warning: the server doesn't have a resource type '{word}'\n")
        return {"resource": word}
    if not mapping.namespaced and not of.flags["all-namespaces"]:
        group = f" in group '{mapping.group}'" if mapping.group else ""
        of.io.complain(f"Warning: resource '{mapping.plural}' is not namespace scoped{group}\n")
    return {**({"group": mapping.group} if mapping.group else {}), "resource": mapping.plural}


def _list(of: session.Session) -> int:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": of.namespace},
    }
    status = of.rest.ask("POST", f"{REVIEWS}/selfsubjectrulesreviews", body=body).get("status") or {}
    from kubesim.kubectl.describe import rbac

    rules = [*(status.get("resourceRules") or []), *(status.get("nonResourceRules") or [])]
    rows = [] if of.flags["no-headers"] else [["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]]
    for rule in rbac.compact(rules):
        what = rbac.combined(rule["resources"], rule["apiGroups"])
        rows.append([what, *(f"[{' '.join(rule[key])}]" for key in ("nonResourceURLs", "resourceNames", "verbs"))])
    of.io.print(tabs.table(rows), end="")
    return 0


async def whoami(of: session.Session) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = of.rest.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    if of.flags["output"]:
        printer = printers.of_format(of.io, of.flags["output"], of.flags["template"])
        of.io.print(printer(printers.as_served(answer)), end="")
        return
    info = (answer.get("status") or {}).get("userInfo") or {}
    rows = [["ATTRIBUTE", "VALUE"], ["Username", info.get("username", "")]]
    if info.get("uid"):
        rows.append(["UID", info["uid"]])
    if info.get("groups"):
        rows.append(["Groups", f"[{' '.join(info['groups'])}]"])
    rows += [[f"Extra: {key}", f"[{' '.join(values)}]"] for key, values in sorted((info.get("extra") or {}).items())]
    of.io.print(tabs.table(rows), end="")


COMMANDS = {
    "auth": Command(
        "auth",
        "Inspect authorization.",
        None,
        subcommands=(
            Command(
                "can-i",
                "Check whether an action is allowed",
                can_i,
                tuple(
                    flags.define("all-namespaces,A:bool", "quiet,q:bool", "subresource", "list:bool", "no-headers:bool")
                ),
                "VERB [TYPE | TYPE/NAME | NONRESOURCEURL] [options]",
            ),
            Command("whoami", "Experimental: Check self subject attributes", whoami, tuple(printers.OUTPUT)),
        ),
        must_choose=True,
    )
}
