"""MetalLB in its pods: the controller gives addresses, and on every node a speaker answers ARP for those that are its own.

The speaker binds nothing and forwards nothing: it makes the switch send packets for the address to its node, and what then
happens is kube-proxy's rules' business.  Sources: metallb `controller/main.go`, `speaker/main.go`, `internal/speakerlist`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kubesim import ids
from kubesim.client import Object
from kubesim.loadbalancer import metallb
from kubesim.loadbalancer.controller import wants
from kubesim.machinery import objects
from kubesim.net import errors
from kubesim.programs import disks
from kubesim.programs.following import Following
from kubesim.programs.image import Image, Process

if TYPE_CHECKING:
    from kubesim.net.sockets import Listener
from kubesim.recorder import Recorder

# The speakers' own talk (hashicorp/memberlist): port, and how soon a silent one is taken for dead.
MEMBERS_PORT, PERIOD, MISSED = 7946, 1.0, 3


def _say(process: Process, **words: object) -> None:
    """A line of go-kit's logger in JSON, as MetalLB writes it."""
    process.log(json.dumps({**words, "level": "info", "ts": ids.timestamp(process.world.now)}, separators=(",", ":")))


# -- the controller ------------------------------------------------------------------------------------------


async def controller(process: Process) -> int:
    recorder = Recorder(process.world, process.api, "metallb-controller")
    failed: dict[str, str] = {}

    def assign() -> None:
        listed, known = cluster.listed("services"), cluster.listed(metallb.POOLS)
        for service in listed:
            key, held = objects.key(service), metallb.held(service)
            if not wants(service) or objects.deleting(service):
                failed.pop(key, None)
                if held and metallb.pool_of(held, known) is not None:
                    _write(process, service, "")
                continue
            if not known and not held:
                continue  # Without any pool the controller is not set up, and leaves Services alone.
            taken = {metallb.held(each) for each in listed if objects.key(each) != key} - {""}
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

    cluster = Following(process.world, process.api, assign)
    _say(process, branch="main", caller="main.go:178", msg="MetalLB controller starting", version=process.tag)
    cluster.follow("services", metallb.POOLS)
    return await _until_the_end(process, cluster)


def _write(process: Process, service: Object, address: str) -> None:
    entry = [{"ip": address, "ipMode": "VIP"}] if address else None
    patch = {"status": {"loadBalancer": {"ingress": entry}}}
    process.api.patch("services", objects.name(service), objects.namespace(service), patch, subresource="status")


async def _until_the_end(process: Process, cluster: Following) -> int:
    try:
        await process.world.future()
    finally:
        cluster.stop()
    return 0


# -- the speaker ---------------------------------------------------------------------------------------------


async def speaker(process: Process) -> int:
    world, host, own = process.world, process.node.net, process.node.name
    recorder = Recorder(world, process.api, "metallb-speaker")
    missed: dict[str, int] = {}

    def alive() -> list[str]:
        """The nodes whose speakers are heard, this one's among them."""
        return [own, *(node for node in _peers(cluster.listed("pods"), own) if missed.get(node, 0) < MISSED)]

    def announce() -> None:
        wanted: dict[str, Object] = {}
        pools, advertisements = cluster.listed(metallb.POOLS), cluster.listed(metallb.ADVERTISEMENTS)
        for service in cluster.listed("services"):
            address = metallb.held(service) if wants(service) else ""
            covering = metallb.advertised(address, pools, advertisements) if address else []
            if not covering:
                continue
            slices = list(cluster.slices(objects.namespace(service), objects.name(service)))
            among = metallb.candidates(service, slices, cluster.listed("nodes"), alive(), covering)
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
            cluster.soon()

    def ask() -> None:
        if cluster.stopped:
            return
        for node, address in _peers(cluster.listed("pods"), own).items():
            world.spawn(hear(node, address), f"speaker of {own}: is {node} there")
        world.call_later(PERIOD, ask, background=True)

    cluster = Following(world, process.api, announce)
    _say(process, branch="main", caller="main.go:102", msg="MetalLB speaker starting", version=process.tag)
    cluster.follow(
        "services", "endpointslices.discovery.k8s.io", "nodes", metallb.POOLS, metallb.ADVERTISEMENTS, "pods"
    )
    listener = host.listen("tcp", "", MEMBERS_PORT)
    world.call_later(PERIOD, ask, background=True)
    world.spawn(_answer(listener), f"speaker of {own}")
    try:
        return await _until_the_end(process, cluster)
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
