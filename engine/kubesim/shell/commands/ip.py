"""ip (iproute2): address, link, route, neighbour; showing them, and adding and deleting addresses and routes."""

from __future__ import annotations

from dataclasses import dataclass

from kubesim.net import address as addresses
from kubesim.net.link import Interface
from kubesim.net.route import Route
from kubesim.shell.context import Context, Usage, not_simulated

# Any beginning of these is enough; the first that fits counts (iproute2, ip/ip.c: cmds).
OBJECTS = (
    "address",
    "addrlabel",
    "link",
    "route",
    "neighbour",
    "neighbor",
    "rule",
    "netns",
    "monitor",
    "tunnel",
    "maddress",
)


@dataclass(frozen=True, slots=True)
class Flags:
    brief: bool = False
    family: int = 0  # 4, 6 or both
    oneline: bool = False
    details: bool = False


async def run(ctx: Context) -> int:
    args = list(ctx.args)
    flags = Flags()
    while args and args[0].startswith("-"):
        flag = args.pop(0).lstrip("-")
        if flag in ("4", "6"):
            flags = Flags(flags.brief, int(flag), flags.oneline, flags.details)
        elif flag in ("br", "brief"):
            flags = Flags(True, flags.family, flags.oneline, flags.details)
        elif flag in ("o", "oneline"):
            flags = Flags(flags.brief, flags.family, True, flags.details)
        elif flag in ("c", "color", "d", "details", "s", "stats", "N", "r") or flag.startswith(("c=", "color=")):
            continue
        elif flag in ("V", "Version"):
            ctx.print("ip utility, iproute2-6.1.0, libbpf 1.1.2")
            return 0
        else:
            raise Usage(f'Option "-{flag}" is unknown, try "ip -help".\n', 255)
    if not args:
        raise Usage("Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n", 255)
    word = args.pop(0)
    name = next((full for full in OBJECTS if full.startswith(word)), None)
    if name is None:
        raise Usage(f'Object "{word}" is unknown, try "ip help".\n', 1)
    handler = {
        "address": _address,
        "link": _link,
        "route": _route,
        "neighbour": _neighbour,
        "neighbor": _neighbour,
        "rule": _rule,
    }.get(name)
    if handler is None:
        raise not_simulated(ctx, name)
    return handler(ctx, flags, args)


# -- interfaces ---------------------------------------------------------------------------------------------


def interfaces(ctx: Context) -> list[Interface]:
    return sorted(ctx.machine.net.interfaces.values(), key=lambda each: each.index)


def _name(interface: Interface) -> str:
    """eth0@if7: a veth names its other end, by number where that is in another namespace."""
    peer = interface.peer
    return f"{interface.name}@if{peer.index}" if peer is not None else interface.name


def _flags(interface: Interface) -> str:
    if interface.kind == "loopback":
        return "LOOPBACK,UP,LOWER_UP"
    kind = "BROADCAST,NOARP" if interface.kind == "dummy" else "BROADCAST,MULTICAST"
    return f"{kind},UP,LOWER_UP" if interface.up else kind


def _state(interface: Interface) -> str:
    if not interface.up:
        return "DOWN"
    return "UNKNOWN" if interface.kind in ("loopback", "dummy") else "UP"


def _head(interface: Interface) -> str:
    queue = "noop" if not interface.up else "pfifo_fast" if interface.kind == "ether" else "noqueue"
    # A dummy that a program made over netlink (kube-proxy's) has no queue length.
    length = " qlen 1000" if interface.kind != "dummy" or interface.up else ""
    state = f"mtu {interface.mtu} qdisc {queue} state {_state(interface)} group default{length}"
    return f"{interface.index}: {_name(interface)}: <{_flags(interface)}> {state}"


def _ether(interface: Interface) -> str:
    if interface.kind == "loopback":
        return "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00"
    tail = " link-netnsid 0" if interface.peer is not None else ""
    return f"    link/ether {interface.mac} brd ff:ff:ff:ff:ff:ff{tail}"


def _inet(interface: Interface, flags: Flags) -> list[str]:
    lines = []
    for each in interface.addresses:
        ipv6 = ":" in each.ip
        if flags.family and ipv6 != (flags.family == 6):
            continue
        if ipv6:
            noprefix = " noprefixroute" if each.ip == "::1" else ""
            lines.append(
                f"    inet6 {each} scope {each.scope}{noprefix} \n       valid_lft forever preferred_lft forever"
            )
            continue
        broadcast = "" if each.length >= 31 or interface.kind == "loopback" else f" brd {_broadcast(str(each))}"
        # The nodes' own address came by DHCP, where the machine is a VM or on a cloud.
        dynamic = " dynamic" if interface.kind == "ether" and each.length < 31 else ""
        lease = "valid_lft 86313sec preferred_lft 86313sec" if dynamic else "valid_lft forever preferred_lft forever"
        lines.append(f"    inet {each}{broadcast} scope {each.scope}{dynamic} {interface.name}\n       {lease}")
    return lines


