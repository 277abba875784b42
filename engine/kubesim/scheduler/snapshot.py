"""What the scheduler knows of a node while it looks for a place: the node, its pods, what they ask for.

Source: `pkg/scheduler/framework/types.go` (NodeInfo), `staging/src/k8s.io/component-helpers/resource`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from kubesim.client import Object
from kubesim.machinery import objects, quantities

# GetNonzeroRequests: what a container that asks for nothing counts as when nodes are compared.
DEFAULT_REQUESTS = {"cpu": Fraction(1, 10), "memory": Fraction(200 * 1024 * 1024)}


def number(text: str | int) -> Fraction:
    """A quantity as a number."""
    return quantities.parse(str(text)).value


def _add(total: dict[str, Fraction], requests: Object | None) -> None:
    for name, amount in (requests or {}).items():
        total[name] = total.get(name, Fraction(0)) + number(amount)


def requests(pod: Object, nonzero: bool = False) -> dict[str, Fraction]:
    """What a pod asks for: the sum of its containers, or its greediest init container if that is more (PodRequests)."""
    total: dict[str, Fraction] = {}
    for container in pod["spec"]["containers"]:
        asked = (container.get("resources") or {}).get("requests") or {}
        _add(total, asked)
        if nonzero:
            for name, amount in DEFAULT_REQUESTS.items():
                if name not in asked:
                    total[name] = total.get(name, Fraction(0)) + amount
    for container in pod["spec"].get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = max(total.get(name, Fraction(0)), number(amount))
    _add(total, pod["spec"].get("overhead"))
    return total


def host_ports(pod: Object) -> Iterator[tuple[str, str, int]]:
    """(host IP, protocol, port) of every port that the pod wants on its node."""
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), port["hostPort"]


@dataclass(slots=True)
class NodeInfo:
    """A node with its pods.  `asked` is what they ask for, `compared` the same with defaults for those that do not say."""

    node: Object
    pods: list[Object] = field(default_factory=list)
    asked: dict[str, Fraction] = field(default_factory=dict)
    compared: dict[str, Fraction] = field(default_factory=dict)
    ports: set[tuple[str, str, int]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return objects.name(self.node)

    def add(self, pod: Object) -> None:
        self.pods.append(pod)
        for total, part in ((self.asked, requests(pod)), (self.compared, requests(pod, nonzero=True))):
            for name, amount in part.items():
                total[name] = total.get(name, Fraction(0)) + amount
        self.ports.update(host_ports(pod))

    def allocatable(self, name: str) -> Fraction | None:
        """How much of a resource the node has for pods; None when it has said nothing of it."""
        found = (self.node.get("status") or {}).get("allocatable") or {}
        return number(found[name]) if name in found else None
