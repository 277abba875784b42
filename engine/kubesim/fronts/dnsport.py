"""`kubesim serve --dns-port`: the cluster's DNS on a real port, so that a real `dig` can ask.

Nothing here knows DNS.  The bytes of a query leave the first node as a packet to the DNS Service's ClusterIP, meet the rules
that kube-proxy wrote, and the bytes that come back are the answer; where the packet dies, the asker hears nothing, as it would.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.fronts import pacing
from kubesim.machine import Machine
from kubesim.net import errors
from kubesim.net.sockets import Connection
from kubesim.world import Task, TimedOut

PORT = 53
# What a query may take in virtual seconds: dig itself gives up after five.
PATIENCE = 5.0
# A free TCP port may be taken for UDP: then another is tried.
TRIES = 20


class DnsPort:
    """UDP and TCP on one real address and port.  Bound at once, answering from `start` on, in the event loop of that call.

    Raises LearnerError when the port is taken, or when the preset has no nodes or no DNS.
    """

    def __init__(self, cluster: Cluster, pacer: pacing.Pacer, host: str, port: int) -> None:
        if not cluster.nodes or "coredns" not in cluster.preset.addons:
            raise LearnerError(f"the preset {cluster.preset.name} has no DNS", "Take another --preset.")
        self._node: Machine = next(iter(cluster.nodes.values()))
        self._service = cluster.preset.dns_address
        self._world = cluster.world
        self._pacer = pacer
        self._tcp, self._udp = _bind(host, port)
        self.address: tuple[str, int] = self._udp.getsockname()[:2]
        self._datagrams: asyncio.DatagramTransport | None = None
        self._streams: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=self._udp)
        self._streams = await asyncio.start_server(self._connected, sock=self._tcp)

    def close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._streams is not None:
            self._streams.close()

    # -- UDP --------------------------------------------------------------------------------------------------

    def asked(self, data: bytes, asker: tuple[str, int], back: asyncio.DatagramTransport) -> None:
        self._pacer.catch_up()
        self._world.spawn(self._ask(data, asker, back), "dns port")
        self._pacer.catch_up()

    async def _ask(self, data: bytes, asker: tuple[str, int], back: asyncio.DatagramTransport) -> None:
        udp = self._node.net.udp()
        try:
            udp.send_to(data, self._service, PORT)
            answer, _ = await self._world.wait_for(udp.recv_from(), PATIENCE)
        except (errors.NetError, TimedOut):
            return
        finally:
            udp.close()
        if not back.is_closing():
            back.sendto(answer, asker)

    # -- TCP --------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pacer.catch_up()
        # The world's futures are not asyncio's: the connection is made and read by a task of the world, and written to by one
        # for each piece that comes.
        opening = self._world.spawn(self._node.net.connect(self._service, PORT, timeout=PATIENCE), "dns port")
        reading = self._world.spawn(_answers(opening, writer), "dns port")
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self._world.spawn(_send(opening, data), "dns port")
                self._pacer.catch_up()
        reading.cancel()
        self._pacer.catch_up()
        writer.close()


async def _send(opening: Task[Connection], data: bytes) -> None:
    with contextlib.suppress(errors.NetError):
        await (await opening).send(data)


async def _answers(opening: Task[Connection], writer: asyncio.StreamWriter) -> None:
    connection = None
    try:
        connection = await opening
        while data := await connection.recv():
            writer.write(data)
    except errors.NetError:
        # Refused, reset or lost: the asker sees the end.
        pass
    finally:
        if connection is not None:
            connection.close()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, port: DnsPort) -> None:
        self._port = port
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Before 3.12 the transport is one by its methods only.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._port.asked(data, addr, self._transport)


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """TCP and UDP on the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    failure: OSError | None = None
    for _ in range(1 if port else TRIES):
        tcp, udp = socket.socket(family, socket.SOCK_STREAM), socket.socket(family, socket.SOCK_DGRAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((host, port))
            udp.bind((host, tcp.getsockname()[1]))
            tcp.listen(16)
        except OSError as error:
            failure = error
            tcp.close()
            udp.close()
        else:
            udp.setblocking(False)
            return tcp, udp
    assert failure is not None
    raise LearnerError(
        f"cannot listen on {host}:{port} for DNS: {failure.strerror}", "Take another --dns-port, or 0 for any."
    )
