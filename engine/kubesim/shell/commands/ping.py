"""ping, ping6 (iputils; busybox's wording where busybox is what the disk has)."""

from __future__ import annotations

import math

from kubesim.net.sockets import Echo
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, busybox, options
from kubesim.world import Cancelled

# A person ends a ping with Ctrl-C; a script cannot, and would never see its end.
SCRIPT_COUNT = 4
ERRORS = {
    "port-unreachable": "Destination Port Unreachable",
    "host-unreachable": "Destination Host Unreachable",
    "net-unreachable": "Destination Net Unreachable",
    "admin-prohibited": "Packet filtered",
    "host-prohibited": "Destination Host Prohibited",
    "time-exceeded": "Time to live exceeded",
}


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="46nqvbDOfa", values="cWwitsIM", name="ping")
    if len(rest) != 1:
        raise Usage("ping: usage error: Destination address required\n", 2)
    family = 6 if "6" in found or ctx.name == "ping6" else 4 if "4" in found else 0
    plain = busybox(ctx.machine)
    try:
        address = await sockets.resolve_one(ctx.machine, rest[0], family)
    except sockets.Failed as error:
        raise Usage(
            f"ping: bad address '{rest[0]}'\n" if plain else f"ping: {rest[0]}: {error}\n", 1 if plain else 2
        ) from None
    live = ctx.shell is not None and ctx.shell.session.interactive
    count = int(found["c"][-1]) if "c" in found else (1 << 30 if live else SCRIPT_COUNT)
    return await _Pinging(ctx, found, rest[0], address, count, plain).all()


class _Pinging:
    def __init__(
        self, ctx: Context, found: dict[str, list[str]], name: str, address: str, count: int, busybox: bool
    ) -> None:
        self.ctx = ctx
        self.found = found
        self.name = name
        self.address = address
        self.count = count
        self.busybox = busybox
        self.size = int(found.get("s", ["56"])[-1])
        self.interval = float(found.get("i", ["1"])[-1])
        self.wait = float(found.get("W", ["1" if not busybox else "10"])[-1])
        self.deadline = float(found["w"][-1]) if "w" in found else None
        self.times: list[float] = []
        self.sent = 0
        self.errors = 0
        self.began = ctx.world.now

    async def all(self) -> int:
        if self.busybox:
            self.ctx.print(f"PING {self.name} ({self.address}): {self.size} data bytes")
        else:
            self.ctx.print(f"PING {self.name} ({self.address}) {self.size}({self.size + 28}) bytes of data.")
        try:
            for number in range(1, self.count + 1):
                await self._one(number)
                if self.deadline is not None and self.ctx.world.now - self.began >= self.deadline:
                    break
        except Cancelled:
            self._statistics()
            raise
        self._statistics()
        return 0 if self.times else 1

    async def _one(self, number: int) -> None:
        began = self.ctx.world.now
        self.sent += 1
        ttl = int(self.found.get("t", ["64"])[-1])
        last = number == self.count
        echo = await self.ctx.machine.net.ping(
            self.address, ttl=ttl, timeout=self.wait if last else max(self.interval, 0.01)
        )
        self._tell(number, echo)
        spent = self.ctx.world.now - began
        if not last and spent < self.interval:
            await self.ctx.world.sleep(self.interval - spent)

    def _tell(self, number: int, echo: Echo) -> None:
        if echo.icmp == "echo-reply":
            self.times.append(echo.rtt * 1000)
            if "q" in self.found:
                return
            if self.busybox:
                self.ctx.print(
                    f"{self.size + 8} bytes from {echo.address}: seq={number - 1} ttl={echo.ttl} time={echo.rtt * 1000:.3f} ms"
                )
            else:
                self.ctx.print(
                    f"{self.size + 8} bytes from {echo.address}: icmp_seq={number} "
                    f"ttl={echo.ttl} time={_three(echo.rtt * 1000)} ms"
                )
        elif echo.icmp and not self.busybox:
            self.errors += 1
            if "q" not in self.found:
                self.ctx.print(f"From {echo.address} icmp_seq={number} {ERRORS.get(echo.icmp, echo.icmp)}")

    def _statistics(self) -> None:
        lost = 100 * (self.sent - len(self.times)) // max(1, self.sent)
        self.ctx.print(f"\n--- {self.name} ping statistics ---")
        if self.busybox:
            self.ctx.print(f"{self.sent} packets transmitted, {len(self.times)} packets received, {lost}% packet loss")
            if self.times:
                average = sum(self.times) / len(self.times)
                self.ctx.print(f"round-trip min/avg/max = {min(self.times):.3f}/{average:.3f}/{max(self.times):.3f} ms")
            return
        errors = f", +{self.errors} errors" if self.errors else ""
        spent = (self.ctx.world.now - self.began) * 1000
        self.ctx.print(
            f"{self.sent} packets transmitted, {len(self.times)} received{errors}, {lost}% packet loss, time {spent:.0f}ms"
        )
        if self.times:
            average = sum(self.times) / len(self.times)
            deviation = math.sqrt(
                max(0.0, sum(each * each for each in self.times) / len(self.times) - average * average)
            )
            self.ctx.print(
                f"rtt min/avg/max/mdev = {min(self.times):.3f}/{average:.3f}/{max(self.times):.3f}/{deviation:.3f} ms"
            )
        else:
            self.ctx.print()


def _three(value: float) -> str:
    """iputils shows three digits: 0.065, 1.23, 12.3, 123."""
    return (
        f"{value:.3f}"
        if value < 1
        else f"{value:.2f}"
        if value < 10
        else f"{value:.1f}"
        if value < 100
        else f"{value:.0f}"
    )
