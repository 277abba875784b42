"""The kernel agrees: the same rules in real namespaces, real connections, and the walk's word for each.

The referee is built once; for each set of rules every client asks every target some times over.  What a client saw must
be one of the ways that the walk's branches foretell, and where there is one way only, that one.  Needs root on Linux;
skips aloud elsewhere.  Loopback and namespaces of the test's own only.
"""

from __future__ import annotations

import os
import random

import namespaces
import pytest
import referee
import test_nft
from test_walk import SERVICE

from kubesim import net

pytestmark = pytest.mark.slow

CLIENTS = ("a", "b", "node1", "node2", "outside")
PODS = {"a": ("node1", "10.244.1.2"), "b": ("node1", "10.244.1.3"), "c": ("node2", "10.244.2.2")}
TIMES = 6  # connections for each client and target: one of two endpoints stays unseen once in 32


@pytest.fixture(scope="module")
def real():
    namespaces.require()
    made = referee.RealLab()
    try:
        for name, (node, ip) in PODS.items():
            made.pod(node, name, ip)
            made.serve(name, 80, 8080)
        made.serve("node1", 22)
        made.serve("node2", 22)
        made.hosts["outside"].run(
            "ip route add 10.96.0.0/16 via 172.18.0.2 && ip route add 10.244.1.0/24 via 172.18.0.2 && "
            "ip route add 10.244.2.0/24 via 172.18.0.3"
        )
        yield made
    finally:
        made.close()


@pytest.fixture
def simulated(lab):
    for node in (lab.node1, lab.node2):
        node.sysctls["net.ipv4.conf.all.route_localnet"] = 1
        lab.serve(node, 22)
    for pod in lab.pods.values():
        lab.serve(pod, 80)
        lab.serve(pod, 8080)
    lab.outside.routes.add("10.96.0.0/16", "eth0", "172.18.0.2")
    lab.outside.routes.add("10.244.1.0/24", "eth0", "172.18.0.2")
    lab.outside.routes.add("10.244.2.0/24", "eth0", "172.18.0.3")
    return lab


ICMP_WORDS = {
    "port-unreachable": "refused",
    "host-prohibited": "no route",
    "admin-prohibited": "no route",
    "host-unreachable": "no route",
    "net-unreachable": "network unreachable",
}


def foretold(trace: net.Trace) -> str:
    """What a client sees, from the trace of its SYN or datagram."""
    reply = trace.reply
    if trace.flow.protocol == "udp" and trace.verdict is net.Verdict.DROPPED and len(trace.hops) == 1:
        return "not permitted"  # sendto(2), when the host's own rules threw it away; TCP only waits
    if reply is None or reply.verdict is not net.Verdict.DELIVERED:
        return "dropped"
    if reply.final.icmp:
        return ICMP_WORDS[reply.final.icmp]
    if "R" in reply.final.flags:
        return "refused"
    return f"{trace.hops[-1].host} saw {trace.final.src}"


def foretold_live(answer: str) -> str:
    """What a client of `Lab.get` saw, in the referee's words."""
    return {"Connection timed out": "dropped", "Connection refused": "refused", "No route to host": "no route"}.get(
        answer, answer
    )


def compare(lab, real, rules: dict[str, str], targets: list[tuple[str, int]]) -> int:
    """Load, ask, compare; returns how many connections were compared."""
    for node, text in rules.items():
        if text.startswith("add table"):
            lab.network.hosts[node].nft.apply(text)
            real.hosts[node].run("nft -f -", "flush ruleset\n" + text)
        else:
            lab.network.hosts[node].netfilter.restore(text, noflush=False)
            real.hosts[node].run("nft flush ruleset", check=False)
            real.hosts[node].run("iptables-restore", text)
        real.hosts[node].run("conntrack -F", check=False)
    count = 0
    for client in CLIENTS:
        host = lab.network.hosts[client]
        asked = [target for target in targets for _ in range(TIMES)]
        answers = real.connect(client, asked)
        for target in targets:
            packet = net.Packet(dst=target[0], dport=target[1], sport=40000, flags="S")
            branches = lab.network.trace(host, packet, "branches")
            possible = {foretold(trace) for trace in branches}
            seen = {answer for each, answer in zip(asked, answers, strict=True) if each == target}
            if not seen <= possible:
                # Rules may stop what comes after the handshake's first two packets: let it all happen.
                possible |= {foretold_live(lab.get(host, *target, timeout=2)) for _ in range(12)}
            story = "\n".join(str(trace) for trace in branches)
            assert seen <= possible, f"{client} -> {target}: the kernel says {seen}, the walk {possible}\n{story}"
        count += len(answers)
    return count


