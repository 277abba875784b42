"""What a program gets from its kernel instead of a connection, in the kernel's words (errno's text)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubesim.net.trace import Trace


class NetError(OSError):
    """`errno` by name, and the walk that led to it where there was one."""

    errno_name = ""
    words = ""

    def __init__(self, words: str = "", trace: Trace | None = None) -> None:
        super().__init__(words or self.words)
        self.message = words or self.words
        self.trace = trace

    def __str__(self) -> str:
        return self.message


class Refused(NetError):
    """A RST came back, or ICMP port unreachable: at once."""

    errno_name = "ECONNREFUSED"
    words = "Connection refused"


class Unreachable(NetError):
    """No route, nobody answers ARP, or a router said so.  `errno_name` tells ENETUNREACH from EHOSTUNREACH."""

    errno_name = "EHOSTUNREACH"
    words = "No route to host"

    def __init__(self, words: str = "", trace: Trace | None = None, errno_name: str = "EHOSTUNREACH") -> None:
        super().__init__(words or WORDS.get(errno_name, self.words), trace)
        self.errno_name = errno_name


class TimedOut(NetError):
    """Nobody answered within the time the caller, or TCP itself, was ready to wait."""

    errno_name = "ETIMEDOUT"
    words = "Connection timed out"


class Reset(NetError):
    """The peer threw the connection away."""

    errno_name = "ECONNRESET"
    words = "Connection reset by peer"


class BrokenPipe(NetError):
    """Sending after the connection's end."""

    errno_name = "EPIPE"
    words = "Broken pipe"


class AddressInUse(NetError):
    """Another socket listens there."""

    errno_name = "EADDRINUSE"
    words = "Address already in use"


class AddressNotAvailable(NetError):
    """The host has no such address."""

    errno_name = "EADDRNOTAVAIL"
    words = "Cannot assign requested address"


class NotPermitted(NetError):
    """The host's own OUTPUT rules threw the packet away: sendto(2) says EPERM (TCP just waits)."""

    errno_name = "EPERM"
    words = "Operation not permitted"


WORDS = {
    "EHOSTUNREACH": "No route to host",
    "ENETUNREACH": "Network is unreachable",
    "EACCES": "Permission denied",
    "EINVAL": "Invalid argument",
}

# Linux, net/ipv4/icmp.c: icmp_err_convert.
ICMP_ERRNO = {
    "port-unreachable": "ECONNREFUSED",
    "host-unreachable": "EHOSTUNREACH",
    "net-unreachable": "ENETUNREACH",
    "proto-unreachable": "ENOPROTOOPT",
    "net-prohibited": "ENETUNREACH",
    "host-prohibited": "EHOSTUNREACH",
    "admin-prohibited": "EHOSTUNREACH",
    "time-exceeded": "EHOSTUNREACH",
}


def from_errno(name: str, trace: Trace | None = None) -> NetError:
    """The exception for an errno's name."""
    if name == "ECONNREFUSED":
        return Refused(trace=trace)
    if name == "ETIMEDOUT":
        return TimedOut(trace=trace)
    if name == "EPERM":
        return NotPermitted(trace=trace)
    return Unreachable(trace=trace, errno_name=name)
