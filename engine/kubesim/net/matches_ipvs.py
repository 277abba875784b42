"""`-m ipvs`: what IPVS knows of a packet (Linux, net/netfilter/xt_ipvs.c; iptables-extensions(8)).

It asks for packets that IPVS has had in its hands on this host, so it is of use behind IPVS' place in a hook: in OUTPUT's
filter, FORWARD's nothing yet, and POSTROUTING.  Left out, and said: --vdir, --vmethod, --vportctl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kubesim import errors
from kubesim.net import address
from kubesim.net.extension import PROTOCOL_NAMES, PROTOCOL_NUMBERS, Match, Option, UsageError, port
from kubesim.net.ipvs import Flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubesim.net.ipvs import Connection
    from kubesim.net.matches import Test, Words
    from kubesim.net.packet import Flight
    from kubesim.net.rules import Rule
    from kubesim.net.walk import Walk


def _protocol(word: str) -> str:
    number = PROTOCOL_NUMBERS.get(word.lower())
    if number is None and not word.isdigit():
        raise UsageError(f'ipvs: bad value for option "--vproto": {word}')
    return word if number is None else str(number)


def _address(word: str) -> str:
    try:
        prefix = address.prefix(word)
    except ValueError:
        raise UsageError(f"host/network `{word}' not found") from None
    return address.text(prefix.base, prefix.bits) if prefix.length == prefix.bits else str(prefix)


def _port(word: str) -> str:
    return str(port(word))


def _absent(word: str) -> str:
    raise errors.NotSimulated(f"iptables match 'ipvs': the option that says {word!r}")


class Ipvs(Match):
    name = "ipvs"
    # In the order in which they are saved.
    options: ClassVar = {
        "ipvs": Option(None, 0),
        "vproto": Option(_protocol),
        "vaddr": Option(_address),
        "vport": Option(_port),
        "vdir": Option(_absent),
        "vmethod": Option(_absent),
        "vportctl": Option(_absent),
    }

    def check(self, rule: Rule) -> None:
        if not self.given:
            raise UsageError("IPVS: At least one option is required")

    def tests(self) -> Iterable[tuple[Test, Words]]:
        given = self.given.get("ipvs")
        wanted = given is None or not given.inverted
        yield (
            lambda flight, walk: flight.by_ipvs == wanted,
            lambda flight, walk: f"IPVS has {'not ' if wanted else ''}had it in its hands",
        )
        if set(self.given) != {"ipvs"}:
            yield self._fits, lambda flight, walk: "it goes to another virtual server, or to none"

    def _fits(self, flight: Flight, walk: Walk) -> bool:
        found = _connection(flight, walk)
        if found is None:
            return False
        service = found.service
        values = {
            "vproto": PROTOCOL_NAMES[int(self.given["vproto"].value)] == service.protocol
            if "vproto" in self.given
            else True,
            "vaddr": address.prefix(self.given["vaddr"].value).contains(service.address)
            if "vaddr" in self.given
            else True,
            "vport": int(self.given["vport"].value) == service.port if "vport" in self.given else True,
        }
        return all(holds != (name in self.given and self.given[name].inverted) for name, holds in values.items())

    def describe(self, numeric: bool) -> str:
        return " ".join(word.removeprefix("--") for word in self.save())


def _connection(flight: Flight, walk: Walk) -> Connection | None:
    """The connection of a packet that was given to a real server, or of one that came from there.

    The kernel looks for the packet's header the other way round, so that it finds what was rewritten already."""
    if flight.inner is not None:
        return None
    return walk.connections(walk.host).answer(Flow(flight.protocol, flight.dst, flight.dport, flight.src, flight.sport))


MATCHES: dict[str, type[Match]] = {"ipvs": Ipvs}
