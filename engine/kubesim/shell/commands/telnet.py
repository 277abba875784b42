"""telnet HOST [PORT]: as a way to see whether a port is open."""

from __future__ import annotations

from kubesim.net import errors
from kubesim.shell import sockets
from kubesim.shell.commands import nc
from kubesim.shell.context import Context, Usage, busybox, options
from kubesim.shell.streams import Null


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="46E8aKr", values="el", name="telnet")
    if not rest:
        raise Usage("telnet: not simulated: its own prompt; give a host and a port\n")
    name, port = rest[0], rest[1] if len(rest) > 1 else "23"
    if not port.isdigit():
        raise Usage(f"telnet: could not resolve {name}/{port}: Servname not supported for ai_socktype\n")
    plain = busybox(ctx.machine)
    try:
        addresses = await sockets.resolve(ctx.machine, name, 6 if "6" in found else 4 if "4" in found else 0)
    except sockets.Failed as error:
        why = f"bad address '{name}'" if plain else f"could not resolve {name}/{port}: {error}"
        raise Usage(f"telnet: {why}\n") from None
    for address in addresses:
        if not plain:
            ctx.print(f"Trying {address}...")
        try:
            connection = await ctx.machine.net.connect(address, int(port), blocking=True)
        except errors.NetError as error:
            failure = str(error)
            continue
        ctx.print(f"Connected to {name}" if plain else f"Connected to {name}.\nEscape character is '^]'.")
        if isinstance(ctx.stdin, Null):
            # Nobody types here: `telnet HOST PORT` in a script sees the connection open and then end of input.
            connection.close()
        else:
            await nc.talk(ctx, connection)
        ctx.complain("Connection closed by foreign host.")
        return 1
    where = f"can't connect to remote host ({addresses[-1]})" if plain else "Unable to connect to remote host"
    raise Usage(f"telnet: {where}: {failure}\n")
