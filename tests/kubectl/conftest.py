"""kubectl against an API server and its controllers in the same process; no nodes run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubesim import controllers, files, http, world
from kubesim.apiserver import server
from kubesim.kubectl import io, main
from kubesim.store import store


@dataclass
class Result:
    code: int
    out: str
    err: str


@dataclass
class Bench:
    """One API server, and a kubectl for it.  `kubectl("get pods")` settles the world before and after."""

    version: str = "v1.36.2"
    kubectl_version: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = world.World(seed=1, start=1_800_000_000)
        self.api = server.ApiServer(self.world, store.Store(self.world), version=self.version)
        self.controllers = controllers.start_all(self.world, self.api.client, version=self.version)
        self.files = files.FileSystem(clock=lambda: self.world.now)
        self.files.mkdir("/root", parents=True)
        self.cache: dict[Any, Any] = {}
        self.addresses = 1
        self.world.settle()

    def io(self, out: list[bytes], err: list[bytes], stdin: str = "") -> io.IO:
        chunks = [stdin.encode()]

        async def read() -> bytes:
            return chunks.pop() if chunks else b""

        return io.IO(
            out=out.append,
            err=err.append,
            files=self.files,
            now=lambda: self.world.now,
            wait=io.wait_in(self.world),
            transport=self.api.handle,
            stdin=read,
            spawn=lambda coro: self.world.spawn(coro, "stdin"),
            env=self.env,
            cwd="/root",
            cache=self.cache,
            version=self.kubectl_version,
        )

    def kubectl(self, line: str, stdin: str = "") -> Result:
        out: list[bytes] = []
        err: list[bytes] = []
        code = self.world.run(main.run(shlex.split(line), self.io(out, err, stdin)))
        self.world.settle(60)
        return Result(code, b"".join(out).decode(), b"".join(err).decode())

    def ok(self, line: str, stdin: str = "") -> str:
        """Standard output of a command that must succeed."""
        result = self.kubectl(line, stdin)
        assert result.code == 0, result
        return result.out

    def fails(self, line: str, stdin: str = "") -> str:
        """Standard error of a command that must fail with code 1."""
        result = self.kubectl(line, stdin)
        assert result.code == 1, result
        return result.err

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        response = self.api.handle(http.request(method, path, body, {"content-type": content_type}))
        assert response.status < 300, response.body
        return response.json()

    def node(self, name: str) -> None:
        """A Node that says it is ready; nothing runs on it."""
        self.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "192.168.0.2"}, {"type": "Hostname", "address": name}],
            "capacity": {"cpu": "64", "memory": "256Gi", "pods": "110"},
            "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110"},
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                }
            ],
            "nodeInfo": {"kubeletVersion": self.version},
        }
        self.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, "application/merge-patch+json")
        self.world.settle()

    def run_pods(self, namespace: str = "default") -> None:
        """Do what a scheduler and a kubelet would: bind every pod, and say that it runs."""
        listed = self.request("GET", f"/api/v1/namespaces/{namespace}/pods")
        for pod in listed["items"]:
            name = pod["metadata"]["name"]
            if pod["status"].get("phase") == "Running":
                continue
            if not pod["spec"].get("nodeName"):
                binding = {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": name},
                    "target": {"kind": "Node", "name": "node-1"},
                }
                self.request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", binding)
            self.addresses += 1
            started = "2027-01-15T08:00:00Z"
            status = {
                "phase": "Running",
                "podIP": f"10.244.1.{self.addresses}",
                "podIPs": [{"ip": f"10.244.1.{self.addresses}"}],
                "hostIP": "192.168.0.2",
                "startTime": started,
                "conditions": [
                    {"type": kind, "status": "True"}
                    for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
                ],
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": "docker.io/library/x@sha256:0",
                        "containerID": "containerd://0",
                        "ready": True,
                        "started": True,
                        "restartCount": 0,
                        "state": {"running": {"startedAt": started}},
                    }
                    for container in pod["spec"]["containers"]
                ],
            }
            path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
            self.request("PATCH", path, {"status": status}, "application/strategic-merge-patch+json")
        self.world.settle()


@pytest.fixture
def bench() -> Bench:
    return Bench()
