"""A rolling update under steady load: what it loses depends on what the pods say of themselves, and the trace says why."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubesim.cluster import Cluster
from kubesim.net import errors
from kubesim.net.trace import Trace, Verdict
from kubesim.programs import http

Object = dict[str, Any]
SLOW_START = ["sh", "-c", "sleep 5; exec nginx -g 'daemon off;'"]
# Seconds between two requests.
PAUSE = 0.025
READINESS: Object = {"readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}}
# Long enough for every node's kube-proxy to have heard that the pod is on its way out.
PRE_STOP: Object = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}}}


@dataclass
class Load:
    """What a client got that asks again and again, a connection for each request."""

    answers: int = 0
    lost: list[errors.NetError | http.HttpError] = field(default_factory=list)

    def traces(self) -> list[Trace]:
        return [each.trace for each in self.lost if isinstance(each, errors.NetError) and each.trace is not None]


async def steadily(cluster: Cluster, address: str, seconds: float, load: Load) -> None:
    """Some forty requests a second from the pod `client`."""
    net = cluster.machine("pod/client").net
    until = cluster.world.now + seconds
    while cluster.world.now < until:
        try:
            connection = await net.connect(address, 80, timeout=2)
            try:
                reply = await http.Client(connection).request("GET", "/", [("Host", "web"), ("Connection", "close")])
                await reply.read()
            finally:
                connection.close()
            load.answers += reply.status == 200
        except (errors.NetError, http.HttpError) as error:
            load.lost.append(error)
        await cluster.world.sleep(PAUSE)


def roll(container: Object, replicas: int = 3, seconds: float = 40) -> Load:
    """Three pods of this container behind the Service `web`, rolled over to a new template while a client asks."""
    cluster = Cluster("kind")
    admin = cluster.api.client()
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}], **container}]},
    }
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": template,
    }
    admin.create("deployments.apps", {"metadata": {"name": "web"}, "spec": spec}, "default")
    client = {"metadata": {"name": "client"}, "spec": {"containers": [{"name": "client", "image": "nginx"}]}}
    admin.create("pods", client, "default")
    service = {"metadata": {"name": "web"}, "spec": {"selector": labels, "ports": [{"port": 80}]}}
    address = admin.create("services", service, "default")["spec"]["clusterIP"]
    cluster.settle()
    cluster.advance(10)
    before = {each["metadata"]["uid"] for each in admin.list("pods", "default", "app=web")}

    load = Load()
    task = cluster.world.spawn(steadily(cluster, address, seconds, load), "load")
    cluster.advance(1)
    assert load.answers
    assert not load.lost, "it answers before the update"
    stamp = {"metadata": {"annotations": {"version": "2"}}}
    admin.patch("deployments.apps", "web", "default", {"spec": {"template": stamp}})
    cluster.run(task)

    after = admin.list("pods", "default", "app=web")
    assert len(after) == replicas
    assert not before & {each["metadata"]["uid"] for each in after}, "the update came to its end"
    return load


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("ready, and slow to go", {**READINESS, **PRE_STOP}),
        ("slow to start, too", {"command": SLOW_START, **READINESS, **PRE_STOP}),
    ],
)
def test_nothing_is_lost(name: str, container: Object) -> None:
    load = roll(container)
    assert not load.lost, f"{name}: {len(load.lost)} lost; the first: {load.lost[0]}\n{(load.traces() or [''])[0]}"
    assert load.answers > 800


def test_without_readiness_requests_go_to_pods_where_nobody_listens_yet() -> None:
    load = roll({"command": SLOW_START, **PRE_STOP})
    assert load.answers > 800
    verdicts = collections.Counter(trace.verdict for trace in load.traces())
    assert set(verdicts) == {Verdict.REFUSED}, verdicts
    for trace in load.traces():
        assert trace.final.dport == 80
        assert trace.final.dst.startswith("10.244."), "it was sent on to a pod"
        assert trace.hops[-1].kind == "pod", "and it arrived there"
        assert "listens" in trace.reason


def test_without_a_pause_before_the_end_requests_go_to_pods_that_have_gone() -> None:
    """SIGTERM races with the endpoints' way to every node's rules."""
    load = roll(READINESS, seconds=20)
    assert load.answers > 500
    assert load.traces()
    for trace in load.traces():
        assert trace.final.dst.startswith("10.244."), "the rules still sent it on to a pod's address"
        assert trace.verdict is not Verdict.DELIVERED
        assert trace.hops[-1].kind != "pod", "where that pod was, nobody is"
