"""Machines to type on: one alone, and two on a wire with a web server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.net.network import Network
from kubesim.programs import http
from kubesim.shell import tools
from kubesim.shell.terminal import Result, Terminal
from kubesim.world import World

BIRTH = 1_600_000_000.0


def make(world: World, network: Network, name: str, address: str, disk: frozenset[str] = tools.NODE) -> Machine:
    host = network.host(name, "node")
    files = FileSystem(
        {
            "/etc/hosts": "127.0.0.1 localhost\n10.0.0.2 web web.example\n",
            "/etc/resolv.conf": "nameserver 10.0.0.9\nsearch example\n",
            "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
        },
        lambda: world.now,
    )
    for folder in ("/desk", "/tmp", "/root"):
        files.mkdir(folder, parents=True)
    return Machine(world=world, name=name, hostname=name, kind="node", net=host, files=files, cwd="/desk", tools=disk)


@dataclass
class Place:
    """A terminal, and what runs in it."""

    terminal: Terminal

    @property
    def machine(self) -> Machine:
        return self.terminal.machine

    @property
    def world(self) -> World:
        return self.machine.world

    def run(self, script: str, **more: object) -> Result:
        return self.world.run(self.terminal.run(script, **more))  # type: ignore[arg-type]

    def out(self, script: str) -> str:
        return self.run(script).stdout

    def err(self, script: str) -> tuple[str, int]:
        result = self.run(script)
        return result.stderr, result.exit_code


@pytest.fixture
def place() -> Place:
    world = World(1, BIRTH)
    return Place(Terminal(make(world, Network(world), "box", "")))


@pytest.fixture
def on_disk() -> Callable[[frozenset[str]], Place]:
    """A terminal on a machine with another disk."""

    def build(disk: frozenset[str]) -> Place:
        world = World(1, BIRTH)
        return Place(Terminal(make(world, Network(world), "box", "", disk)))

    return build


async def answer(world: World, request: http.Request) -> http.Response:
    if request.path == "/slow":
        await world.sleep(10)
    if request.path == "/moved":
        return http.Response(status=302, headers=[("Location", "/there")])
    if request.path == "/missing":
        return http.text("no such page\n", 404)
    return http.text(f"{request.method} {request.target} for {request.header('host')}: {request.body.decode()}\n")


@pytest.fixture
def lan() -> Place:
    """A terminal at 10.0.0.1; 10.0.0.2 ("web") serves HTTP on 80, says nothing on 81 and closes at once on 82."""
    world = World(1, BIRTH)
    network = Network(world)
    switch = network.switch("lan")
    machines = []
    for name, address in (("box", "10.0.0.1"), ("web", "10.0.0.2")):
        machine = make(world, network, name, address)
        switch.attach(machine.net, "eth0")
        machine.net.add_address("eth0", f"{address}/24")
        machines.append(machine)
    box, web = machines
    box.net.routes.add("default", "eth0", "10.0.0.254")
    server = http.Server(world, lambda request: answer(world, request))
    world.spawn(server.serve(web.net.listen("tcp", "0.0.0.0", 80)))

    async def accept(port: int, close: bool) -> None:
        listener = web.net.listen("tcp", "0.0.0.0", port)
        kept = []
        while True:
            kept.append(await listener.accept())
            if close:
                await kept[-1].recv()
                kept.pop().close()

    world.spawn(accept(81, close=False))
    world.spawn(accept(82, close=True))
    return Place(Terminal(box))
