"""MetalLB in its pods: the controller gives addresses, and on every node a speaker answers ARP for those that are its own.

The speaker binds nothing and forwards nothing: it makes the switch send packets for the address to its node, and what then
happens is kube-proxy's rules' business.  Sources: metallb `controller/main.go`, `speaker/main.go`, `internal/speakerlist`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from kubesim import ids
from kubesim.client import Object
from kubesim.informer import Informers
from kubesim.loadbalancer import metallb
from kubesim.machinery import objects
from kubesim.net import errors
from kubesim.programs import disks
from kubesim.programs.image import Image, Process

if TYPE_CHECKING:
    from kubesim.net.sockets import Listener
from kubesim.recorder import Recorder

# The speakers' own talk (hashicorp/memberlist): port, and how soon a silent one is taken for dead.
MEMBERS_PORT, PERIOD, MISSED = 7946, 1.0, 3
SERVICE_LABEL = "kubernetes.io/service-name"


def _say(process: Process, **words: object) -> None:
    """A line of go-kit's logger in JSON, as MetalLB writes it."""
    process.log(json.dumps({**words, "level": "info", "ts": ids.timestamp(process.world.now)}, separators=(",", ":")))


class _Loop:
    """Runs once after all news of a moment."""

    def __init__(self, process: Process, work: Callable[[], None]) -> None:
        self._world = process.world
        self._work = work
        self._due = False
        self.stopped = False

    def on_event(self, _kind: str, _obj: Object, _before: Object | None) -> None:
        self.soon()

    def soon(self) -> None:
        if not self._due:
            self._due = True
            self._world.call_soon(self._run)

    def _run(self) -> None:
        self._due = False
        if not self.stopped:
            self._work()


# -- the controller ------------------------------------------------------------------------------------------


async def controller(process: Process) -> int:
    informers = Informers(process.api)
    services, pools = informers.of("services"), informers.of(metallb.POOLS)
    recorder = Recorder(process.world, process.api, "metallb-controller")
    failed: dict[str, str] = {}

    def assign() -> None:
        listed = services.list()
        known = pools.list()
        for service in listed:
            key, held = objects.key(service), metallb.ingress(service)
            if not metallb.wants(service) or objects.deleting(service):
                failed.pop(key, None)
                if held and metallb.pool_of(held, known) is not None:
                    _write(process, service, "")
                continue
            if not known and not held:
                continue  # Without any pool the controller is not set up, and leaves Services alone.
            taken = {metallb.ingress(each) for each in listed if objects.key(each) != key} - {""}
            try:
                address = metallb.choose(service, known, taken)
            except metallb.NoAddress as problem:
                if failed.get(key) != str(problem):
                    failed[key] = str(problem)
                    recorder.event(service, "Warning", "AllocationFailed", f'Failed to allocate IP for "{key}": {problem}')
                    _say(process, caller="service.go:178", error=str(problem), event="ipAllocation", msg="IP allocation failed")
                if held:
                    _write(process, service, "")
                continue
            failed.pop(key, None)
            if address != held:
                _write(process, service, address)
                recorder.event(service, "Normal", "IPAllocated", f'Assigned IP ["{address}"]')
                _say(process, caller="service.go:157", event="ipAllocated", ip=[address], msg="IP address assigned by controller")
                return  # The write comes back as news, and the next Service sees what is taken.

    loop = _Loop(process, assign)
    services.on_event(loop.on_event)
    pools.on_event(loop.on_event)
    _say(process, branch="main", caller="main.go:178", msg="MetalLB controller starting", version=process.tag)
    return await _until_the_end(process, informers, loop)


def _write(process: Process, service: Object, address: str) -> None:
    entry = [{"ip": address, "ipMode": "VIP"}] if address else None
    patch = {"status": {"loadBalancer": {"ingress": entry}}}
    process.api.patch("services", objects.name(service), objects.namespace(service), patch, subresource="status")


async def _until_the_end(process: Process, informers: Informers, loop: _Loop) -> int:
    try:
        await process.world.future()
    finally:
        loop.stopped = True
        informers.stop()
    return 0


