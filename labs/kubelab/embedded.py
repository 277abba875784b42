"""The port on the cluster that lives inside Python."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from kubelab import resources
from kubesim import http
from kubesim.cluster import Cluster
from kubesim.fronts import inprocess

if TYPE_CHECKING:
    import kubernetes.client

    from kubelab.port import Tell
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
        self.about = f"seed {seed} · nothing leaves this computer"
        self._terminals: dict[str, Terminal] = {}
        self._api: kubernetes.client.ApiClient | None = None

    def adopt(self, namespace: str) -> None:
        """Nothing to do: the whole cluster is the lab's."""

    def close(self) -> None:
        """Nothing to do: it goes when nobody holds it any more."""

    def api_client(self) -> kubernetes.client.ApiClient:
        if self._api is None:
            self._api = inprocess.api_client(self.cluster)
        return self._api

    def objects(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        # Not through the official client: its models take a second to be imported, before a first check and in each grader.
        group, plural, namespaced = resources.KINDS[kind]
        within = f"namespaces/{namespace or self.namespace}/" if namespaced else ""
        selectors = urlencode({"labelSelector": labels, "fieldSelector": fields})
        for version in resources.VERSIONS[group]:
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            answer = inprocess.ask(self.cluster, http.request("GET", f"{path}/{within}{plural}?{selectors}"))
            if answer.status == 200:
                return resources.by_name(json.loads(answer.body)["items"])
        return []

    def run(self, place: str, command: str, tell: Tell | None = None) -> Result:
        terminal = self._terminal(place)
        written: dict[str, list[str]] = {"out": [], "err": []}

        def hear(stream: Literal["out", "err"], text: str) -> None:
            written[stream].append(text)
            if text and tell is not None:
                tell(stream, text)

        done = self.cluster.shell(
            command, terminal, out=lambda text: hear("out", text), err=lambda text: hear("err", text)
        )
        # What the cluster itself has to say of the command (that it can never end) is in the result alone.
        if done.stderr:
            hear("err", done.stderr)
        return replace(done, stdout="".join(written["out"]), stderr="".join(written["err"]))

    def prompt(self, place: str) -> str:
        return self._terminal(place).prompt()

    def completions(self, place: str, line: str) -> list[str]:
        return self._terminal(place).completions(line)

    def is_whole(self, place: str, text: str) -> bool:
        return self._terminal(place).complete(text)

    def run_on_node(self, node: str, command: str) -> Result:
        return self.run(f"node/{node}", command)

    def run_outside(self, command: str) -> Result:
        return self.run("outside", command)

    def node_rules(self, node: str) -> str:
        return self.cluster.node_rules(node)

    def trace(self, source: str, target: str) -> Trace:
        return self.cluster.trace(source, target)

    def traces(self, source: str, target: str) -> list[Trace]:
        return self.cluster.trace_branches(source, target)

    def settle(self) -> None:
        self.cluster.settle()

    def wait(self, seconds: float) -> None:
        self.cluster.advance(seconds)

    def apart(self) -> Embedded:
        other = copy.copy(self)
        other._terminals = {}
        return other

    def _terminal(self, place: str) -> Terminal:
        if place not in self._terminals:
            self._terminals[place] = self.cluster.terminal(place)
        return self._terminals[place]
