"""tmsh: the BIG-IP's own shell, as far as pools, virtual servers and failover go.

create ltm pool web members add { 172.18.0.3:30080 172.18.0.2:30080 } monitor tcp
create ltm virtual web destination 172.18.0.100:80 pool web ip-protocol tcp source-address-translation { type automap }
modify ltm pool web members modify { 172.18.0.3:30080 { session user-disabled } }
list ltm pool | virtual        show ltm pool web members        show sys failover        run sys failover standby
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from kubesim.loadbalancer import bigip
from kubesim.shell.context import Context, Usage, not_simulated

KNOWN = "Known: create|modify|delete|list ltm pool|virtual, show ltm pool, show sys failover, run sys failover standby."


async def run(ctx: Context) -> int:
    box = ctx.machine.box
    if box is None:
        raise Usage("tmsh: this machine is no BIG-IP\n", 127)
    words = " ".join(ctx.args).replace("{", " { ").replace("}", " } ").split()
    match words:
        case ["create" | "modify" as verb, "ltm", "pool", name, *rest]:
            _pool(box, verb, name, _settings(rest))
        case ["create" | "modify" as verb, "ltm", "virtual", name, *rest]:
            _virtual(box, verb, name, _settings(rest))
        case ["delete", "ltm", "pool" | "virtual" as kind, name]:
            _delete(box, kind, name)
        case ["list", "ltm", "pool" | "virtual" as kind, *names]:
            return _list(ctx, box, kind, names)
        case ["show", "ltm", "pool", *names]:
            for pool in _chosen(box.configuration.pools, [each for each in names if each != "members"], "Pool"):
                ctx.out.write(_shown(box, pool))
            return 0
        case ["show", "sys", "failover"]:
            ctx.print(f"Failover {'active' if box.active else 'standby'}")
            return 0
        case ["run", "sys", "failover", "standby"]:
            if not box.peers:
                raise Usage("01070711:3: No other device is in the group.\n")
            box.role(active=False)
            box.peers[0].role(active=True)
            return 0
        case ["save", "sys", "config"]:
            return 0
        case _:
            raise not_simulated(ctx, f"the command {' '.join(words[:3])!r}", KNOWN)
    box.changed()
    return 0


# -- reading -------------------------------------------------------------------------------------------------


def _settings(words: list[str]) -> dict[str, Any]:
    """`a b c { d e }` as {"a": "b", "c": {"d": "e"}}; "members add { X { } Y }" as {"members add": {"X": {}, "Y": {}}}."""
    queue = iter(words)
    found: dict[str, Any] = {}
    for key in queue:
        value = next(queue, "")
        if key in ("members", "profiles") and value in ("add", "delete", "modify", "replace-all-with"):
            key, value = f"{key} {value}", next(queue, "")
        found[key] = _braces(queue) if value == "{" else value
    return found


def _braces(queue: Iterator[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    last = ""
    for word in queue:
        if word == "}":
            return found
        if word == "{":
            found[last] = _braces(queue)
        elif last and not _is_member(word) and not _is_member(last) and found.get(last) == {}:
            found[last] = word
            last = ""
        else:
            found[word] = {}
            last = word
    raise Usage("Syntax Error: unbalanced braces\n")


def _is_member(word: str) -> bool:
    return ":" in word


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    names = {"http": 80, "https": 443}
    try:
        return str(ipaddress.ip_address(address)), names.get(port) or int(port)
    except ValueError:
        raise Usage(f'01020036:3: "{text}" is no address and port; write 172.18.0.3:30080\n') from None


# -- editing -------------------------------------------------------------------------------------------------


def _pool(box: bigip.Box, verb: str, name: str, settings: dict[str, Any]) -> None:
    pools = box.configuration.pools
    pool = _get(pools, verb, name, "Pool", bigip.Pool(name))
    for key, value in settings.items():
        match key:
            case "members add" | "members replace-all-with" | "members":
                if key != "members add":
                    pool.members.clear()
                for each in value:
                    address, port = _endpoint(each)
                    pool.members[f"{address}:{port}"] = bigip.Member(address, port)
            case "members delete":
                for each in value:
                    pool.members.pop(_member(pool, each).name)
            case "members modify":
                for each, state in value.items():
                    _member(pool, each).enabled = (
                        "user-disabled" not in state.values() and "user-down" not in state.values()
                    )
            case "monitor":
                if value not in (*bigip.MONITORS, "none"):
                    raise Usage(
                        f"01070734:3: monitor {value} is not simulated. Known: {', '.join(bigip.MONITORS)}, none.\n"
                    )
                pool.monitor = "" if value == "none" else value
            case "load-balancing-mode" if value == "round-robin":
                pass
            case "description":
                pass
            case _:
                raise Usage(f'Syntax Error: "{key} {value}" is not simulated for a pool\n')
    pools[name] = pool


def _member(pool: bigip.Pool, name: str) -> bigip.Member:
    if name not in pool.members:
        raise Usage(f"01020036:3: The requested Pool Member ({pool.name} {name}) was not found.\n")
    return pool.members[name]


def _virtual(box: bigip.Box, verb: str, name: str, settings: dict[str, Any]) -> None:
    virtuals = box.configuration.virtuals
    virtual = _get(virtuals, verb, name, "Virtual Server", bigip.Virtual(name, "", 0))
    for key, value in settings.items():
        match key:
            case "destination":
                virtual.address, virtual.port = _endpoint(value)
            case "pool":
                if value not in box.configuration.pools:
                    raise Usage(f"01020036:3: The requested Pool (/Common/{value}) was not found.\n")
                virtual.pool = value
            case "ip-protocol" if value in ("tcp", "udp"):
                virtual.protocol = value
            case "source-address-translation" | "snat":
                virtual.automap = "automap" in (value if isinstance(value, str) else value.values())
            case "profiles add" if list(value) == ["fastL4"]:
                pass
            case "mask" | "description":
                pass
            case _:
                raise Usage(f'Syntax Error: "{key}" is not simulated for a virtual server so\n')
    if not virtual.address:
        raise Usage("01070734:3: a virtual server needs a destination: destination 172.18.0.100:80\n")
    virtuals[name] = virtual


def _get(known: dict[str, Any], verb: str, name: str, kind: str, new: Any) -> Any:
    if verb == "create" and name in known:
        raise Usage(f"01020066:3: The requested {kind} (/Common/{name}) already exists in partition Common.\n")
    if verb == "modify" and name not in known:
        raise Usage(f"01020036:3: The requested {kind} (/Common/{name}) was not found.\n")
    return known.get(name, new)


def _delete(box: bigip.Box, kind: str, name: str) -> None:
    known: dict[str, Any] = box.configuration.pools if kind == "pool" else box.configuration.virtuals
    _get(known, "modify", name, "Pool" if kind == "pool" else "Virtual Server", None)
    if kind == "pool" and any(each.pool == name for each in box.configuration.virtuals.values()):
        raise Usage(
            f"01070265:3: The Pool (/Common/{name}) cannot be deleted because it is in use by a Virtual Server.\n"
        )
    del known[name]


# -- showing -------------------------------------------------------------------------------------------------


def _chosen(known: dict[str, Any], names: list[str], kind: str) -> list[Any]:
    for name in names:
        _get(known, "modify", name, kind, None)
    return [each for name, each in known.items() if not names or name in names]


def _list(ctx: Context, box: bigip.Box, kind: str, names: list[str]) -> int:
    if kind == "pool":
        for pool in _chosen(box.configuration.pools, names, "Pool"):
            lines = [f"ltm pool {pool.name} {{"]
            if pool.members:
                lines.append("    members {")
                for member in pool.members.values():
                    session = (
                        ("monitor-enabled" if pool.monitor else "user-enabled") if member.enabled else "user-disabled"
                    )
                    lines += [
                        f"        {member.name} {{",
                        f"            address {member.address}",
                        f"            session {session}",
                    ]
                    if pool.monitor:
                        lines.append(f"            state {'up' if box.available(pool, member) else 'down'}")
                    lines.append("        }")
                lines.append("    }")
            if pool.monitor:
                lines.append(f"    monitor {pool.monitor}")
            ctx.print("\n".join([*lines, "}"]))
        return 0
    for virtual in _chosen(box.configuration.virtuals, names, "Virtual Server"):
        lines = [f"ltm virtual {virtual.name} {{", f"    destination {virtual.address}:{virtual.port}"]
        lines += [f"    ip-protocol {virtual.protocol}", "    mask 255.255.255.255"]
        lines += [f"    pool {virtual.pool}"] if virtual.pool else []
        lines += ["    profiles {", "        fastL4 { }", "    }"]
        if virtual.automap:
            lines += ["    source-address-translation {", "        type automap", "    }"]
        ctx.print("\n".join([*lines, "}"]))
    return 0


def _shown(box: bigip.Box, pool: bigip.Pool) -> str:
    """`show ltm pool NAME members`: who is well."""
    up = [each for each in pool.members.values() if box.available(pool, each)]
    state = "available" if up and pool.monitor else "unknown" if not pool.monitor else "offline"
    why = "The pool is available" if up else "The children pool member(s) are down"
    rule = "-" * 54
    lines = [rule, f"Ltm::Pool: {pool.name}", rule, "Status", f"  Availability : {state}", "  State        : enabled"]
    lines += [
        f"  Reason       : {why}",
        f"  Monitor      : {pool.monitor or 'none'}",
        f"  Active members: {len(up)} of {len(pool.members)}",
    ]
    for member in pool.members.values():
        well = box.available(pool, member)
        word = (
            "disabled" if not member.enabled else "unknown" if not pool.monitor else "available" if well else "offline"
        )
        lines.append(f"  | {member.name:24} {word}")
    return "\n".join(lines) + "\n"