TARGETS = [
    ("10.96.0.10", 80),
    ("10.96.0.10", 81),
    ("10.96.0.99", 80),
    ("172.18.0.2", 30080),
    ("172.18.0.3", 30080),
    ("172.18.0.2", 22),
    ("172.18.0.3", 22),
    ("172.18.0.3", 23),
    ("10.244.1.2", 80),
    ("10.244.2.2", 8080),
    ("10.244.2.2", 81),
    ("127.0.0.1", 30080),
    ("127.0.0.1", 22),
]


def test_a_service(simulated, real):
    assert (
        compare(simulated, real, {"node1": SERVICE, "node2": SERVICE}, TARGETS) == len(CLIENTS) * len(TARGETS) * TIMES
    )


def test_a_service_in_nftables(simulated, real):
    rules = test_nft.RULES.strip() + "\n" + NFT_NODE
    assert compare(simulated, real, {"node1": rules, "node2": rules}, TARGETS)


# What a node's own packets meet, node ports and a stray port of a ClusterIP.
NFT_NODE = """
add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }
add chain ip kube-proxy filter-output { type filter hook output priority 0 ; }
add chain ip kube-proxy external-X
add chain ip kube-proxy cluster-ips-check
add set ip kube-proxy nodeport-ips { type ipv4_addr ; }
add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; }
add element ip kube-proxy nodeport-ips { 172.18.0.2 }
add element ip kube-proxy nodeport-ips { 172.18.0.3 }
add element ip kube-proxy service-nodeports { tcp . 30080 : goto external-X }
add rule ip kube-proxy nat-output jump services
add rule ip kube-proxy filter-output ct state new ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule ip kube-proxy filter-output ct state new jump cluster-ips-check
add rule ip kube-proxy filter-forward ct state new jump cluster-ips-check
add rule ip kube-proxy services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
add rule ip kube-proxy external-X mark set mark or 0x4000
add rule ip kube-proxy external-X goto service-X
add rule ip kube-proxy cluster-ips-check ip daddr @cluster-ips reject
add rule ip kube-proxy cluster-ips-check ip daddr { 10.96.0.0/12 } drop
"""


