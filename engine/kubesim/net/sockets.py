"""What programs hold: listeners, TCP connections, UDP sockets, and ping.

TCP here keeps what a learner can see: the handshake, data in order, the two ends' closing, resets, retransmission of what
was lost.  It leaves out windows, congestion, segmentation and the pure acknowledgements of data.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubesim import world as world_module
from kubesim.net import address, errors
from kubesim.net.packet import Packet, endpoint
from kubesim.net.trace import Verdict

if TYPE_CHECKING:
    from kubesim.net.stack import Stack
    from kubesim.net.trace import Trace
    from kubesim.net.walk import Outcome, Walk
    from kubesim.world import Future, Timer, World

# RFC 6298, and Linux's tcp_syn_retries = 6: SYNs at 0, 1, 3, 7, 15, 31, 63 s, and the end at 127 s.
SYN_TIMEOUT = 1.0
# TCP_RTO_MIN, TCP_RTO_MAX and tcp_retries2 = 15: data is given up after 924.6 s.
RETRANSMIT_MIN = 0.2
RETRANSMIT_MAX = 120.0
RETRANSMITS = 15


class Listener:
    """A listening TCP socket."""

    def __init__(self, stack: Stack, protocol: str, ip: str, port: int) -> None:
        if protocol != "tcp":
            raise ValueError(f"cannot listen on {protocol}: use Host.udp for UDP")
        self._stack = stack
        self.address = ip = stack.check_bind(ip)
        self.port = port = port or stack.free_port("tcp")
        self.closed = False
        self._ready: deque[Connection] = deque()
        self._waiting: deque[Future[Connection]] = deque()
        others = stack.listeners.setdefault(port, [])
        for other in others:
            if _overlap(other.address, ip):
                raise errors.AddressInUse
        others.append(self)

    def __repr__(self) -> str:
        return f"<Listener {endpoint(self.address or '*', self.port)} on {self._stack.host.name}>"

    def incoming(self, packet: Packet) -> None:
        """A SYN came for it: half a connection."""
        connection = Connection(self._stack, (packet.dst, packet.dport), (packet.src, packet.sport))
        connection.state = "SYN-RECV"
        connection.listener = self

    def established(self, connection: Connection) -> None:
        """The handshake of one of its connections is complete."""
        if self.closed:
            connection.reset()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done:
                waiting.resolve(connection)
                return
        self._ready.append(connection)

    async def accept(self) -> Connection:
        """The next connection.  Raises `errors.Reset` once the listener is closed."""
        if self._ready:
            return self._ready.popleft()
        if self.closed:
            raise errors.Reset("the listener is closed")
        future: Future[Connection] = self._stack.world.future()
        self._waiting.append(future)
        return await future

    def close(self) -> None:
        """Stop listening.  Connections that nobody accepted are reset."""
        if self.closed:
            return
        self.closed = True
        self._stack.listeners[self.port].remove(self)
        if not self._stack.listeners[self.port]:
            del self._stack.listeners[self.port]
        while self._ready:
            self._ready.popleft().reset()
        while self._waiting:
            self._waiting.popleft().fail(errors.Reset("the listener is closed"))


def _overlap(one: str, other: str) -> bool:
    """Whether two binds to the same port collide (without SO_REUSEPORT)."""
    if one == other:
        return True
    both = {one, other}
    if both & {"", "::"}:
        return True
    return "0.0.0.0" in both and ":" not in one + other


class Connection:
    """A TCP connection.  `local` and `peer` are (address, port); `trace` the way of the SYN, with the answer's."""

    def __init__(self, stack: Stack, local: tuple[str, int], peer: tuple[str, int]) -> None:
        self._stack = stack
        self.local = local
        self.peer = peer
        self.state = "SYN-SENT"
        self.listener: Listener | None = None
        self._outcomes: list[Outcome] = []
        self._connected: Future[None] | None = None
        self._inbox: deque[bytes] = deque()
        self._reader: Future[None] | None = None
        self._eof = False
        self._error: errors.NetError | None = None
        self._soft = ""
        self._outbox: deque[Packet] = deque()
        self._tries = 0
        # In connect(2), which has the socket to itself; the ICMP error that came meanwhile.
        self._locked = False
        self._missed = ""
        self._timer: Timer | None = None
        self._fin_sent = False
        self._closed = False
        stack.connections[(*local, *peer)] = self

    def __repr__(self) -> str:
        return f"<Connection {endpoint(*self.local)} - {endpoint(*self.peer)} {self.state}>"

    @property
    def trace(self) -> Trace:
        """How the SYN went, and what answered it."""
        if not self._outcomes:
            raise ValueError("the other side opened this connection: its trace is there")
        # Of several SYNs the one that was answered; if none was, the first silence.
        return next((each for each in self._outcomes if each.reply is not None), self._outcomes[0]).trace()

    # -- opening ----------------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls, stack: Stack, ip: str, port: int, source: str, timeout: float | None, *, blocking: bool
    ) -> Connection:
        """See `Host.connect`."""
        source = stack.check_bind(source) if source else stack.source_address(ip)
        self = cls(stack, (source, stack.free_port("tcp", source, (ip, port))), (ip, port))
        self._connected = stack.world.future()
        self._locked = blocking
        self._send_syn()
        try:
            await stack.world.wait_for(self._connected, timeout)
        except world_module.TimedOut:
            self._forget()
            raise errors.TimedOut(trace=self.trace) from None
        except errors.NetError as error:
            self._forget()
            error.trace = self.trace
            raise
        except world_module.Cancelled:
            self._forget()
            raise
        if self._soft:
            # Clients that wait in poll(2) ask for SO_ERROR when the connection stands, and get a soft error, too.
            self.close()
            raise errors.from_errno(self._soft, self.trace)
        return self

    def _send_syn(self) -> None:
        assert self._connected is not None
        if self._connected.done:
            return
        limit = self._stack.host.sysctls["net.ipv4.tcp_syn_retries"]
        if self._tries > limit:
            self._connected.fail(errors.TimedOut())
            return
        outcome = self._stack.send(self._packet("S"), record=True)
        self._locked = False
        if self._missed and not self._is_near(outcome):
            self._connected.fail(errors.from_errno(self._missed))
        self._outcomes.append(outcome)
        if outcome.error:
            later = errors.from_errno(outcome.error)
            self._stack.world.call_later(outcome.delay, self._connected.fail, later)
            return
        if not self._connected.done:
            self._timer = self._stack.world.call_later(SYN_TIMEOUT * 2**self._tries, self._send_syn)
            self._tries += 1

    def _is_near(self, outcome: Outcome) -> bool:
        """Whether the packet ended on the machine that sent it: on the host itself, or on the node of a pod."""
        own = 2 if self._stack.host.kind == "pod" else 1
        return len(outcome.hops) <= own

    # -- what the kernel gets ---------------------------------------------------------------------------------

    def takes(self, packet: Packet) -> bool:
        """Whether a packet with these four numbers is for this connection: a new SYN is not, once it has ended."""
        return not (packet.flags == "S" and self._fin_sent and self._eof)

    def receive(self, packet: Packet, by: Walk) -> Packet | None:
        """A segment came.  Returns the one to answer with."""
        flags = packet.flags
        if "R" in flags:
            self._reset_by_peer()
            return None
        if flags == "SA":
            if self.state == "SYN-SENT":
                self.state = "ESTAB"
                self._stop_timer()
                self._tries = 0
                if self._connected is not None:
                    self._connected.resolve(None)
            return self._packet("A")
        if flags == "S":
            return self._packet("SA") if self.state == "SYN-RECV" else None
        if self.state == "SYN-RECV":
            self.state = "ESTAB"
            if self.listener is not None:
                self.listener.established(self)
        if packet.payload:
            if self._closed:
                # close(2) was called: nobody will ever read it (RFC 1122, 4.2.2.13).
                self._forget()
                return self._packet("R")
            self._inbox.append(packet.payload)
            self._wake()
        if "F" in flags:
            self._eof = True
            self.state = "CLOSE-WAIT" if not self._fin_sent else "TIME-WAIT"
            self._wake()
            if self._fin_sent:
                self._forget()
            return self._packet("A")
        return None

    def icmp(self, message: str) -> None:
        """An ICMP error about it came: the end while connecting, otherwise a soft error (RFC 1122, 4.2.3.9).

        A client that polls (curl, Go, Python with a time-out) hears of it at once.  One that blocks in connect(2) has its
        socket locked while its first SYN goes out: what the machine's own rules answer comes too early, and it hears of
        the error when its SYN is sent again, a second later (Linux, tcp_ipv4.c: tcp_v4_err, sock_owned_by_user)."""
        errno = errors.ICMP_ERRNO.get(message, "EHOSTUNREACH")
        if self._locked:
            self._missed = errno
        elif self.state == "SYN-SENT" and self._connected is not None:
            self._connected.fail(errors.from_errno(errno))
        elif self._connected is not None:
            self._soft = errno

    def _reset_by_peer(self) -> None:
        if self.state == "SYN-SENT" and self._connected is not None:
            self._connected.fail(errors.Refused())
        else:
            self._error = errors.Reset()
        self._forget()
        self._wake()

    def _packet(self, flags: str, payload: bytes = b"") -> Packet:
        return Packet(
            protocol="tcp",
            src=self.local[0],
            sport=self.local[1],
            dst=self.peer[0],
            dport=self.peer[1],
            flags=flags,
            payload=payload,
        )

    def _forget(self) -> None:
        self._stop_timer()
        self._outbox.clear()
        self.state = "CLOSED"
        key = (*self.local, *self.peer)
        if self._stack.connections.get(key) is self:
            del self._stack.connections[key]

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._reader is not None:
            self._reader.resolve(None)
            self._reader = None

    # -- what programs do -------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Send.  Raises `errors.Reset` if the peer has reset the connection, `errors.BrokenPipe` after its end."""
        if self._error is not None:
            raise self._error
        if self._fin_sent or self.state == "CLOSED":
            raise errors.BrokenPipe
        if data:
            self._transmit(self._packet("PA", bytes(data)))

    async def recv(self) -> bytes:
        """What came next; b"" at the end.  Raises `errors.Reset`, `errors.TimedOut` when retransmission gave up."""
        while not self._inbox:
            if self._error is not None:
                raise self._error
            if self._eof or self.state == "CLOSED":
                return b""
            self._reader = self._stack.world.future()
            await self._reader
        return self._inbox.popleft()

    def send_eof(self) -> None:
        """Close the sending half (shutdown(SHUT_WR)); receiving goes on."""
        if self._fin_sent or self.state == "CLOSED":
            return
        self._fin_sent = True
        self.state = "FIN-WAIT" if not self._eof else "LAST-ACK"
        self._transmit(self._packet("FA"))

    def close(self) -> None:
        """Close both halves: the peer reads to the end of what was sent, then b"".  Unread data makes it a reset
        (RFC 2525, 2.17)."""
        if self._closed or self.state == "CLOSED":
            return
        self._closed = True
        if self._inbox:
            self.reset()
            return
        self.send_eof()

    def reset(self) -> None:
        """Throw the connection away; the peer gets a RST."""
        if self.state == "CLOSED":
            return
        self._closed = True
        packet = self._packet("R")
        self._error = self._error or errors.Reset()
        self._forget()
        self._wake()
        self._stack.send(packet)

    # -- in order, and again when lost ------------------------------------------------------------------------

    def _transmit(self, packet: Packet) -> None:
        self._outbox.append(packet)
        if self._timer is None:
            self._pump()

    def _pump(self) -> None:
        self._timer = None
        while self._outbox:
            packet = self._outbox[0]
            outcome = self._stack.send(packet)
            if outcome.verdict is not Verdict.DELIVERED:
                if not self._outbox:
                    return  # an answer (RST) ended it meanwhile
                if self._tries > RETRANSMITS:
                    self._error = errors.TimedOut()
                    self._forget()
                    self._wake()
                    return
                self._timer = self._stack.world.call_later(
                    min(RETRANSMIT_MIN * 2**self._tries, RETRANSMIT_MAX), self._pump
                )
                self._tries += 1
                return
            self._tries = 0
            if self._outbox:
                self._outbox.popleft()
        if self._fin_sent and self._eof:
            self._forget()


