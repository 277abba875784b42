"""kube-proxy as a program on one node: it watches the API and keeps the node's rules so that they match.

Theory of operation
-------------------
For each IP family there is a `Family`: its state, its rules' renderer, and a runner that decides when to sync.  A change
of a Service or EndpointSlice is noted at once and written at the runner's next turn, together with all others that have
come by then.  A sync writes only the Services that changed; it is *full* at the start, after a failure, when the node's
topology labels changed, once an hour, and when somebody flushed the tables under kube-proxy's feet.  The last is noticed
by a chain in the mangle table that is looked for every `syncPeriod` (30 s): who flushes chains of nat alone
(`iptables -t nat -F KUBE-SERVICES`) breaks Services until the next sync, which is the next change of any Service or
endpoint, or the hourly one.  Before 1.18 there was no such chain, but a full sync every `syncPeriod`.

Upstream: cmd/kube-proxy/app/server.go, pkg/proxy/iptables/proxier.go, pkg/proxy/config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kubesim.client import Client, Object, Subscription
from kubesim.errors import LearnerError, NotSimulated
from kubesim.machine import Machine
from kubesim.net.ipvs_schedulers import REAL, SCHEDULERS
from kubesim.proxy import addresses, cleanup, health, ipvs, kernel, settings, topology
from kubesim.proxy.addresses import NodePortAddresses
from kubesim.proxy.config import Config
from kubesim.proxy.family import FULL_SYNC_PERIOD, Family, IptablesFamily, NftablesFamily
from kubesim.proxy.ipvs_family import IpvsFamily
from kubesim.proxy.kernel import Iptables
from kubesim.proxy.messages import Messages
from kubesim.proxy.model import PortName, ServiceName
from kubesim.proxy.runner import BoundedFrequencyRunner
from kubesim.proxy.settings import LocalDetector, Settings
from kubesim.proxy.state import State
from kubesim.proxy.userspace import UserspaceFamily
from kubesim.world import Timer, World

if TYPE_CHECKING:
    from kubesim.net.host import Host

# The labels of its node that kube-proxy heeds (config.NodeTopologyConfig).
TOPOLOGY_LABELS = ("kubernetes.io/hostname", topology.ZONE_LABEL, "topology.kubernetes.io/region")
# A node with this taint is about to be removed by the cluster autoscaler (healthcheck/proxy_health.go).
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
MODES = ("", "iptables", "ipvs", "nftables")
# From here on the ipvs mode has had the chains that it has today (KUBE-IPVS-FILTER).
IPVS_SINCE = 27


class KubeProxy:
    """See the module.  `machine` is the node, `log` takes one line for `kubectl logs`, `version` is "v1.36.2"."""

    def __init__(
        self,
        world: World,
        client: Client,
        machine: Machine,
        config: Config,
        log: Callable[[str], None],
        version: str = "v1.36.2",
    ) -> None:
        self.world = world
        self.client = client
        self.machine = machine
        self.config = config
        self.version = version
        self.minor = int(version.lstrip("v").split(".")[1])
        self.node_name = config.hostname_override or machine.hostname.lower()
        self.messages = Messages(world, log, version, self.minor)
        self.mode = "iptables"
        self.families: list[Family] = []
        self.health = health.Health(world, 2 * config.sync_period)
        self._runners: list[BoundedFrequencyRunner] = []
        self._subscriptions: list[Subscription] = []
        self._servers = health.Servers(machine, self.messages.cannot_serve)
        self._held: dict[tuple[str, int], Any] = {}
        self._monitor: Timer | None = None
        self._labels: dict[str, str] = {}

    # -- its life -------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, and go on until cancelled; or only clear up, where the command line says so."""
        if self.config.cleanup:
            cleanup.everything(self.machine.net)
            return 0
        self.start()
        try:
            await self.world.future()
        finally:
            self.stop()
        return 0

    def start(self) -> None:
        """Read what is there, write the first rules, and begin to watch.  LearnerError for a mode that there is not."""
        self._choose_mode()
        node = self.client.find("nodes", self.node_name)
        node_ips = self._node_ips(node)
        self._labels = _topology(node)
        families: tuple[addresses.Family, ...] = ("IPv4", "IPv6") if self.minor >= 21 else ("IPv4",)
        for name in self.config.unknown:
            self.messages.unknown_field(name)
        self.messages.starting(self.mode, node_ips.values(), len(families) == 2)
        for family in families:
            self._add_family(family, node_ips.get(family, ""))
        self.messages.watching()
        self._load()
        self._serve()
        self._listen()
        for runner in self._runners:
            runner.now()
        if self.minor >= 18:
            for each in self.families:
                each.set_canaries()
            self._monitor = self.world.call_later(self.config.sync_period, self._look_for_canaries, background=True)

    def stop(self) -> None:
        """The program ends; the rules stay, as they do when kube-proxy dies."""
        for subscription in self._subscriptions:
            subscription.close()
        for runner in self._runners:
            runner.stop()
        if self._monitor is not None:
            self._monitor.cancel()
        self._servers.keep(())
        for held in self._held.values():
            held.close()
        for family in self.families:
            family.stop()
        self._subscriptions, self._runners = [], []
        self._held = {}

    def _choose_mode(self) -> None:
        mode = self.config.mode
        if self.minor < 24:
            if mode not in ("iptables", "ipvs", "userspace"):
                self.messages.unknown_mode(mode)
                mode = "iptables"
        elif mode not in MODES:
            raise LearnerError(
                f'mode: Invalid value: "{mode}": must be iptables, ipvs, nftables or blank'
                " (blank means the best-available proxy (currently iptables))"
            )
        self.mode = mode or "iptables"
        if self.mode == "ipvs":
            self._check_ipvs()
        if self.minor >= 29:
            cleanup.others(self.machine.net, self.mode)

    def _check_ipvs(self) -> None:
        if self.minor < IPVS_SINCE:
            raise NotSimulated(
                f"the ipvs mode of kube-proxy {self.version}",
                f"Its rules of release 1.{IPVS_SINCE} and later are here: take a preset of such a release, or mode: iptables.",
            )
        scheduler = self.config.scheduler or "rr"
        if scheduler in REAL and scheduler not in SCHEDULERS:
            raise NotSimulated(f"the IPVS scheduler {scheduler!r}", f"ipvs.scheduler may be {', '.join(SCHEDULERS)}.")
        if scheduler not in SCHEDULERS:
            # CanUseIPVSProxier tries the scheduler out, and the kernel knows no such module.
            raise LearnerError("can't use the IPVS proxier: no such file or directory")

    def _node_ips(self, node: Object | None) -> dict[str, str]:
        """The node's internal address of each family, as its status lists them."""
        found: dict[str, str] = {}
        for each in ((node or {}).get("status") or {}).get("addresses") or ():
            address = addresses.canonical(each["address"]) if each["type"] == "InternalIP" else ""
            if address:
                found.setdefault(addresses.family(address), address)
        if not found:
            self.messages.loopback_assumed()
        return found or {"IPv4": "127.0.0.1"}

    def _add_family(self, family: addresses.Family, node_ip: str) -> None:
        config, host = self.config, self.machine.net
        ipv6 = family == "IPv6"
        by_nft = self.mode == "nftables"
        chosen = config.node_port_addresses
        if by_nft and not chosen and node_ip:
            # This mode takes NodePorts on the node's primary address, where nothing else is said (KEP-3866).
            chosen = (f"{node_ip}/{128 if ipv6 else 32}",)
        node_ports = NodePortAddresses(family, chosen)
        localhost = (
            self.mode not in ("nftables", "ipvs")
            and not ipv6
            and config.localhost_node_ports
            and node_ports.contains_ipv4_loopback()
        )
        if localhost:
            self.messages.route_localnet(family)
            host.sysctls["net.ipv4.conf.all.route_localnet"] = 1
        counters = (
            frozenset({settings.COUNTER_INVALID, settings.COUNTER_LOCALHOST}) if self.minor >= 32 else frozenset()
        )
        options = Settings(
            family=family,
            node_name=self.node_name,
            node_ip=node_ip,
            node_addresses=self._own_addresses(ipv6),
            node_port_addresses=node_ports,
            local_detector=self._detector(family),
            masquerade_all=config.masquerade_all,
            masquerade_mark=config.masquerade_mark,
            # 1.16's image has iptables 1.6, which does not know --random-fully.
            random_fully=self.minor >= 17,
            localhost_node_ports=localhost,
            conntrack_tcp_liberal=config.conntrack_tcp_liberal,
            counters=counters,
            topology_labels=self._labels,
            service_cidrs=self._service_cidrs(family) if by_nft else (),
            scheduler=config.scheduler or "rr",
        )
        tables = Iptables(host.netfilter6 if ipv6 else host.netfilter)
        state = State(family, self.node_name)
        each: Family
        if self.mode == "userspace":
            each = UserspaceFamily(self.world, host, state, options, tables)
        elif self.mode == "ipvs":
            each = self._ipvs(host, state, options, tables)
        elif by_nft:
            each = NftablesFamily(self.world, state, options, host.nft)
        else:
            each = IptablesFamily(self.world, state, options, tables, self.minor, config.sync_period)
        self.families.append(each)
        self._runners.append(
            BoundedFrequencyRunner(
                self.world,
                lambda: self._sync(each),
                minimum=config.min_sync_period,
                maximum=FULL_SYNC_PERIOD if self.minor >= 18 and self.mode != "ipvs" else config.sync_period,
                retry=config.sync_period,
            )
        )

    def _ipvs(self, host: Host, state: State, options: Settings, tables: Iptables) -> IpvsFamily:
        config = self.config
        if not config.scheduler:
            self.messages.scheduler_assumed(options.family)
        for name in ipvs.SETS if options.ipv6 else ():
            whole, cut = name.replace("KUBE-", "KUBE-6-", 1), ipvs.set_name(name, True)
            if whole != cut:
                self.messages.set_name_cut(whole, cut)
        if any(config.ipvs_timeouts):
            host.ipvs.set_timeouts(*config.ipvs_timeouts)
        return IpvsFamily(
            self.world, host, state, options, tables, config.sync_period,
            excluded=config.exclude_cidrs, strict_arp=config.strict_arp,
        )  # fmt: skip

    def _service_cidrs(self, family: addresses.Family) -> tuple[str, ...]:
        """The ServiceCIDRs of a family: an address of theirs that no Service has is nobody's."""
        found = [cidr for each in self.client.list("servicecidrs.networking.k8s.io") for cidr in each["spec"]["cidrs"]]
        return tuple(map(str, addresses.ranges_of_family(family, found)))

    def _own_addresses(self, ipv6: bool) -> tuple[str, ...]:
        own = self.machine.net.addresses(ipv6=ipv6, apart_from=ipvs.DUMMY)
        return ("::1" if ipv6 else "127.0.0.1", *own)

    def _detector(self, family: addresses.Family) -> LocalDetector | None:
        """cmd/kube-proxy/app/server_linux.go, getLocalDetectors."""
        config = self.config
        match config.detect_local_mode:
            case "BridgeInterface":
                return LocalDetector("interface", config.bridge_interface)
            case "InterfaceNamePrefix":
                return LocalDetector("prefix", config.interface_name_prefix)
            case "" | "ClusterCIDR":
                cidrs = addresses.ranges_of_family(family, config.cluster_cidr.split(","))
            case "NodeCIDR":
                node = self.client.find("nodes", self.node_name) or {}
                cidrs = addresses.ranges_of_family(family, (node.get("spec") or {}).get("podCIDRs") or ())
            case other:
                raise LearnerError(f'unknown detectLocalMode "{other}"')
        return LocalDetector("cidr", str(cidrs[0])) if cidrs else None

    # -- what it hears --------------------------------------------------------------------------------------

    @property
    def _slices(self) -> str:
        """Where endpoints are read from: EndpointSlices since 1.19."""
        return "endpointslices.discovery.k8s.io" if self.minor >= 19 else "endpoints"

    def _note_endpoints(self, state: State, obj: Object, deleted: bool) -> bool:
        return state.slice_changed(obj, deleted) if self.minor >= 19 else state.endpoints_changed(obj, deleted)

    def _load(self) -> None:
        """kube-proxy writes nothing before it has seen all Services and endpoints that there are."""
        services, slices = self.client.list("services"), self.client.list(self._slices)
        for each in self.families:
            for service in services:
                each.state.service_changed(service)
            for endpoint_slice in slices:
                self._note_endpoints(each.state, endpoint_slice, False)
        self.messages.synced()

    def _listen(self) -> None:
        self._subscriptions = [
            self.client.watch("services", self._on_service),
            self.client.watch(self._slices, self._on_slice),
            self.client.watch("nodes", self._on_node),
        ]

    def _on_service(self, kind: str, obj: Object, _before: Object | None) -> None:
        for each, runner in zip(self.families, self._runners, strict=True):
            if each.state.service_changed(obj, kind == "DELETED"):
                self._ask(runner)

    def _on_slice(self, kind: str, obj: Object, _before: Object | None) -> None:
        for each, runner in zip(self.families, self._runners, strict=True):
            if self._note_endpoints(each.state, obj, kind == "DELETED"):
                self._ask(runner)

    def _on_node(self, kind: str, obj: Object, _before: Object | None) -> None:
        if obj["metadata"]["name"] != self.node_name:
            return
        taints = (obj.get("spec") or {}).get("taints") or ()
        going = "deletionTimestamp" in obj["metadata"] or any(taint["key"] == TO_BE_DELETED for taint in taints)
        self.health.eligible = kind != "DELETED" and not going
        labels = {} if kind == "DELETED" else _topology(obj)
        if labels == self._labels:
            return
        self._labels = labels
        for each, runner in zip(self.families, self._runners, strict=True):
            each.options = replace(each.options, topology_labels=labels)
            each.needs_full = True
            self._ask(runner)

    def _ask(self, runner: BoundedFrequencyRunner) -> None:
        self.health.queued()
        runner.run()

    # -- what it does ---------------------------------------------------------------------------------------

    def _sync(self, family: Family) -> bool:
        options = family.options
        # iptables and nftables ask the kernel what is local; IPVS wants each of the node's addresses by name.
        if self.mode == "ipvs" or not options.node_port_addresses.match_all:
            own = self._own_addresses(options.ipv6)
            if own != options.node_addresses:
                family.options = replace(options, node_addresses=own)
                family.needs_full = True
        try:
            changes = family.sync()
        except LearnerError as error:
            self.messages.restore_failed(options.family, error.message, self.config.sync_period)
            return False
        self.health.updated()
        self._serve_health_checks()
        if changes.udp:
            kernel.forget_stale(self.machine.net.conntrack, family.state)
        if self.minor < 23 and self.mode == "iptables":
            self._hold_node_ports()
        return True

    def _look_for_canaries(self) -> None:
        """iptables.Monitor: a lost canary means that all was flushed, so all is written again."""
        for each, runner in zip(self.families, self._runners, strict=True):
            if not each.canary_lives():
                each.needs_full = True
                runner.now()
                each.set_canaries()
        self._monitor = self.world.call_later(self.config.sync_period, self._look_for_canaries, background=True)

    def _hold_node_ports(self) -> None:
        """Until 1.22 kube-proxy kept a socket on each node port, so that nobody else could take it."""
        wanted: dict[tuple[str, int], PortName] = {}
        for each in self.families:
            for service in each.state.services.values():
                if service.node_port and service.protocol in ("tcp", "udp"):
                    wanted[service.protocol, service.node_port] = service.name
        for key in [key for key in self._held if key not in wanted]:
            self._held.pop(key).close()
        for key in sorted(wanted.keys() - self._held.keys()):
            protocol, port = key
            try:
                net = self.machine.net
                self._held[key] = net.listen("tcp", "", port) if protocol == "tcp" else net.udp("", port)
            except OSError as error:
                held = f'"nodePort for {wanted[key]}" (:{port}/{protocol})'
                self.messages.cannot_hold(held, f"listen {protocol} :{port}: bind: {error}")

    # -- what it answers ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._servers.open("healthz", self.config.healthz_bind_address, health.proxy_health(self.world, self.health))
        self._servers.open("metrics", self.config.metrics_bind_address, health.metrics(self.mode, self._metrics))

    def _serve_health_checks(self) -> None:
        """A server for each Service that has a healthCheckNodePort."""
        wanted = {f"{name} healthcheck on {port}": (name, port) for name, port in self._health_checks()}
        self._servers.keep({"healthz", "metrics", *wanted})
        for key, (name, port) in wanted.items():
            handler = health.service_health(name, partial(self._local_ready, name), self.health)
            self._servers.open(key, f":{port}", handler)

    def _health_checks(self) -> Iterator[tuple[ServiceName, int]]:
        for each in self.families:
            yield from each.state.health_check_node_ports().items()

    def _local_ready(self, name: ServiceName) -> int:
        return sum(each.state.local_ready(name) for each in self.families)

    def _metrics(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for each in self.families:
            family = f'ip_family="{each.state.family}"'
            found[f"kubeproxy_sync_full_proxy_rules_duration_seconds_count{{{family}}}"] = each.full_syncs
            found[f"kubeproxy_sync_partial_proxy_rules_duration_seconds_count{{{family}}}"] = each.partial_syncs
            for table, count in each.rule_counts().items():
                found[f'kubeproxy_sync_proxy_rules_iptables_total{{{family},table="{table}"}}'] = count
            found[f"kubeproxy_sync_proxy_rules_last_timestamp_seconds{{{family}}}"] = self.health.updated_at
        return dict(sorted(found.items()))


def _topology(node: Object | None) -> dict[str, str]:
    labels = ((node or {}).get("metadata") or {}).get("labels") or {}
    return {name: labels[name] for name in TOPOLOGY_LABELS if name in labels}
