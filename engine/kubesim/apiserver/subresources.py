"""What hangs below an object: status, scale, binding, eviction, finalize, token, and the insides of pods.

Sources: `pkg/registry/*/*/storage`, apiserver `pkg/registry/rest`; KEP-4601 and friends are not simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import http, ids, schema
from kubesim.apiserver import (
    authentication,
    authorization,
    bodies,
    fielderrors,
    messages,
    negotiation,
    podinside,
    scale,
    wire,
)
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.errors import ApiError
from kubesim.machinery import objects
from kubesim.programs import tokens

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
    body = bodies.of_type(handler.request, "core.v1.Binding", "v1", "Binding")
    handler.registry.strategy(handler.resource).bind(handler.call, body)
    return handler.answer({**wire.success(), "code": 201}, 201)


def _evict(handler: Any) -> http.Response:
    body = bodies.of_type(handler.request, "policy.v1.Eviction", "policy/v1", "Eviction")
    given = body.get("deleteOptions") or {}
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
    """POST serviceaccounts/NAME/token (TokenREST.Create)."""
    call, server = handler.call, handler.server
    account = handler.registry.get(handler.resource, call.namespace, call.name)
    body = bodies.of_type(handler.request, "authentication.v1.TokenRequest", "authentication.k8s.io/v1", "TokenRequest")
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds", 3600)
    why = ""
    if seconds < 600:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > 1 << 32:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        errors = [fielderrors.invalid("spec.expirationSeconds", seconds, why)]
        raise messages.invalid("TokenRequest", "authentication.k8s.io", "", errors)
    reference = spec.get("boundObjectRef")
    audiences = tuple(spec.get("audiences") or (tokens.ISSUER,))
    pod = _bound_pod(handler, reference, call.name) if reference else None
    token = tokens.issue(server.world, call.namespace, call.name, account["metadata"]["uid"], pod, seconds, audiences)
    expires = tokens.claims(server.world, token) or {}
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": call.name,
            "namespace": call.namespace,
            "creationTimestamp": ids.timestamp(server.world.now),
        },
        "spec": {"audiences": list(audiences), "expirationSeconds": seconds, "boundObjectRef": reference},
        "status": {
            "token": token,
            "expirationTimestamp": ids.timestamp(min(expires["exp"], server.world.now + seconds)),
        },
    }
    return handler.answer(answer, 201)


def _bound_pod(handler: Any, reference: Object, account: str) -> Object:
    """The pod that a token is to live no longer than."""
    if reference.get("kind") != "Pod":
        what = f"{reference.get('apiVersion', '')}, Kind={reference.get('kind', '')}"
        raise messages.bad_request(f"not simulated: a token bound to {what}; bind it to a Pod")
    pods = schema.RESOURCES["pods"]
    pod: Object = handler.registry.get(pods, handler.call.namespace, reference.get("name", ""))
    uid = reference.get("uid", "")
    if uid and uid != pod["metadata"]["uid"]:
        why = f"the UID in the bound object reference ({uid}) does not match the UID in record. "
        raise messages.conflict(pods, reference["name"], why + "The object might have been deleted and then recreated")
    if pod["spec"].get("serviceAccountName") != account:
        who = f'cannot bind token for serviceaccount "{account}"'
        raise messages.bad_request(f"{who} to pod running with different serviceaccount name.")
    return pod


# -- reviews: resources that are only ever created, and never kept -----------------------------------------------


def review(handler: Any, obj: Object) -> Object:
    """SelfSubjectAccessReview and its kin: the status is the answer."""
    server, user = handler.server, handler.request.user
    spec = obj.get("spec") or {}
    match handler.resource.plural:
        case "selfsubjectreviews":
            return {**obj, "status": {"userInfo": _info(user)}}
        case "selfsubjectrulesreviews":
            return {**obj, "status": _rules(server, user, spec.get("namespace", ""))}
        case "tokenreviews":
            return {**obj, "status": _token_status(server, spec)}
    if handler.resource.plural != "selfsubjectaccessreviews":
        user = http.User(name=spec.get("user", ""), groups=tuple(spec.get("groups") or ()))
    return {**obj, "status": _access(server, user, spec)}


def _info(user: http.User) -> Object:
    """authentication/v1 UserInfo."""
    found: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    found["extra"] = {key: list(values) for key, values in user.extra}
    return {key: value for key, value in found.items() if value}


def _token_status(server: ApiServer, spec: Object) -> Object:
    user = authentication.of_token(server, spec.get("token") or "")
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    audiences = {"audiences": spec["audiences"]} if spec.get("audiences") else {"audiences": [tokens.ISSUER]}
    return {"authenticated": True, "user": _info(user), **audiences}


def _access(server: ApiServer, user: http.User, spec: Object) -> Object:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if wanted is None:
        path = path or {}
        wish = authorization.Wish(verb=path.get("verb", ""), path=path.get("path", "") or "/")
    else:
        plural = wanted.get("resource", "")
        if wanted.get("subresource"):
            plural = f"{plural}/{wanted['subresource']}"
        wish = authorization.Wish(
            verb=wanted.get("verb", ""),
            group=wanted.get("group", ""),
            resource=plural,
            namespace=wanted.get("namespace", ""),
            name=wanted.get("name", ""),
        )
    if authorization.MASTERS in user.groups:
        return {"allowed": True}
    why = authorization.reason(server, user, wish)
    return {"allowed": False} if why is None else {"allowed": True, "reason": why}


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
