"""The port on the cluster that lives inside Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.fronts import inprocess

if TYPE_CHECKING:
    import kubernetes.client

    from kubesim.machine import Machine
    from kubesim.net.trace import Trace
    from kubesim.shell.terminal import Result, Terminal


class Embedded:
    """A cluster of this process.  The same preset and seed give the same cluster, to the byte."""

    namespace = "default"

    def __init__(self, preset: str, seed: int) -> None:
        self.cluster = Cluster(preset, seed)
        nodes = len(self.cluster.nodes)
        self.title = (
            f"embedded cluster, {nodes} node{'s' if nodes != 1 else ''}, Kubernetes {self.cluster.preset.version}"
        )
        self._terminals: dict[str, Terminal] = {}
        self._api: kubernetes.client.ApiClient | None = None

    def api_client(self) -> kubernetes.client.ApiClient:
        if self._api is None:
            self._api = inprocess.api_client(self.cluster)
        return self._api

    def run_on_node(self, node: str, command: str) -> Result:
        return self._run(self._node(node), command)

    def run_outside(self, command: str) -> Result:
        return self._run(self.cluster.outside, command)

    def node_rules(self, node: str) -> str:
        return self.cluster.node_rules(self._node(node).name)

    def trace(self, source: str, target: str) -> Trace:
        return self.cluster.trace(source, target)

    def traces(self, source: str, target: str) -> list[Trace]:
        return self.cluster.trace_branches(source, target)

    def settle(self) -> None:
        self.cluster.settle()

    def _node(self, name: str) -> Machine:
        machine = self.cluster.nodes.get(name)
        if machine is None:
            raise LearnerError(f"there is no node {name!r}", f"Nodes: {', '.join(self.cluster.nodes)}.")
        return machine

    def _run(self, machine: Machine, command: str) -> Result:
        terminal = self._terminals.get(machine.name)
        if terminal is None:
            terminal = self._terminals[machine.name] = self.cluster.terminal(machine)
        return self.cluster.shell(command, terminal)
