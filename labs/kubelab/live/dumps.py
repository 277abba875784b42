"""What a node says of its own network, as values: from `ip`, `ss`, `sysctl` and `iptables-save`.

Two scripts run on each node: one for the node itself, one for the network namespaces of the pods on it (as the container runtime
names them under /run/netns).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address

NODE = """\
echo '### addresses'; ip -o addr
echo '### routes'; ip route
echo '### sockets'; ss -Hltun
echo '### settings'
for each in net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.ipv4.conf.all.proxy_arp net.ipv4.vs.conntrack; do
  echo "$each $(sysctl -n $each 2>/dev/null)"
done
echo '### sets'; ipset save 2>/dev/null
echo '### ipvs'; cat /proc/net/ip_vs 2>/dev/null || ipvsadm --save --numeric 2>/dev/null
echo '### rules'; iptables-save
echo '### nft'
# Without those that iptables-save has printed.
nft list tables 2>/dev/null | grep -vE '^table ip6? (raw|mangle|nat|filter|security)$' | while read -r _ family name; do
  nft list table "$family" "$name"
done
echo '### clock'; cat /proc/uptime 2>/dev/null; grep -m1 '^jiffies' /proc/timer_list 2>/dev/null
echo '### recent'; cd /proc/net/xt_recent 2>/dev/null && grep -H . * 2>/dev/null
true
"""
PODS = """\
for each in $(ip netns list | cut -d ' ' -f 1); do
  echo "### addresses $each"; ip netns exec $each ip -o addr
  echo "### routes $each"; ip netns exec $each ip route
  echo "### sockets $each"; ip netns exec $each ss -Hltun
