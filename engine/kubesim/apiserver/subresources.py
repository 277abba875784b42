"""What hangs below an object: status, scale, binding, eviction, finalize, token, and the insides of pods.

Sources: `pkg/registry/*/*/storage`, apiserver `pkg/registry/rest`; KEP-4601 and friends are not simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import http, ids, schema
from kubesim.apiserver import authorization, bodies, messages, negotiation, podinside, scale, wire
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.errors import ApiError
from kubesim.machinery import objects

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]


def handle(handler: Any, verb: str) -> http.Response:
    """Answer a request for a subresource."""
    resource, name = handler.resource, handler.target.subresource
    known = resource.subresources.get(name)
    if known is None:
        return wire.error(messages.resource_not_found())
    if name in ("exec", "attach", "portforward", "log", "proxy"):
        return podinside.handle(handler, name)
    handler.form = negotiation.accept(handler.request)
    if verb not in known.verbs:
        raise messages.method_not_allowed()
    match name:
        case "status" | "ephemeralcontainers" | "resize" | "finalize" | "approval":
            return _part(handler, verb)
        case "scale":
            return scale.handle(handler, verb)
        case "binding":
            return _bind(handler)
        case "eviction":
            return _evict(handler)
        case "token":
            return _token(handler)
    return wire.error(messages.resource_not_found())


def _part(handler: Any, verb: str) -> http.Response:
    """A part of the object that has its own rules: the strategy keeps the rest as it was."""
    match verb:
        case "get":
            return handler.get()
        case "patch":
            return handler.patch()
    if handler.target.subresource == "finalize":
        return _finalize(handler)
    return handler.update()


def _finalize(handler: Any) -> http.Response:
    """PUT namespaces/NAME/finalize: the only way to change spec.finalizers; the last one lets the namespace go."""
    handler._options("UpdateOptions")
    obj = bodies.object_of(handler)
    return handler.show(finalize(handler.server, handler.call, obj))


def finalize(server: ApiServer, call: Call, obj: Object) -> Object:
    def change(old: Object) -> Object:
        new = objects.copy(old)
        new["metadata"]["resourceVersion"] = obj["metadata"].get("resourceVersion", "")
        new["spec"]["finalizers"] = list(obj.get("spec", {}).get("finalizers", ()))
        if not new["spec"]["finalizers"]:
            del new["spec"]["finalizers"]
        return new

    return server.registry.update(call, change)[0]


def update(server: ApiServer, call: Call, obj: Object) -> Object:
    """PUT of a subresource by a client in this process."""
    match call.subresource:
        case "finalize":
            return finalize(server, call, obj)
        case "scale":
            return scale.replace(server.registry, call, obj)
        case "binding":
            server.registry.strategy(call.resource).bind(call, obj)
            return server.registry.get(call.resource, call.namespace, call.name)
    raise messages.resource_not_found()


def _bind(handler: Any) -> http.Response:
    body = bodies.read(handler.request, "v1", "Binding")
    if body.failure or not isinstance(body.value, dict):
        raise messages.bad_request(f"couldn't get version/kind; json parse error: {body.failure or 'not an object'}")
    handler.registry.strategy(handler.resource).bind(handler.call, body.value)
    return handler.answer({**wire.success(), "code": 201}, 201)


def _evict(handler: Any) -> http.Response:
    body = bodies.read(handler.request, "policy/v1", "Eviction")
    given = (body.value or {}).get("deleteOptions") or {} if isinstance(body.value, dict) else {}
    options = DeleteOptions(
        grace_period_seconds=given.get("gracePeriodSeconds"),
        propagation=given.get("propagationPolicy", ""),
        uid=(given.get("preconditions") or {}).get("uid", ""),
    )
    handler._options("CreateOptions")
    evict(handler.server, handler.call, options)
    return handler.answer({**wire.success(), "code": 201}, 201)


def evict(server: ApiServer, call: Call, options: DeleteOptions) -> None:
    """Delete a pod unless a PodDisruptionBudget forbids it (EvictionREST.Create)."""
    from kubesim.machinery import selectors

    registry = server.registry
    pod = registry.get(call.resource, call.namespace, call.name)
    if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed", "Pending"):
        for budget in registry.store.list("poddisruptionbudgets.policy", call.namespace):
            selector = selectors.from_label_selector(budget["spec"].get("selector"))
            if not selector.matches(pod["metadata"].get("labels")):
                continue
            if budget["status"].get("disruptionsAllowed", 0) <= 0:
                raise _over_budget(budget)
            _spend(server, budget, call.name)
    registry.delete(call, options)


def _spend(server: ApiServer, budget: Object, pod: str) -> None:
    """checkAndDecrement: what the budget's controller would find out only later is written down at once."""
    status = dict(budget["status"])
    status["disruptionsAllowed"] -= 1
    status["disruptedPods"] = {**status.get("disruptedPods", {}), pod: ids.timestamp(server.world.now)}
    server.registry.store.update("poddisruptionbudgets.policy", {**budget, "status": status})


