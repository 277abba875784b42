"""A small network to send packets through: a LAN with a node and an outside client, and pods behind the node."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubesim import net, world
from kubesim.world import World


@dataclass
class Lab:
    """Two nodes on a LAN, pods linked to each as Calico and kindnet link them, a client outside."""

    world: World
    network: net.Network
    lan: object
    node1: net.Host
    node2: net.Host
    outside: net.Host
    pods: dict[str, net.Host] = field(default_factory=dict)

    def pod(self, node: net.Host, name: str, ip: str) -> net.Host:
        """A pod on the node: a veth with a /32, the node answering ARP for its gateway 169.254.1.1."""
        made = self.pods[name] = self.network.host(name, "pod")
        end = f"cali{name}"
        self.network.link(made, "eth0", node, end)
        made.add_address("eth0", f"{ip}/32")
        made.routes.add("169.254.1.1", "eth0", scope="link")
        made.routes.add("default", "eth0", "169.254.1.1")
        node.sysctls[f"net.ipv4.conf.{end}.proxy_arp"] = 1
        node.routes.add(f"{ip}/32", end, scope="link")
        return made

    def serve(self, host: net.Host, port: int, ip: str = "0.0.0.0") -> net.Listener:
        """A program that answers each connection with its host's name and the peer it sees, then closes."""
        listener = host.listen("tcp", ip, port)

        async def program() -> None:
            while True:
                connection = await listener.accept()
                await connection.send(f"{host.name} saw {connection.peer[0]}".encode())
                connection.close()

        task = self.world.spawn(program(), f"server {host.name}")
        task.retrieved = True
        self.world.drain()
        return listener

    def get(self, host: net.Host, ip: str, port: int, timeout: float | None = None) -> str:
        """What the server there says, or the error's words."""

        async def client() -> str:
            try:
                connection = await host.connect(ip, port, timeout=timeout)
            except net.NetError as error:
                return str(error)
            try:
                said = await self.world.wait_for(self.world.spawn(connection.recv()), timeout)
            except (world.TimedOut, net.NetError) as error:
                return "Connection timed out" if isinstance(error, world.TimedOut) else str(error)
            connection.close()
            return said.decode()

        return self.world.run(client())


def build() -> Lab:
    """A fresh one."""
    world = World(seed=1)
    network = net.Network(world)
    lan = network.switch("lan")
    hosts = []
    for name, kind, ip in (
        ("node1", "node", "172.18.0.2"),
        ("node2", "node", "172.18.0.3"),
        ("outside", "outside", "172.18.0.1"),
    ):
        host = network.host(name, kind)
        lan.attach(host, "eth0")
        host.add_address("eth0", f"{ip}/16")
        hosts.append(host)
    node1, node2, outside = hosts
    for node in (node1, node2):
        node.sysctls["net.ipv4.ip_forward"] = 1
        node.routes.add("default", "eth0", "172.18.0.1")
    node1.routes.add("10.244.2.0/24", "eth0", "172.18.0.3")
    node2.routes.add("10.244.1.0/24", "eth0", "172.18.0.2")
    made = Lab(world, network, lan, node1, node2, outside)
    made.pod(node1, "a", "10.244.1.2")
    made.pod(node1, "b", "10.244.1.3")
    made.pod(node2, "c", "10.244.2.2")
    return made
