"""Traces made by hand, in the shape that the walk makes them: for the pictures, which must not need a cluster to be tested."""

from __future__ import annotations

import dataclasses

from kubesim.net.packet import Packet
from kubesim.net.trace import Hop, Kind, Step, Trace, Verdict

SERVICE = "10.96.44.12"
CLIENT = "10.244.1.5"
SERVER = "10.244.2.7"
PORTALS = '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
CHAIN = "KUBE-SVC-LOLE4ISW44XBNF3G"
CHOSEN = "KUBE-SEP-PFJDNPXONEKPWG5A"


def syn() -> Packet:
    return Packet(src=CLIENT, sport=40112, dst=SERVICE, dport=80, flags="S")


def rule(table: str, chain: str, text: str, *, matched: bool = True, why: str = "", **more: object) -> Step:
    return Step(kind=Kind.RULE, table=table, chain=chain, rule=text, matched=matched, why=why, **more)  # type: ignore[arg-type]


def client_hop() -> Hop:
    return Hop(
        host="default/client",
        kind="pod",
        steps=(
            Step(kind=Kind.SEND, why="curl opens a connection", after=syn()),
            Step(
                kind=Kind.ROUTE,
                rule="default via 10.244.1.1 dev eth0",
                why=f"{SERVICE} is not on this network: to the gateway",
            ),
            Step(kind=Kind.LINK, why="eth0 to kind-worker"),
        ),
    )


def services_missed() -> tuple[Step, ...]:
    return (
        rule(
            "nat",
            "KUBE-SERVICES",
            '-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp'
            " --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y",
            matched=False,
            why=f"the destination is {SERVICE}, not 10.96.0.1",
        ),
        rule(
            "nat",
            "KUBE-SERVICES",
            '-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp'
            " --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU",
            matched=False,
            why=f"the destination is {SERVICE}, not 10.96.0.10",
        ),
    )


def delivered() -> Trace:
    """client -> Service -> a pod of another node, and the answer back."""
    before = syn()
    after = dataclasses.replace(before, dst=SERVER, dport=8080)
    node = Hop(
        host="kind-worker",
        kind="node",
        steps=(
            Step(kind=Kind.CONNTRACK, table="conntrack", why="a new connection: state NEW"),
            rule("nat", "PREROUTING", PORTALS),
            *services_missed(),
            rule(
                "nat",
                "KUBE-SERVICES",
                f'-A KUBE-SERVICES -d {SERVICE}/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp'
                f" --dport 80 -j {CHAIN}",
                why=f"the destination is {SERVICE} and the port 80",
            ),
            rule(
                "nat",
                CHAIN,
                f'-A {CHAIN} ! -s 10.244.0.0/16 -d {SERVICE}/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp'
                " --dport 80 -j KUBE-MARK-MASQ",
                matched=False,
                why=f"the source {CLIENT} is within 10.244.0.0/16",
            ),
            rule(
                "nat",
                CHAIN,
                f'-A {CHAIN} -m comment --comment "default/web -> 10.244.1.6:8080" -m statistic --mode random'
                " --probability 0.33333333349 -j KUBE-SEP-IVTV3JKMDAKRFCBH",
                matched=False,
                why="the draw (0.33333333349) went the other way",
            ),
            rule(
                "nat",
                CHAIN,
                f'-A {CHAIN} -m comment --comment "default/web -> {SERVER}:8080" -m statistic --mode random'
                f" --probability 0.50000000000 -j {CHOSEN}",
                why="the draw (0.50000000000) took it",
                probability=1 / 3,
            ),
            rule(
                "nat",
                CHOSEN,
                f'-A {CHOSEN} -s {SERVER}/32 -m comment --comment "default/web" -j KUBE-MARK-MASQ',
                matched=False,
                why=f"the source is {CLIENT}, not {SERVER}",
            ),
            rule(
                "nat",
                CHOSEN,
                f'-A {CHOSEN} -p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination {SERVER}:8080',
                why="the protocol is tcp",
            ),
            Step(kind=Kind.NAT, table="nat", chain=CHOSEN, why="DNAT", before=before, after=after),
            Step(kind=Kind.ROUTE, rule="10.244.2.0/24 via 172.18.0.2 dev eth0", why=f"{SERVER} is behind kind-worker2"),
            rule(
                "filter",
                "FORWARD",
                '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
            ),
            Step(kind=Kind.POLICY, table="filter", chain="FORWARD", rule="-P FORWARD ACCEPT", why="no rule decided"),
            rule(
                "nat",
                "POSTROUTING",
                '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
            ),
            rule(
                "nat",
                "KUBE-POSTROUTING",
                "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
                why="the packet carries no mark 0x4000",
            ),
            Step(kind=Kind.LINK, why="eth0 to kind-worker2"),
        ),
    )
    other = Hop(
        host="kind-worker2",
        kind="node",
        steps=(
            Step(kind=Kind.ROUTE, rule=f"{SERVER} dev veth7 scope host", why=f"{SERVER} is a pod of this node"),
            Step(kind=Kind.LINK, why="veth7 to default/web-5d9c-abcde"),
        ),
    )
    pod = Hop(
        host="default/web-5d9c-abcde",
        kind="pod",
        steps=(Step(kind=Kind.DELIVER, why="hello-app listens on tcp 8080", after=after),),
    )
    back = Packet(src=SERVER, sport=8080, dst=CLIENT, dport=40112, flags="SA")
    restored = dataclasses.replace(back, src=SERVICE, sport=80)
    reply = Trace(
        flow=back,
        final=restored,
        hops=(
            Hop(
                host=pod.host,
                kind="pod",
                steps=(Step(kind=Kind.SEND, after=back), Step(kind=Kind.LINK, why="eth0 to kind-worker2")),
            ),
            Hop(host="kind-worker2", kind="node", steps=(Step(kind=Kind.LINK, why="eth0 to kind-worker"),)),
            Hop(
                host="kind-worker",
                kind="node",
                steps=(
                    Step(kind=Kind.CONNTRACK, table="conntrack", why="a reply of a tracked connection"),
                    Step(
                        kind=Kind.NAT,
                        table="conntrack",
                        why="the destination rewrite is undone",
                        before=back,
                        after=restored,
                    ),
                    Step(kind=Kind.LINK, why="veth3 to default/client"),
                ),
            ),
            Hop(
                host="default/client",
                kind="pod",
                steps=(Step(kind=Kind.DELIVER, why="curl waits for it", after=restored),),
            ),
        ),
        verdict=Verdict.DELIVERED,
        reason="the reply arrived",
    )
    return Trace(
        flow=before,
        final=after,
        hops=(client_hop(), node, other, pod),
        verdict=Verdict.DELIVERED,
        reason=f"{pod.host} took it on {SERVER}:8080",
        probability=1 / 3,
        reply=reply,
        resolved=(("web.default.svc.cluster.local", SERVICE),),
    )


