"""The balancer: a machine before the nodes that owns public addresses and passes on what comes to them.

A flow's addresses and ports choose a node among the healthy ones (a route with several next hops); the packet goes there
unchanged.  Ports that no Service asked for are dropped, by rules in the machine's own filter table.  Who may come in at
all (loadBalancerSourceRanges) is left to the nodes, whose kube-proxy drops the others.

Left out: a balancer of a real cloud remembers flows; here one whose node is taken away moves to another, and one may also
move when a node is added.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kubesim.net import errors
from kubesim.world import TimedOut

if TYPE_CHECKING:
    from kubesim.loadbalancer.clouds import Cloud
    from kubesim.net.host import Host
    from kubesim.net.link import Segment
    from kubesim.net.network import Network

NAME = "load-balancer"
PROXY_HEALTH = 10256


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What one load balancer does.  `ports` are (protocol, port); `nodes` addresses by name; `health_port` is asked for
    /healthz, or, where `connects`, only connected to."""

    ports: tuple[tuple[str, int], ...]
    nodes: Mapping[str, str]
    health_port: int
    connects: bool


@dataclass(slots=True)
class LoadBalancer:
    """One address, with what is known of its nodes: how often in a row each has failed."""

    address: str
    forwarding: Forwarding | None = None
    failures: dict[str, int] = field(default_factory=dict)


class Balancer:
    """See the module.  `lan` is the nodes' network and `router` its way out, through which the world comes."""

    def __init__(self, network: Network, lan: Segment, router: Host, lan_cidr: str, cloud: Cloud) -> None:
        self._world = network.world
        self._cloud = cloud
        self._router = router
        self._known: dict[str, LoadBalancer] = {}
        host = self.host = network.host(NAME, "cloud")
        lan.attach(host, "eth0")
        host.add_address("eth0", f"{cloud.source}/32")
        host.sysctls["net.ipv4.ip_forward"] = 1
        host.routes.add(lan_cidr, "eth0", scope="link")
        host.routes.add("default", "eth0", router.source_for("eth0"))
        router.routes.add(f"{cloud.source}/32", "eth0", scope="link")
        self._write_rules()
        self._world.call_later(cloud.period, self._round, background=True)

    # -- addresses ------------------------------------------------------------------------------------------

    def allocate(self, key: str, wanted: str = "") -> str:
        """The address of the load balancer `key`: a new one from the cloud's pool, or the one that was asked for."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = LoadBalancer(wanted or self._free())
        return found.address

    def address(self, key: str) -> str:
        """The address of the load balancer; "" when there is none."""
        found = self._known.get(key)
        return found.address if found is not None else ""

    def _free(self) -> str:
        pool = ipaddress.ip_network(self._cloud.pool)
        taken = {each.address for each in self._known.values()}
        rng = self._world.rng("loadbalancer")
        while True:
            address = str(pool[rng.randrange(1, pool.num_addresses - 1)])
            if address not in taken:
                return address

    def release(self, key: str) -> None:
        """The load balancer is no more, and its address leads nowhere."""
        found = self._known.pop(key, None)
        if found is not None:
            self._router.routes.remove(f"{found.address}/32")
            self.host.routes.remove(f"{found.address}/32")
            self._write_rules()

    # -- forwarding -----------------------------------------------------------------------------------------

    def configure(self, key: str, forwarding: Forwarding) -> bool:
        """Have the load balancer forward so; False when it does already."""
        found = self._known[key]
        if found.forwarding == forwarding:
            return False
        asked = found.forwarding is not None and (found.forwarding.health_port, found.forwarding.connects)
        found.forwarding = forwarding
        if asked != (forwarding.health_port, forwarding.connects):
            found.failures.clear()
        self._router.routes.add(f"{found.address}/32", "eth0", self._cloud.source, onlink=True)
        self._write_rules()
        self._write_route(found)
        self._world.spawn(self._check(found), f"{NAME} {key}: health checks")
        return True

    def _write_rules(self) -> None:
        lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
        for key, each in sorted(self._known.items()):
            for protocol, port in each.forwarding.ports if each.forwarding is not None else ():
                which = f'-m comment --comment "{key}"'
                name = protocol.lower()
                lines.append(f"-A FORWARD -d {each.address}/32 -p {name} {which} -m {name} --dport {port} -j ACCEPT")
        self.host.netfilter.restore("\n".join([*lines, "COMMIT", ""]))

    def _write_route(self, each: LoadBalancer) -> None:
        assert each.forwarding is not None
        nodes = each.forwarding.nodes
        # A node that was never asked yet is not known to be well.
        threshold = self._cloud.threshold
        well = [nodes[name] for name in sorted(nodes) if each.failures.get(name, threshold) < threshold]
        if not well and self._cloud.fail_open:
            well = [nodes[name] for name in sorted(nodes)]
        prefix = f"{each.address}/32"
        if well:
            self.host.routes.add(prefix, "eth0", nexthops=tuple(well), onlink=True)
        else:
            self.host.routes.add(prefix, kind="blackhole")

    # -- health ---------------------------------------------------------------------------------------------

    def _round(self) -> None:
        for key, each in self._known.items():
            if each.forwarding is not None:
                self._world.spawn(self._check(each), f"{NAME} {key}: health checks")
        self._world.call_later(self._cloud.period, self._round, background=True)

    async def _check(self, each: LoadBalancer) -> None:
        """Ask all nodes once, all at the same time."""
        forwarding = each.forwarding
        assert forwarding is not None
        asked = [
            (name, self._world.spawn(self._is_well(address, forwarding), f"{NAME}: is {name} well"))
            for name, address in sorted(forwarding.nodes.items())
        ]
        for name, task in asked:
            well = await task
            if each.forwarding is forwarding:
                before = each.failures.get(name, self._cloud.threshold)
                each.failures[name] = 0 if well else before + 1
        if each.forwarding is forwarding and each in self._known.values():
            self._write_route(each)

    async def _is_well(self, address: str, forwarding: Forwarding) -> bool:
        try:
            return await self._world.wait_for(self._ask(address, forwarding), self._cloud.period)
        except (errors.NetError, TimedOut):
            return False

    async def _ask(self, address: str, forwarding: Forwarding) -> bool:
        from kubesim.programs import http

        connection = await self.host.connect(address, forwarding.health_port, timeout=self._cloud.period)
        try:
            if forwarding.connects:
                return True
            host = ("Host", f"{address}:{forwarding.health_port}")
            reply = await http.Client(connection).request("GET", "/healthz", [host])
            return reply.status == 200
        except http.HttpError:
            return False
        finally:
            connection.close()