def _over_budget(budget: Object) -> ApiError:
    name, status = budget["metadata"]["name"], budget["status"]
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    details = {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": f"The disruption budget {name} needs {needs} healthy pods and has {has} currently",
            }
        ]
    }
    return ApiError(
        429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", details
    )


def _token(handler: Any) -> http.Response:
    """POST serviceaccounts/NAME/token: a token that says whose it is; nothing in it is secret."""
    call = handler.call
    account = handler.registry.get(handler.resource, call.namespace, call.name)
    body = bodies.read(handler.request, "authentication.k8s.io/v1", "TokenRequest")
    spec = ((body.value or {}).get("spec") or {}) if isinstance(body.value, dict) else {}
    seconds = spec.get("expirationSeconds", 3600)
    now = handler.server.world.now
    user = f"system:serviceaccount:{call.namespace}:{call.name}"
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name, "namespace": call.namespace, "creationTimestamp": ids.timestamp(now)},
        "spec": {
            "audiences": spec.get("audiences") or ["https://kubernetes.default.svc.cluster.local"],
            "expirationSeconds": seconds,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {
            "token": f"kubesim.{user}.{account['metadata']['uid']}",
            "expirationTimestamp": ids.timestamp(now + seconds),
        },
    }
    return handler.answer(answer, 201)


# -- reviews: resources that are only ever created, and never kept -----------------------------------------------


def review(handler: Any, obj: Object) -> Object:
    """SelfSubjectAccessReview and its kin: the status is the answer."""
    server, user = handler.server, handler.request.user
    spec = obj.get("spec") or {}
    match handler.resource.plural:
        case "selfsubjectreviews":
            groups = list(user.groups)
            return {**obj, "status": {"userInfo": {"username": user.name, "groups": groups}}}
        case "selfsubjectrulesreviews":
            return {**obj, "status": _rules(server, user, spec.get("namespace", ""))}
        case "tokenreviews":
            return {**obj, "status": {"user": {}, "error": "not simulated: token review"}}
    if handler.resource.plural != "selfsubjectaccessreviews":
        user = http.User(name=spec.get("user", ""), groups=tuple(spec.get("groups", ())))
    return {**obj, "status": _access(server, user, spec)}


def _access(server: ApiServer, user: http.User, spec: Object) -> Object:
    wanted = spec.get("resourceAttributes")
    if wanted is None:
        return {"allowed": "system:masters" in user.groups}
    plural = wanted.get("resource", "")
    if wanted.get("subresource"):
        plural = f"{plural}/{wanted['subresource']}"
    fine = authorization.allowed(
        server,
        user,
        wanted.get("verb", ""),
        wanted.get("group", ""),
        plural,
        wanted.get("namespace", ""),
        wanted.get("name", ""),
    )
    return {"allowed": fine}


def _rules(server: ApiServer, user: http.User, namespace: str) -> Object:
    if "system:masters" in user.groups:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        return {
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }
    found = authorization.rules_of(server, user, namespace)
    resources = [
        {key: value for key, value in rule.items() if key != "nonResourceURLs"}
        for rule in found
        if rule.get("resources")
    ]
    others = [{"verbs": r["verbs"], "nonResourceURLs": r["nonResourceURLs"]} for r in found if r.get("nonResourceURLs")]
    return {"resourceRules": resources, "nonResourceRules": others, "incomplete": False}


REVIEWS = frozenset(
    resource.name
    for resource in schema.RESOURCES.values()
    if resource.verbs == ("create",) and resource.plural != "bindings"
)
