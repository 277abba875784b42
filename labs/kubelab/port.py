"""The port: how a lab reaches a cluster, whichever it is.

The Kubernetes API does most, through the official client.  Three verbs do what the API cannot: run a command on a node, run
one outside of the cluster, read a node's rules.  Everything else is made of these; the embedded cluster and a live one
stand behind it alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kubesim.errors import LearnerError

# Told of what a command writes, as it writes it: the stream and the text.
Tell = Callable[[Literal["out", "err"], str], None]

if TYPE_CHECKING:
    import kubernetes.client

    from kubesim.net.trace import Trace
    from kubesim.shell.terminal import Result


class Taken(LearnerError):
    """A live cluster has one only of what the lab needs, and somebody has it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the lab needs what somebody else has on this cluster: {what}",
            "Perhaps an older session's namespace is still there: kubectl get namespaces, and: kubelab clean --cluster CONTEXT",
        )


class Port(Protocol):
    """See the module.  `title` names the cluster for people, `about` says a little more.

    Commands are shell scripts, and shells keep their state.
    """

    title: str
    about: str
    namespace: str

    def adopt(self, namespace: str) -> None:
        """The lab's own manifests will make that namespace."""

    def close(self) -> None:
        """Put the cluster away: what was made for the lab goes."""

    def api_client(self) -> kubernetes.client.ApiClient:
        """The official client's transport, authenticated."""

    def objects(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        """The objects of a namespace (default: the lab's own), by name, as the API's JSON; `kind` is one of
        `kubelab.resources.KINDS`, `labels` and `fields` are selectors."""

    def run(self, place: str, command: str, tell: Tell | None = None) -> Result:
        """A script at a place: "outside" or "node/NAME".  LearnerError names the nodes if there is none of that name."""

    def prompt(self, place: str) -> str:
        """What the shell at that place shows before a line."""

    def completions(self, place: str, line: str) -> list[str]:
        """What the last word of the line may become."""

    def is_whole(self, place: str, text: str) -> bool:
        """Whether the text is a whole command; if not, a terminal asks for another line."""

    def run_on_node(self, node: str, command: str) -> Result:
        """A script on a node, as root.  LearnerError names the nodes if there is none of that name."""

    def run_outside(self, command: str) -> Result:
        """A script on the computer outside of the cluster: where kubectl is."""

    def node_rules(self, node: str) -> str:
        """The node's netfilter rules, as `iptables-save` prints them."""

    def trace(self, source: str, target: str) -> Trace:
        """Follow one packet through the rules that the nodes have now.  `source` is "pod/NAME", "pod/NAMESPACE/NAME",
        "node/NAME" or "outside"; `target` what curl would be given, or "icmp://ADDRESS"."""

    def traces(self, source: str, target: str) -> list[Trace]:
        """Every way that a random choice can go, each with its probability."""

    def settle(self) -> None:
        """Wait until the cluster has come to rest."""

    def wait(self, seconds: float) -> None:
        """Let so many of the cluster's seconds go by: virtual ones at once, a live cluster's really."""

    def apart(self) -> Port:
        """The same cluster through shells of its own, in which nobody has typed: what checks look through."""