BY_HAND = {
    "a policy of DROP": "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp --dport 80 -j ACCEPT\n"
    "-A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT\nCOMMIT\n",
    "rejects of several kinds": "*filter\n"
    "-A FORWARD -p tcp --dport 80 -j REJECT --reject-with tcp-reset\n"
    "-A FORWARD -p tcp --dport 8080 -j REJECT --reject-with icmp-host-prohibited\n"
    "-A FORWARD -p tcp -j REJECT\n"
    "-A INPUT -p tcp --dport 22 -s 172.18.0.1 -j REJECT --reject-with icmp-net-unreachable\n"
    "-A OUTPUT -p tcp --dport 8080 -j REJECT --reject-with icmp-admin-prohibited\nCOMMIT\n",
    "goto and return": "*filter\n:ONE - [0:0]\n:TWO - [0:0]\n-A FORWARD -j ONE\n-A FORWARD -p tcp --dport 8080 -j DROP\n"
    "-A ONE -p tcp --dport 80 -g TWO\n-A ONE -p tcp --dport 8080 -j RETURN\n-A ONE -p tcp --dport 80 -j DROP\n"
    "-A TWO -s 10.244.1.3 -j DROP\nCOMMIT\n",
    "source translation by hand": "*nat\n"
    "-A POSTROUTING -p tcp -s 10.244.0.0/16 -o eth0 -j SNAT --to-source 172.18.0.2:5000-6000\n"
    "-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 22\n"
    "-A OUTPUT -p tcp --dport 81 -j REDIRECT --to-ports 22\nCOMMIT\n",
    "marks and masks": "*mangle\n-A PREROUTING -s 10.244.1.3 -j MARK --set-mark 0x12\n-A PREROUTING -j MARK --or-mark 0x100\n"
    "-A PREROUTING -m mark --mark 0x112 -j MARK --and-mark 0xfff0\nCOMMIT\n"
    "*filter\n-A FORWARD -m mark --mark 0x10/0xff -j DROP\n-A FORWARD -m mark ! --mark 0x100 -j REJECT\nCOMMIT\n",
    "addresses and interfaces": "*filter\n-A FORWARD -i cali+ ! -d 10.244.0.0/16 -j DROP\n"
    "-A FORWARD -o eth0 -p tcp -m multiport --dports 80,443 -j REJECT\n"
    "-A INPUT ! -i lo -m addrtype --dst-type LOCAL -p tcp --syn -j DROP\nCOMMIT\n",
    "untracked": "*raw\n-A PREROUTING -s 10.244.1.3 -j CT --notrack\n-A PREROUTING -d 10.244.1.3 -j NOTRACK\nCOMMIT\n"
    "*nat\n-A PREROUTING -d 10.96.0.10 -p tcp -j DNAT --to-destination 10.244.2.2\n"
    "-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n"
    "*filter\n-A FORWARD -m conntrack --ctstate UNTRACKED -p tcp --dport 8080 -j DROP\nCOMMIT\n",
    "what was asked for first": "*nat\n-A PREROUTING -d 10.96.0.10 -p tcp -j DNAT --to-destination 10.244.1.2:8080\nCOMMIT\n"
    "*filter\n-A FORWARD -m conntrack --ctorigdst 10.96.0.10 -m conntrack --ctstate DNAT -s 10.244.1.3 -j DROP\n"
    "-A FORWARD -m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT -j REJECT\nCOMMIT\n",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_rules_by_hand(simulated, real, name):
    empty = "".join(f"*{table}\nCOMMIT\n" for table in ("mangle", "raw", "filter", "nat"))
    compare(simulated, real, {"node1": empty + BY_HAND[name], "node2": empty}, TARGETS)


def drawn_rules(rng: random.Random) -> str:
    """Rules that nobody would write, of all that the walk knows."""
    addresses = ["10.244.1.2", "10.244.1.3", "10.244.2.2", "10.96.0.10", "172.18.0.2", "10.244.0.0/16", "127.0.0.0/8"]
    ports = ["80", "8080", "22", "81", "30080", "23"]

    def condition(hook: str) -> str:
        words = []
        if rng.random() < 0.4:
            words.append(f"{rng.choice(['', '! '])}-s {rng.choice(addresses)}")
        if rng.random() < 0.4:
            words.append(f"{rng.choice(['', '! '])}-d {rng.choice(addresses)}")
        words.append("-p tcp")
        if rng.random() < 0.5:
            words.append(f"-m tcp {rng.choice(['', '! '])}--dport {rng.choice(ports)}")
        if rng.random() < 0.2:
            words.append(
                f"-m conntrack {rng.choice(['', '! '])}--ctstate {rng.choice(['NEW', 'ESTABLISHED', 'DNAT', 'SNAT'])}"
            )
        if rng.random() < 0.2:
            words.append(f"-m mark {rng.choice(['', '! '])}--mark {rng.choice(['0x1/0x1', '0x2', '0x3/0x3'])}")
        if rng.random() < 0.2:
            words.append(f"-m addrtype {rng.choice(['', '! '])}--{rng.choice(['src', 'dst'])}-type LOCAL")
        if rng.random() < 0.2:
            words.append(f"-m statistic --mode random --probability {rng.choice(['0.3', '0.5'])}")
        if hook in ("PREROUTING", "INPUT", "FORWARD") and rng.random() < 0.2:
            words.append(f"{rng.choice(['', '! '])}-i {rng.choice(['eth0', 'cali+', 'calia', 'lo'])}")
        if hook in ("OUTPUT", "POSTROUTING", "FORWARD") and rng.random() < 0.2:
            words.append(f"{rng.choice(['', '! '])}-o {rng.choice(['eth0', 'cali+', 'calib', 'lo'])}")
        return " ".join(words)

    def filtering(hook: str, targets: list[str]) -> str:
        return f"-A {hook or 'U'} {condition(hook)} -j {rng.choice(targets)}"

    marks = ["MARK --or-mark 0x1", "MARK --xor-mark 0x3", "MARK --set-mark 0x2", "MARK --and-mark 0x1"]
    filters = [
        "ACCEPT",
        "DROP",
        "RETURN",
        "REJECT",
        "REJECT --reject-with tcp-reset",
        "REJECT --reject-with icmp-host-prohibited",
    ]
    to = ["10.244.1.2:80", "10.244.2.2:8080", "10.244.1.3", "172.18.0.3:22", "10.244.2.2:81", "172.18.0.2:22"]
    lines = ["*mangle"]
    for hook in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"):
        lines += [f"-A {hook} {condition(hook)} -j {rng.choice(marks)}" for _ in range(rng.randint(0, 2))]
    lines += ["COMMIT", "*raw", "COMMIT", "*filter", ":U - [0:0]"]
    lines += [filtering("", filters) for _ in range(rng.randint(0, 2))]
    for hook in ("INPUT", "FORWARD", "OUTPUT"):
        lines += [filtering(hook, [*filters, "U"]) for _ in range(rng.randint(0, 2))]
    lines += ["COMMIT", "*nat", ":V - [0:0]"]
    lines += [f"-A V {condition('')} -j DNAT --to-destination {rng.choice(to)}" for _ in range(rng.randint(0, 2))]
    for hook in ("PREROUTING", "OUTPUT"):
        targets = ["V", "ACCEPT", "REDIRECT --to-ports 22", *(f"DNAT --to-destination {each}" for each in to), *marks]
        lines += [f"-A {hook} {condition(hook)} -j {rng.choice(targets)}" for _ in range(rng.randint(0, 3))]
    targets = ["MASQUERADE", "MASQUERADE --random-fully", "ACCEPT", "SNAT --to-source 172.18.0.2"]
    lines += [f"-A POSTROUTING {condition('')} -j {rng.choice(targets)}" for _ in range(rng.randint(0, 2))]
    return "\n".join([*lines, "COMMIT", ""])


@pytest.mark.parametrize("seed", range(int(os.environ.get("KUBEWALK_KERNEL_SEEDS", "6"))))
def test_rules_by_chance(simulated, real, seed):
    rng = random.Random(seed)
    compare(simulated, real, {"node1": drawn_rules(rng), "node2": drawn_rules(rng)}, TARGETS)


BLOCKING = """
import socket, time
for wait in (None, 5):
    with socket.socket() as client:
        client.settimeout(wait)
        start = time.monotonic()
        try:
            client.connect(("10.244.2.2", 80))
        except ConnectionRefusedError:
            print("refused", round(time.monotonic() - start))
"""


def test_who_blocks_hears_of_a_reject_a_second_later(simulated, real):
    """One client waits in connect(2), one in poll(2); both meet a REJECT on their own machine."""
    rules = "*filter\n-A FORWARD -p tcp --dport 80 -j REJECT\nCOMMIT\n"
    real.hosts["node1"].run("nft flush ruleset", check=False)
    real.hosts["node1"].run("iptables-restore", rules)
    simulated.node1.netfilter.restore(rules)
    seen = real.hosts["a"].run("python3 -", BLOCKING).stdout.splitlines()

    async def client(blocking):
        start = simulated.world.now
        with pytest.raises(net.Refused):
            await simulated.pods["a"].connect("10.244.2.2", 80, blocking=blocking)
        return f"refused {simulated.world.now - start:.0f}"

    ours = [simulated.world.run(client(blocking)) for blocking in (True, False)]
    assert seen == ours == ["refused 1", "refused 0"]