# -- the speaker ---------------------------------------------------------------------------------------------


async def speaker(process: Process) -> int:
    world, host, own = process.world, process.node.net, process.node.name
    informers = Informers(process.api)
    services, slices, nodes = (informers.of(each) for each in ("services", "endpointslices.discovery.k8s.io", "nodes"))
    pools, advertisements = informers.of(metallb.POOLS), informers.of(metallb.ADVERTISEMENTS)
    pods = informers.of("pods")
    recorder = Recorder(world, process.api, "metallb-speaker")
    missed: dict[str, int] = {}

    def alive() -> list[str]:
        """The nodes whose speakers are heard, this one's among them."""
        return [own, *(node for node in _peers(pods.list(), own) if missed.get(node, 0) < MISSED)]

    def announce() -> None:
        wanted: dict[str, Object] = {}
        for service in services.list():
            address = metallb.ingress(service) if metallb.wants(service) else ""
            covering = metallb.advertised(address, pools.list(), advertisements.list()) if address else []
            if not covering:
                continue
            listed = [
                each
                for each in slices.list()
                if objects.namespace(each) == objects.namespace(service)
                and (each["metadata"].get("labels") or {}).get(SERVICE_LABEL) == objects.name(service)
            ]
            among = metallb.candidates(service, listed, nodes.list(), alive(), covering)
            if metallb.elect(address, among) == own:
                wanted[address] = service
        for address in sorted(host.announced - set(wanted)):
            host.withdraw(address)
            _say(process, caller="main.go:420", event="serviceWithdrawn", ip=[address], msg="withdrawing service announcement")
        for address in sorted(set(wanted) - host.announced):
            host.announce(address)
            words = f'announcing from node "{own}" with protocol "layer2"'
            recorder.event(wanted[address], "Normal", "nodeAssigned", words)
            _say(process, caller="main.go:378", event="serviceAnnounced", ips=[address], msg="service has IP, announcing")

    async def hear(node: str, address: str) -> None:
        try:
            (await host.connect(address, MEMBERS_PORT, timeout=PERIOD)).close()
            now = 0
        except errors.NetError:
            now = missed.get(node, 0) + 1
        before, missed[node] = missed.get(node, 0), now
        if (before < MISSED) != (now < MISSED):
            loop.soon()

    def ask() -> None:
        if loop.stopped:
            return
        for node, address in _peers(pods.list(), own).items():
            world.spawn(hear(node, address), f"speaker of {own}: is {node} there")
        world.call_later(PERIOD, ask, background=True)

    loop = _Loop(process, announce)
    for informer in (services, slices, nodes, pools, advertisements, pods):
        informer.on_event(loop.on_event)
    _say(process, branch="main", caller="main.go:102", msg="MetalLB speaker starting", version=process.tag)
    listener = host.listen("tcp", "", MEMBERS_PORT)
    world.call_later(PERIOD, ask, background=True)
    world.spawn(_answer(listener), f"speaker of {own}")
    try:
        return await _until_the_end(process, informers, loop)
    finally:
        listener.close()
        for address in sorted(host.announced):
            host.withdraw(address)


async def _answer(listener: Listener) -> None:
    """The others hear that this one is there."""
    try:
        while True:
            (await listener.accept()).close()
    except errors.NetError:
        return


def _peers(pods: list[Object], own: str) -> dict[str, str]:
    """Address by node of the other speakers that have one."""
    return {
        pod["spec"]["nodeName"]: pod["status"]["hostIP"]
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get("component") == "speaker"
        and objects.namespace(pod) == metallb.NAMESPACE
        and pod["spec"].get("nodeName", own) != own
        and (pod.get("status") or {}).get("hostIP")
    }


IMAGES = [
    Image(
        names=("quay.io/metallb/controller",),
        program=controller,
        programs=("controller",),
        entrypoint=("/controller",),
        tools=disks.DISTROLESS,
        seconds=1.0,
    ),
    Image(
        names=("quay.io/metallb/speaker",),
        program=speaker,
        programs=("speaker",),
        entrypoint=("/speaker",),
        tools=disks.DISTROLESS,
        seconds=1.0,
    ),
]
