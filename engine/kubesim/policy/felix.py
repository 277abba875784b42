"""felix on one node: it keeps the node's chains and sets as `calico` renders them.

A sync writes sets before the rules that ask them and takes sets away after; of chains it writes those that changed.  It
begins by looking at what is there, as felix does when it starts: chains of pods that are gone since go.  When it ends, rules
and sets stay, so what was forbidden stays forbidden; but a pod that comes later has no chain, and nothing gets to it or
from it ("Unknown interface").

Upstream: projectcalico/felix `dataplane/linux/int_dataplane.go`, `iptables/table.go`, `ipsets/ipsets.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.net import ipset
from kubesim.policy import calico, names, watch
from kubesim.policy.calico import Rendered, SetContents
from kubesim.policy.model import Connection, State

if TYPE_CHECKING:
    from kubesim.client import Client
    from kubesim.machine import Machine
    from kubesim.net.netfilter import Table
    from kubesim.net.packet import Packet
    from kubesim.policy.model import Pod
    from kubesim.world import World

# The kernel's chains that send packets to felix's, always by their first rule.
ROOTS = {"FORWARD": "cali-FORWARD", "INPUT": "cali-INPUT", "OUTPUT": "cali-OUTPUT"}
CHAINS, SETS = "cali-", "cali40"
# felix's own default (MaxIpsetSize).
MAX_MEMBERS = 1048576


class Felix:
    """See the module.  `machine` is the node."""

    def __init__(self, world: World, client: Client, machine: Machine) -> None:
        self._client = client
        self._host = machine.net
        self._node = machine.name
        self._written: dict[str, list[str]] = {}
        self._rendered = Rendered()
        self._state = State()
        self._watch = watch.Watch(world, client, self.sync, eager=True)
        self.sync()

    def stop(self) -> None:
        """The program ends; what it wrote stays."""
        self._watch.close()

    def sync(self) -> None:
        """Make the node's filter table and sets what the API's objects ask for."""
        self._state = self._watch.state
        endpoints = [(self._interface(pod), pod) for pod in self._state.pods if pod.node == self._node]
        rendered = self._rendered = calico.render(self._state, endpoints, self._addresses())
        for name, wanted in rendered.sets.items():
            self._write_set(name, wanted)
        self._write_chains(rendered.chains)
        sets = self._host.ipsets
        for name in [name for name in sets.names() if name.startswith(SETS) and name not in rendered.sets]:
            sets.destroy(name)
        self._host.legend.names = rendered.names
        self._host.legend.dropped = self._why

    def _addresses(self) -> list[str]:
        """All nodes' own addresses, as felix's IPIP manager wants them."""
        return sorted(
            each["address"]
            for node in self._client.list("nodes")
            for each in (node.get("status") or {}).get("addresses") or ()
            if each["type"] == "InternalIP" and ":" not in each["address"]
        )

    def _interface(self, pod: Pod) -> str:
        """The node's end of the pod's wire: where its address is routed to, or before it has one, what it will be called."""
        for ip in pod.ips:
            route = self._host.routes.lookup(ip)
            if route is not None and route.kind == "unicast" and route.device.startswith("cali"):
                return route.device
        return names.interface_name(pod)

    # -- writing --------------------------------------------------------------------------------------------

    def _write_set(self, name: str, wanted: SetContents) -> None:
        sets = self._host.ipsets
        if name not in sets:
            sets.create(name, wanted.kind, ("family", "inet", "maxelem", str(MAX_MEMBERS)))
        found: ipset.IpSet = sets.get(name)
        members = {found.member(each): None for each in wanted.members}
        for member in [each for each in found.members if each not in members]:
            found.drop(member)
        for member in members:
            found.put(member)

    def _write_chains(self, chains: dict[str, list[str]]) -> None:
        table = self._host.netfilter.table("filter")
        changed = [
            name for name, rules in chains.items() if self._written.get(name) != rules or name not in table.chains
        ]
        gone = [name for name in table.chains if name.startswith(CHAINS) and name not in chains]
        lines = [f":{name} - [0:0]" for name in [*changed, *gone]]
        for name in changed:
            lines += calico.lines(name, chains[name])
        lines += [f"-X {name}" for name in gone]
        for root, target in ROOTS.items():
            lines += _first(table, root, target)
        if lines:
            self._host.netfilter.restore("\n".join(["*filter", *lines, "COMMIT"]) + "\n", noflush=True)
        self._written = chains

    # -- telling --------------------------------------------------------------------------------------------

    def _why(self, chain: str, packet: Packet) -> str:
        """Why one of these chains drops a packet, in words of policies."""
        end = self._rendered.ends.get(chain)
        if end is None:
            return ""
        pod, direction = end
        connection = Connection(packet.protocol, packet.src, packet.dst, 0 if packet.icmp else packet.dport)
        verdict = self._state.one_side(pod, direction, connection)
        return "" if verdict.allowed else verdict.reason


def _first(table: Table, root: str, target: str) -> list[str]:
    """What to write for the root chain's first rule to be the jump to the target."""
    jumps = [at for at, item in enumerate(table.chain(root).items) if item.rule.target_name == target]
    if jumps == [0]:
        return []
    rule = calico.lines(root, [f"--jump {target}"])[0].removeprefix(f"-A {root} ")
    return [f"-D {root} {at + 1}" for at in reversed(jumps)] + [f"-I {root} 1 {rule}"]