def _broadcast(prefix: str) -> str:
    found = addresses.prefix(prefix)
    return addresses.text(found.base | ~found.mask & 0xFFFFFFFF)


def _device(ctx: Context, args: list[str]) -> list[Interface]:
    words = [each for each in args if each not in ("show", "list", "sh", "s", "l", "ls", "dev", "up", "lst")]
    if not words:
        return interfaces(ctx)
    if words[0] in ("to", "type", "scope", "label", "master", "primary", "dynamic"):
        raise not_simulated(ctx, f"ip address show {words[0]}")
    if words[0] not in ctx.machine.net.interfaces:
        raise Usage(f'Device "{words[0]}" does not exist.\n')
    return [ctx.machine.net.interfaces[words[0]]]


def _address(ctx: Context, flags: Flags, args: list[str]) -> int:
    if args and args[0] in ("add", "a", "del", "delete", "d", "replace"):
        return _change_address(ctx, args)
    if args and args[0] == "flush":
        raise not_simulated(ctx, "ip address flush")
    for each in _device(ctx, args):
        if flags.brief:
            own = [str(one) for one in each.addresses if not flags.family or (":" in one.ip) == (flags.family == 6)]
            ctx.print(f"{_name(each):<16} {_state(each):<14} {' '.join(own)} ")
            continue
        lines = _inet(each, flags)
        if flags.family and not lines:
            continue
        if flags.oneline:
            for line in lines:
                ctx.print(f"{each.index}: {each.name} {line.strip().replace(chr(10), chr(92))}")
            continue
        ctx.print(_head(each))
        if not flags.family:
            ctx.print(_ether(each))
        for line in lines:
            ctx.print(line)
    return 0


def _change_address(ctx: Context, args: list[str]) -> int:
    if "dev" not in args or len(args) < 4:
        raise Usage('Not enough information: "dev" argument is required.\n', 255)
    device = args[args.index("dev") + 1]
    prefix = next(each for each in args[1:] if each not in ("dev", device))
    net = ctx.machine.net
    if device not in net.interfaces:
        raise Usage(f'Cannot find device "{device}"\n')
    try:
        if args[0] in ("add", "a", "replace"):
            if any(str(each) == prefix or each.ip == prefix for each in net.interfaces[device].addresses):
                raise Usage("RTNETLINK answers: File exists\n", 2)
            net.add_address(device, prefix if "/" in prefix else f"{prefix}/{128 if ':' in prefix else 32}")
        else:
            if not any(str(each) == prefix for each in net.interfaces[device].addresses):
                raise Usage("RTNETLINK answers: Cannot assign requested address\n", 2)
            net.remove_address(device, prefix)
    except ValueError:
        raise Usage(f'Error: any valid prefix is expected rather than "{prefix}".\n') from None
    return 0


def _link(ctx: Context, flags: Flags, args: list[str]) -> int:
    if args and args[0] == "set":
        words = [each for each in args[1:] if each != "dev"]
        if len(words) == 2 and words[1] in ("up", "down") and words[0] in ctx.machine.net.interfaces:
            interface = ctx.machine.net.interfaces[words[0]]
            interface.up = words[1] == "up"
            if interface.segment is not None:
                interface.segment.forget()
            return 0
        raise not_simulated(ctx, "ip link " + " ".join(args))
    if args and args[0] in ("add", "del", "delete"):
        raise not_simulated(ctx, f"ip link {args[0]}")
    for each in _device(ctx, args):
        if flags.brief:
            ctx.print(f"{_name(each):<16} {_state(each):<14} {each.mac} <{_flags(each)}> ")
        else:
            ctx.print(_head(each).replace(" group default", " mode DEFAULT group default"))
            ctx.print(_ether(each))
    return 0


# -- routes -------------------------------------------------------------------------------------------------