def told(packet: Packet, host: str) -> Trace:
    """An answer that refuses, from a host next to the client."""
    return Trace(
        flow=packet,
        final=packet,
        hops=(
            Hop(host=host, kind="node", steps=(Step(kind=Kind.SEND, after=packet), Step(kind=Kind.LINK, why="veth3"))),
            Hop(host="default/client", kind="pod", steps=(Step(kind=Kind.DELIVER, why="it is back"),)),
        ),
        verdict=Verdict.DELIVERED,
        reason="it is back",
    )


def rejected() -> Trace:
    """A Service without endpoints."""
    packet = syn()
    return Trace(
        flow=packet,
        final=packet,
        hops=(
            client_hop(),
            Hop(
                host="kind-worker",
                kind="node",
                steps=(
                    rule("nat", "PREROUTING", PORTALS),
                    *services_missed(),
                    Step(kind=Kind.ROUTE, rule="default via 172.18.0.1 dev eth0", why="no better route"),
                    rule(
                        "filter",
                        "FORWARD",
                        '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals"'
                        " -j KUBE-SERVICES",
                    ),
                    rule(
                        "filter",
                        "KUBE-SERVICES",
                        f'-A KUBE-SERVICES -d {SERVICE}/32 -p tcp -m comment --comment "default/web has no endpoints" -m tcp'
                        " --dport 80 -j REJECT --reject-with icmp-port-unreachable",
                        why=f"the destination is {SERVICE} and the port 80",
                    ),
                ),
            ),
        ),
        verdict=Verdict.REJECTED,
        reason="a rule on kind-worker rejected it with icmp-port-unreachable",
        reply=told(Packet(protocol="icmp", src="10.244.1.1", dst=CLIENT, icmp="port-unreachable"), "kind-worker"),
    )


def refused() -> Trace:
    """The wrong target port: the pod's own kernel answers RST."""
    whole = delivered()
    wrong = dataclasses.replace(whole.final, dport=80)
    hops = list(whole.hops)
    hops[-1] = Hop(
        host=whole.hops[-1].host,
        kind="pod",
        steps=(Step(kind=Kind.DELIVER, matched=False, why="nothing listens on tcp 80"),),
    )
    return dataclasses.replace(
        whole,
        final=wrong,
        hops=tuple(hops),
        verdict=Verdict.REFUSED,
        reason=f"nothing listens on {SERVER}:80",
        reply=told(Packet(src=SERVICE, sport=80, dst=CLIENT, dport=40112, flags="RA"), "kind-worker"),
    )


ALL = {"delivered": delivered, "rejected": rejected, "refused": refused}
