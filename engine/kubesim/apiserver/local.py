"""The API for those who live in the same process: objects in, objects out (`kubesim.client.Client`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubesim import client, http
from kubesim.apiserver import decoding, messages, patching
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.errors import ApiError
from kubesim.machinery import selectors
from kubesim.store.store import Event

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = client.Object


# The service accounts that kube-controller-manager's loops use, by their endings.
CONTROLLERS = ("-controller", "-publisher", "-collector", "-cleaner", "-binder", "-signer", "-approver")


def manager_of(user: str) -> str:
    """The field manager that a system component's user agent would give."""
    parts = user.split(":")
    if parts[:2] == ["system", "node"]:
        return "kubelet"
    if user.endswith(CONTROLLERS):
        return "kube-controller-manager"
    return parts[-1]


class LocalClient:
    """One user's way in.  The same registry as over HTTP; only bytes and selectors of the wire are spared."""

    def __init__(self, server: ApiServer, user: http.User) -> None:
        self._server = server
        self._registry = server.registry
        self.user = user
        self._manager = manager_of(user.name)

    def _call(self, resource: str, namespace: str = "", name: str = "", subresource: str = "") -> Call:
        found = self._server.served.named(resource)
        if found is None:
            raise messages.resource_not_found()
        return Call(
            user=self.user,
            resource=found,
            version=found.versions[0],
            namespace=namespace if found.namespaced else "",
            name=name,
            subresource=subresource,
            manager=self._manager,
        )

    def serves(self, group: str, version: str, plural: str) -> bool:
        return self._server.served.find(group, version, plural) is not None

    def get(self, resource: str, name: str, namespace: str = "") -> Object:
        found = self.find(resource, name, namespace)
        if found is None:
            raise messages.not_found(self._registry.resource(resource), name)
        return found

    def find(self, resource: str, name: str, namespace: str = "") -> Object | None:
        return self._registry.store.get(resource, namespace, name)

    def list(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        found = self._registry.store.list(resource, namespace)
        if labels:
            selector = selectors.parse(labels)
            found = [each for each in found if selector.matches(each["metadata"].get("labels", {}))]
        if fields:
            requirements = selectors.parse_fields(fields)
            found = [each for each in found if selectors.fields_match(each, requirements)]
        return found

    def create(self, resource: str, obj: Object, namespace: str = "") -> Object:
        metadata = obj.get("metadata") or {}
        call = self._call(resource, namespace or metadata.get("namespace", ""), metadata.get("name", ""))
        return self._registry.create(call, self._decode(call, obj))

    def update(self, resource: str, obj: Object, subresource: str = "") -> Object:
        metadata = obj["metadata"]
        call = self._call(resource, metadata.get("namespace", ""), metadata["name"], subresource)
        if subresource not in ("", "status"):
            return self._server.subresource_update(call, obj)
        return self._registry.update(call, lambda _old: self._decode(call, obj))[0]

    def patch(
        self, resource: str, name: str, namespace: str, patch: Any, kind: str = "merge", subresource: str = ""
    ) -> Object:
        call = self._call(resource, namespace, name, subresource)
        return self._registry.update(call, lambda old: self._decode(call, patching.apply(call, old, patch, kind)))[0]

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "",
        grace_period_seconds: int | None = None,
        propagation: str = "",
        uid: str = "",
    ) -> None:
        options = DeleteOptions(grace_period_seconds=grace_period_seconds, propagation=propagation, uid=uid)
        self._registry.delete(self._call(resource, namespace, name), options)

    def bind(self, name: str, namespace: str, node: str) -> None:
        """POST pods/NAME/binding."""
        call = self._call("pods", namespace, name, "binding")
        self._registry.strategy(call.resource).bind(call, {"target": {"kind": "Node", "name": node}})

    def evict(self, name: str, namespace: str) -> None:
        """POST pods/NAME/eviction."""
        self._server.evict(self._call("pods", namespace, name, "eviction"), DeleteOptions())

    def watch(self, resource: str, handler: client.Handler, namespace: str = "") -> client.Subscription:
        watcher = self._registry.store.watch(resource, _teller(handler, namespace))
        world = self._registry.world

        def tell(obj: Object) -> None:
            if not watcher.closed:
                handler("ADDED", obj, None)

        for obj in self._registry.store.list(resource, namespace):
            world.call_soon(tell, obj)
        return watcher

    def _decode(self, call: Call, obj: Object) -> Object:
        if "managedFields" in (obj.get("metadata") or {}):
            # Whoever copied an object does not mean to say who owns what.
            obj = {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}
        try:
            problems = decoding.Problems()
            decoded = self._registry.decode(call, obj, problems)
        except decoding.DecodeError as error:
            raise messages.bad_request(
                f'{call.resource.kind} in version "{call.version}" cannot be handled as a {call.resource.kind}: {error}'
            ) from None
        if problems.found:
            # Our own components must not send what the real types have not.
            raise ApiError(
                400, "BadRequest", f"{call.resource.name}: strict decoding error: {', '.join(problems.found)}"
            )
        return decoded


def _teller(handler: client.Handler, namespace: str) -> Any:
    def tell(event: Event) -> None:
        if not namespace or event.obj["metadata"].get("namespace") == namespace:
            handler(event.type, event.obj, event.before)

    return tell