def _route(ctx: Context, flags: Flags, args: list[str]) -> int:
    verb = args[0] if args else "show"
    if verb in ("get", "g"):
        return _route_get(ctx, args[1:])
    if verb in ("add", "a", "replace", "append"):
        return _route_add(ctx, args[1:])
    if verb in ("del", "delete", "d"):
        words = _keywords(args[1:])
        if not ctx.machine.net.routes.remove(words["to"], words.get("dev", ""), words.get("via", "")):
            raise Usage("RTNETLINK answers: No such process\n", 2)
        return 0
    if verb == "flush":
        raise not_simulated(ctx, "ip route flush")
    words = _keywords([each for each in args if each not in ("show", "list", "sh", "s", "ls", "l")])
    if words.get("table", "main") == "local":
        raise not_simulated(ctx, "ip route show table local")
    for route in ctx.machine.net.routes.all(ipv6=flags.family == 6):
        if words.get("dev", route.device) != route.device or words.get("to", route.destination) != route.destination:
            continue
        if words.get("via", route.via) != route.via:
            continue
        ctx.print(f"{route} ")
    return 0


def _keywords(args: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    queue = list(args)
    while queue:
        word = queue.pop(0)
        if (
            word in ("via", "dev", "src", "metric", "proto", "scope", "table", "from", "type", "match", "exact", "root")
            and queue
        ):
            found[word] = queue.pop(0)
        elif word in ("blackhole", "unreachable", "prohibit", "unicast"):
            found["kind"] = word
        elif word == "onlink":
            found[word] = "yes"
        elif "to" not in found or word == "to":
            if word != "to":
                found["to"] = word
        else:
            raise Usage(f'Error: either "to" is duplicate, or "{word}" is a garbage.\n', 255)
    return found


def _route_add(ctx: Context, args: list[str]) -> int:
    words = _keywords(args)
    net = ctx.machine.net
    device = words.get("dev", "")
    via = words.get("via", "")
    if device and device not in net.interfaces:
        raise Usage(f'Cannot find device "{device}"\n')
    if via and not device:
        way = net.routes.lookup(via)
        if way is None or way.via:
            raise Usage("Error: Nexthop has invalid gateway.\n", 2)
        device = way.device
    if not device and "kind" not in words:
        raise Usage("RTNETLINK answers: No such device\n", 2)
    try:
        net.routes.add(
            words["to"],
            device,
            via,
            source=words.get("src", ""),
            kind=words.get("kind", "unicast"),
            metric=int(words.get("metric", "0")),
            protocol=words.get("proto", "boot"),
            onlink="onlink" in words,
        )
    except (ValueError, KeyError):
        raise Usage(f'Error: any valid prefix is expected rather than "{words.get("to", "")}".\n') from None
    return 0


def _route_get(ctx: Context, args: list[str]) -> int:
    words = _keywords(args)
    destination = words.get("to", "").partition("/")[0]
    net = ctx.machine.net
    try:
        route: Route | None = net.routes.lookup(addresses.canonical(destination))
    except ValueError:
        raise Usage(f'Error: any valid prefix is expected rather than "{destination}".\n') from None
    if route is None or route.kind in ("unreachable", "blackhole", "prohibit"):
        raise Usage("RTNETLINK answers: Network is unreachable\n", 2)
    source = words.get("from") or route.source or net.source_for(route.device, route.via or destination)
    if route.kind == "local":
        ctx.print(f"local {destination} dev lo src {destination} uid {0 if ctx.user == 'root' else 1000} ")
        ctx.print("    cache <local> ")
        return 0
    via = f" via {route.via}" if route.via else ""
    ctx.print(f"{destination}{via} dev {route.device} src {source} uid {0 if ctx.user == 'root' else 1000} ")
    ctx.print("    cache ")
    return 0


def _neighbour(ctx: Context, flags: Flags, args: list[str]) -> int:
    if args and args[0] not in ("show", "list", "sh", "s", "ls", "dev"):
        raise not_simulated(ctx, f"ip neighbour {args[0]}")
    for ip, interface, mac in neighbours(ctx):
        if not flags.family or (":" in ip) == (flags.family == 6):
            ctx.print(f"{ip} dev {interface.name} lladdr {mac} REACHABLE ")
    return 0


def neighbours(ctx: Context) -> list[tuple[str, Interface, str]]:
    """Who has answered ARP on the machine's segments."""
    found = []
    for interface in interfaces(ctx):
        if interface.segment is not None:
            for ip, other in interface.segment.known():
                if other is not interface:
                    found.append((ip, interface, other.mac))
    return found


def _rule(ctx: Context, flags: Flags, args: list[str]) -> int:
    if args and args[0] not in ("show", "list", "ls"):
        raise not_simulated(ctx, f"ip rule {args[0]}")
    ctx.print("0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default")
    return 0
