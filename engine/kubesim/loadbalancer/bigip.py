"""F5 BIG-IP: boxes of one's own before the nodes, with virtual servers whose pools are NODE:NODEPORT.

A virtual server here is what `tmsh create ltm virtual` makes where no profile is named: FastL4, which rewrites packets
and ends no connection.  So a box is written as a Linux machine that forwards, with rules: the virtual server's
address and port choose a member in turn (round robin) and become its address and port; with `automap` the source becomes
the box's own, so that the answer comes back this way.  Without it the member sees the client, and must answer through the box.

A monitor asks each member every 5 s, and 16 s without an answer take it out (BIG-IP's defaults: interval 5, timeout 16).  With
no member left a client is reset, as BIG-IP does ("No pool member available").

Two boxes are a pair (a device group with one floating traffic group): they share the configuration, the active one has the
virtual servers' addresses, and the other takes them over when it has not heard of it for 3 s.

Left out: TMM's own way of moving packets, profiles that end connections (tcp, http, clientssl), persistence, iRules, ratios,
and mirroring: connections that stood are lost with the box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kubesim.errors import LearnerError
from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.net import errors
from kubesim.world import TimedOut

if TYPE_CHECKING:
    from kubesim.cluster import Cluster
    from kubesim.net.host import Host
    from kubesim.net.link import Segment
    from kubesim.presets.preset import BoxSpec

INTERVAL, TIMEOUT = 5.0, 16.0
FAILOVER = 3.0
MONITORS = ("gateway_icmp", "http", "tcp")
# Bits of the packet's mark: it goes to a member; its source is to be the box's own.
CHOSEN, AUTOMAP = "0x1/0x1", "0x2/0x2"


@dataclass(slots=True)
class Member:
    """One address and port of a pool; `enabled` is the operator's word."""

    address: str
    port: int
    enabled: bool = True

    @property
    def name(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(slots=True)
class Pool:
    """`monitor` is one of MONITORS, or "" when nobody asks: then every member counts as well."""

    name: str
    members: dict[str, Member] = field(default_factory=dict)
    monitor: str = ""


@dataclass(slots=True)
class Virtual:
    """A virtual server: `address` and `port` with `protocol` ("tcp", "udp") lead to `pool`."""

    name: str
    address: str
    port: int
    pool: str = ""
    protocol: str = "tcp"
    automap: bool = False


@dataclass(slots=True)
class Configuration:
    """What `tmsh` edits; a pair shares it."""

    pools: dict[str, Pool] = field(default_factory=dict)
    virtuals: dict[str, Virtual] = field(default_factory=dict)

    def addresses(self) -> list[str]:
        """The virtual addresses, each once."""
        return sorted({each.address for each in self.virtuals.values()})


class Box:
    """One BIG-IP.  `heard` says when each member last answered it; `active` whether it has the virtual addresses."""

    def __init__(self, name: str, machine: Machine, own: str, configuration: Configuration) -> None:
        self.name = name
        self.machine = machine
        self.own = own
        self.configuration = configuration
        self.active = False
        self.peers: list[Box] = []
        self.heard: dict[tuple[str, str], float] = {}
        self._silent_since = 0.0
        self._rules = ""
        self._world = machine.world
        self._world.call_later(INTERVAL, self._round, background=True)
        self._world.call_later(1.0, self._listen, background=True)

    # -- what leads where -------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Have rules and addresses follow the configuration."""
        host = self.machine.net
        text = rules(self)
        if text != self._rules:
            self._rules = text
            host.netfilter.restore(text)
        device = host.interfaces["eth0"]
        wanted = set(self.configuration.addresses()) if self.active else set()
        held = {each.ip for each in device.addresses} - {self.own}
        for address in sorted(held - wanted):
            host.remove_address("eth0", f"{address}/32")
        for address in sorted(wanted - held):
            host.add_address("eth0", f"{address}/32")

    def changed(self) -> None:
        """The configuration was edited: the pair follows, and new members are asked at once."""
        for box in (self, *self.peers):
            box.apply()
            box.ask()

    def available(self, pool: Pool, member: Member) -> bool:
        """Whether connections are given to this member."""
        if not member.enabled:
            return False
        return not pool.monitor or self._world.now - self.heard.get((pool.name, member.name), -TIMEOUT) < TIMEOUT

    # -- monitors -----------------------------------------------------------------------------------------------

    def _round(self) -> None:
        self.ask()
        self._world.call_later(INTERVAL, self._round, background=True)

    def ask(self) -> None:
        """Ask every member of every pool that has a monitor, all at the same time."""
        for pool in self.configuration.pools.values():
            for member in pool.members.values():
                if pool.monitor:
                    self._world.spawn(self._check(pool, member), f"{self.name}: monitor of {member.name}")
        self.apply()

    async def _check(self, pool: Pool, member: Member) -> None:
        try:
            well = await self._answers(pool.monitor, member)
        except errors.NetError:
            well = False
        if well:
            self.heard[pool.name, member.name] = self._world.now
        self.apply()

    async def _answers(self, monitor: str, member: Member) -> bool:
        host = self.machine.net
        if monitor == "gateway_icmp":
            return (await host.ping(member.address, timeout=INTERVAL)).icmp == "echo-reply"
        connection = await host.connect(member.address, member.port, timeout=INTERVAL)
        try:
            if monitor == "tcp":
                return True
            # The http monitor sends `GET /\\r\\n`, and without a receive string any answer is good.
            await connection.send(b"GET /\r\n\r\n")
            return bool(await self._world.wait_for(connection.recv(), INTERVAL))
        except TimedOut:
            return False
        finally:
            connection.close()

    # -- the pair -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._world.call_later(1.0, self._listen, background=True)
        if self.peers:
            self._world.spawn(self._hear(), f"{self.name}: failover")

    async def _hear(self) -> None:
        """Is the other one there?  The active one gives way when it comes back to find another active."""
        heard = [box for box in self.peers if (await self.machine.net.ping(box.own, timeout=0.5)).icmp == "echo-reply"]
        if not self.machine.net.interfaces["eth0"].up:
            self._silent_since = self._world.now
            return
        if any(box.active for box in heard):
            self._silent_since = self._world.now
            # Both are active once the wire between them is whole again: the one that was cut off gives way.
            if self.active and self.name != min(box.name for box in (self, *heard) if box.active):
                self.role(active=False)
        elif not self.active and self._world.now - self._silent_since >= FAILOVER:
            self.role(active=True)

    def role(self, *, active: bool) -> None:
        """Become the active one, or stand by."""
        self.active = active
        self.apply()


def rules(box: Box) -> str:
    """The box as `iptables-restore` reads it.

    Marks tell the later hooks what the virtual server's chain has decided, since it is there that the old destination is known.
    """
    nat = [
        "*nat",
        ":PREROUTING ACCEPT [0:0]",
        ":INPUT ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":POSTROUTING ACCEPT [0:0]",
    ]
    jumps: list[str] = []
    chains: list[str] = []
    refusals: list[str] = []
    for virtual in box.configuration.virtuals.values():
        pool = box.configuration.pools.get(virtual.pool, Pool(virtual.pool))
        members = [each for each in pool.members.values() if box.available(pool, each)]
        chain = f"virtual-{virtual.name}"[:28]
        to = f"-d {virtual.address}/32 -p {virtual.protocol} -m {virtual.protocol} --dport {virtual.port}"
        comment = f'-m comment --comment "virtual server {virtual.name}, pool {virtual.pool or "none"}'
        nat.append(f":{chain} - [0:0]")
        jumps += [f'-A {hook} {to} {comment}" -j {chain}' for hook in ("PREROUTING", "OUTPUT")]
        chains.append(f"-A {chain} -j MARK --set-xmark {CHOSEN}")
        if virtual.automap:
            chains.append(
                f'-A {chain} -m comment --comment "source-address-translation automap" -j MARK --set-xmark {AUTOMAP}'
            )
        for index, member in enumerate(members):
            left = len(members) - index
            turn = f"-m statistic --mode nth --every {left} --packet 0 " if left > 1 else ""
            chains.append(
                f'-A {chain} -p {virtual.protocol} -m comment --comment "pool member {member.name}" {turn}'
                f"-j DNAT --to-destination {member.name}"
            )
        if not members:
            with_ = "tcp-reset" if virtual.protocol == "tcp" else "icmp-port-unreachable"
            refusals.append(f'-A INPUT {to} {comment}: no pool member available" -j REJECT --reject-with {with_}')
    masquerade = f'-A POSTROUTING -m mark --mark {AUTOMAP} -m comment --comment "automap" -j MASQUERADE'
    for address in box.configuration.addresses():
        # TM.RejectUnmatched: what no virtual server is for is reset.
        comment = '-m comment --comment "no virtual server for this port"'
        refusals.append(f"-A INPUT -d {address}/32 -p tcp {comment} -j REJECT --reject-with tcp-reset")
    filters = [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":FORWARD DROP [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        *refusals,
        f"-A FORWARD -m mark --mark {CHOSEN} -j ACCEPT",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    return "\n".join([*nat, *jumps, *chains, masquerade, "COMMIT", *filters, "COMMIT", ""])


def lay_out(cluster: Cluster, lan: Segment) -> dict[str, Box]:
    """Put the preset's boxes on the nodes' network: by name.  The first is active."""
    specs = cluster.preset.boxes
    if len(specs) > 2:
        raise LearnerError(f"boxes: {len(specs)} of them", "A BIG-IP stands alone, or in a pair.")
    configuration = Configuration()
    boxes = {spec.name: Box(spec.name, _machine(cluster, spec, lan), spec.address, configuration) for spec in specs}
    for box in boxes.values():
        box.peers = [each for each in boxes.values() if each is not box]
        box.machine.box = box
    next(iter(boxes.values())).active = True
    for box in boxes.values():
        box.apply()
    return boxes


def _machine(cluster: Cluster, spec: BoxSpec, lan: Segment) -> Machine:
    import ipaddress

    from kubesim.shell import tools

    preset = cluster.preset
    host: Host = cluster.network.host(spec.name, "box")
    lan.attach(host, "eth0")
    host.add_address("eth0", f"{spec.address}/{ipaddress.ip_network(preset.lan).prefixlen}")
    host.routes.add("default", "eth0", preset.gateway)
    host.sysctls["net.ipv4.ip_forward"] = 1
    files = FileSystem(
        {"/etc/hostname": f"{spec.name}\n", "/etc/hosts": f"127.0.0.1 localhost\n{spec.address} {spec.name}\n"}
    )
    files.mkdir("/root", parents=True)
    return Machine(
        world=cluster.world,
        name=spec.name,
        hostname=spec.name,
        kind="box",
        net=host,
        files=files,
        tools=tools.BOX,
        prompt="[{user}@{hostname}:Active] {cwd} # " if len(preset.boxes) == 1 else "[{user}@{hostname}] {cwd} # ",
        machines=cluster.machine,
        power=lambda on: cluster.power(spec.name, on),
    )
