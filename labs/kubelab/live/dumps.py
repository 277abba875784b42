"""What a node says of its own network, as values: from `ip`, `ss`, `sysctl` and `iptables-save`.

Two scripts run on each node: one for the node itself, one for the network namespaces of the pods on it (as the container runtime
names them under /run/netns).
"""

from __future__ import annotations

from dataclasses import dataclass, field

NODE = """\
echo '### addresses'; ip -o addr
echo '### routes'; ip route
echo '### sockets'; ss -Hltun
echo '### settings'
for each in net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.ipv4.conf.all.proxy_arp; do
  echo "$each $(sysctl -n $each)"
done
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


@dataclass(slots=True)
class Dump:
    """A host as it described itself.  `addresses` are (interface, "IP/LENGTH"), `routes` the lines of `ip route`.

    `recent` is what the kernel remembers for session affinity: by list and address the ages in seconds, oldest first.
    """

    addresses: list[tuple[str, str]] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    settings: dict[str, int] = field(default_factory=dict)
    rules: str = ""
    nft: str = ""
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
        recent=_recent(_lines(sections, "recent"), _lines(sections, "clock")),
    )


def _recent(lines: list[str], clock: list[str]) -> dict[str, dict[str, list[float]]]:
    """`KUBE-SEP-X:src=10.244.1.3 ttl: 64 last_seen: 4299 oldest_pkt: 1 4298, 4299` of /proc/net/xt_recent.

    Its times are jiffies, which begin 300 s before 2**32 (Linux, include/linux/jiffies.h: INITIAL_JIFFIES): so the uptime says
    how many are a second.
    """
    if len(clock) < 2:
        return {}
    uptime, now = float(clock[0].split()[0]), int(clock[1].split()[-1])
    per_second = min(HERTZ, key=lambda each: abs(now - (2**32 + (uptime - 300) * each)))
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
