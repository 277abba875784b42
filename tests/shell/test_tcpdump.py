"""tcpdump: what its expressions let through, and its lines."""

from __future__ import annotations

import pytest

from kubesim.net.packet import Packet
from kubesim.shell.tcpdump import filters, lines
from kubesim.world import World

TCP = Packet(src="10.0.0.1", dst="10.0.0.2", sport=40000, dport=80, flags="S")
DNS = Packet(protocol="udp", src="10.0.0.1", dst="10.0.0.9", sport=40001, dport=53)
PING = Packet(protocol="icmp", src="10.0.0.2", dst="10.0.0.1", icmp="echo-request", sport=7)
SIX = Packet(src="fd00::1", dst="fd00::2", sport=443, dport=50000, flags="A")
NAMES = {"tcp": TCP, "dns": DNS, "ping": PING, "six": SIX}


async def resolve(name: str) -> list[str]:
    return {"web": ["10.0.0.2", "fd00::2"]}[name]


def accepted(text: str) -> str:
    wanted = World().run(filters.parse(text.split(), resolve))
    return " ".join(name for name, packet in NAMES.items() if wanted(packet))


@pytest.mark.parametrize(
    ("expression", "through"),
    [
        ("", "tcp dns ping six"),
        ("tcp", "tcp six"),
        ("ip6", "six"),
        ("port 80", "tcp"),
        ("port http or domain", "tcp dns"),
        ("src port 443", "six"),
        ("dst port 443", ""),
        ("udp port 80", ""),
        ("portrange 50-90", "tcp dns"),
        ("host 10.0.0.1", "tcp dns ping"),
        ("src 10.0.0.1", "tcp dns"),
        ("dst host web", "tcp six"),
        ("10.0.0.9", "dns"),
        ("net 10.0.0.8/29", "dns"),
        ("not icmp and not port 53", "tcp six"),
        ("icmp or tcp and host 10.0.0.2", "tcp ping"),
        ("icmp or (tcp and dst host 10.0.0.2)", "tcp ping"),
        ("! (tcp || udp)", "ping"),
    ],
)
def test_expressions(expression: str, through: str) -> None:
    assert accepted(expression) == through


@pytest.mark.parametrize("expression", ["port", "and tcp", "tcp and", "(tcp", "tcp)", "port nonsense", "host", "net 10.0.0.0/99"])
def test_no_expressions(expression: str) -> None:
    with pytest.raises(filters.Wrong):
        accepted(expression)


@pytest.mark.parametrize("expression", ["ether host x", "tcp[13] & 2 != 0", "less 100", "vlan 3"])
def test_expressions_that_are_not_known(expression: str) -> None:
    with pytest.raises(filters.Unknown):
        accepted(expression)


def shown(*packets: Packet) -> list[str]:
    printer = lines.Printer(str, str, quick=False)
    return [printer.line(0.0, "eth0", packet) for packet in packets]


def test_a_connection() -> None:
    there = {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": 40000, "dport": 80}
    back = {"src": "10.0.0.2", "dst": "10.0.0.1", "sport": 80, "dport": 40000}
    assert shown(
        Packet(**there, flags="S"),
        Packet(**back, flags="SA"),
        Packet(**there, flags="A"),
        Packet(**there, flags="PA", payload=b"GET / HTTP/1.1\r\n\r\n"),
        Packet(**back, flags="PA", payload=b"HTTP/1.1 200 OK\r\n\r\n"),
        Packet(**back, flags="PA", payload=b"body"),
        Packet(**there, flags="FA"),
        Packet(**back, flags="RA"),
    ) == [
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [S], seq 0, length 0",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [S.], seq 0, ack 1, length 0",
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [.], ack 1, length 0",
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [P.], seq 1:19, ack 1, length 18: HTTP: GET / HTTP/1.1",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [P.], seq 1:20, ack 19, length 19: HTTP: HTTP/1.1 200 OK",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [P.], seq 20:24, ack 19, length 4: HTTP",
        "IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [F.], seq 19, ack 24, length 0",
        "IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [R.], seq 24, ack 20, length 0",
    ]


def test_other_protocols() -> None:
    error = Packet(protocol="icmp", src="10.0.0.9", dst="10.0.0.1", icmp="port-unreachable", inner=DNS)
    six = Packet(protocol="icmpv6", src="fd00::1", dst="fd00::2", icmp="echo-reply", sport=7)
    assert shown(PING, error, six, Packet(protocol="udp", src="10.0.0.1", dst="10.0.0.2", sport=9, dport=9, payload=b"abc")) == [
        "IP 10.0.0.2 > 10.0.0.1: ICMP echo request, id 7, length 64",
        "IP 10.0.0.9 > 10.0.0.1: ICMP 10.0.0.9 udp port 53 unreachable, length 36",
        "IP6 fd00::1 > fd00::2: ICMP6, echo reply, id 7, length 64",
        "IP 10.0.0.1.9 > 10.0.0.2.9: UDP, length 3",
    ]


def test_at_the_command_line(lan) -> None:
    heard = lan.run("timeout 5 tcpdump -n -i eth0 -c 2 tcp port 80 & sleep 1; curl -s web >/dev/null; wait")
    assert heard.stderr.splitlines() == [
        "tcpdump: verbose output suppressed, use -v[v]... for full protocol decode",
        "listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes",
        "2 packets captured",
        "3 packets received by filter",
        "0 packets dropped by kernel",
    ]
    assert [line.split(" ", 1)[1].split(": ", 1)[1] for line in heard.stdout.splitlines()] == [
        "Flags [S], seq 0, length 0",
        "Flags [S.], seq 0, ack 1, length 0",
    ]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tcpdump -i eth7", "tcpdump: eth7: No such device exists\n(No such device exists)\n"),
        ("tcpdump -c x", "tcpdump: invalid packet count x\n"),
        ("tcpdump port", "tcpdump: can't parse filter expression: syntax error\n"),
        ("tcpdump -n host nowhere.", "tcpdump: unknown host 'nowhere.'\n"),
    ],
)
def test_refusals(lan, command: str, said: str) -> None:
    assert lan.err(command) == (said, 1)


def test_what_is_not_simulated_is_said_by_name(lan) -> None:
    assert "tcpdump: the option -w" in lan.err("tcpdump -w file")[0]
    assert "tcpdump: the expression 'ether'" in lan.err("tcpdump ether host x")[0]
