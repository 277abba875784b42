"""The port on a live cluster.

A lab has a namespace of its own there, and makes nothing outside of it; it is deleted when the port is closed or forgotten,
and at the end of the process.  Commands on nodes go through `docker exec`, those outside through a shell on this computer,
whose kubectl knows the lab's namespace.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import os
import platform
import shlex
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kubelab import progress, resources
from kubelab.live import commands, contexts, dumps, topology
from kubelab.live.commands import Shell
from kubelab.port import Taken
from kubesim import tracing
from kubesim.errors import LearnerError
from kubesim.net.trace import Trace, Verdict
from kubesim.policy import model
from kubesim.shell import syntax
from kubesim.shell.terminal import Result

if TYPE_CHECKING:
    import kubernetes.client

    from kubelab.port import Tell

LABEL = "app.kubernetes.io/managed-by"
OWNER = "kubewalk"
# At rest: nothing of the lab has changed for so long (kube-proxy writes its rules within a second), in seconds.
QUIET = 1.2
# How often it is looked at, in seconds.
POLL = 0.15
# How long rest is waited for, in seconds: images may have to be pulled.
PATIENCE = 180.0
# How long a Service waits for its load balancer's address: where nobody gives it one, it never comes.  In seconds.
BALANCER = 15.0
# What lessons call from outside the cluster; where it is missing, a pod on a node's own network lends it.
TOOLS = ("curl", "dig", "nslookup", "ping")
TOOLS_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.53"
TOOLS_POD = "kubewalk-outside"


class Live:
    """A lab's namespace on the cluster of a context.  `purpose` names the namespace: "02-clusterip"."""

    def __init__(self, context: str, purpose: str) -> None:
        self.context = context
        commands.need("bash")
        self._api = _client(context)
        self.namespace = _new_namespace(self._api, f"{OWNER}-{purpose}")
        self._kubeconfig = contexts.kubeconfig(context, self.namespace)
        self._folder = Path(tempfile.mkdtemp(prefix="kubelab-"))
        self._shells: dict[str, Shell] = {}
        self._draws = 0
        # When a Service was first seen that has no load balancer's address yet, by its uid.
        self._pending: dict[str, float] = {}
        self._namespaces = [self.namespace]
        self._whole: Live | None = None
        self._end = weakref.finalize(
            self, _clean_up, self._api, self._namespaces, self._shells, self._kubeconfig, self._folder
        )
        nodes = self._node_addresses()
        self.about = f"namespace {self.namespace}, which goes when the lab is closed"
        counted = f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}"
        self.title = f"live cluster {context}, {counted}, Kubernetes {_version(self._api)}"

    def close(self) -> None:
        """Delete the lab's namespace, end its shells, and wait until it is gone: its node ports are free only then."""
        if not self._end.alive:
            return
        self._end()
        end = time.monotonic() + PATIENCE
        core = self._group("CoreV1Api")
        with progress.bar("Putting the lab away") as step, contextlib.suppress(Exception):
            # Gone is an error (404), and so is a cluster that was stopped meanwhile: both are good.
            while time.monotonic() < end:
                for each in self._namespaces:
                    core.read_namespace(each, _request_timeout=10)
                    step(f"namespace {each}")
                time.sleep(POLL)

    def adopt(self, namespace: str) -> None:
        """Another namespace that the lab's own manifests make: it is marked as the lab's, and goes with it."""
        from kubernetes.client import ApiException

        try:
            _create_namespace(self._api, namespace)
        except ApiException as error:
            if error.status != 409:
                raise
            self.close()
            raise Taken(f"namespace {namespace}") from None
        self._namespaces.append(namespace)

    def install(self, objects: list[dict[str, Any]]) -> None:
        """What the lab needs of the cluster itself, an ingress controller, say: made if its Deployments are not there yet.

        It stays when the lab goes: the next one needs it too, and taking it away would not be the lab's own business.
        """
        from kubernetes.client import ApiException

        apps = self._group("AppsV1Api")
        wanted = [each["metadata"] for each in objects if each["kind"] == "Deployment"]

        def ready(metadata: dict[str, Any]) -> bool | None:
            """None: it is not there."""
            try:
                found = apps.read_namespaced_deployment(metadata["name"], metadata["namespace"])
            except ApiException as error:
                if error.status == 404:
                    return None
                raise
            return (found.status.ready_replicas or 0) >= found.spec.replicas

        if all(ready(each) is not None for each in wanted):
            return
        with progress.bar("Installing what the lab needs") as step:
            step(", ".join(each["name"] for each in wanted))
            # Twice where need be: an object of a kind that the same list defines comes too early the first time.
            for _attempt in range(2):
                done = commands.run(
                    ["kubectl", "apply", "--server-side", "-f", "-"],
                    {**os.environ, "KUBECONFIG": str(self._kubeconfig)},
                    stdin=yaml.safe_dump_all(objects),
                )
                if done.exit_code == 0:
                    break
            else:
                raise LearnerError(f"what the lab needs could not be installed: {done.stderr.strip().splitlines()[-1]}")
            end = time.monotonic() + PATIENCE
            while not all(ready(each) for each in wanted) and time.monotonic() < end:
                step("its pods")
                time.sleep(POLL)

    def api_client(self) -> kubernetes.client.ApiClient:
        return self._api

    def objects(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        return resources.objects(self, kind, namespace, labels, fields)

    # -- commands -------------------------------------------------------------------------------------------

    def run(self, place: str, command: str, tell: Tell | None = None) -> Result:
        return self._shell(place).run(command, tell)

    def run_on_node(self, node: str, command: str) -> Result:
        return self.run(f"node/{node}", command)

    def run_outside(self, command: str) -> Result:
        return self.run("outside", command)

    def prompt(self, place: str) -> str:
        where = self._shell(place).run('printf %s "${PWD/#$HOME/\\~}"').stdout
        return f"root@{place.removeprefix('node/')}:{where}# " if place != "outside" else f"{self.context}:{where}$ "

    def completions(self, place: str, line: str) -> list[str]:
        words = line.split(" ")
        kind = "-c" if len(words) == 1 else "-f"
        done = self._shell(place).run(f"compgen {kind} -- {shlex.quote(words[-1])} | sort -u | head -100")
        return done.stdout.split()

    def is_whole(self, place: str, text: str) -> bool:
        return syntax.is_whole(text)

    def _shell(self, place: str) -> Shell:
        if place not in self._shells:
            self._shells[place] = self._new_shell(place)
        return self._shells[place]

    def _new_shell(self, place: str) -> Shell:
        kind, _, name = place.partition("/")
        if place == "outside":
            env = {**os.environ, "KUBECONFIG": str(self._kubeconfig), "PWD": str(self._folder), "TERM": "dumb"}
            shell = Shell(["bash", "--norc", "--noprofile"], env)
            shell.run(f"cd {shlex.quote(str(self._folder))}; shopt -s expand_aliases; alias k=kubectl\n{self._lent()}")
            return shell
        nodes = self._node_addresses()
        if kind != "node" or name not in nodes:
            raise LearnerError(
                f"no place {place!r}", f"Places: {', '.join(f'node/{each}' for each in nodes)}, outside."
            )
        self._docker(name, "true")
        return Shell(["docker", "exec", "-i", name, "bash"], os.environ)

    def _docker(self, node: str, script: str) -> str:
        """A script on a node, in a shell of its own.  LearnerError where nodes are no containers of this computer."""
        done = commands.run(["docker", "exec", node, "bash", "-c", script], os.environ)
        if done.exit_code:
            said = (done.stderr.strip() or "no word").splitlines()[-1]
            raise LearnerError(
                f"node {node} cannot be entered with docker exec: {said}",
                "Rules and commands on nodes need a cluster whose nodes are containers here, as kind's and k3d's are.",
            )
        return done.stdout

    def _lent(self) -> str:
        """Functions for the tools that this computer has not: they run in a pod on a node's network."""
        # Docker Desktop's nodes are in a virtual machine, whose network this computer does not reach.
        missing = [each for each in TOOLS if shutil.which(each) is None or platform.system() != "Linux"]
        if not missing:
            return ""
        start = (
            f"_lend() {{ kubectl get pod {TOOLS_POD} >/dev/null 2>&1 || kubectl run {TOOLS_POD} --image={TOOLS_IMAGE} "
            """--overrides='{"spec":{"hostNetwork":true}}' -- pause >/dev/null; """
            f"kubectl wait --for=condition=Ready pod/{TOOLS_POD} --timeout=120s >/dev/null; "
            f'kubectl exec -i {TOOLS_POD} -- "$@"; }}\n'
        )
        return start + "\n".join(f'{each}() {{ _lend {each} "$@"; }}' for each in missing)

    # -- packets --------------------------------------------------------------------------------------------

    def node_rules(self, node: str) -> str:
        if node not in self._node_addresses():
            raise LearnerError(f"no node {node!r}", f"Nodes: {', '.join(self._node_addresses())}.")
        return self._docker(node, "iptables-save")

    def trace(self, source: str, target: str) -> Trace:
        found = self._follow(source, target, lambda net, host, packet: [net.trace(host, packet)])
        return found[0]

    def traces(self, source: str, target: str) -> list[Trace]:
        return self._follow(source, target, lambda net, host, packet: net.trace(host, packet, "branches"))

    def _follow(self, source: str, target: str, walk: Callable[..., list[Trace]]) -> list[Trace]:
        asked = tracing.parse(target)
        with progress.bar("Following the packet") as step:
            step("asking the nodes for their rules and routes")
            made = self._topology()
            name = self._host(source)
            if name not in made.hosts:
                raise LearnerError(f"no place {source!r} to follow a packet from", f"Places: {', '.join(made.hosts)}.")
            host = made.hosts[name]
            address = asked.host
            resolved: tuple[tuple[str, str], ...] = ()
            if not _is_address(asked.host):
                step(f"resolving {asked.host}")
                address = self._resolve(source, asked.host)
                resolved = ((asked.host, address),)
            step("walking")
            packet = tracing.first_packet(host, asked, address)
            balancers = self._balancers()
            lan = [ipaddress.ip_interface(str(each)).network for each in made.hosts["outside"].interfaces["eth0"].addresses]
            walked = walk(made.network, host, packet)
            return [_honest(replace(each, resolved=resolved), balancers, lan) for each in walked]

    def _host(self, source: str) -> str:
        """The topology's name for a place."""
        kind, _, rest = source.partition("/")
        if kind in ("node", "nodes", "no") or source == "outside":
            return rest or source
        namespace, _, name = rest.rpartition("/")
        namespace = namespace or self.namespace
        pod = next((each for each in self._pods() if (each[0], each[1]) == (namespace, name)), None)
        if pod is None:
            raise LearnerError(f"no pod {name!r} in namespace {namespace!r}", "See: kubectl get pods")
        # One that uses its node's network is on its node.
        return pod[3] if pod[4] else f"{namespace}/{name}"

    def _resolve(self, source: str, name: str) -> str:
        """What the place's own resolver says of a name."""
        script = f"getent ahosts {shlex.quote(name)}"
        kind, _, rest = source.partition("/")
        if kind.startswith("no") and rest:
            done = self.run_on_node(rest, script)
        elif source == "outside":
            done = self.run_outside(script)
        else:
            namespace, _, pod = rest.rpartition("/")
            done = self.run_outside(
                f"kubectl -n {shlex.quote(namespace or self.namespace)} exec {shlex.quote(pod)} -- {script}"
            )
        addresses = [each.split()[0] for each in done.stdout.splitlines() if each.strip()]
        if not addresses:
            # getent(1): 2 is a key that was not found; all else is trouble of another kind.
            why = (
                "Name does not resolve"
                if done.exit_code == 2
                else (done.stderr.strip().splitlines() or ["no word"])[-1]
            )
            raise LearnerError(f"{source} cannot resolve {name!r}: {why}", f"Ask from there: nslookup {name}")
        return next((each for each in addresses if ":" not in each), addresses[0])

    def _topology(self) -> topology.Topology:
        self._draws += 1
        addresses = self._node_addresses()
        asked = [(name, script) for name in addresses for script in (dumps.NODE, dumps.PODS)]
        with ThreadPoolExecutor(max_workers=8) as pool:
            told = dict(zip(asked, pool.map(lambda each: self._docker(*each), asked), strict=True))
        nodes = {
            name: topology.Node(
                address=address, dump=dumps.node(told[name, dumps.NODE]), pods=dumps.pods(told[name, dumps.PODS])
            )
            for name, address in addresses.items()
        }
        pods = [
            topology.Pod(name=f"{namespace}/{name}", address=address, node=node)
            for namespace, name, address, node, on_host in self._pods()
            if address and not on_host
        ]
        return topology.build(nodes, pods, self._draws, self._policies)

    def _policies(self) -> model.State:
        """What NetworkPolicies say, and of whom, as the CNI's agent knows it."""

        def listed(found: Any) -> list[Any]:
            return list(self._api.sanitize_for_serialization(found)["items"])

        core, networking = self._group("CoreV1Api"), self._group("NetworkingV1Api")
        pods = [model.pod_of(each) for each in listed(core.list_pod_for_all_namespaces())]
        return model.State(
            [model.policy_of(each) for each in listed(networking.list_network_policy_for_all_namespaces())],
            [each for each in pods if each is not None],
            {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in listed(core.list_namespace())},
        )

    def _node_addresses(self) -> dict[str, str]:
        return {
            node.metadata.name: next((each.address for each in node.status.addresses if each.type == "InternalIP"), "")
            for node in self._group("CoreV1Api").list_node().items
        }

    def _balancers(self) -> set[str]:
        """The addresses that load balancers have for Services."""
        return {
            each.ip
            for service in self._group("CoreV1Api").list_service_for_all_namespaces().items
            for each in service.status.load_balancer.ingress or []
            if each.ip
        }

    def _pods(self) -> list[tuple[str, str, str, str, bool]]:
        """Namespace, name, address ("" if it has none yet), node, and whether it uses the node's network, of all that have not
        ended."""
        return [
            (
                each.metadata.namespace,
                each.metadata.name,
                each.status.pod_ip or "",
                each.spec.node_name or "",
                bool(each.spec.host_network),
            )
            for each in self._group("CoreV1Api").list_pod_for_all_namespaces().items
            if each.status.phase in ("Running", "Pending")
        ]

    def _group(self, name: str) -> Any:
        """The official client's class of that name."""
        return _group(self._api, name)

    # -- rest -----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Until nothing of the namespace has changed for a while, and no pod is on its way up or down."""
        begun = quiet = time.monotonic()
        before: Any = None
        with progress.bar("Waiting until the cluster has come to rest") as step:
            while time.monotonic() - begun < PATIENCE:
                now, waiting = self._state()
                if now != before or waiting:
                    before, quiet = now, time.monotonic()
                elif time.monotonic() - quiet >= QUIET:
                    return
                step(waiting or "nothing moves")
                time.sleep(POLL)

    def wait(self, seconds: float) -> None:
        with progress.bar(f"Waiting {seconds:g} s") as step:
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                step(f"{left:.0f} s to go")
                time.sleep(min(left, 0.5))

    def apart(self) -> Live:
        other = copy.copy(self)
        other._shells = {}
        # The namespace lives as long as anybody looks at it.
        other._whole = self
        weakref.finalize(other, _close, other._shells)
        return other

    def _state(self) -> tuple[Any, str]:
        """The revisions of what is there, and whom it waits for."""
        core, apps, slices = (self._group(each) for each in ("CoreV1Api", "AppsV1Api", "DiscoveryV1Api"))
        pods = core.list_namespaced_pod(self.namespace).items
        deployments = apps.list_namespaced_deployment(self.namespace).items
        # What cannot start is tried again and again: nobody waits for that.
        listed = [
            *(each for each in pods if not _is_stuck(each)),
            *deployments,
            *slices.list_namespaced_endpoint_slice(self.namespace).items,
        ]
        services = core.list_namespaced_service(self.namespace).items
        listed += services
        revisions = sorted((each.metadata.uid, each.metadata.resource_version) for each in listed)
        waiting = [f"pod {each.metadata.name}" for each in pods if _moves(each)]
        waiting += [
            f"deployment {each.metadata.name}"
            for each in deployments
            if (each.status.observed_generation or 0) < each.metadata.generation
            # More than it wants is a rollout; where its new pods do not get ready, that stays so, and nothing moves.
            or (each.status.replicas or 0) < each.spec.replicas
        ]
        for each in services:
            if each.spec.type == "LoadBalancer" and not each.status.load_balancer.ingress:
                since = self._pending.setdefault(each.metadata.uid, time.monotonic())
                if time.monotonic() - since < BALANCER:
                    waiting.append(f"the load balancer of {each.metadata.name}")
        return revisions, ", ".join(waiting[:3])


def _moves(pod: Any) -> bool:
    """Whether it is starting or ending; one that cannot start (its image is not there) waits for nobody."""
    if pod.metadata.deletion_timestamp:
        return True
    unschedulable = any(each.reason == "Unschedulable" for each in pod.status.conditions or [])
    return pod.status.phase == "Pending" and not _is_stuck(pod) and not unschedulable


def _is_stuck(pod: Any) -> bool:
    """Whether a container waits for something that will not come by itself: an image, an end of crashes."""
    states = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    waiting = [each.state.waiting.reason for each in states if each.state and each.state.waiting]
    return any(each not in ("ContainerCreating", "PodInitializing") for each in waiting)


def _group(api: kubernetes.client.ApiClient, name: str) -> Any:
    from kubernetes import client

    return getattr(client, name)(api)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BEYOND = "what is beyond this computer is not looked at"


def _honest(trace: Trace, balancers: Collection[str], lan: Sequence[Network]) -> Trace:
    """What happens beyond this computer is not known; but private addresses (RFC 1918) are certainly nobody's there, unless
    they are a load balancer's, or on the nodes' own network, where there may be machines that are no nodes."""
    to = trace.final.dst
    beside = any(ipaddress.ip_address(to) in each for each in lan)
    left = trace.hops[-1].kind == "internet" and not ipaddress.ip_address(to).is_private
    lost = trace.verdict in (Verdict.DROPPED, Verdict.NO_ROUTE) and trace.hops[-1].kind in ("internet", "outside")
    if not left and not (lost and (to in balancers or beside)):
        return trace
    whose = "the load balancer at " if to in balancers else "a machine beside the nodes, " if beside else ""
    reason = f"the packet left for {whose}{to}; {BEYOND}"
    return replace(trace, verdict=Verdict.INSUFFICIENT_INFO, reason=reason)


def _is_address(host: str) -> bool:
    from kubesim.net import address

    return address.is_address(host)


def _client(context: str) -> kubernetes.client.ApiClient:
    from kubernetes import config

    try:
        # The client's own default is what KUBECONFIG was when it was imported.
        api = config.new_client_from_config(os.environ.get("KUBECONFIG") or None, context)
        _version(api)
    except Exception as error:
        # Whatever a broken kubeconfig, a missing plugin or a silent server raises: to the learner it is one thing.
        raise LearnerError(
            f"context {context!r} does not answer: {str(error).strip().splitlines()[-1][:200]}",
            f"Try: kubectl --context {context} version",
        ) from error
    return api


def _version(api: kubernetes.client.ApiClient) -> str:
    from kubernetes import client

    return str(client.VersionApi(api).get_code(_request_timeout=10).git_version)


def _new_namespace(api: kubernetes.client.ApiClient, base: str) -> str:
    """A namespace that nobody has: the name, or the name with a number."""
    from kubernetes.client import ApiException

    for number in range(1, 100):
        name = base if number == 1 else f"{base}-{number}"
        try:
            _create_namespace(api, name)
        except ApiException as error:
            if error.status != 409:
                raise
        else:
            return name
    raise LearnerError(
        f"all namespaces {base}-N are taken", "Remove those of old sessions: kubelab clean --cluster CONTEXT"
    )


def _create_namespace(api: kubernetes.client.ApiClient, name: str) -> None:
    from kubernetes import client

    core = _group(api, "CoreV1Api")
    core.create_namespace({"metadata": {"name": name, "labels": {LABEL: OWNER}}})
    # A pod that is made before its namespace has a service account is refused.
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(client.ApiException):
            core.read_namespaced_service_account("default", name)
            return
        time.sleep(0.1)


def clean(context: str) -> Iterator[str]:
    """Delete every namespace of the labs on that cluster, and say which."""
    core = _group(_client(context), "CoreV1Api")
    for each in core.list_namespace(label_selector=f"{LABEL}={OWNER}").items:
        core.delete_namespace(each.metadata.name)
        yield each.metadata.name


def _close(shells: Mapping[str, Shell]) -> None:
    for shell in shells.values():
        shell.close()


def _clean_up(
    api: kubernetes.client.ApiClient, namespaces: list[str], shells: Mapping[str, Shell], kubeconfig: Path, folder: Path
) -> None:
    _close(shells)
    core = _group(api, "CoreV1Api")
    for name in namespaces:
        # The learner may have stopped the cluster, or deleted the namespace: then there is nothing to clean.
        with contextlib.suppress(Exception):
            found = core.read_namespace(name, _request_timeout=10)
            if (found.metadata.labels or {}).get(LABEL) == OWNER:
                core.delete_namespace(name, _request_timeout=10)
    kubeconfig.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
