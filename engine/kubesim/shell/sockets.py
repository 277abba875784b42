"""Names and connections for commands, over the machine's own resolver and network."""

from __future__ import annotations

from kubesim.machine import Machine
from kubesim.net import errors
from kubesim.net.sockets import Connection


class Failed(Exception):
    """The name has no address, or nobody can be reached; the message is the C library's."""


async def resolve(machine: Machine, name: str, family: int = 0) -> list[str]:
    """The addresses of a name as getaddrinfo(3) gives them; Failed."""
    from kubesim.dns import resolver

    try:
        found = (await resolver.lookup(machine, name.strip("[]"), family=family)).addresses
    except resolver.NotResolved as error:
        raise Failed(str(error)) from None
    except UnicodeError:
        raise Failed("Name or service not known") from None
    wanted = [each for each in found if not family or (":" in each) == (family == 6)]
    if not wanted:
        raise Failed("Address family for hostname not supported")
    return wanted


async def resolve_one(machine: Machine, name: str, family: int = 0) -> str:
    return (await resolve(machine, name, family))[0]


async def reverse(machine: Machine, address: str) -> str:
    """The name of an address, "" if it has none."""
    from kubesim.dns import resolver

    try:
        return (await resolver.reverse(machine, address)).canonical
    except resolver.NotResolved:
        return ""


class Device:
    """bash's /dev/tcp/HOST/PORT: a connection as a file."""

    def __init__(self, machine: Machine, connection: Connection) -> None:
        self._world = machine.world
        self._connection = connection
        self._buffer = ""

    def write(self, text: str) -> None:
        from kubesim.shell.streams import encode

        self._world.spawn(self._connection.send(encode(text)), "/dev/tcp")

    async def read_some(self) -> str:
        from kubesim.shell.streams import decode

        text, self._buffer = self._buffer, ""
        return text or decode(await self._connection.recv())

    async def read(self) -> str:
        parts = []
        while text := await self.read_some():
            parts.append(text)
        return "".join(parts)

    async def readline(self) -> str:
        while "\n" not in self._buffer:
            more, kept = "", self._buffer
            self._buffer = ""
            more = await self.read_some()
            self._buffer = kept + more
            if not more:
                break
        end = self._buffer.find("\n") + 1 or len(self._buffer)
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        return line

    def close(self) -> None:
        self._connection.close()


async def device(machine: Machine, protocol: str, host: str, port: str) -> Device:
    if protocol != "tcp" or not port.isdigit():
        raise Failed("not simulated: " + protocol if protocol != "tcp" else "Servname not supported for ai_socktype")
    address = await resolve_one(machine, host)
    try:
        return Device(machine, await machine.net.connect(address, int(port), blocking=True))
    except errors.NetError as error:
        raise Failed(str(error)) from None
