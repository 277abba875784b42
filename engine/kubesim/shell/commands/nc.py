"""nc, netcat: the traditional one of Debian; TCP and UDP clients, scanning, and -l."""

from __future__ import annotations

from kubesim.net import errors
from kubesim.net.sockets import Connection
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, busybox, not_simulated, options
from kubesim.shell.streams import Null, decode, encode
from kubesim.world import TimedOut

# /etc/services, as far as ports here have a name.
SERVICES = {
    7: "echo", 9: "discard", 13: "daytime", 17: "qotd", 19: "chargen", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp",
    53: "domain",
    80: "http", 110: "pop3", 143: "imap2", 179: "bgp", 443: "https", 993: "imaps", 3306: "mysql", 5432: "postgresql",
    6379: "redis", 8080: "http-alt",
}  # fmt: skip


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="zvnul46kNtC", values="wpsqieX", name="nc")
    limit = float(found["w"][-1]) if "w" in found else None
    if "l" in found:
        return await _listen(ctx, found, rest)
    if len(rest) < 2:
        raise Usage("nc: missing hostname and port arguments\n" if not rest else "no port[s] to connect to\n")
    name = rest[0]
    found["name"] = [name]
    try:
        address = await sockets.resolve_one(ctx.machine, name, 6 if "6" in found else 4 if "4" in found else 0)
    except sockets.Failed as error:
        plain = busybox(ctx.machine)
        ctx.complain(f"nc: bad address '{name}'" if plain else f"{name}: forward host lookup failed: {error}")
        return 1
    # The traditional nc shows the name that the address has, else the name that was typed.
    shown = name
    if "v" in found and "n" not in found:
        shown = await sockets.reverse(ctx.machine, address) or (name if name != address else "(UNKNOWN)")
        if name != address:
            shown = await _full_name(ctx, name) or shown
    status = 1
    for text in rest[1:]:
        for port in _ports(text):
            if await _one(ctx, found, shown, address, port, limit):
                status = 0
    return status


async def _full_name(ctx: Context, name: str) -> str:
    from kubesim.dns import resolver

    try:
        return (await resolver.lookup(ctx.machine, name)).canonical
    except resolver.NotResolved:
        return ""


def _ports(text: str) -> list[int]:
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        by_name = {name: port for port, name in SERVICES.items()}
        if text in by_name:
            return [by_name[text]]
        raise Usage(f"invalid port {text}\n")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= 65535:
        raise Usage(f"invalid port {text}\n")
    return list(range(low, high + 1))


async def _one(
    ctx: Context, found: dict[str, list[str]], shown: str, address: str, port: int, limit: float | None
) -> bool:
    service = SERVICES.get(port, "?")
    told = f"{shown} [{address}] {port} ({service})"
    if busybox(ctx.machine):
        told = f"{found['name'][0]} ({address}:{port})"
    if "u" in found:
        return await _datagram(ctx, found, told, address, port, limit)
    if "p" in found:
        raise not_simulated(ctx, "a source port of one's own (-p) over TCP")
    # OpenBSD's waits in poll(2) if there is a limit; BusyBox's sets an alarm.
    blocking = limit is None or busybox(ctx.machine)
    try:
        connection = await ctx.machine.net.connect(address, port, timeout=limit, blocking=blocking)
    except errors.NetError as error:
        if "v" in found or "z" not in found:
            ctx.complain(f"nc: {told}: {error}" if busybox(ctx.machine) else f"{told} : {error}")
        return False
    if "v" in found:
        ctx.complain(f"{told} open")
    if "z" in found:
        connection.close()
        return True
    await talk(ctx, connection, limit)
    return True


async def talk(ctx: Context, connection: Connection, limit: float | None = None) -> None:
    """Stdin to the other side and its words to stdout, until it closes (or nothing comes for `limit` seconds)."""
    world = ctx.world

    async def upward() -> None:
        try:
            while text := await ctx.stdin.read_some():
                await connection.send(encode(text))
            connection.send_eof()
        except errors.NetError:
            return

    writer = None if isinstance(ctx.stdin, Null) else world.spawn(upward(), "nc stdin")
    try:
        while data := await world.wait_for(connection.recv(), limit):
            ctx.out.write(decode(data))
    except (TimedOut, errors.NetError):
        pass
    finally:
        if writer is not None:
            writer.cancel()
        connection.close()


async def _datagram(
    ctx: Context, found: dict[str, list[str]], told: str, address: str, port: int, limit: float | None
) -> bool:
    socket = ctx.machine.net.udp("", int(found["p"][-1]) if "p" in found else 0)
    try:
        text = "\0" if "z" in found else await ctx.stdin.read()
        if text:
            socket.send_to(encode(text), address, port)
        # -z over UDP says open unless an ICMP error comes back.
        data, _ = await ctx.world.wait_for(socket.recv_from(), limit or 1.0)
        ctx.out.write(decode(data))
    except TimedOut:
        pass
    except errors.NetError as error:
        if "v" in found:
            ctx.complain(f"{told} : {error}")
        return False
    finally:
        socket.close()
    if "v" in found:
        ctx.complain(f"{told} open")
    return True


async def _listen(ctx: Context, found: dict[str, list[str]], rest: list[str]) -> int:
    port = found["p"][-1] if "p" in found else rest[-1] if rest else ""
    if not port.isdigit():
        raise Usage("nc: missing port with option -l\n")
    try:
        listener = ctx.machine.net.listen("tcp", found.get("s", ["0.0.0.0"])[-1], int(port))
    except errors.NetError as error:
        raise Usage(f"nc: {error}\n") from None
    if "v" in found:
        ctx.complain(f"listening on [any] {port} ...")
    try:
        while True:
            connection = await listener.accept()
            if "v" in found:
                ctx.complain(
                    f"connect to [{connection.local[0]}] from (UNKNOWN) [{connection.peer[0]}] {connection.peer[1]}"
                )
            await talk(ctx, connection)
            if "k" not in found:
                return 0
    finally:
        listener.close()
