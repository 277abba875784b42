"""What a container wrote: lines with their times, read as `kubectl logs` asks for them.

Source: `pkg/kubelet/kuberuntime/logs/logs.go`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from kubesim.world import World

# The kubelet rotates at 10 MiB; so many lines are as much as anyone reads.
LINES = 20_000


class Log:
    """The output of one run of a container."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: deque[tuple[float, str]] = deque(maxlen=LINES)
        self._followers: list[Callable[[], None]] = []
        self.written = 0
        self.ended = False

    def write(self, text: str) -> None:
        """One line, or several."""
        for line in text.split("\n"):
            self._lines.append((self._world.now, line))
            self.written += 1
        self._tell()

    def end(self) -> None:
        """The container has gone; nothing more will come."""
        self.ended = True
        self._tell()

    def _tell(self) -> None:
        followers, self._followers = self._followers, []
        for follower in followers:
            self._world.call_soon(follower)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def tail(self, count: int) -> str:
        """The last lines, for the message of a container that failed."""
        return "\n".join(line for _, line in list(self._lines)[-count:])

    def read(
        self, after: int = 0, tail: int | None = None, since: float | None = None, timestamps: bool = False
    ) -> bytes:
        """The lines from number `after` on; of these the last `tail`, and none from before the time `since`."""
        skipped = self.written - len(self._lines)
        lines = list(self._lines)[max(0, after - skipped) :]
        if since is not None:
            lines = [each for each in lines if each[0] >= since]
        if tail is not None:
            lines = lines[-tail:] if tail > 0 else []
        return "".join(f"{_stamp(when) + ' ' if timestamps else ''}{line}\n" for when, line in lines).encode(
            "utf-8", "surrogateescape"
        )


def _stamp(when: float) -> str:
    """RFC 3339 with nanoseconds, as the runtimes write."""
    moment = datetime.fromtimestamp(int(when), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{int((when % 1) * 1e9):09d}Z"


class Follow:
    """`kubectl logs -f`: an http.Stream that ends with the container."""

    def __init__(self, log: Log, tail: int | None, since: float | None, timestamps: bool) -> None:
        self._log = log
        self._timestamps = timestamps
        self._waiting = log.read(0, tail, since, timestamps)
        self._read = log.written
        self._closed = False

    def read(self) -> bytes | None:
        if self._closed:
            return None
        data = self._waiting + self._log.read(self._read, None, None, self._timestamps)
        self._waiting, self._read = b"", self._log.written
        if not data and self._log.ended:
            return None
        return data

    def on_ready(self, callback: Callable[[], None]) -> None:
        if self._waiting or self._log.ended or self._read < self._log.written:
            self._log._world.call_soon(callback)
        else:
            self._log.on_change(callback)

    def close(self) -> None:
        self._closed = True
