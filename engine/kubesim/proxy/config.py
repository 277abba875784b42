"""KubeProxyConfiguration: what the kube-proxy ConfigMap's `config.conf` and the command line say.

Upstream: pkg/proxy/apis/config/types.go with v1alpha1/defaults.go, cmd/kube-proxy/app/options.go.  With `--config` the
file wins over flags, but for `--hostname-override` and `--v`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from kubesim.errors import LearnerError
from kubesim.machinery import durations

# All fields of kubeproxy.config.k8s.io/v1alpha1, so that one that is none can be named.
GROUPS = {
    "clientConnection": {"kubeconfig", "acceptContentTypes", "contentType", "qps", "burst"},
    "conntrack": {
        "maxPerCore", "min", "tcpEstablishedTimeout", "tcpCloseWaitTimeout", "tcpBeLiberal", "udpTimeout", "udpStreamTimeout",
    },
    "detectLocal": {"bridgeInterface", "interfaceNamePrefix", "clusterCIDRs"},
    "iptables": {"masqueradeBit", "masqueradeAll", "localhostNodePorts", "syncPeriod", "minSyncPeriod"},
    "ipvs": {
        "syncPeriod", "minSyncPeriod", "scheduler", "excludeCIDRs", "strictARP", "tcpTimeout", "tcpFinTimeout", "udpTimeout",
        "masqueradeBit", "masqueradeAll",
    },
    "logging": {"flushFrequency", "verbosity", "format", "options", "vmodule"},
    "nftables": {"masqueradeBit", "masqueradeAll", "syncPeriod", "minSyncPeriod"},
    "winkernel": {"enableDSR", "forwardHealthCheckVip", "networkName", "rootHnsEndpointName", "sourceVip"},
}  # fmt: skip
PLAIN = {
    "apiVersion", "kind", "bindAddress", "bindAddressHardFail", "clusterCIDR", "configSyncPeriod", "detectLocalMode",
    "enableProfiling", "featureGates", "healthzBindAddress", "hostnameOverride", "metricsBindAddress", "mode",
    "nodePortAddresses", "oomScoreAdj", "portRange", "showHiddenMetricsForVersion", "udpIdleTimeout",
    "windowsRunAsService",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings that bear on what is simulated.  Periods in seconds; `mode` as written, "" for the platform's own."""

    mode: str = ""
    hostname_override: str = ""
    cluster_cidr: str = ""
    detect_local_mode: str = ""
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    node_port_addresses: tuple[str, ...] = ()
    healthz_bind_address: str = "0.0.0.0:10256"
    metrics_bind_address: str = "127.0.0.1:10249"
    masquerade_all: bool = False
    masquerade_bit: int = 14
    localhost_node_ports: bool = True
    min_sync_period: float = 1.0
    sync_period: float = 30.0
    scheduler: str = ""
    strict_arp: bool = False
    exclude_cidrs: tuple[str, ...] = ()
    ipvs_timeouts: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  # tcpTimeout, tcpFinTimeout, udpTimeout; 0: the kernel's
    conntrack_tcp_liberal: bool = False
    cleanup: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def masquerade_mark(self) -> str:
        """As kube-proxy prints it ("%#08x")."""
        return f"0x{1 << self.masquerade_bit:08x}"


# Command line flags that Config knows; the rest of kube-proxy's are accepted where they cannot matter here.
FLAGS: Mapping[str, str] = {
    "proxy-mode": "mode",
    "hostname-override": "hostname_override",
    "cluster-cidr": "cluster_cidr",
    "detect-local-mode": "detect_local_mode",
    "pod-bridge-interface": "bridge_interface",
    "pod-interface-name-prefix": "interface_name_prefix",
    "nodeport-addresses": "node_port_addresses",
    "healthz-bind-address": "healthz_bind_address",
    "metrics-bind-address": "metrics_bind_address",
    "masquerade-all": "masquerade_all",
    "iptables-masquerade-bit": "masquerade_bit",
    "iptables-localhost-nodeports": "localhost_node_ports",
    "iptables-min-sync-period": "min_sync_period",
    "iptables-sync-period": "sync_period",
    "ipvs-scheduler": "scheduler",
    "ipvs-strict-arp": "strict_arp",
    "ipvs-exclude-cidrs": "exclude_cidrs",
    "ipvs-sync-period": "sync_period",
    "ipvs-min-sync-period": "min_sync_period",
    "cleanup": "cleanup",
    "conntrack-tcp-be-liberal": "conntrack_tcp_liberal",
}
WITHOUT_EFFECT = {"kubeconfig", "master", "v", "vmodule", "feature-gates", "bind-address", "oom-score-adj", "profiling"}


