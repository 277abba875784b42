"""The server as a whole: what it is started with, who may enter, and by which door.

`handle(Request)` is HTTP's door; `client(user)` that of those in the same process.  Neither ever waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from kubesim import http
from kubesim.apiserver import local
from kubesim.apiserver.call import Call, DeleteOptions
from kubesim.apiserver.registry import Registry
from kubesim.apiserver.served import Served
from kubesim.apiserver.settings import Settings
from kubesim.store.store import Store
from kubesim.world import World


class KubeletApi(Protocol):
    """What a node answers on its port 10250; requests for a pod's inside are passed on to it."""

    def exec(
        self, namespace: str, pod: str, container: str, command: list[str], stdin: bool, tty: bool
    ) -> http.Session: ...

    def attach(self, namespace: str, pod: str, container: str, stdin: bool, tty: bool) -> http.Session: ...

    def portforward(self, namespace: str, pod: str, ports: list[int]) -> http.Session: ...

    def serve(self, method: str, path: str) -> http.Response: ...

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> bytes | http.Stream: ...


# Scheme, address, port, the request (its path is the one there) -> its answer; `proxying.Unreached`.
Dial = Callable[[str, str, int, http.Request], http.Response]


class ApiServer:
    """See the module.  `kubelets` is filled by the nodes: node name -> its KubeletApi."""

    def __init__(
        self,
        world: World,
        store: Store,
        version: str = "v1.36.2",
        service_cidr: str = "10.96.0.0/12",
        node_port_range: str = "30000-32767",
        advertise: str = "",
        port: int = 6443,
    ) -> None:
        self.world = world
        self.store = store
        self.settings = Settings(
            version=version,
            service_cidr=service_cidr,
            node_port_range=node_port_range,
            advertise=advertise,
            port=port,
        )
        self.kubelets: dict[str, KubeletApi] = {}
        # Bearer tokens beside those of service accounts, and whose they are: set by the front that hands them out.
        self.tokens: dict[str, http.User] = {}
        # The way into the cluster's network, for the proxy subresources: set by whoever composes the cluster.
        self.dial: Dial | None = None
        self.served = Served(self.settings.minor)
        self.registry = Registry(world, store, self.settings, self.served)
        # OpenAPI documents that were asked for, as text (`openapi`).
        self.documents: dict[tuple[str, int], bytes] = {}
        self._clients: dict[http.User, local.LocalClient] = {}
        from kubesim.apiserver.controllers import bootstrap
        from kubesim.apiserver.customresources import controller

        bootstrap.start(self)
        controller.start(self)

    @property
    def version(self) -> str:
        return self.settings.version

    def reconfigure(self, *, node_port_range: str) -> None:
        """It was started again with other flags.  What is stored stays, in the range or not (upstream's repair loop only
        complains of it)."""
        if node_port_range != self.settings.node_port_range:
            self.settings = replace(self.settings, node_port_range=node_port_range)
            self.registry.reconfigure(self.settings)

    def client(self, user: http.User | str = "kubernetes-admin") -> local.LocalClient:
        """The API in the name of a user; a bare name is a member of system:authenticated."""
        if isinstance(user, str):
            user = http.User(name=user, groups=("system:authenticated",))
        found = self._clients.get(user)
        if found is None:
            found = self._clients[user] = local.LocalClient(self, user)
        return found

    def handle(self, request: http.Request) -> http.Response:
        """Answer one request."""
        from kubesim.apiserver import handlers

        return handlers.handle(self, request)

    def subresource_update(self, call: Call, obj: dict[str, Any]) -> dict[str, Any]:
        """PUT of a subresource other than status, for the clients in this process."""
        from kubesim.apiserver import subresources

        return subresources.update(self, call, obj)

    def evict(self, call: Call, options: DeleteOptions) -> None:
        from kubesim.apiserver import subresources

        subresources.evict(self, call, options)