done
"""


# What kernels are built with (CONFIG_HZ).
HERTZ = (100, 250, 300, 1000)


@dataclass(frozen=True, slots=True)
class Socket:
    """One that listens: `protocol` "tcp" or "udp"; `address` "0.0.0.0" or "::" is any."""

    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual server of IPVS.  `servers` are (address, port, weight); `persistence` is in seconds, 0 for none."""

    protocol: str
    address: str
    port: int
    scheduler: str
    persistence: int
    servers: list[tuple[str, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Dump:
    """A host as it described itself.  `addresses` are (interface, "IP/LENGTH"), `routes` the lines of `ip route`, `sets` what
    `ipset save` prints.

    `recent` is what the kernel remembers for session affinity: by list and address the ages in seconds, oldest first.
    """

    addresses: list[tuple[str, str]] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    settings: dict[str, int] = field(default_factory=dict)
    rules: str = ""
    nft: str = ""
    sets: str = ""
    ipvs: list[Virtual] = field(default_factory=list)
    recent: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def node(text: str) -> Dump:
    """The output of NODE."""
    return _dump(_sections(text))


def pods(text: str) -> dict[str, Dump]:
    """The output of PODS: by the pods' IPv4 addresses."""
    by_name: dict[str, dict[str, str]] = {}
    for title, body in _sections(text).items():
        what, _, name = title.partition(" ")
        by_name.setdefault(name, {})[what] = body
    dumps = [_dump(sections) for sections in by_name.values()]
    return {
        address.partition("/")[0]: dump
        for dump in dumps
        for name, address in dump.addresses
        if name != "lo" and ":" not in address
    }


def _dump(sections: dict[str, str]) -> Dump:
    return Dump(
        addresses=[each for line in _lines(sections, "addresses") for each in _address(line)],
        routes=_lines(sections, "routes"),
        sockets=[each for line in _lines(sections, "sockets") for each in _socket(line)],
        settings={
            name: int(value)
            for name, _, value in (each.partition(" ") for each in _lines(sections, "settings"))
            if value
        },
        rules=sections.get("rules", ""),
        nft=sections.get("nft", ""),
        sets=sections.get("sets", ""),
        ipvs=_ipvs(_lines(sections, "ipvs"), _hertz(_lines(sections, "clock"))),
        recent=_recent(_lines(sections, "recent"), _lines(sections, "clock")),
    )


def _ipvs(lines: list[str], hertz: int) -> list[Virtual]:
    """`-A -t 10.96.0.10:53 -s rr` of ipvsadm, or the same in /proc/net/ip_vs: `TCP  0A60000A:0035 rr`, and below it
    `  -> 0AF40002:0035 Masq 1 0 0`, times in jiffies.  What is not IPv4 is left out."""
    found: dict[str, Virtual] = {}
    last: Virtual | None = None
    for line in lines:
        words = line.split()
        if words[0] in ("TCP", "UDP", "SCTP"):
            where = _of_hex(words[1])
            persistence = int(words[words.index("persistent") + 1]) // (hertz or 1000) if "persistent" in words else 0
            last = Virtual(words[0].lower(), *where, words[2], persistence) if where else None
            if last is not None:
                found[words[0] + words[1]] = last
        elif words[0] == "->" and last is not None and (where := _of_hex(words[1])):
            last.servers.append((*where, int(words[3])))
        elif words[0] in ("-A", "-a") and "[" not in words[2]:
            given = dict(zip(words[3::2], words[4::2], strict=False)) if words[0] == "-A" else {}
            if words[0] == "-A":
                protocol = {"-t": "tcp", "-u": "udp"}.get(words[1], "sctp")
                found[words[1] + words[2]] = Virtual(
                    protocol, *_endpoint(words[2]), given.get("-s", "wlc"), int(given.get("-p", 0))
                )
            else:
                weight = int(words[words.index("-w") + 1]) if "-w" in words else 1
                found[words[1] + words[2]].servers.append((*_endpoint(words[words.index("-r") + 1]), weight))
    return list(found.values())


def _of_hex(text: str) -> tuple[str, int] | None:
    """An IPv4 address and a port as the kernel writes them: "0A60000A:0035"."""
    ip, _, port = text.partition(":")
    return (str(IPv4Address(int(ip, 16))), int(port, 16)) if len(ip) == 8 else None


def _endpoint(text: str) -> tuple[str, int]:
    ip, _, port = text.rpartition(":")
    return ip, int(port)


def _hertz(clock: list[str]) -> int:
    """How many jiffies are a second, 0 if that is not told: they begin 300 s before 2**32 (Linux, include/linux/jiffies.h:
    INITIAL_JIFFIES), so the uptime says it."""
    if len(clock) < 2:
        return 0
    uptime, now = float(clock[0].split()[0]), int(clock[1].split()[-1])
    return min(HERTZ, key=lambda each: abs(now - (2**32 + (uptime - 300) * each)))


def _recent(lines: list[str], clock: list[str]) -> dict[str, dict[str, list[float]]]:
    """`KUBE-SEP-X:src=10.244.1.3 ttl: 64 last_seen: 4299 oldest_pkt: 1 4298, 4299` of /proc/net/xt_recent, times in jiffies."""
    per_second = _hertz(clock)
    if not per_second:
        return {}
    now = int(clock[1].split()[-1])
    found: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        name, _, rest = line.partition(":src=")
        address = rest.split()[0]
        # "oldest_pkt" is the place in a ring of the stamp that follows it; the stamps are in the order of that ring.
        stamps = [int(each) for each in rest.partition("oldest_pkt:")[2].replace(",", " ").split()[1:]]
        found.setdefault(name, {})[address] = sorted(((now - each) / per_second for each in stamps), reverse=True)
    return found


def _sections(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    title = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("### "):
            title = line[4:].strip()
        elif title:
            found[title] = found.get(title, "") + line
    return found


def _lines(sections: dict[str, str], name: str) -> list[str]:
    return [each.rstrip() for each in sections.get(name, "").splitlines() if each.strip()]


def _address(line: str) -> list[tuple[str, str]]:
    """`2: eth0    inet 172.18.0.3/16 brd ...` of `ip -o addr`."""
    words = line.split()
    if len(words) < 4 or words[2] not in ("inet", "inet6"):
        return []
    return [(words[1].partition("@")[0], words[3])]


def _socket(line: str) -> list[Socket]:
    """`tcp LISTEN 0 4096 0.0.0.0:10256 0.0.0.0:*` of `ss -Hltun`."""
    words = line.split()
    if len(words) < 5 or words[0] not in ("tcp", "udp"):
        return []
    address, _, port = words[4].rpartition(":")
    address = address.partition("%")[0].strip("[]")
    return [Socket(words[0], "::" if address == "*" else address, int(port))] if port.isdigit() else []
