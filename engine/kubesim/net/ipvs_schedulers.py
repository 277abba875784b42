"""IPVS's schedulers: which real server of a virtual server gets the next connection.

A scheduler is a function of the service, the client's and the virtual address; it changes nothing.  It gives the real server
whose turn it is (None: none takes connections) and what the service has to remember when that one is really taken.  So
a dry walk can ask without moving the turn on.  `SCHEDULERS` is the table; `shares` says how a crowd of connections spreads.

Source: Linux, net/netfilter/ipvs/ip_vs_{rr,wrr,lc,wlc,sh,dh,sed,nq}.c.  lblc, lblcr, fo, ovf, mh and twos are left out, and
fail by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kubesim.net import address

if TYPE_CHECKING:
    from kubesim.net.ipvs import RealServer, Service

# What the service remembers: rr's last real server, wrr's last one and its current weight.
Memory = Any
Pick = tuple["RealServer | None", Memory]
Scheduler = Callable[["Service", str, str], Pick]

# Buckets of the two hashing schedulers (IP_VS_SH_TAB_BITS, IP_VS_DH_TAB_BITS), and the kernel's 32-bit golden ratio (hash_32).
_BITS = 8
_GOLDEN = 0x61C88647
# A connection that is established weighs as much as so many that are not (ip_vs_dest_conn_overhead).
_ACTIVE = 256

REAL = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf", "twos")


def _after(service: Service, last: RealServer | None) -> list[RealServer]:
    """The real servers in the kernel's order (the newest first), beginning behind `last`."""
    servers = service.real_servers
    at = servers.index(last) + 1 if last in servers else 0
    return [*servers[at:], *servers[:at]]


def _rr(service: Service, _client: str, _to: str) -> Pick:
    found = next((each for each in _after(service, service.memory) if each.weight > 0), None)
    return found, found or service.memory


def _wrr(service: Service, _client: str, _to: str) -> Pick:
    weights = [each.weight for each in service.real_servers if each.weight > 0]
    if not weights:
        return None, service.memory
    most, step = max(weights), math.gcd(*weights)
    last, current = service.memory or (None, most)
    current = min(current, most)
    servers = service.real_servers
    at = servers.index(last) + 1 if last in servers else 0
    while True:
        for each in servers[at:]:
            if each.weight >= current:
                return each, (each, current)
        at = 0
        current = current - step if current > step else most


def _overhead(each: RealServer) -> int:
    return each.active * _ACTIVE + each.inactive


def _least(service: Service, cost: Callable[[RealServer], float]) -> Pick:
    usable = [each for each in service.real_servers if each.weight > 0]
    return (min(usable, key=cost) if usable else None), None


def _lc(service: Service, _client: str, _to: str) -> Pick:
    return _least(service, _overhead)


def _wlc(service: Service, _client: str, _to: str) -> Pick:
    return _least(service, lambda each: _overhead(each) / each.weight)


def _expected(each: RealServer) -> float:
    return (each.active + 1) / each.weight


def _sed(service: Service, _client: str, _to: str) -> Pick:
    return _least(service, _expected)


def _nq(service: Service, client: str, to: str) -> Pick:
    idle = next((each for each in service.real_servers if each.weight > 0 and not each.active), None)
    return (idle, None) if idle is not None else _sed(service, client, to)


def bucket(ip: str) -> int:
    """The bucket of an address in the hash tables of sh and dh; IPv6's four words are folded into one."""
    value = address.number(ip)
    folded = value & 0xFFFFFFFF
    while ":" in ip and (value := value >> 32):
        folded ^= value & 0xFFFFFFFF
    return (folded * _GOLDEN & 0xFFFFFFFF) >> (32 - _BITS)


def _hashed(service: Service, ip: str, weighted: bool) -> Pick:
    # ip_vs_sh_reassign: each real server gets as many buckets in a row as it weighs, again and again.
    servers = [each for each in service.real_servers for _ in range(max(1, each.weight) if weighted else 1)]
    found = servers[bucket(ip) % len(servers)] if servers else None
    return (found if found is not None and found.weight > 0 else None), None


def _sh(service: Service, client: str, _to: str) -> Pick:
    return _hashed(service, client, weighted=True)


def _dh(service: Service, _client: str, to: str) -> Pick:
    return _hashed(service, to, weighted=False)


SCHEDULERS: dict[str, Scheduler] = {
    "rr": _rr, "wrr": _wrr, "lc": _lc, "wlc": _wlc, "sh": _sh, "dh": _dh, "sed": _sed, "nq": _nq,
}  # fmt: skip

# Why it is the one, for a trace.
WORDS = {
    "rr": "the real servers take turns (rr)",
    "wrr": "the real servers take turns, each as often as it weighs (wrr)",
    "lc": "the real server with the fewest connections is next (lc)",
    "wlc": "the real server with the fewest connections for its weight is next (wlc)",
    "sh": "the client's address decides (sh)",
    "dh": "the destination's address decides (dh)",
    "sed": "the real server with the shortest expected delay is next (sed)",
    "nq": "an idle real server is next, else the one with the shortest expected delay (nq)",
}
# Where turns, or how busy the real servers are, decide: what comes next cannot be told from the packet.
_BY_WEIGHT = {"rr": False, "lc": False, "wrr": True, "wlc": True, "sed": True, "nq": True}


def shares(service: Service) -> list[float] | None:
    """For each real server, in the order of `service.real_servers`, its share of many connections; None where the packet
    itself decides (sh, dh)."""
    weighted = _BY_WEIGHT.get(service.scheduler)
    if weighted is None:
        return None
    parts = [(each.weight if weighted else 1) if each.weight > 0 else 0 for each in service.real_servers]
    whole = sum(parts)
    return [part / whole for part in parts] if whole else None
