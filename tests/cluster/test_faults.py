"""Whatever is killed, stopped or flushed, and whenever: the cluster heals as Kubernetes does.

A Hypothesis state machine does what a class of students does to a cluster, in any order and at any moment, and checks what
must hold all the while and what must hold once it has come to rest.
"""

from __future__ import annotations

import collections
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kubesim import http
from kubesim.cluster import Cluster
from kubesim.machinery import selectors

Object = dict[str, Any]
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"
NAMES = ("web", "api")
SLICES = "endpointslices.discovery.k8s.io"
DEPLOYMENTS, DAEMONSETS = "deployments.apps", "daemonsets.apps"
WATCHED = {
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    DEPLOYMENTS: "/apis/apps/v1/deployments",
    "nodes": "/api/v1/nodes",
}
# What a dead node's pods tolerate by default, and what its silence takes to be noticed.
EVICTION = 300 + 50


def deployment(name: str, replicas: int) -> Object:
    """`replicas` pods that answer their own name on port 8080."""
    container = {"name": "agnhost", "image": AGNHOST, "args": ["netexec"]}
    labels = {"app": name}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def service(name: str, kind: str) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": kind, "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def name_of(obj: Object) -> str:
    return obj["metadata"]["name"]


def ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


class View:
    """What somebody who watches a collection over HTTP knows of it."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self._cluster = cluster
        self._path = path
        self._revision = 0
        answer = cluster.api.handle(http.request("GET", f"{path}?watch=true&resourceVersion=0&timeoutSeconds=86400"))
        assert answer.stream is not None
        self._stream = answer.stream
        self._known: dict[tuple[str, str], Object] = {}

    def read(self) -> None:
        """Take in the events that have come; no version may go backwards."""
        chunk = self._stream.read()
        assert chunk is not None, "the server ended the watch"
        born = not self._known
        for line in chunk.splitlines():
            event = json.loads(line)
            obj = event["object"]
            revision = int(obj["metadata"]["resourceVersion"])
            if not born:
                assert revision > self._revision, f"{self._path}: {revision} came after {self._revision}"
            self._revision = max(self._revision, revision)
            key = (obj["metadata"].get("namespace", ""), name_of(obj))
            if event["type"] == "DELETED":
                del self._known[key]
            else:
                assert (key in self._known) == (event["type"] == "MODIFIED"), f"{event['type']} {key}"
                self._known[key] = obj

    def check(self) -> None:
        self.read()
        listed = self._cluster.api.handle(http.request("GET", self._path)).json()["items"]
        # Items of a list leave out what the list says.
        known = [
            {k: v for k, v in each.items() if k not in ("kind", "apiVersion")}
            for _, each in sorted(self._known.items())
        ]
        assert known == listed, f"the view of {self._path} is not what a list gives"


class Faults(RuleBasedStateMachine):
    """See the module."""

    preset = "kind"

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(self.preset)
        self.store = self.cluster.store
        self.admin = self.cluster.api.client(http.User())
        self.views = [View(self.cluster, path) for path in WATCHED.values()]
        # Nodes whose kubelet does not run, and those of them that are not to be reached at all.
        self.stopped: set[str] = set()
        self.failed: set[str] = set()
        self.flushed: set[str] = set()
        self.revision = 0

    # -- what people do ---------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), replicas=st.integers(0, 4))
    def deploy(self, name: str, replicas: int) -> None:
        found = self.admin.find(DEPLOYMENTS, name, "default")
        if found is None:
            self.admin.create(DEPLOYMENTS, deployment(name, replicas), "default")
        else:
            self.admin.patch(DEPLOYMENTS, name, "default", {"spec": {"replicas": replicas}})

    @rule(name=st.sampled_from(NAMES))
    def roll(self, name: str) -> None:
        """A new template: a rolling update."""
        if self.admin.find(DEPLOYMENTS, name, "default"):
            stamp = {"metadata": {"annotations": {"at": str(self.store.revision)}}}
            self.admin.patch(DEPLOYMENTS, name, "default", {"spec": {"template": stamp}})

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(["ClusterIP", "NodePort"]))
    def expose(self, name: str, kind: str) -> None:
        if self.admin.find("services", name, "default"):
            self.admin.patch("services", name, "default", {"spec": {"type": kind}})
        else:
            self.admin.create("services", service(name, kind), "default")

    @rule(name=st.sampled_from(NAMES), resource=st.sampled_from(["services", DEPLOYMENTS]))
    def delete(self, name: str, resource: str) -> None:
        if self.admin.find(resource, name, "default"):
            self.admin.delete(resource, name, "default", propagation="Background")

    # -- what breaks ------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 40), at_once=st.booleans())
    def kill_a_pod(self, number: int, at_once: bool) -> None:
        pods = self.admin.list("pods")
        self._kill(pods[number % len(pods)], at_once)

    @rule(app=st.sampled_from(["kube-proxy", "kube-dns", "kindnet", "web", "api"]), at_once=st.booleans())
    def kill_all_of(self, app: str, at_once: bool) -> None:
        for pod in self.admin.list("pods"):
            labels = pod["metadata"].get("labels", {})
            if app in (labels.get("k8s-app"), labels.get("app")):
                self._kill(pod, at_once)

    def _kill(self, pod: Object, at_once: bool) -> None:
        note(f"kill {name_of(pod)}")
        self.admin.delete(
            "pods", name_of(pod), pod["metadata"]["namespace"], grace_period_seconds=0 if at_once else None
        )

    @rule(number=st.integers(0, 2))
    def stop_a_kubelet(self, number: int) -> None:
        node = self._node(number)
        if node not in self.stopped:
            note(f"kubelet of {node} stops")
            self.stopped.add(node)
            self.cluster.kubelets[node].stop()

    @rule(number=st.integers(0, 2))
    def fail_a_node(self, number: int) -> None:
        node = self._node(number)
        if node not in self.failed:
            note(f"{node} fails")
            self.stopped.add(node)
            self.failed.add(node)
            self.cluster.fail_node(node)

    @precondition(lambda self: self.stopped)
    @rule()
    def bring_all_back(self) -> None:
        for node in sorted(self.stopped):
            if node in self.failed:
                self.cluster.recover_node(node)
            else:
                self.cluster.kubelets[node].start()
        self.stopped.clear()
        self.failed.clear()

    @rule(number=st.integers(0, 2), everything=st.booleans())
    def flush(self, number: int, everything: bool) -> None:
        node = self._node(number)
        note(f"flush on {node}")
        commands = ["sudo iptables -t nat -F KUBE-SERVICES"]
        if everything:
            commands = [
                f"sudo iptables -t {table} {flag}" for table in ("nat", "filter", "mangle") for flag in ("-F", "-X")
            ]
        result = self.cluster.run_on_node(node, "; ".join(commands))
        assert not result.stderr or node in self.flushed, result.stderr
        self.flushed.add(node)

    def _node(self, number: int) -> str:
        nodes = list(self.cluster.nodes)
        return nodes[number % len(nodes)]

    # -- what goes on -----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.05, 0.3, 1, 2, 5, 12, 31, 60]))
    def advance(self, seconds: float) -> None:
        self.cluster.advance(seconds)

    @rule()
    def evict(self) -> None:
        """Time enough for a silent node's pods to be given up."""
        if self.stopped:
            self.cluster.advance(EVICTION + 40)

    @rule(name=st.sampled_from(NAMES), number=st.integers(0, 2))
    def request(self, name: str, number: int) -> None:
        """Whoever answers is there: in the API, or at least still running."""
        found = self.admin.find("services", name, "default")
        if found is not None:
            there = self._running() | {name_of(pod) for pod in self.admin.list("pods", "default")}
            answer = self._ask(self._node(number), f"{found['spec']['clusterIP']}:80")
            assert not answer or answer in there, f"{answer} is gone, and answered"

    def _ask(self, node: str, address: str) -> str:
        return self.cluster.run_on_node(node, f"curl -s --max-time 2 http://{address}/hostname").stdout

    def _running(self) -> set[str]:
        return {
            name_of(worker.pod)
            for kubelet in self.cluster.kubelets.values()
            for worker in kubelet.workers()
            if not worker.finished
        }

    @rule()
    def settle(self) -> None:
        assert self.cluster.settle(), "it does not come to rest"
        for each in self.admin.list("services"):
            if each["spec"].get("selector"):
                self._check_endpoints(each)

    def _check_endpoints(self, given: Object) -> None:
        selector = selectors.from_map(given["spec"]["selector"])
        namespace = given["metadata"]["namespace"]
        pods = {
            pod["status"]["podIP"]
            for pod in self.admin.list("pods", namespace)
            if selector.matches(pod["metadata"].get("labels", {}))
            and ready(pod)
            and "deletionTimestamp" not in pod["metadata"]
        }
        listed = [
            address
            for each in self.admin.list(SLICES, namespace)
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == name_of(given)
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        ]
        assert sorted(listed) == sorted(pods), f"the ready endpoints of {name_of(given)} are not its ready pods"

    # -- what holds all the while -----------------------------------------------------------------------------

    @invariant()
    def versions_grow_and_watchers_see_what_a_list_gives(self) -> None:
        assert self.store.revision >= self.revision
        self.revision = self.store.revision
        self.cluster.world.drain()
        for view in self.views:
            view.check()

    @invariant()
    def nothing_is_given_twice(self) -> None:
        services = self.admin.list("services")
        pods = [
            pod
            for pod in self.admin.list("pods")
            if not pod["spec"].get("hostNetwork") and pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]
        for what, given in (
            ("cluster IP", [each["spec"]["clusterIP"] for each in services]),
            (
                "node port",
                [port["nodePort"] for each in services for port in each["spec"]["ports"] if "nodePort" in port],
            ),
            ("pod IP", [pod["status"]["podIP"] for pod in pods if pod["status"].get("podIP")]),
        ):
            twice = [value for value, count in collections.Counter(given).items() if count > 1]
            assert not twice, f"{what} given twice: {twice}"

    # -- what holds in the end --------------------------------------------------------------------------------

    def teardown(self) -> None:
        """All that was stopped is started again; then all is as it was asked for."""
        if self.stopped:
            self.bring_all_back()
        # A flushed chain comes back with the next full sync, which a new kube-proxy begins with.
        for pod in self.admin.list("pods", "kube-system", "k8s-app=kube-proxy"):
            if pod["spec"]["nodeName"] in self.flushed:
                self._kill(pod, at_once=False)
        # The longest that anything waits for its next try: a back-off's first steps.
        self.cluster.advance(60)
        self.settle()
        for each in self.admin.list(DEPLOYMENTS):
            wanted, status = each["spec"]["replicas"], each["status"]
            assert status.get("availableReplicas", 0) == wanted, f"{name_of(each)}: {status}"
        for each in self.admin.list(DAEMONSETS):
            status = each["status"]
            assert status["numberReady"] == status["desiredNumberScheduled"] == len(self.cluster.nodes), name_of(each)
        for each in self.admin.list("services", "default", "!provider"):
            self._check_answers(each)
        self.versions_grow_and_watchers_see_what_a_list_gives()
        self.nothing_is_given_twice()

    def _check_answers(self, given: Object) -> None:
        """The Service is answered by its pods from every node; where there is none, by nobody."""
        pods = {name_of(pod) for pod in self.admin.list("pods", "default", f"app={name_of(given)}") if ready(pod)}
        addresses = [f"{given['spec']['clusterIP']}:80"]
        addresses += [f"127.0.0.1:{port['nodePort']}" for port in given["spec"]["ports"] if port.get("nodePort")]
        for node in self.cluster.nodes:
            for address in addresses:
                answer = self._ask(node, address)
                assert answer in (pods or {""}), f"{name_of(given)} at {address} from {node}: {answer!r}, not of {pods}"


INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web"},
    "spec": {
        "rules": [
            {
                "host": "web.test",
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "web", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ]
    },
}


class FaultsWithFronts(Faults):
    """With what stands in front: Traefik behind MetalLB, and Services with addresses of their own."""

    preset = "kind+traefik+metallb"

    def __init__(self) -> None:
        super().__init__()
        self.admin.create("ingresses.networking.k8s.io", INGRESS, "default")

    @rule(name=st.sampled_from(NAMES))
    def expose_outside(self, name: str) -> None:
        self.expose(name, "LoadBalancer")

    @rule(app=st.sampled_from(["traefik", "metallb"]), at_once=st.booleans())
    def kill_a_front(self, app: str, at_once: bool) -> None:
        """All of the ingress's pods, or MetalLB's controller and speakers."""
        for pod in self.admin.list("pods"):
            labels = pod["metadata"].get("labels", {})
            if app in (labels.get("app.kubernetes.io/name"), labels.get("app")):
                self._kill(pod, at_once)

    @rule()
    def ask_the_front(self) -> None:
        there = self._running() | {name_of(pod) for pod in self.admin.list("pods", "default")}
        answer = self._through_ingress()
        assert not answer.startswith("web-") or answer in there, f"{answer} is gone, and answered"

    def _through_ingress(self) -> str:
        found = self.admin.find("services", "traefik", "traefik")
        entries = ((found or {}).get("status", {}).get("loadBalancer") or {}).get("ingress") or []
        if not entries:
            return ""
        address = entries[0]["ip"]
        return self.cluster.run_outside(f"curl -s --max-time 2 -H 'Host: web.test' http://{address}/hostname").stdout

    @invariant()
    def no_address_is_given_twice(self) -> None:
        given = [
            entry["ip"]
            for each in self.admin.list("services")
            for entry in (each["status"].get("loadBalancer") or {}).get("ingress") or ()
        ]
        assert len(given) == len(set(given)), f"load balancer address given twice: {given}"

    def teardown(self) -> None:
        super().teardown()
        pods = {name_of(pod) for pod in self.admin.list("pods", "default", "app=web") if ready(pod)}
        exposed = self.admin.find("services", "web", "default") is not None
        answer = self._through_ingress()
        if pods and exposed:
            assert answer in pods, f"through the ingress: {answer!r}, not of {pods}"
        else:
            assert not answer.startswith("web-"), f"through the ingress: {answer!r}, and nobody is there"
        for each in self.admin.list("services", "default", "!provider"):
            if each["spec"]["type"] == "LoadBalancer":
                address = each["status"]["loadBalancer"]["ingress"][0]["ip"]
                well = {name_of(pod) for pod in self.admin.list("pods", "default", f"app={name_of(each)}") if ready(pod)}
                answer = self.cluster.run_outside(f"curl -s --max-time 2 http://{address}/hostname").stdout
                assert answer in (well or {""}), f"{name_of(each)} at {address}: {answer!r}, not of {well}"


class FaultsOfOneNode(Faults):
    """On the 1.16 cluster of one node: Endpoints instead of slices, Calico, another form of rules."""

    preset = "vagrant"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "examples"),
    [(Faults, 12), (FaultsOfOneNode, 6), (FaultsWithFronts, 6)],
    ids=["kind", "vagrant", "fronts"],
)
def test_it_heals(machine: type[Faults], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
