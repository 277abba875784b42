"""`make bench`'s figures of the API server: in this process through `handle`, and over HTTP as a client of another process.

In-process figures are CPU seconds; those over HTTP are wall seconds, and contain the client's own work.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COUNT = 1000
SERVICES, PODS = "/api/v1/namespaces/default/services", "/api/v1/namespaces/default/pods"


def service(number: int) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"metadata": {"name": f"s{number}"}, "spec": {"selector": {"app": f"a{number}"}, "ports": ports}}


def pod(number: int) -> dict[str, Any]:
    containers = [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}]}]
    return {"metadata": {"name": f"p{number}", "labels": {"app": f"a{number}"}}, "spec": {"containers": containers}}


def measure() -> dict[str, Any]:
    from run import resident

    bare = resident("pass")
    return {
        "in_process": in_process(),
        "over_http": over_http(),
        "memory_10000_configmaps_over_bare_mb": resident(MEMORY) - bare,
        "deployments_100_of_10": deployments(),
    }


# -- in this process ----------------------------------------------------------------------------------------------


def in_process() -> dict[str, float]:
    from kubesim import http as wire
    from kubesim.cluster import Cluster

    cluster = Cluster("bare")

    def ask(method: str, path: str, body: Any = None) -> wire.Response:
        answer = cluster.api.handle(wire.request(method, path, body))
        if answer.status >= 400:
            raise RuntimeError(answer.body.decode())
        return answer

    figures: dict[str, float] = {}
    for name, collection, make in (("services", SERVICES, service), ("pods", PODS, pod)):
        figures[f"create_{name}_per_cpu_second"] = _rate(lambda i, c=collection, m=make: ask("POST", c, m(i)), COUNT)
        figures[f"get_{name}_per_cpu_second"] = _rate(
            lambda i, c=collection, n=name: ask("GET", f"{c}/{n[0]}{i}"), COUNT
        )
        start = time.process_time()
        ask("GET", collection)
        figures[f"list_1000_{name}_cpu_seconds"] = time.process_time() - start
        start = time.process_time()
        cluster.settle()
        figures[f"controllers_after_1000_{name}_cpu_seconds"] = time.process_time() - start
    stream = ask("GET", f"{SERVICES}?watch=true&resourceVersion={cluster.store.revision}").stream
    assert stream is not None
    waits = []
    for number in range(100):
        start = time.process_time()
        ask("POST", SERVICES, service(COUNT + number))
        cluster.world.drain()
        if not stream.read():
            raise RuntimeError("the watch told nothing")
        waits.append(time.process_time() - start)
    figures["watch_from_create_cpu_milliseconds"] = statistics.median(waits) * 1000
    return figures


def _rate(work: Any, count: int) -> float:
    start = time.process_time()
    for number in range(count):
        work(number)
    return count / (time.process_time() - start)


# -- over HTTP ----------------------------------------------------------------------------------------------------


def over_http() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).parent / "kubesim"), "serve", "--preset", "bare", "--kubeconfig", f"{folder}/config",
        ]  # fmt: skip
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://([\d.:]+)", process.stdout.readline())
                assert found is not None
                host = found[1]
                _wait_ready(host)
                figures = {"start_to_readyz_seconds": time.perf_counter() - start}
                status = Path(f"/proc/{process.pid}/status")
                if status.exists():
                    figures["idle_mb"] = int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024
                return {**figures, **_requests(host)}
            finally:
                process.terminate()


def _wait_ready(host: str) -> None:
    while True:
        try:
            connection = http.client.HTTPConnection(host)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.02)


def _requests(host: str) -> dict[str, float]:
    connection = http.client.HTTPConnection(host)

    def ask(method: str, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(text.decode())
        return text

    figures: dict[str, float] = {}
    for name, collection, make in (("services", SERVICES, service), ("pods", PODS, pod)):
        start = time.perf_counter()
        for number in range(COUNT):
            ask("POST", collection, make(number))
        figures[f"create_1000_{name}_seconds"] = time.perf_counter() - start
        start = time.perf_counter()
        for number in range(COUNT):
            ask("GET", f"{collection}/{name[0]}{number}")
        figures[f"get_{name}_per_second"] = COUNT / (time.perf_counter() - start)
        start = time.perf_counter()
        ask("GET", collection)
        figures[f"list_1000_{name}_seconds"] = time.perf_counter() - start
    figures["watch_from_create_milliseconds"] = asyncio.run(_watch(host, ask))
    return figures


async def _watch(host: str, ask: Any) -> float:
    """From a create that is sent until its event has come on another connection; the median of 50."""
    address, port = host.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    version = json.loads(ask("GET", "/api/v1/namespaces/default/configmaps"))["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/default/configmaps?watch=true&resourceVersion={version}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    waits = []
    for number in range(50):
        body = {"metadata": {"name": f"w{number}"}}
        start = time.perf_counter()
        await asyncio.to_thread(ask, "POST", "/api/v1/namespaces/default/configmaps", body)
        await reader.readuntil(b"}\n")
        waits.append(time.perf_counter() - start)
    writer.close()
    return statistics.median(waits) * 1000


# -- many ---------------------------------------------------------------------------------------------------------

MEMORY = """
from kubesim import http
from kubesim.cluster import Cluster
c = Cluster("bare")
for i in range(10_000):
    body = {"metadata": {"name": f"c{i}", "labels": {"app": "a"}}, "data": {"key": "value"}}
    assert c.api.handle(http.request("POST", "/api/v1/namespaces/default/configmaps", body)).status == 201
c.settle()
"""


def deployments(count: int = 100, replicas: int = 10) -> dict[str, float]:
    """Deployments, each with a Service, on a cluster with nodes, until all endpoints of all are ready."""
    from kubesim import http as wire
    from kubesim.cluster import Cluster

    with tempfile.TemporaryDirectory() as folder:
        # A kubelet takes 110 pods.
        workers = [
            {"name": f"w{i}", "address": f"172.18.1.{i}", "pod_cidr": f"10.244.{i}.0/24"}
            for i in range(1, count * replicas // 100 + 2)
        ]
        first = {"name": "w0", "address": "172.18.0.4", "pod_cidr": "10.244.0.0/24"}
        control = {**first, "control_plane": True, "schedulable": False}
        (Path(folder) / "many.yaml").write_text(json.dumps({"extends": "kind", "nodes": [control, *workers]}))
        cluster = Cluster(f"{folder}/many.yaml")
    start, born = time.process_time(), cluster.world.now
    for number in range(count):
        labels = {"app": f"d{number}"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        body = {"metadata": {"name": f"d{number}"}, "spec": spec}
        path = "/apis/apps/v1/namespaces/default/deployments"
        assert cluster.api.handle(wire.request("POST", path, body)).status == 201
        body = {"metadata": {"name": f"d{number}"}, "spec": {"selector": labels, "ports": [{"port": 80}]}}
        assert cluster.api.handle(wire.request("POST", SERVICES, body)).status == 201
    while (ready := _ready(cluster)) < count * replicas and cluster.world.now - born < 300:
        cluster.advance(1)
    return {
        "cpu_seconds": time.process_time() - start,
        "virtual_seconds": cluster.world.now - born,
        "ready_endpoints": ready,
    }


def _ready(cluster: Any) -> int:
    return sum(
        bool(each["conditions"].get("ready"))
        for one in cluster.store.list("endpointslices.discovery.k8s.io", "default")
        if one["metadata"]["labels"].get("kubernetes.io/service-name", "").startswith("d")
        for each in one["endpoints"] or ()
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(measure(), indent=2))