class UdpSocket:
    """A UDP socket.  ICMP errors about what it sent are raised by `recv_from`, as on a connected socket.

    `answers`: its program answers each datagram, as a name server does; a dry walk follows the answer, too.
    """

    def __init__(self, stack: Stack, ip: str, port: int) -> None:
        self._stack = stack
        self.address = stack.check_bind(ip)
        self.port = port or stack.free_port("udp")
        self._inbox: deque[tuple[bytes, tuple[str, int], str] | errors.NetError] = deque()
        self._reader: Future[None] | None = None
        self._sent: dict[tuple[str, int], Outcome] = {}
        self.closed = False
        self.answers = False
        others = stack.udp.setdefault(self.port, [])
        for other in others:
            if _overlap(other.address, self.address):
                raise errors.AddressInUse
        others.append(self)

    def send_to(self, data: bytes, ip: str, port: int, *, source: str = "", ttl: int = 64) -> Trace:
        """Send a datagram; its way is returned (the answer's is in `trace` later).  Raises `errors.Unreachable` when there
        is no route, `errors.NotPermitted` when the host's own rules threw it away.  `source` picks the local address."""
        ip = address.canonical(ip)
        local = source or (self.address if self.address not in ("", "0.0.0.0", "::") else "")
        packet = Packet(protocol="udp", src=local, dst=ip, sport=self.port, dport=port, payload=bytes(data), ttl=ttl)
        if len(self._sent) > 64:
            self._sent.clear()
        outcome = self._stack.send(packet, record=True)
        self._sent[(ip, port)] = outcome
        if outcome.error:
            error = errors.from_errno(outcome.error, outcome.trace())
            if not outcome.delay:
                raise error
            self._stack.world.call_later(outcome.delay, self._put, error)
        return outcome.trace()

    def trace(self, ip: str, port: int) -> Trace | None:
        """The way of what was last sent there, with the answer's if one has come."""
        outcome = self._sent.get((ip, port))
        return None if outcome is None else outcome.trace()

    async def recv_from(self) -> tuple[bytes, tuple[str, int]]:
        """The next datagram and who sent it.  Raises `errors.Refused` and its like for ICMP errors."""
        datagram, peer, _local = await self.recv_message()
        return datagram, peer

    async def recv_message(self) -> tuple[bytes, tuple[str, int], str]:
        """`recv_from`, with the local address it was sent to: a server must answer from there (IP_PKTINFO)."""
        while not self._inbox:
            if self.closed:
                raise errors.Reset("the socket is closed")
            self._reader = self._stack.world.future()
            await self._reader
        found = self._inbox.popleft()
        if isinstance(found, errors.NetError):
            raise found
        return found

    def incoming(self, packet: Packet, by: Walk) -> None:
        """A datagram came."""
        peer = (packet.src, packet.sport)
        sent = self._sent.get(peer)
        if sent is not None and sent.reply is None:
            sent.reply = by.outcome
        self._put((packet.payload, peer, packet.dst))

    def icmp(self, packet: Packet, inner: Packet) -> None:
        """An ICMP error about something it sent."""
        self._put(errors.from_errno(errors.ICMP_ERRNO.get(packet.icmp, "EHOSTUNREACH")))

    def _put(self, item: tuple[bytes, tuple[str, int], str] | errors.NetError) -> None:
        self._inbox.append(item)
        if self._reader is not None:
            self._reader.resolve(None)
            self._reader = None

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._stack.udp[self.port].remove(self)
        if not self._stack.udp[self.port]:
            del self._stack.udp[self.port]
        if self._reader is not None:
            self._reader.resolve(None)


