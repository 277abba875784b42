"""tcpdump: the packets that pass a host's interfaces, as they come in and as they go out.

An interface sees a packet before the rules change it on the way in, and after they have on the way out.
"""

from __future__ import annotations

from collections import deque

from kubesim import ids
from kubesim.net.link import LOOPBACK
from kubesim.net.packet import Packet
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, not_simulated
from kubesim.shell.tcpdump import filters, lines
from kubesim.world import Future

# Without effect here: line buffering, promiscuous mode.
SILENT = "lUpS"
SNAPSHOT = "snapshot length 262144 bytes"
SERVICES = {port: name for name, port in filters.SERVICES.items()}


async def run(ctx: Context) -> int:
    flags, interface, count, words = _options(ctx)
    host = ctx.machine.net
    interface = interface or next((name for name in host.interfaces if name != LOOPBACK), LOOPBACK)
    if interface != "any" and interface not in host.interfaces:
        raise Usage(f"tcpdump: {interface}: No such device exists\n(No such device exists)\n")
    if ctx.user != "root":
        raise Usage(
            f"tcpdump: {interface}: You don't have permission to perform this capture on that device\n"
            "(socket: Operation not permitted)\n"
        )
    try:
        wanted = await filters.parse(words, lambda name: _addresses(ctx, name))
    except filters.Wrong:
        raise Usage("tcpdump: can't parse filter expression: syntax error\n") from None
    except filters.Unknown as word:
        known = "Known: tcp udp icmp host net port src dst and or not."
        raise not_simulated(ctx, f"the expression {str(word)!r}", known) from None
    cooked = "LINUX_SLL2 (Linux cooked v2)" if interface == "any" else "EN10MB (Ethernet)"
    if interface == "any":
        ctx.complain("tcpdump: data link type LINUX_SLL2")
    ctx.complain("tcpdump: verbose output suppressed, use -v[v]... for full protocol decode")
    ctx.complain(f"listening on {interface}, link-type {cooked}, {SNAPSHOT}")
    capture = _Capture(ctx, interface, wanted)
    printer = _Lines(ctx, flags)
    seen = 0
    host.taps.append(capture.tap)
    try:
        while not count or seen < count:
            when, device, direction, packet = await capture.next()
            seen += 1
            await printer.show(when, device if interface == "any" else "", direction, packet)
    finally:
        # Also where a signal ends it.
        host.taps.remove(capture.tap)
        total = seen + len(capture.waiting)
        ctx.complain(
            f"{seen} packet{'s' * (seen != 1)} captured\n{total} packet{'s' * (total != 1)} received by filter\n"
            "0 packets dropped by kernel"
        )
    return 0


def _options(ctx: Context) -> tuple[str, str, int, list[str]]:
    """The letters of the flags, the interface, how many packets (0 for all), and the expression."""
    flags, interface, count = "", "", 0
    args, words = list(ctx.args), []
    while args:
        # getopt(3) takes options behind the expression, too.
        word = args.pop(0)
        if word == "--":
            words += args
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "ics":
                value = letters or (args.pop(0) if args else "")
                letters = ""
                if not value:
                    raise Usage(f"tcpdump: option requires an argument -- '{letter}'\n")
                if letter == "i":
                    interface = value
                elif letter == "c":
                    if not value.isdigit() or not int(value):
                        raise Usage(f"tcpdump: invalid packet count {value}\n")
                    count = int(value)
            elif letter in "ntq" + SILENT:
                flags += letter
            else:
                raise not_simulated(ctx, f"the option -{letter}")
    return flags, interface, count, words


async def _addresses(ctx: Context, name: str) -> list[str]:
    try:
        return await sockets.resolve(ctx.machine, name)
    except sockets.Failed:
        raise Usage(f"tcpdump: unknown host '{name}'\n") from None


class _Capture:
    """What passed and is not printed yet."""

    def __init__(self, ctx: Context, interface: str, wanted: filters.Filter) -> None:
        self._world = ctx.world
        self._interface = interface
        self._wanted = wanted
        self._reader: Future[None] | None = None
        self.waiting: deque[tuple[float, str, str, Packet]] = deque()

    def tap(self, interface: str, direction: str, packet: Packet) -> None:
        if self._interface not in ("any", interface) or not self._wanted(packet):
            return
        # What goes out by lo comes in by it again, and is shown then (libpcap, linux_check_direction).
        if interface == LOOPBACK and direction == "out":
            return
        self.waiting.append((self._world.now, interface, direction, packet))
        if self._reader is not None:
            self._reader.resolve(None)

    async def next(self) -> tuple[float, str, str, Packet]:
        while not self.waiting:
            self._reader = self._world.future()
            await self._reader
        return self.waiting.popleft()


class _Lines:
    """Prints; without -n by the names of hosts and services, which are asked for once each."""

    def __init__(self, ctx: Context, flags: str) -> None:
        self._ctx = ctx
        self._numeric = "n" in flags
        self._time = flags.count("t")
        self._names: dict[str, str] = {}
        self._printer = lines.Printer(
            lambda address: self._names.get(address, address),
            lambda port: str(port) if self._numeric else SERVICES.get(port, str(port)),
            "q" in flags,
        )

    async def show(self, when: float, interface: str, direction: str, packet: Packet) -> None:
        if not self._numeric:
            for address in (packet.src, packet.dst, *((packet.inner.dst,) if packet.inner else ())):
                if address not in self._names:
                    # Before the answer comes: the question is a packet that may pass here too.
                    self._names[address] = address
                    self._names[address] = (await sockets.reverse(self._ctx.machine, address)).rstrip(".") or address
        before = f"{interface:<5} {direction.capitalize():<3} " if interface else ""
        self._ctx.print(self._stamp(when) + before + self._printer.line(when, interface, packet))

    def _stamp(self, when: float) -> str:
        moment = ids.utc(when)
        match self._time:
            case 0:
                return moment.strftime("%H:%M:%S.%f ")
            case 1:
                return ""
            case 2:
                return f"{when:.6f} "
            case 4:
                return moment.strftime("%Y-%m-%d %H:%M:%S.%f ")
        raise not_simulated(self._ctx, "-" + "t" * self._time)
