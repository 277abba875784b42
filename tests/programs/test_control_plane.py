"""The control plane's programs as a client on the network sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from kubesim.http import Request, Response
from kubesim.programs import authority, fetch, http, images, tls, tokens
from kubesim.programs.image import Process


class Watch:
    """A body that goes on until it is told to end."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = [b'{"type":"ADDED"}\n']
        self.ended = False
        self.closed = False
        self.callback: Callable[[], None] = lambda: None

    def read(self) -> bytes | None:
        if self.chunks:
            return self.chunks.pop(0)
        return None if self.ended else b""

    def on_ready(self, callback: Callable[[], None]) -> None:
        self.callback = callback

    def close(self) -> None:
        self.closed = True


class Api:
    """An API server that says who asked for what."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.node_port_range = ""

    def reconfigure(self, *, node_port_range: str) -> None:
        self.node_port_range = node_port_range

    def handle(self, request: Request) -> Response:
        if request.param("watch"):
            return Response(headers=[("Content-Type", "application/json")], stream=self.watch)
        said = {"user": request.user.name, "groups": request.user.groups, "path": request.path, "query": request.query}
        return Response(headers=[("Content-Type", "application/json")], body=json.dumps(said).encode())


@pytest.fixture
def server(wire):
    machine = wire.machine("registry.k8s.io/kube-apiserver:v1.36.2", "kube-apiserver-node")
    image = images.find("registry.k8s.io/kube-apiserver:v1.36.2")
    wire.api = Api()
    preset = SimpleNamespace(api_address="10.96.0.1", cluster_domain="cluster.local")
    process = Process(
        machine=machine, args=["kube-apiserver", "--secure-port=6443"], log=lambda line: None, pod={},
        spec={"image": "registry.k8s.io/kube-apiserver:v1.36.2"}, node=machine, api=wire.client,
        cluster=SimpleNamespace(api=wire.api, preset=preset),  # type: ignore[arg-type]
    )  # fmt: skip
    wire.task = wire.world.spawn(image.main(process), "kube-apiserver")
    wire.world.drain()
    wire.client_machine = wire.machine("alpine")
    return wire


def ask(server, headers=(), certificate=None, target="/api/v1/pods?limit=5") -> tuple[int, dict]:
    async def talk() -> tuple[int, dict]:
        connection = await server.client_machine.net.connect("10.0.0.1", 6443)
        trust = tls.Trust(roots=frozenset([authority.CLUSTER]), now=server.world.now)
        secured = await tls.connect(connection, "kubernetes.default.svc", trust, certificate=certificate)
        reply = await http.Client(secured).request("GET", target, [("Host", "kubernetes.default.svc"), *headers])
        return reply.status, json.loads(await reply.read())

    return server.world.run(talk())


def test_who_brings_nothing_is_anonymous(server):
    status, said = ask(server)
    assert (status, said["user"]) == (200, "system:anonymous")
    assert (said["path"], said["query"]) == ("/api/v1/pods", [["limit", "5"]])


def test_a_pod_s_token_is_known_and_a_made_up_one_is_refused(server):
    token = tokens.issue(server.world, "default", "web")
    assert ask(server, [("Authorization", f"Bearer {token}")])[1]["user"] == "system:serviceaccount:default:web"
    status, said = ask(server, [("Authorization", "Bearer abc")])
    assert (status, said["message"], said["code"]) == (401, "Unauthorized", 401)


def test_a_client_certificate_names_its_user(server):
    shown = tls.Certificate(
        subject="O=system:masters, CN=kubernetes-admin", issuer="CN=kubernetes", key="admin", issuer_key=authority.CLUSTER,
        not_before=0.0, not_after=server.world.now + 1,
    )  # fmt: skip
    said = ask(server, certificate=shown)[1]
    assert (said["user"], said["groups"]) == ("kubernetes-admin", ["system:masters", "system:authenticated"])
    # The server finds out after its own part of the handshake, and closes: the client meets that in its request.
    with pytest.raises(http.EmptyReply):
        ask(server, certificate=replace(shown, issuer_key="somebody"))


def test_a_watch_comes_piece_by_piece_until_its_end(server):
    async def talk() -> list[bytes]:
        connection = await tls.connect(await server.client_machine.net.connect("10.0.0.1", 6443), "kubernetes")
        reply = await http.Client(connection).request("GET", "/api/v1/pods?watch=1", [("Host", "kubernetes")])
        got = []
        async for piece in reply.pieces():
            got.append(piece)
            if len(got) == 1:
                server.api.watch.chunks.append(b'{"type":"MODIFIED"}\n')
            else:
                server.api.watch.ended = True
            server.api.watch.callback()
        return got

    assert server.world.run(talk()) == [b'{"type":"ADDED"}\n', b'{"type":"MODIFIED"}\n']
    assert server.api.watch.closed


def test_a_watch_whose_client_goes_away_is_closed(server):
    async def talk() -> None:
        connection = await tls.connect(await server.client_machine.net.connect("10.0.0.1", 6443), "kubernetes")
        await http.Client(connection).request("GET", "/api/v1/pods?watch=1", [("Host", "kubernetes")])
        connection.close()

    server.world.run(talk())
    server.world.drain()
    assert server.api.watch.closed


def test_http_without_tls_is_told_so(server):
    found = server.world.run(fetch.get(server.client_machine, "http://10.0.0.1:6443/"))
    assert (found.status, found.body) == (400, b"Client sent an HTTP request to an HTTPS server.\n")


@pytest.mark.parametrize(
    ("image", "args", "url"),
    [
        ("registry.k8s.io/kube-scheduler:v1.36.2", ["--bind-address=10.0.0.1"], "https://10.0.0.1:10259/healthz"),
        ("registry.k8s.io/kube-controller-manager:v1.36.2", [], "https://10.0.0.1:10257/healthz"),
        ("registry.k8s.io/etcd:3.6.6-0", ["--listen-metrics-urls=http://10.0.0.1:2381"], "http://10.0.0.1:2381/health"),
        (
            "registry.k8s.io/etcd:3.6.6-0",
            ["--listen-client-urls=https://10.0.0.1:2379"],
            "https://10.0.0.1:2379/health",
        ),
    ],
)
def test_health(wire, image, args, url):
    running = wire.run(image, command=[image.rpartition("/")[2].partition(":")[0], *args])
    assert wire.world.run(fetch.get(wire.machine("alpine"), url)).status == 200
    assert running.log
    running.task.cancel()
    wire.world.drain()
    assert running.task.done


@pytest.mark.parametrize("image", ["kindest/kindnetd:v2026", "calico/node:v3.31.0", "calico/kube-controllers:v3.31.0"])
def test_network_plugins_run_and_log(wire, image):
    running = wire.run(image)
    assert not running.task.done
    assert running.log
