"""The recordings' own replayer, driven without sockets, threads or wall time.

`golden/compare/api_replay.py` talks HTTP; here its connection, its watches, its imitated kubelets and its clock are replaced by
the server's `handle` and the world's virtual time.  What is compared, and how, is untouched.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from kubesim import http
from kubesim.apiserver import wire
from kubesim.apiserver.server import ApiServer
from kubesim.errors import ApiError
from kubesim.snapshot import Snapshot
from kubesim.store.store import Store
from kubesim.world import World

START = 1_763_632_800.0


class Bare:
    """An API server and controllers, as the recordings were made on; no nodes, no scheduler."""

    name, seed = "bare", 1

    def __init__(
        self, service_cidr: str = "10.96.0.0/12", controllers: bool = True, saved: Snapshot | None = None
    ) -> None:
        self.world = World(1, START, life=saved.life + 1 if saved else 0)
        self.store = Store(self.world)
        if saved is not None:
            self.world.now = saved.now
            self.store.restore(saved.revision, saved.objects)
        self.api = ApiServer(
            self.world, self.store, version="v1.36.2", service_cidr=service_cidr, advertise="192.168.0.2", port=16443
        )
        if controllers:
            from kubesim import controllers as loops

            self.controllers = loops.start_all(
                self.world, self.api.client, {"allocate-node-cidrs": "true", "cluster-cidr": "10.244.0.0/16"}
            )
        self.world.advance(1)


def load(shared: Path, bare: Bare) -> ModuleType:
    """A fresh copy of the replayer, bound to this server."""
    spec = importlib.util.spec_from_file_location("api_replay", shared / "golden/compare/api_replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.time = SimpleNamespace(
        time=lambda: bare.world.now,
        sleep=bare.world.advance,
        strftime=time.strftime,
        gmtime=lambda: time.gmtime(bare.world.now),
    )
    module.Client = lambda *settings: Client(bare)
    module.Watch = Watch
    module.Kubelets = type("Kubelets", (Ticking, module.Kubelets), {})
    return module


class Client:
    token = "admin"

    def __init__(self, bare: Bare) -> None:
        self.bare = bare

    def copy(self) -> Client:
        return self

    def headers(self, extra: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Accept": "application/json", "User-Agent": "refclient/1", **(extra or {})}
        return {key: value for key, value in headers.items() if value is not None}

    def ask(self, method: str, path: str, body: Any = None, headers: Any = None) -> http.Response:
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = self.headers({"Content-Type": "application/json" if data is not None else None, **(headers or {})})
        request = http.request(method, path, data, headers)
        answer = self.bare.api.handle(request)
        # A request and what follows from it take a hundredth of a second.
        self.bare.world.advance(0.01)
        return answer

    def send(self, method: str, path: str, body: Any = None, headers: Any = None, timeout: int = 60) -> Any:
        if (headers or {}).get("Authorization") == "Bearer wrong" or (
            headers and headers.get("Authorization", "") is None
        ):
            # Who asks is the front's business.
            answer = wire.error(ApiError(401, "Unauthorized", "Unauthorized"))
        else:
            answer = self.ask(method, path, body, headers)
        found: dict[str, list[str]] = collections.defaultdict(list)
        for name, value in answer.headers:
            found[name.lower()].append(value)
        return answer.status, found, answer.body.decode(errors="replace")

    def json(self, method: str, path: str, body: Any = None, kind: str | None = None) -> Any:
        status, _, text = self.send(method, path, body, {"Content-Type": kind} if kind else None)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {}

    def get(self, path: str) -> Any:
        answer = self.json("GET", path)[1]
        return answer if isinstance(answer, dict) else {}


class Watch:
    """As the replayer's, but read when it is asked for."""

    def __init__(self, client: Client, path: str, accept: str, seconds: float) -> None:
        self.client, self.path = client, path
        self.began = client.bare.world.now
        answer = client.ask("GET", path, headers={"Accept": accept})
        self.status, self.stream = answer.status, answer.stream
        self.lines = [] if self.stream else answer.body.decode().splitlines(keepends=True)
        self.ended = None if self.stream else self.began
        self.opened = SimpleNamespace(wait=lambda _seconds: None)

    def _drain(self) -> None:
        while self.stream is not None and self.ended is None:
            chunk = self.stream.read()
            if chunk is None:
                self.ended = self.client.bare.world.now
            elif chunk:
                self.lines += chunk.decode().splitlines(keepends=True)
            else:
                return

    def finish(self, count: int) -> bool:
        import re

        limit = re.search(r"timeoutSeconds=(\d+)", self.path)
        until = self.began + int(limit[1]) + 3 if limit else self.client.bare.world.now + 8
        self._drain()
        while self.ended is None and self.client.bare.world.now < until and (limit or len(self.lines) < count):
            self.client.bare.world.advance(0.5)
            self._drain()
        return not limit or self.ended is not None


class Ticking:
    """The imitated kubelets look around every 0.3 s of virtual time."""

    client: Any
    pods: str
    stop: bool
    busy = False

    def start(self) -> None:
        self._tick()

    def _tick(self) -> None:
        if self.stop:
            return
        world = self.client.bare.world
        world.call_later(0.3, self._tick, background=True)
        if self.busy:
            # This round's own requests move the clock; the next round waits for it to end.
            return
        self.busy = True
        for pod in self.client.get(self.pods + "?resourceVersion=0").get("items") or []:
            self.serve(pod)  # type: ignore[attr-defined]
        self.busy = False


def options(**given: Any) -> argparse.Namespace:
    defaults: dict[str, Any] = {
        "only": "", "ignore": [], "no_scheduler": True, "verbose": False, "report": None, "age_command": None, "users": True,
        "low_token": None, "api": [], "services": [], "endpoints": [],
    }  # fmt: skip
    return argparse.Namespace(**{**defaults, **given})


def api(shared: Path, only: str = "", ignore: tuple[str, ...] = ()) -> Any:
    bare = Bare()
    module = load(shared, bare)
    chosen = options(api=[str(shared / "golden/api")], only=only, ignore=list(ignore))
    result = module.Result(chosen)
    module.ApiReplay(Client(bare), chosen, result).run()
    return result


def services(shared: Path, name: str, service_cidr: str = "10.96.0.0/12") -> Any:
    bare = Bare(service_cidr, controllers=False)
    bare.api.client("kube").create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    module = load(shared, bare)
    chosen = options()
    result = module.Result(chosen)
    module.replay_services(Client(bare), chosen, result, str(shared / f"golden/services/{name}.json"))
    return result


def endpoints(shared: Path) -> Any:
    bare = Bare()
    module = load(shared, bare)
    chosen = options()
    result = module.Result(chosen)
    module.replay_endpoints(Client(bare), chosen, result, str(shared / "golden/endpoints/scenarios.json"))
    return result


if __name__ == "__main__":
    found = Path(__file__).resolve().parents[3] / "shared"
    what, *rest = sys.argv[1:]
    match what:
        case "api":
            outcome = api(found, *rest)
        case "services":
            outcome = services(found, *rest)
        case _:
            outcome = endpoints(found)
    outcome.finish()
