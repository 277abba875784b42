"""What can be done with a cluster behind a port: ask, run, follow, draw.

A lab has these verbs on its cluster, and so has each exercise on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubelab import display, resources
from kubelab.pictures import cluster_map
from kubelab.timeline import history, telling, view

if TYPE_CHECKING:
    from kubelab.port import Port
    from kubelab.terminal.widget import Terminal


class Clients:
    """The official `kubernetes` client on a cluster: `lab.cluster.CoreV1Api()` and so on."""

    def __init__(self, of: Reach) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        from kubernetes import client

        if not name.endswith("Api"):
            raise AttributeError(f"{name!r}: the official client's groups end in Api, as CoreV1Api and AppsV1Api do")
        group = getattr(client, name)
        return lambda: group(self._of.port.api_client())


class Reach:
    """See the module.  `port` is looked up anew each time: a reset gives another."""

    # The port and what is known of its past.
    _history: tuple[Port, history.History] | None = None

    @property
    def port(self) -> Port:
        """How the cluster is reached."""
        raise NotImplementedError

    @property
    def namespace(self) -> str:
        return self.port.namespace

    @property
    def cluster(self) -> Clients:
        """The official client: `lab.cluster.CoreV1Api().list_namespaced_pod(lab.namespace)`."""
        return Clients(self)

    @property
    def core(self) -> Any:
        """The official client's CoreV1Api."""
        return self.cluster.CoreV1Api()

    @property
    def apps(self) -> Any:
        """The official client's AppsV1Api."""
        return self.cluster.AppsV1Api()

    @property
    def discovery(self) -> Any:
        """The official client's DiscoveryV1Api: EndpointSlices."""
        return self.cluster.DiscoveryV1Api()

    def shell(self, script: str, on: str = "") -> display.Output:
        """Run a script in the terminal, or on the node `on`.  What it starts has come to rest afterwards."""
        said: list[tuple[str, str]] = []
        done = self.port.run(
            f"node/{on}" if on else "outside", script, lambda stream, text: said.append((stream, text))
        )
        self.port.settle()
        return display.Output(done.stdout, done.stderr, done.exit_code, said)

    def terminal(self, on: str = "") -> Terminal:
        """A terminal in the page: the cluster's own, or on the node `on`.  It shares its shell with `shell` and `%%shell`."""
        from kubelab.terminal.widget import Terminal

        return Terminal(lambda: self.port, f"node/{on}" if on else "outside")

    def trace(self, source: str, target: str) -> display.TraceView:
        """Follow a packet: `lab.trace("pod/client", "http://web")`.  It changes nothing, and the dice fall anew each time.

        The cluster comes to rest first, as it does before the map is drawn.
        """
        self.port.settle()
        return display.TraceView(self.port.trace(source, target), f"{source} → {target}")

    def ways(self, source: str, target: str) -> display.WaysView:
        """Every way that the packet could go, with its probability."""
        self.port.settle()
        return display.WaysView(self.port.traces(source, target), f"{source} → {target}")

    def timeline(self, everything: bool = False) -> view.Timeline:
        """Who did what when: what the last thing that a person did has set off, or all that the API still knows of.

        Read from what the objects say of their writers and from Events: kube-proxy, which writes neither, is not in it.
        """
        self.port.settle()
        port = self.port
        if self._history is None or self._history[0] is not port:
            self._history = (port, history.History())
        found = self._history[1]
        acts = telling.acts(telling.rows(found.read(port)))
        notes = []
        if found.begins:
            notes.append("The API server has forgotten what was written earlier: it keeps five minutes.")
        if any(row.who == telling.UNKNOWN for act in acts[-1:] for row in act):
            notes.append("Who deletes an object is not written down in it: that is “somebody”.")
        return view.Timeline(acts if everything else acts[-1:], " ".join(notes))

    def map(self) -> display.Figure:
        """The cluster now: Services, their EndpointSlices, and pods on nodes."""
        self.port.settle()
        port = self.port
        listed = (resources.items(port, "", "services"), resources.slices(port), resources.items(port, "", "pods"))
        # The API server's own Service has no pods in this namespace: it would only be in the way.
        found = [[each for each in items if not each["metadata"]["name"].startswith("kubernetes")] for items in listed]
        text = cluster_map.text(*found)
        return display.Figure(
            cluster_map.dot(*found), title=f"The cluster now: namespace {self.namespace}", description=text, text=text
        )
