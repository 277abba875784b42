"""Queues to user space: a rule gives a packet to a numbered queue, and a program that listens there decides.

The kernel's side is NFQUEUE in iptables and `queue` in nftables (Linux, net/netfilter/nf_queue.c, nfnetlink_queue.c).  What
the program accepts goes on after the chain that queued it, not after the rule.  With nobody listening a packet is lost,
unless the rule says `bypass`: then it goes on as if accepted.  That is why a queue whose program died is an open door.

A listener is a plain function of the packet: the walk stands still while it thinks, as the packet does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from kubesim import errors
from kubesim.errors import LearnerError
from kubesim.net.extension import ACCEPT, DROP, Option, Target, UsageError
from kubesim.net.trace import Kind, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubesim.net.packet import Flight, Packet
    from kubesim.net.walk import Walk


class Answer(NamedTuple):
    """A listener's verdict with its reason in words.  `label`: a bit to set on the packet's connection (`ct label`)."""

    accepted: bool
    why: str
    label: int | None = None


class Listener(NamedTuple):
    """Who listens; `name` is the program's, for traces."""

    name: str
    decide: Callable[[Packet], Answer]


class QueueTaken(LearnerError):
    """Another program listens on that queue: EPERM from nfqnl_msg_config_cmd."""


class Queues:
    """The queues of one host, by number."""

    def __init__(self) -> None:
        self.listeners: dict[int, Listener] = {}

    def bind(self, number: int, name: str, decide: Callable[[Packet], Answer]) -> None:
        """Listen.  Raises `QueueTaken`."""
        if number in self.listeners:
            raise QueueTaken(f"queue {number} is {self.listeners[number].name}'s")
        self.listeners[number] = Listener(name, decide)

    def unbind(self, number: int) -> None:
        self.listeners.pop(number, None)


class Question(NamedTuple):
    """What a rule makes of a packet that it queues."""

    number: int
    bypass: bool

    def ask(self, flight: Flight, walk: Walk) -> int:
        """ACCEPT or DROP; the walk is told why."""
        listener = walk.host.queues.listeners.get(self.number)
        if listener is None:
            if self.bypass:
                walk.note(Kind.QUEUE, f"nobody listens on queue {self.number}, and the rule says bypass: it goes on")
                return ACCEPT
            why = f"nobody listens on queue {self.number} of {walk.host.name}"
            walk.note(Kind.QUEUE, why, "", "", "", False)
            walk.end(Verdict.DROPPED, why)
            return DROP
        answer = listener.decide(flight.packet())
        entry = flight.entry
        if entry is not None and answer.label is not None:
            entry.labels |= 1 << answer.label
        walk.note(Kind.QUEUE, f"{listener.name}: {answer.why}", "", "", "", answer.accepted)
        if answer.accepted:
            return ACCEPT
        walk.end(Verdict.DROPPED, answer.why)
        return DROP

    @property
    def words(self) -> str:
        return f"handed to queue {self.number}, where a program decides"


def _number(word: str) -> str:
    if not word.isdigit() or int(word) > 65535:
        raise UsageError(f'NFQUEUE: bad value for option "--queue-num", or out of range (0-65535): "{word}"')
    return word


class Nfqueue(Target):
    """`-j NFQUEUE --queue-num N [--queue-bypass]`."""

    name = "NFQUEUE"
    options: ClassVar = {
        "queue-num": Option(_number, invertible=False),
        "queue-bypass": Option(None, 0, invertible=False),
        "queue-balance": Option(str, invertible=False),
    }

    def take(self, name: str, values: list[str], inverted: bool) -> None:
        if name == "queue-balance":
            raise errors.NotSimulated("iptables option --queue-balance")
        super().take(name, values, inverted)

    @property
    def _question(self) -> Question:
        return Question(
            int(self.given["queue-num"].value) if "queue-num" in self.given else 0, "queue-bypass" in self.given
        )

    def save(self) -> list[str]:
        return ["--queue-num", str(self._question.number)] + (["--queue-bypass"] if self._question.bypass else [])

    def act(self, flight: Flight, walk: Walk) -> int:
        return self._question.ask(flight, walk)

    def words(self, flight: Flight) -> str:
        return self._question.words

    def describe(self, numeric: bool) -> str:
        return f"NFQUEUE num {self._question.number}" + (" bypass" if self._question.bypass else "")


TARGETS: dict[str, type[Target]] = {"NFQUEUE": Nfqueue}
