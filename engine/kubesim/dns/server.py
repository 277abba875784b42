"""CoreDNS's server: the chains of a Corefile behind UDP and TCP ports.

A query goes to the server block with the longest zone that it is in; in none, it is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kubesim.dns import corefile, plugins, wire
from kubesim.dns.answers import Answer, longest
from kubesim.net import errors

if TYPE_CHECKING:
    from kubesim.net.sockets import Connection, Listener, UdpSocket
    from kubesim.world import Task


@contextlib.contextmanager
def binding(where: str) -> Iterator[None]:
    """What is wrong with an address is said as Go's net.Listen does."""
    try:
        yield
    except errors.NetError as error:
        raise type(error)(f"listen {where}: bind: {str(error).lower()}") from None


class DnsServer:
    """All server blocks on one port."""

    def __init__(self, server: plugins.Server, port: int, chains: list[plugins.Chain]) -> None:
        self.server = server
        self.port = port
        self.chains = {zone: chain for chain in chains for zone in chain.block.zones}
        self._tasks: list[Task[None]] = []
        self._udp: UdpSocket | None = None
        self._tcp: Listener | None = None

    def start(self) -> None:
        """Listen.  Raises `errors.AddressInUse`."""
        host, world = self.server.machine.net, self.server.machine.world
        with binding(f"udp :{self.port}"):
            self._udp = host.udp("", self.port)
            self._udp.answers = True
        with binding(f"tcp :{self.port}"):
            self._tcp = host.listen("tcp", "", self.port)
        self._tasks = [
            world.spawn(self._datagrams(self._udp), f"dns udp {self.port}"),
            world.spawn(self._connections(self._tcp), f"dns tcp {self.port}"),
        ]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for socket in (self._udp, self._tcp):
            if socket is not None:
                socket.close()

    async def answer(self, query: wire.Query, client: tuple[str, int], protocol: str) -> Answer:
        """The answer to a parsed query."""
        if query.opcode != "QUERY":
            return Answer(rcode="NOTIMP")
        chain = self.chains.get(longest(query.question.name, tuple(self.chains)))
        if chain is None:
            return plugins.REFUSED
        return await chain.serve(plugins.Asked(question=query.question, client=client, protocol=protocol, query=query))

    async def _datagrams(self, socket: UdpSocket) -> None:
        while True:
            try:
                data, client, local = await socket.recv_message()
            except errors.NetError:
                if socket.closed:
                    return
                continue  # an ICMP error about an answer whose client has gone
            self.server.machine.world.spawn(self._datagram(socket, data, client, local), "dns query")

    async def _datagram(self, socket: UdpSocket, data: bytes, client: tuple[str, int], local: str) -> None:
        try:
            query = wire.parse_query(data)
        except wire.Malformed:
            return
        answer = await self.answer(query, client, "udp")
        if socket.closed:
            return
        try:
            socket.send_to(wire.response(query, answer, limit=query.limit), *client, source=local)
        except errors.NetError as error:
            self.server.log(f"[ERROR] plugin/errors: write udp to {client[0]}:{client[1]}: {error}")

    async def _connections(self, listener: Listener) -> None:
        while True:
            try:
                connection = await listener.accept()
            except errors.NetError:
                return
            self.server.machine.world.spawn(self._connection(connection), "dns connection")

    async def _connection(self, connection: Connection) -> None:
        buffer = b""
        try:
            while True:
                while len(buffer) < 2 or len(buffer) < 2 + int.from_bytes(buffer[:2], "big"):
                    data = await connection.recv()
                    if not data:
                        return
                    buffer += data
                end = 2 + int.from_bytes(buffer[:2], "big")
                query = wire.parse_query(buffer[2:end])
                buffer = buffer[end:]
                data = wire.response(query, await self.answer(query, connection.peer, "tcp"))
                await connection.send(len(data).to_bytes(2, "big") + data)
        except (errors.NetError, wire.Malformed):
            return
        finally:
            connection.close()


def build(server: plugins.Server, text: str) -> list[DnsServer]:
    """The servers that a Corefile describes, one a port, not yet started.  `CorefileError`."""
    by_port: dict[int, list[plugins.Chain]] = {}
    for block in corefile.parse(text):
        by_port.setdefault(block.port, []).append(plugins.Chain(server, block))
    return [DnsServer(server, port, chains) for port, chains in by_port.items()]
