"""ss (iproute2) and netstat (net-tools): the machine's sockets."""

from __future__ import annotations

from dataclasses import dataclass

from kubesim.shell.context import Context, options

# ss's words and netstat's.
STATES = {
    "SYN-SENT": "SYN_SENT",
    "SYN-RECV": "SYN_RECV",
    "ESTAB": "ESTABLISHED",
    "FIN-WAIT": "FIN_WAIT2",
    "CLOSE-WAIT": "CLOSE_WAIT",
    "TIME-WAIT": "TIME_WAIT",
    "LAST-ACK": "LAST_ACK",
    "LISTEN": "LISTEN",
}


@dataclass(frozen=True, slots=True)
class Socket:
    protocol: str
    state: str
    local: tuple[str, int]
    peer: tuple[str, int] | None


def sockets(ctx: Context) -> list[Socket]:
    """All of them: UDP, TCP that listen, TCP connections; each in order of its port."""
    stack = ctx.machine.net.stack
    found = [
        Socket("udp", "UNCONN", (each.address or "0.0.0.0", each.port), None)
        for port in sorted(stack.udp)
        for each in stack.udp[port]
    ]
    found += [
        Socket("tcp", "LISTEN", (each.address, each.port), None)
        for port in sorted(stack.listeners)
        for each in stack.listeners[port]
    ]
    found += [
        Socket("tcp", each.state, each.local, each.peer)
        for _, each in sorted(
            stack.connections.items(), key=lambda item: (item[0][1], item[0][3], item[0][0], item[0][2])
        )
    ]
    return found


async def run(ctx: Context) -> int:
    found, _ = options(
        ctx.args,
        flags="tulnapHeiom46sxrwO",
        long_flags=("tcp", "udp", "listening", "numeric", "all", "processes", "no-header", "ipv4", "ipv6"),
        name="ss",
    )
    letters = {each[0] if len(each) > 1 else each for each in found}
    kinds = (
        {"tcp"}
        if "t" in letters and "u" not in letters
        else {"udp"}
        if "u" in letters and "t" not in letters
        else {"tcp", "udp"}
    )
    listening = "l" in letters
    everything = "a" in letters
    rows = []
    for each in sockets(ctx):
        waits = each.state in ("LISTEN", "UNCONN")
        if each.protocol not in kinds or (listening and not waits) or (not listening and not everything and waits):
            continue
        family = ":" in each.local[0]
        if ("4" in letters and family) or ("6" in letters and not family):
            continue
        netid = f"{each.protocol:<6}" if len(kinds) > 1 else ""
        queue = "4096" if each.state == "LISTEN" else "0"
        peer = _endpoint(each.peer[0], each.peer[1]) if each.peer else _endpoint("::" if family else "0.0.0.0", 0)
        rows.append(f"{netid}{each.state:<11} 0      {queue:<6} {_endpoint(*each.local):>21} {peer:>20}  ")
    if "H" not in letters and "no-header" not in found:
        netid = f"{'Netid':<6}" if len(kinds) > 1 else ""
        ctx.print(
            f"{netid}{'State':<11} {'Recv-Q':<6} {'Send-Q':<6} {'Local Address:Port':>21} {'Peer Address:Port':>20} Process"
        )
    for row in rows:
        ctx.print(row)
    return 0


def _endpoint(address: str, port: int) -> str:
    shown = "*" if address == "" else f"[{address}]" if ":" in address else address
    return f"{shown}:{port or '*'}"
