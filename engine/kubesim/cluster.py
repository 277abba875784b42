"""A cluster, composed from a preset and a seed.

The order is that of a real one coming up: the wires and machines, the API server and its controllers, a kubelet on each
node (which registers the Node and starts the static pods it finds), the add-ons, and then time until all is ready.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from kubesim import controllers, http, ids, presets
from kubesim.apiserver.server import ApiServer
from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.net.network import Network
from kubesim.node.config import KubeletConfig
from kubesim.node.kubelet import Kubelet
from kubesim.presets import addons, manifests
from kubesim.scheduler.scheduler import Scheduler
from kubesim.store.store import Store
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.trace import Trace
    from kubesim.shell.terminal import Result, Terminal

T = TypeVar("T")


class Cluster:
    """See the module.

    `preset` is a name or the path of a YAML file; the same preset and seed give the same cluster, to the byte.  `nodes` and `outside`
    are machines; `api` answers requests; `world` drives all.
    """

    def __init__(self, preset: str = "kind", seed: int = 1) -> None:
        self.preset = presets.load(preset)
        self.seed = seed
        self.world = World(seed, self.preset.birth_seconds)
        self.store = Store(self.world)
        self.network = Network(self.world)
        self.nodes: dict[str, Machine] = {}
        self.kubelets: dict[str, Kubelet] = {}
        self.api = ApiServer(
            self.world,
            self.store,
            version=self.preset.version,
            service_cidr=self.preset.service_cidr,
            node_port_range=self.preset.node_port_range,
            advertise=self._advertised(),
        )
        self.controllers = controllers.start_all(self.world, self.api.client)
        self.world.drain()
        if self.preset.nodes:
            self._build_machines()
            self.scheduler = Scheduler(self.world, self.api.client("system:kube-scheduler"))
            self.scheduler.start()
            self._start_kubelets()
            self._apply_addons()
            self.world.settle()
        self._grow_old()

    # -- making ---------------------------------------------------------------------------------------------

    def _advertised(self) -> str:
        """Where the API server listens: the control plane node's address."""
        return next((node.address for node in self.preset.nodes if node.control_plane), "")
