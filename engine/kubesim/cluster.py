"""A cluster, composed from a preset and a seed.

The order is that of a real one coming up: the wires and machines, the API server and its controllers, a kubelet on each
node (which registers the Node and starts the static pods it finds), the add-ons, and then time until all is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from kubesim import controllers, dialing, http, layout, managed, presets, tracing
from kubesim.apiserver.server import ApiServer
from kubesim.errors import LearnerError
from kubesim.machine import Machine
from kubesim.net.network import Network
from kubesim.node.kubelet import Kubelet
from kubesim.presets import addons
from kubesim.programs import authority
from kubesim.scheduler.scheduler import Scheduler
from kubesim.store.store import Store
from kubesim.world import Stalled, World

if TYPE_CHECKING:
    from kubesim.loadbalancer.bigip import Box
    from kubesim.net.host import Host
    from kubesim.net.trace import Trace
    from kubesim.shell.terminal import Result, Terminal
    from kubesim.snapshot import Snapshot

T = TypeVar("T")


class Cluster:
    """See the module.

    `preset` is a name or the path of a YAML file; the same preset and seed give the same cluster, to the byte.  `birth` is when
    it begins, in seconds since the epoch, instead of the preset's own date; `secret` keys the tokens where strangers may
    show one (`World`).  `saved` is a cluster that was before: it comes up again as after a reboot of all its machines, no
    earlier than `birth`.  `nodes` and `outside` are machines,
    `kubelets` by node; `api` answers requests; `world` drives all.
    """

    def __init__(
        self,
        preset: str = "kind",
        seed: int = 1,
        birth: float | None = None,
        secret: str = "",
        saved: Snapshot | None = None,
    ) -> None:
        self.name = preset if saved is None else saved.preset
        self.preset = presets.load(self.name)
        self.seed = seed if saved is None else saved.seed
        if saved is None:
            self.world = World(seed, self.preset.birth_seconds if birth is None else birth, secret)
            self.store = Store(self.world)
        else:
            self.world = World(saved.seed, saved.birth, saved.secret, saved.life + 1)
            self.world.now = max(saved.now, birth or 0.0)
            self.store = Store(self.world)
            self.store.restore(saved.revision, saved.objects)
        self.network = Network(self.world)
        self.api = ApiServer(
            self.world,
            self.store,
            version=self.preset.version,
            service_cidr=self.preset.service_cidr,
            node_port_range=self.preset.node_port_range,
            advertise=self.preset.api_server,
            port=self.preset.api_port,
        )
        self.controllers = controllers.start_all(
            self.world,
            self.api.client,
            self._controller_flags(),
            version=self.preset.version,
            # Where no machine runs a control plane, nobody made it a certificate.
            certificate=authority.root(self.world.start).pem() if self.preset.api_server else "",
        )
        self.scheduler: Scheduler | None = None
        self.nodes: dict[str, Machine] = {}
        self.kubelets: dict[str, Kubelet] = {}
        self.boxes: dict[str, Box] = {}
        self._failed: set[str] = set()
        self.world.drain()
        self.outside = layout.lay_out(self)
        if self.preset.nodes:
            self.api.dial = dialing.Dialer(self)
            self.scheduler = Scheduler(self.world, self.api.client("system:kube-scheduler"), minor=self.preset.minor)
            self.scheduler.start()
            for spec in self.preset.nodes:
                self._start_kubelet(spec)
            if saved is None:
                self._apply(addons.objects(self.preset))
            self.world.settle()

    def _controller_flags(self) -> dict[str, str]:
        if not self.preset.allocate_node_cidrs:
            return {}
        return {"allocate-node-cidrs": "true", "cluster-cidr": self.preset.pod_cidr}

    def _start_kubelet(self, spec: presets.NodeSpec) -> None:
        machine = self.nodes[spec.name]
        client = self.api.client(f"system:node:{spec.name}")
        kubelet = Kubelet(self.world, client, machine, layout.kubelet_config(self.preset, spec), self)
        self.kubelets[spec.name] = kubelet
        self.api.kubelets[spec.name] = kubelet
        kubelet.start()

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        admin = self.api.client(http.User())
        for obj in objects:
            resource = self.api.served.kind(obj["apiVersion"], obj["kind"])
            if resource is None:
                # The definition before it is established in a moment.
                self.world.drain()
                resource = self.api.served.kind(obj["apiVersion"], obj["kind"])
            assert resource is not None, obj["kind"]
            admin.create(resource.name, obj)

    def reach(self, request: http.Request) -> http.Response:
        """The API server as kubectl on a machine reaches it: only while it listens.  Raises `kubectl.io.Refused`, or
        `Unreachable` when its machine is cut off."""
        host, port = self._api_host(), self.preset.api_port
        if host is not None and not self._answers(host, port):
            from kubesim.kubectl import io

            where = f"{self.preset.api_server}:{port}"
            if host.name in self._failed:
                raise io.Unreachable(f"dial tcp {where}: connect: no route to host")
            raise io.Refused(where.removesuffix(":443"))
        return self.api.handle(request)

    def _answers(self, host: Host, port: int) -> bool:
        return port in host.stack.listeners and host.name not in self._failed

    def _api_host(self) -> Host | None:
        """Where the API server runs; None where it is there without a machine (the preset `bare`)."""
        if self.preset.control_plane:
            return self.network.hosts[managed.NAME]
        return next((self.nodes[each.name].net for each in self.preset.nodes if each.control_plane), None)

    # -- time -----------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece of due work; False when there is none."""
        return self.world.step()

    def settle(self, timeout: float = 300.0) -> bool:
        """Until nobody waits for anything; False if that does not come within `timeout` virtual seconds."""
        return self.world.settle(timeout)

    def advance(self, seconds: float) -> None:
        """Let so many virtual seconds go by."""
        self.world.advance(seconds)

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Drive the world until the coroutine is done."""
        return self.world.run(coro)

    # -- failure --------------------------------------------------------------------------------------------

    def power(self, name: str, on: bool) -> None:
        """Pull the plug of a node or a box, or put it in again."""
        if name in self.boxes:
            self.boxes[name].machine.net.interfaces["eth0"].up = on
        elif on:
            self.recover_node(name)
        else:
            self.fail_node(name)

    def fail_node(self, name: str) -> None:
        """Pull the node's plug: nobody hears of it any more, nor of what ran on it."""
        self._plug(name, up=False)
        self.kubelets[name].stop()
        self.api.kubelets.pop(name, None)

    def recover_node(self, name: str) -> None:
        """Put the plug in again: its kubelet finds out what has become of its pods."""
        self._plug(name, up=True)
        self.api.kubelets[name] = self.kubelets[name]
        self.kubelets[name].start()

    def _plug(self, name: str, *, up: bool) -> None:
        host = self.machine(f"node/{name}").net
        spec = next(each for each in self.preset.nodes if each.name == name)
        host.interfaces[spec.interface].up = up
        (self._failed.discard if up else self._failed.add)(host.name)

    # -- places ---------------------------------------------------------------------------------------------

    def machine(self, place: str) -> Machine:
        """The machine of "node/NAME", "pod/NAME", "pod/NAMESPACE/NAME" (its first container), "box/NAME" or "outside"."""
        kind, _, rest = place.partition("/")
        if place == "outside":
            return self.outside
        if kind in ("node", "nodes", "no") and rest in self.nodes:
            return self.nodes[rest]
        if kind == "box" and rest in self.boxes:
            return self.boxes[rest].machine
        if kind in ("pod", "pods", "po") and rest:
            namespace, _, name = rest.rpartition("/")
            return self._container(namespace or "default", name)
        nodes = ", ".join([*(f"node/{name}" for name in self.nodes), *(f"box/{name}" for name in self.boxes)])
        raise LearnerError(f"no place {place!r}", f"Places: {nodes}, pod/NAME, pod/NAMESPACE/NAME, outside.")

    def _container(self, namespace: str, name: str) -> Machine:
        pod = self.store.get("pods", namespace, name)
        if pod is None:
            known = [each["metadata"]["name"] for each in self.store.list("pods", namespace)]
            listed = ", ".join(known) if known else "none"
            raise LearnerError(f"no pod {name!r} in namespace {namespace!r}", f"Pods there: {listed}.")
        kubelet = self.kubelets.get(pod["spec"].get("nodeName", ""))
        found = kubelet.container(namespace, name) if kubelet else None
        if found is None:
            phase = pod.get("status", {}).get("phase", "Unknown")
            raise LearnerError(f"pod {name!r} has no running container (it is {phase})", "See: kubectl describe pod " + name)
        return found

    @property
    def home(self) -> Machine:
        """Where the terminal is: what the preset says, else the first node, or outside where there is none."""
        if self.preset.home:
            return self.machine(self.preset.home)
        return next(iter(self.nodes.values()), self.outside)

    # -- the terminal, and the port of three verbs ----------------------------------------------------------

    def terminal(self, place: str = "") -> Terminal:
        """A terminal on a machine (default: `home`); its variables, files and directory last."""
        from kubesim.shell.terminal import Terminal

        return Terminal(self.machine(place) if place else self.home)

    def shell(
        self,
        script: str,
        terminal: Terminal | None = None,
        *,
        out: Callable[[str], None] | None = None,
        err: Callable[[str], None] | None = None,
    ) -> Result:
        """Run a script to its end in virtual time: in the terminal given, else in a fresh one at `home`.

        `out` and `err` are given what it writes as it writes it; the result's texts are then empty.
        """
        from kubesim.shell.terminal import Result

        terminal = terminal or self.terminal()
        try:
            return self.world.run(terminal.run(script, out=out, err=err), "terminal")
        except Stalled:
            return Result("", "kubesim: nothing more will happen, and the command waits for it: ended\n", 130)

    def run_on_node(self, node: str, command: str) -> Result:
        """Run a command as root on a node."""
        return self.shell(command, self.terminal(f"node/{node}"))

    def run_outside(self, command: str) -> Result:
        """Run a command on the machine beyond the cluster."""
        return self.shell(command, self.terminal("outside"))

    def node_rules(self, node: str) -> str:
        """The rules of a node, as `iptables-save` prints them."""
        return self.machine(f"node/{node}").net.netfilter.save()

    # -- following packets ----------------------------------------------------------------------------------

    def trace(self, source: str, target: str) -> Trace:
        """Follow one packet from a place to what curl would be given; one seeded choice where rules draw lots."""
        return self.world.run(tracing.sample(self.machine(source), target))

    def trace_branches(self, source: str, target: str) -> list[Trace]:
        """Every way that the packet can go, each with its probability."""
        return self.world.run(tracing.branches(self.machine(source), target))
