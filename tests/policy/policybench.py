"""A cluster with three namespaces x, y and z, three pods a, b and c in each, that serve on two ports.

The shape is that of Kubernetes' own network policy tests (test/e2e/network/netpol): each namespace carries a label with its
own name, each pod too.  Port 80 is named serve-80, port 81 serve-81; UDP answers on 80.
"""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from kubesim import schema
from kubesim.cluster import Cluster
from kubesim.machine import Machine
from kubesim.net import Packet, Refused, TimedOut, Verdict
from kubesim.policy import model
from kubesim.policy.model import Connection, State

NAMESPACES = ("x", "y", "z")
PODS = ("a", "b", "c")
POLICIES = "networkpolicies.networking.k8s.io"


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"ns": name}}}


def pod(name: str, namespace: str, **more: Any) -> dict[str, Any]:
    containers = [
        {
            "name": f"on-{port}",
            "image": "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "args": ["netexec", f"--http-port={port}", f"--udp-port={udp}"],
            "ports": [{"containerPort": port, "name": f"serve-{port}"}],
        }
        for port, udp in ((80, 80), (81, -1))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"pod": name}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 0, **more},
    }


class Bench:
    """A cluster and what tests do with it.  Pods are named "x/a"; "node:NAME" is a node, "outside" the world beyond."""

    def __init__(self, preset: str) -> None:
        self.cluster = Cluster(preset)
        self.client = self.cluster.api.client("system:admin")
        for name in NAMESPACES:
            self.client.create("namespaces", namespace(name))
        self.cluster.settle()
        for name in NAMESPACES:
            for each in PODS:
                self.client.create("pods", pod(each, name))
        self.cluster.settle()

    def apply(self, text: str) -> None:
        """Create what a YAML text says, and let agents hear of it."""
        for obj in filter(None, yaml.safe_load_all(textwrap.dedent(text))):
            resource = schema.resource_for_kind(obj["apiVersion"], obj["kind"])
            assert resource is not None
            self.client.create(resource.name, obj)
        self.cluster.world.drain()

    def reset(self) -> None:
        """No policies, and the labels as they were."""
        for each in self.client.list(POLICIES):
            self.client.delete(POLICIES, each["metadata"]["name"], each["metadata"]["namespace"])
        for name in NAMESPACES:
            self.label("namespaces", name, "", {"ns": name})
            for each in PODS:
                self.label("pods", each, name, {"pod": each})
        self.cluster.world.drain()

    def label(self, resource: str, name: str, namespace: str, labels: dict[str, str]) -> None:
        """These labels and no others; agents hear of it when the world is drained."""
        old = self.client.get(resource, name, namespace)["metadata"].get("labels", {})
        kept = {key: old[key] for key in old if key.startswith("kubernetes.io/")}
        if {**kept, **labels} != old:
            gone = {key: None for key in old if key not in kept}
            self.client.patch(resource, name, namespace, {"metadata": {"labels": {**gone, **labels}}})

    def place(self, name: str) -> Machine:
        return self.cluster.machine(f"pod/{name}" if "/" in name else name.replace("node:", "node/"))

    def ip(self, name: str) -> str:
        if "/" not in name:
            return self.place(name).net.addresses()[0]
        where, _, what = name.partition("/")
        return str(self.client.get("pods", what, where)["status"]["podIP"])

    def node_of(self, name: str) -> str:
        where, _, what = name.partition("/")
        return str(self.client.get("pods", what, where)["spec"]["nodeName"])

    def connects(self, source: str, target: str, port: int) -> str:
        """What a program that connects sees: "open", "refused" or "silence"."""

        async def knock() -> str:
            try:
                connection = await self.place(source).net.connect(self.ip(target), port, timeout=1)
            except Refused:
                return "refused"
            except TimedOut:
                return "silence"
            await connection.send(b"GET /hostname HTTP/1.0\r\n\r\n")
            answer = await connection.recv()
            connection.close()
            return "open" if answer else "no answer"

        return self.cluster.run(knock())

    def walks(self, source: str, target: str, port: int, protocol: str = "tcp") -> bool:
        """Whether a first packet would come there and its answer back; nothing is sent."""
        packet = Packet(
            protocol=protocol,  # type: ignore[arg-type]  # one of packet.Protocol's
            dst=self.ip(target),
            sport=40000,
            dport=port,
            flags="S" if protocol == "tcp" else "",
        )
        trace = self.cluster.network.trace(self.place(source).net, packet)
        came = trace.verdict in (Verdict.DELIVERED, Verdict.REFUSED)
        return came and (trace.reply is None or trace.reply.verdict in (Verdict.DELIVERED, Verdict.REFUSED))

    @property
    def state(self) -> State:
        """What the oracle goes by: the API's objects, read in one go."""
        pods = [found for each in self.client.list("pods") if (found := model.pod_of(each)) is not None]
        return State(
            [model.policy_of(each) for each in self.client.list(POLICIES)],
            pods,
            {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in self.client.list("namespaces")},
            {ip: name for name, machine in self.cluster.nodes.items() for ip in machine.net.addresses()},
        )

    def oracle(self, source: str, target: str, port: int, protocol: str = "tcp") -> bool:
        return self.state.evaluate(Connection(protocol, self.ip(source), self.ip(target), port)).allowed