@lru_cache(maxsize=16)  # every node reads the same ConfigMap
def parse(text: str) -> Config:
    """A `config.conf`.  LearnerError when it is no KubeProxyConfiguration; fields that are none are listed in `unknown`
    (the real one decodes leniently, and warns)."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise LearnerError(f"failed complete: yaml: {error}") from None
    if not isinstance(data, dict) or data.get("kind") != "KubeProxyConfiguration":
        raise LearnerError(
            'failed complete: no kind "KubeProxyConfiguration" in the configuration file',
            "Its first lines are: apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration.",
        )
    unknown = [name for name in data if name not in PLAIN and name not in GROUPS]
    for group, known in GROUPS.items():
        unknown += [f"{group}.{name}" for name in data.get(group) or {} if name not in known]
    mode = data.get("mode") or ""
    rules = data.get(mode if mode in ("ipvs", "nftables") else "iptables") or {}
    local = data.get("detectLocal") or {}
    ipvs = data.get("ipvs") or {}
    found: dict[str, Any] = {
        "mode": mode,
        "hostname_override": data.get("hostnameOverride"),
        "cluster_cidr": data.get("clusterCIDR"),
        "detect_local_mode": data.get("detectLocalMode"),
        "bridge_interface": local.get("bridgeInterface"),
        "interface_name_prefix": local.get("interfaceNamePrefix"),
        "node_port_addresses": tuple(data.get("nodePortAddresses") or ()),
        "healthz_bind_address": data.get("healthzBindAddress"),
        "metrics_bind_address": data.get("metricsBindAddress"),
        "masquerade_all": rules.get("masqueradeAll"),
        "masquerade_bit": rules.get("masqueradeBit"),
        "localhost_node_ports": rules.get("localhostNodePorts"),
        "min_sync_period": _seconds(rules.get("minSyncPeriod")),
        "sync_period": _seconds(rules.get("syncPeriod")) or None,
        "scheduler": ipvs.get("scheduler"),
        "strict_arp": ipvs.get("strictARP"),
        "exclude_cidrs": tuple(ipvs.get("excludeCIDRs") or ()),
        "ipvs_timeouts": tuple(
            _seconds(ipvs.get(name)) or 0.0 for name in ("tcpTimeout", "tcpFinTimeout", "udpTimeout")
        ),
        "conntrack_tcp_liberal": (data.get("conntrack") or {}).get("tcpBeLiberal"),
        "unknown": tuple(unknown),
    }
    return Config(**{name: value for name, value in found.items() if value is not None and value != ""})


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return durations.parse(str(text))
    except durations.DurationError as error:
        raise LearnerError(f"failed complete: {error}") from None


def load(args: Sequence[str], read: Callable[[str], str]) -> Config:
    """The configuration that a command line asks for; `read` gives the text of a file (OSError when it is not there)."""
    flags: dict[str, str] = {}
    words = list(args)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if word in ("-v",) and words:
                words.pop(0)
                continue
            raise LearnerError(f'unknown command "{word}" for "kube-proxy"')
        name, equals, value = word[2:].partition("=")
        if name not in FLAGS and name not in WITHOUT_EFFECT and name != "config":
            raise LearnerError(f"unknown flag: --{name}")
        if not equals:
            if _kind(FLAGS.get(name, "")) is bool:
                value = "true"
            elif words:
                value = words.pop(0)
            else:
                raise LearnerError(f"flag needs an argument: --{name}")
        flags[name] = value
    path = flags.pop("config", "")
    if path:
        try:
            config = parse(read(path))
        except OSError as error:
            raise LearnerError(f"failed complete: open {path}: {str(error).lower()}") from None
        flags = {name: value for name, value in flags.items() if name == "hostname-override"}
    else:
        config = Config()
    changes = {FLAGS[name]: _value(FLAGS[name], name, value) for name, value in flags.items() if name in FLAGS}
    return replace(config, **changes)


def _kind(name: str) -> type:
    return next((type(each.default) for each in fields(Config) if each.name == name), str)


def _value(field: str, flag: str, text: str) -> Any:
    kind = _kind(field)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is float:
            return durations.parse(text)
        if kind is tuple:
            return tuple(text.split(","))
        return kind(text)
    except (KeyError, ValueError):
        raise LearnerError(f'invalid argument "{text}" for "--{flag}" flag') from None
