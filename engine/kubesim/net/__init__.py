"""The network: hosts with interfaces, routes, netfilter rules and conntrack; the walk of a packet; its trace.

Belongs here: what the Linux kernel does with packets.  Never here: Kubernetes.  Nothing in this package knows what a
pod, a Service or an endpoint is; it sees addresses, links and rules (as text that `iptables-save` and `nft` would
print), and it may not import `kubesim.proxy`, which wrote them.

`Network` makes hosts and links, `Host` is what programs and commands use; what goes wrong on the wire is raised as one
of the errors below.
"""

from kubesim.net.errors import (
    AddressInUse,
    AddressNotAvailable,
    BrokenPipe,
    NetError,
    NotPermitted,
    Refused,
    Reset,
    TimedOut,
    Unreachable,
)
from kubesim.net.host import Host
from kubesim.net.network import Network
from kubesim.net.packet import Packet
from kubesim.net.sockets import Connection, Echo, Listener, UdpSocket
from kubesim.net.trace import Hop, Kind, Step, Trace, Verdict

__all__ = [
    "AddressInUse", "AddressNotAvailable", "BrokenPipe", "Connection", "Echo", "Hop", "Host", "Kind", "Listener", "NetError",
    "Network", "NotPermitted", "Packet", "Refused", "Reset", "Step", "TimedOut", "Trace", "UdpSocket", "Unreachable", "Verdict",
]  # fmt: skip
