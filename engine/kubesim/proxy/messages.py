"""What kube-proxy says in its log, in the words of its release: plain lines until 1.19, structured ones since.

Upstream: the klog calls of cmd/kube-proxy/app, pkg/proxy/iptables/proxier.go and pkg/proxy/config of release-1.16 and 1.36.
Only what is logged at the default verbosity is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kubesim import klog
from kubesim.world import World

# conntrack.maxPerCore (32768) times four cores, which is also conntrack.min.
CONNTRACK_MAX = 131072
# KEP-5495.
IPVS_DEPRECATED = (
    "The ipvs proxier is now deprecated and may be removed in a future release. Please use 'nftables' instead."
)
LOOPBACK = "Can't determine this node's IP, assuming loopback; if this is incorrect, please set the --bind-address flag"
ROUTE_LOCALNET = (
    "Setting route_localnet=1 to allow node-ports on localhost; to change this either disable iptables.localhostNodePorts"
    " (--iptables-localhost-nodeports) or set nodePortAddresses (--nodeport-addresses) to filter loopback addresses"
)


class Messages:
    """Writes them for one release, 1.`minor`."""

    def __init__(self, world: World, write: Callable[[str], None], version: str, minor: int) -> None:
        self._klog = klog.Logger(world, write)
        self._version = version
        self._minor = minor
        self._plain = minor < 20

    def unknown_mode(self, mode: str) -> None:
        where = "server_others.go:329" if self._plain else "server_others.go:565"
        self._klog.line("W", where, f'Flag proxy-mode="{mode}" unknown, assuming iptables proxy')

    def unknown_field(self, name: str) -> None:
        error = f'strict decoding error: unknown field "{name}"'
        self._klog.structured("W", "server.go:239", "Using lenient decoding as strict decoding failed", err=error)

    def starting(self, mode: str, node_ips: Iterable[str], dual_stack: bool) -> None:
        say = self._klog.structured
        if self._plain:
            self._starting_plain(mode, node_ips)
            return
        say("I", "server_linux.go:53", f"Using {mode} proxy")
        say("I", "server.go:715", "Successfully retrieved node IP(s)", IPs=list(node_ips))
        say("I", "conntrack.go:60", "Setting nf_conntrack_max", nfConntrackMax=CONNTRACK_MAX)
        stack = "dual-stack" if dual_stack else "single-stack"
        say("I", "server.go:265", f"kube-proxy running in {stack} mode", **{"primary ipFamily": "IPv4"})
        say("I", "server_linux.go:170", f"Using {mode} Proxier")
        if mode == "ipvs" and self._minor >= 35:
            say("E", "server_linux.go:196", IPVS_DEPRECATED)

    def watching(self) -> None:
        """The proxiers are made; now they wait for the first objects."""
        say = self._klog.structured
        if self._plain:
            return
        say("I", "server.go:518", "Version info", version=self._version)
        say("I", "server.go:520", "Golang settings", GOGC="", GOMAXPROCS="", GOTRACEBACK="")
        for where, what in (
            ("config.go:200", "service"),
            ("config.go:106", "endpoint slice"),
            ("config.go:309", "node"),
        ):
            say("I", where, f"Starting {what} config controller")
            say("I", "shared_informer.go:349", "Waiting for caches to sync", controller=f"{what} config")

    def _starting_plain(self, mode: str, node_ips: Iterable[str]) -> None:
        line = self._klog.line
        for address in node_ips:
            line("I", "node.go:135", f"Successfully retrieved node IP: {address}")
        line("I", "server_others.go:149", f"Using {mode} Proxier.")
        line("I", "server.go:529", f"Version: {self._version}")
        line("I", "conntrack.go:52", f"Setting nf_conntrack_max to {CONNTRACK_MAX}")
        for where, what in (("config.go:131", "endpoints"), ("config.go:313", "service")):
            line("I", where, f"Starting {what} config controller")
            line("I", "shared_informer.go:197", f"Waiting for caches to sync for {what} config")

    def synced(self) -> None:
        if self._plain:
            for what in ("service", "endpoints"):
                self._klog.line("I", "shared_informer.go:204", f"Caches are synced for {what} config ")
            return
        for what in ("service", "endpoint slice", "node"):
            self._klog.structured("I", "shared_informer.go:356", "Caches are synced", controller=f"{what} config")

    def loopback_assumed(self) -> None:
        self._klog.structured("I", "server.go:698", LOOPBACK)

    def route_localnet(self, family: str) -> None:
        if self._minor >= 24:
            self._klog.structured("I", "proxier.go:242", ROUTE_LOCALNET, ipFamily=family)

    def scheduler_assumed(self, family: str) -> None:
        self._klog.structured("I", "proxier.go:351", "IPVS scheduler not specified, use rr by default", ipFamily=family)

    def set_name_cut(self, name: str, cut: str) -> None:
        self._klog.structured("I", "ipset.go:117", "Ipset name truncated", ipSetName=name, truncatedName=cut)

    def restore_failed(self, family: str, error: str, retry: float) -> None:
        if self._plain:
            self._klog.line("E", "proxier.go:1522", f"Failed to execute iptables-restore: {error}")
            return
        self._klog.structured("E", "proxier.go:1563", "Failed to execute iptables-restore", err=error, ipFamily=family)
        self._klog.structured("I", "proxier.go:822", "Sync failed", ipFamily=family, retryingTime=f"{retry:g}s")

    def cannot_hold(self, port: str, error: str) -> None:
        """A node port whose socket somebody else has (until 1.22)."""
        if self._plain:
            self._klog.line("E", "proxier.go:1094", f"can't open {port}, skipping this nodePort: {error}")
        else:
            self._klog.structured("E", "proxier.go:1277", "can't open port, skipping it", err=error, port=port)

    def cannot_serve(self, name: str, error: str) -> None:
        if self._plain:
            self._klog.line("E", "server.go:619", f"starting {name} server failed: {error}")
        else:
            self._klog.structured("E", "server.go:434", f"Failed to start {name} server", err=error)
