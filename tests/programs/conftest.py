"""Two or three machines on one wire, and programs started on them as a kubelet would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubesim.client import Handler
from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.net.network import Network
from kubesim.programs import images
from kubesim.programs.image import Process
from kubesim.world import Task, World


@dataclass
class FakeClient:
    """The watching half of a client: objects are told when they are put in."""

    world: World
    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def watch(self, resource: str, handler: Handler, namespace: str = "") -> FakeClient:
        self.handlers.setdefault(resource, []).append(handler)
        for each in self.objects.get(resource, []):
            self.world.call_soon(handler, "ADDED", each, None)
        return self

    def list(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        return self.objects.get(resource, [])

    def put(self, resource: str, obj: dict[str, Any], event: str = "ADDED") -> None:
        self.objects.setdefault(resource, []).append(obj)
        for handler in self.handlers.get(resource, []):
            handler(event, obj, None)

    def close(self) -> None:
        return None


@dataclass
class Running:
    """A started program and what it logged."""

    machine: Machine
    task: Task[int]
    log: list[str]
    client: FakeClient


class Wire:
    """10.0.0.0/24, one machine an address."""

    def __init__(self) -> None:
        self.world = World(seed=1, start=1_793_606_400.0)  # 2026-11-02T08:00:00Z
        self.network = Network(self.world)
        self.segment = self.network.switch("lan")
        self.client = FakeClient(self.world)
        self.count = 0

    def machine(self, image: str = "alpine", name: str = "", **files: str) -> Machine:
        """A container of that image; `files` are written over the image's: path with `__` for `/`."""
        self.count += 1
        name = name or f"m{self.count}"
        host = self.network.host(name, "pod")
        self.segment.attach(host, "eth0")
        host.add_address("eth0", f"10.0.0.{self.count}/24")
        found = images.find(image)
        assert found is not None, image
        disk = FileSystem(found.files, clock=lambda: self.world.now)
        for directory in ("/etc", "/tmp"):
            disk.mkdir(directory, parents=True)
        machine = Machine(
            world=self.world, name=name, hostname=name, kind="container", net=host, files=disk, env=dict(found.env),
            tools=found.tools, cwd=found.workdir,
        )  # fmt: skip
        for path, text in files.items():
            machine.files.mkdir(path.replace("__", "/").rpartition("/")[0] or "/", parents=True)
            machine.files.write(path.replace("__", "/"), text)
        return machine

    def start(self, machine: Machine, image: str, **spec: Any) -> Running:
        """Run a container's spec on a machine, and let it come up."""
        found = images.find(image)
        assert found is not None, image
        log: list[str] = []
        process = Process(
            machine=machine, args=found.argv(spec, machine.env), log=log.append, pod={"metadata": {"name": machine.name}},
            spec={"image": image, **spec}, node=machine, api=self.client, cluster=None,  # type: ignore[arg-type]
        )  # fmt: skip
        task = self.world.spawn(found.main(process), machine.name)
        task.retrieved = True
        self.world.drain()
        return Running(machine, task, log, self.client)

    def run(self, image: str, name: str = "", **spec: Any) -> Running:
        """A machine of that image with its program running."""
        return self.start(self.machine(image, name), image, **spec)


@pytest.fixture
def wire() -> Wire:
    return Wire()
