"""The values of a preset, and reading them from YAML."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from kubesim import ids
from kubesim.errors import LearnerError

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node.  `name` is the Node object's, `hostname` what the machine calls itself."""

    name: str
    address: str
    hostname: str = ""
    control_plane: bool = False
    pod_cidr: str = ""
    interface: str = "eth0"
    labels: Mapping[str, str] = field(default_factory=dict)
    schedulable: bool = True
    cpus: int = 4
    memory: str = "8Gi"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec:
    """A load balancer of one's own before the nodes, a BIG-IP: a machine on their network.  Two of them are a pair."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A kind of cluster.

    `birth` is the virtual time at which it begins.
    `cni` is one of `node.flavours`; `lan` the network that the nodes (and `outside`) stand on, with `gateway` its
    router.  `proxy` is what the kube-proxy ConfigMap's config.conf holds beyond the defaults.
    `home` is the place where the terminal is, "" for the first node.  `control_plane` is the address of a control plane
    that is no node (a cloud's); `api_port` the port of its, or of the control plane node's, API server.
    `cloud` names the cloud in `loadbalancer.clouds`, "" where there is none.
    `allocate_node_cidrs`: kube-controller-manager gives nodes that have none their part of `pod_cidr`.
    `open`: `kubesim serve` asks nobody who he is unless told to; for presets that stand in for a test's control plane.
    `dns_ttl` is the `ttl` of the Corefile's kubernetes zone, 0 where the Corefile has no such line.
    `forwards` are ports that `outside` publishes: "9980:80" of the first node, "9980:NODE:80" of another.  `records` are names
    that the world's DNS knows besides its own, with their addresses, which take turns.  `boxes` stand before the nodes.
    """

    name: str
    title: str
    version: str
    birth: str
    service_cidr: str = "10.96.0.0/12"
    node_port_range: str = "30000-32767"
    pod_cidr: str = "10.244.0.0/16"
    allocate_node_cidrs: bool = False
    cluster_domain: str = "cluster.local"
    dns_address: str = "10.96.0.10"
    dns_replicas: int = 2
    dns_ttl: int = 30
    cni: str = "kindnet"
    lan: str = "172.18.0.0/16"
    gateway: str = "172.18.0.1"
    control_plane: str = ""
    api_port: int = 6443
    open: bool = False
    cloud: str = ""
    home: str = ""
    outside_name: str = "laptop"
    outside_address: str = ""
    search: tuple[str, ...] = ()
    user: str = "root"
    prompt: str = "{user}@{hostname}:{cwd}# "
    tools: str = "node"
    os_image: str = "Debian GNU/Linux 12 (bookworm)"
    kernel: str = "6.1.0-28-amd64"
    runtime: str = "containerd://2.1.3"
    registry: str = "registry.k8s.io"
    proxy: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[NodeSpec, ...] = ()
    addons: tuple[str, ...] = ()
    forwards: tuple[str, ...] = ()
    records: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    boxes: tuple[BoxSpec, ...] = ()

    @property
    def minor(self) -> int:
        """16 of v1.16.2."""
        return int(self.version.lstrip("v").split(".")[1])

    @property
    def api_address(self) -> str:
        """The first address of the (first) service range: the Service `kubernetes` has it."""
        return str(ipaddress.ip_network(self.service_cidr.partition(",")[0])[1])

    @property
    def api_server(self) -> str:
        """The address at which the API server itself listens; "" where nothing does."""
        return self.control_plane or next((node.address for node in self.nodes if node.control_plane), "")

    @property
    def birth_seconds(self) -> float:
        return ids.parse_timestamp(self.birth)


def names() -> list[str]:
    """The presets that come along."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


@cache
def load(name: str) -> Preset:
    """The preset of that name, or in that YAML file.  LearnerError names the known ones, or the wrong field.

    A file may say `extends: kind` and give only what differs.  Add-ons may be put to a preset's name: "kind+traefik".
    """
    base, *extra = name.split("+") if name.partition("+")[0] in names() else [name]
    path = _path(base)
    data = _read(path)
    data.setdefault("name", path.stem)
    if extra:
        _check_addons(extra)
        data["addons"] = [*data.get("addons", ()), *extra]
    for field_name, kind in (("nodes", NodeSpec), ("boxes", BoxSpec)):
        listed = enumerate(data.pop(field_name, []))
        data[field_name] = tuple(_build(kind, each, f"{path}: {field_name}[{index}]") for index, each in listed)
    preset: Preset = _build(Preset, data, str(path))
    return replace(preset, nodes=_with_pod_ranges(preset))


def _with_pod_ranges(preset: Preset) -> tuple[NodeSpec, ...]:
    """The nodes, each with a range of pod addresses: one that has none gets the next free /24, as kube-controller-manager
    gives them out."""
    taken = {node.pod_cidr for node in preset.nodes}
    whole = ipaddress.ip_network(preset.pod_cidr.partition(",")[0])
    free = (str(each) for each in whole.subnets(new_prefix=max(24, whole.prefixlen)) if str(each) not in taken)
    return tuple(node if node.pod_cidr else replace(node, pod_cidr=next(free)) for node in preset.nodes)


def _check_addons(extra: list[str]) -> None:
    from kubesim.presets import addons

    for each in extra:
        if each not in addons.ADDONS:
            raise LearnerError(f"no add-on {each!r}", f"Add-ons: {', '.join(addons.ADDONS)}.")


def _path(name: str) -> Path:
    path = HERE / f"{name}.yaml"
    if "/" in name or "\\" in name or name.endswith((".yaml", ".yml")):
        path = Path(name)
    if not path.is_file():
        raise LearnerError(
            f"no preset {name!r}", f"Known presets: {', '.join(names())}; or give the path of a YAML file."
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    """The fields in a file, on top of those of the preset that it extends."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise LearnerError(f"{path}: not YAML: {error}") from None
    if not isinstance(data, dict):
        raise LearnerError(f"{path}: a preset is a mapping of fields")
    base = data.pop("extends", None)
    if base is None:
        return data
    if base not in names():
        raise LearnerError(f"{path}: extends: no preset {base!r}", f"Known presets: {', '.join(names())}.")
    return {"name": base, **_read(_path(base)), **data}


def _build(kind: type, data: Any, where: str) -> Any:
    """A dataclass from a mapping, with unknown, missing and mistyped fields named."""
    if not isinstance(data, dict):
        raise LearnerError(f"{where}: should be a mapping of fields")
    known = {each.name: each for each in fields(kind)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise LearnerError(f"{where}: unknown field {unknown[0]!r}", f"Fields: {', '.join(known)}")
    for name, each in known.items():
        if name not in data and each.default is MISSING and each.default_factory is MISSING:
            raise LearnerError(f"{where}: the field {name!r} is missing")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})
