"""A kube-proxy on one node of a small network, with the objects of a cluster in a dict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kubesim import net
from kubesim.errors import ApiError
from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.proxy.config import Config
from kubesim.proxy.proxier import KubeProxy
from kubesim.world import World

Object = dict[str, Any]


class Objects:
    """As much of a client as kube-proxy uses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._handlers: dict[str, list[Callable[[str, Object, Object | None], None]]] = {}

    def apply(self, resource: str, obj: Object) -> None:
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        known = self._objects.setdefault(resource, {})
        before = known.get(key)
        known[key] = obj
        self._tell(resource, "MODIFIED" if before else "ADDED", obj, before)

    def delete(self, resource: str, name: str, namespace: str = "") -> None:
        gone = self._objects[resource].pop((namespace, name))
        self._tell(resource, "DELETED", gone, gone)

    def _tell(self, resource: str, kind: str, obj: Object, before: Object | None) -> None:
        for handler in self._handlers.get(resource, ()):
            self._world.call_soon(handler, kind, obj, before)

    def find(self, resource: str, name: str, namespace: str = "") -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def get(self, resource: str, name: str, namespace: str = "") -> Object:
        found = self.find(resource, name, namespace)
        if found is None:
            raise ApiError(404, "NotFound", f'{resource} "{name}" not found')
        return found

    def list(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        return [obj for _, obj in sorted(self._objects.get(resource, {}).items())]

    def watch(self, resource: str, handler: Callable[[str, Object, Object | None], None], namespace: str = "") -> Any:
        self._handlers.setdefault(resource, []).append(handler)
        for obj in self.list(resource):
            self._world.call_soon(handler, "ADDED", obj, None)
        handlers = self._handlers[resource]

        class Subscription:
            def close(self) -> None:
                handlers.remove(handler)

        return Subscription()


class Lab:
    """A node 192.168.0.2 with the pods web-1 (10.244.1.2) and client (10.244.1.9) on it."""

    def __init__(self) -> None:
        self.world = World(seed=1, start=1_580_643_589.644676)
        self.network = net.Network(self.world)
        self.host = self.network.host("node1", "node")
        self.host.sysctls["net.ipv4.ip_forward"] = 1
        lan = self.network.switch("lan")
        lan.attach(self.host)
        self.host.add_address("eth0", "192.168.0.2/24")
        self.host.routes.add("default", "eth0", "192.168.0.1")
        self.objects = Objects(self.world)
        self.machine = Machine(
            world=self.world, name="node1", hostname="node1", kind="node", net=self.host, files=FileSystem()
        )
        self.log: list[str] = []
        self.config = Config(cluster_cidr="10.244.0.0/16")
        self.objects.apply("nodes", node())
        self.web = self.pod("web-1", "10.244.1.2")
        self.client = self.pod("client", "10.244.1.9")

    def pod(self, name: str, ip: str) -> net.Host:
        made = self.network.host(name, "pod")
        self.network.link(made, "eth0", self.host, f"veth-{name}")
        made.add_address("eth0", f"{ip}/32")
        made.routes.add("169.254.1.1", "eth0", scope="link")
        made.routes.add("default", "eth0", "169.254.1.1")
        self.host.sysctls[f"net.ipv4.conf.veth-{name}.proxy_arp"] = 1
        self.host.routes.add(f"{ip}/32", f"veth-{name}", scope="link")
        return made

    def serve(self, host: net.Host, port: int) -> None:
        listener = host.listen("tcp", "0.0.0.0", port)

        async def program() -> None:
            while True:
                connection = await listener.accept()
                await connection.send(f"{host.name} saw {connection.peer[0]}".encode())
                connection.close()

        self.world.spawn(program(), "server").retrieved = True

    def start(self, version: str = "v1.36.2", **changes: Any) -> KubeProxy:
        proxy = KubeProxy(
            self.world, self.objects, self.machine, replace(self.config, **changes), self.log.append, version  # type: ignore[arg-type]
        )
        proxy.start()
        self.world.drain()
        return proxy

    def get(self, ip: str, port: int, host: net.Host | None = None, timeout: float = 3.0) -> str:
        async def ask() -> str:
            try:
                connection = await (host or self.client).connect(ip, port, timeout=timeout)
            except net.NetError as error:
                return str(error)
            said = await connection.recv()
            connection.close()
            return said.decode()

        return self.world.run(ask())

    def http(self, ip: str, port: int, path: str, host: net.Host | None = None) -> tuple[int, str]:
        from kubesim.programs import http

        async def ask() -> tuple[int, str]:
            client = http.Client(await (host or self.host).connect(ip, port, timeout=3.0))
            await client.send("GET", path, [("Host", ip)])
            reply = await client.receive()
            return reply.status, (await reply.read()).decode()

        return self.world.run(ask())

    def apply(self, *addresses: str, **spec: Any) -> None:
        """The Service default/web with endpoints at these addresses, port 8080."""
        self.objects.apply("services", service(**spec))
        self.endpoints(*addresses)

    def endpoints(self, *addresses: str) -> None:
        self.objects.apply("endpointslices.discovery.k8s.io", endpoint_slice(*addresses))


def node(**labels: str) -> Object:
    return {
        "metadata": {"name": "node1", "labels": {"kubernetes.io/hostname": "node1", **labels}},
        "spec": {},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.2"}]},
    }


def service(**spec: Any) -> Object:
    port = {"port": 80, "protocol": "TCP", "targetPort": 8080, **spec.pop("port", {})}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.7", "ports": [port], **spec}}


def endpoint_slice(*addresses: str) -> Object:
    return {
        "metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [each], "nodeName": "node1", "conditions": {"ready": True}} for each in addresses],
    }