@dataclass(slots=True, kw_only=True)
class Echo:
    """What came of a ping: `icmp` is "echo-reply" or the error's name, "" when nothing came; `address` who answered, `ttl`
    what was left of the answer's; `rtt` in seconds."""

    address: str = ""
    ttl: int = 0
    icmp: str = ""
    rtt: float = 0.0
    trace: Trace | None = None


async def ping(stack: Stack, ip: str, ttl: int, timeout: float, identifier: int) -> Echo:
    """See `Host.ping`."""
    world: World = stack.world
    source = stack.source_address(ip)
    identifier = identifier or stack.free_port("icmp")
    waiting: Future[Echo] = world.future()
    stack.echoes[identifier] = waiting
    try:
        packet = Packet(
            protocol="icmpv6" if ":" in ip else "icmp",
            src=source,
            dst=ip,
            sport=identifier,
            icmp="echo-request",
            ttl=ttl,
        )
        outcome = stack.send(packet, record=True)
        if outcome.error:
            await world.sleep(outcome.delay)
            return Echo(address=source, icmp="host-unreachable", trace=outcome.trace())
        try:
            echo = await world.wait_for(waiting, timeout)
        except world_module.TimedOut:
            echo = Echo()
        echo.trace = outcome.trace()
        links = outcome.links + (outcome.reply.links if outcome.reply is not None else 0)
        # Virtual time stands still while a packet walks; a ping still shows what such links take.
        echo.rtt = 0.000030 + 0.000055 * links * world.rng("net/latency").uniform(0.8, 1.3)
        return echo
    finally:
        stack.echoes.pop(identifier, None)
