"""Probes: asking a container whether it has started, is ready, is alive - by real packets from the node, or by a command.

Sources: `pkg/kubelet/prober` (worker.go), `pkg/probe/{http,tcp,exec,grpc}`.

A probe that somebody waits for is foreground work: readiness and startup until they first succeed, liveness while it
fails.  What has settled only comes round again: it is background.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubesim import world as world_module
from kubesim.client import Object
from kubesim.net import errors
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.machine import Machine
    from kubesim.net.host import Host

# A readiness probe that has failed for so long has come to rest as failing.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """What is probed: from `node`, at `address` (the pod's), in `machine`; `ports` are the container's by name."""

    node: Host
    address: str
    machine: Machine
    ports: dict[str, int]
    quoted: bool


class Failed(Exception):
    """The probe failed; the message is its output."""


def port_of(given: int | str, target: Target) -> int:
    if isinstance(given, int):
        return given
    if given in target.ports:
        return target.ports[given]
    if given.isdecimal():
        return int(given)
    raise Failed(f"couldn't find port {given} in container")


async def check(probe: Object, target: Target) -> None:
    """Probe once.  Raises Failed."""
    timeout = float(probe.get("timeoutSeconds") or 1)
    world = target.node.world
    for kind, ask in KINDS.items():
        if probe.get(kind) is not None:
            try:
                await world.wait_for(ask(probe[kind], target, timeout), timeout)
            except world_module.TimedOut:
                raise Failed(_too_late(kind, probe[kind], target, timeout)) from None
            return
    raise Failed("missing probe handler")


def _url(given: Object, target: Target) -> str:
    host = given.get("host") or target.address
    path = given.get("path") or "/"
    scheme = (given.get("scheme") or "HTTP").lower()
    path = path if path.startswith("/") else f"/{path}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port_of(given['port'], target)}{path}"


def _too_late(kind: str, given: Object, target: Target, timeout: float) -> str:
    if kind == "httpGet":
        words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return f"{_get(given, target)}: {words}"
    if kind == "tcpSocket":
        return f"dial tcp {given.get('host') or target.address}:{port_of(given['port'], target)}: i/o timeout"
    if kind == "grpc":
        return f"timeout: health rpc did not complete within {timeout:g}s"
    return f"command timed out: {' '.join(given.get('command') or ())!r} timed out after {timeout:g}s"


def _get(given: Object, target: Target) -> str:
    # Go put the URL into quotation marks in 1.14 (net/url.Error), Kubernetes 1.19.
    url = _url(given, target)
    return f'Get "{url}"' if target.quoted else f"Get {url}"


def _dial(error: errors.NetError, host: str, port: int) -> str:
    if isinstance(error, errors.TimedOut):
        return f"dial tcp {host}:{port}: i/o timeout"
    return f"dial tcp {host}:{port}: connect: {error.message.lower()}"


async def _http(given: Object, target: Target, timeout: float) -> None:
    """probe.DoHTTPProbe: any status from 200 to 399 is a success."""
    from kubesim.programs import http, tls

    host = given.get("host") or target.address
    port = port_of(given["port"], target)
    try:
        wire: http.Wire = await target.node.connect(host, port, timeout=timeout)
    except errors.NetError as error:
        raise Failed(f"{_get(given, target)}: {_dial(error, host, port)}") from None
    try:
        if given.get("scheme") == "HTTPS":
            wire = await tls.connect(wire, host, tls.Trust(verify=False))
        headers = [
            ("Host", f"{host}:{port}"),
            ("User-Agent", "kube-probe/1"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        own = {each["name"].lower(): (each["name"], each["value"]) for each in given.get("httpHeaders") or ()}
        headers = [each for each in headers if each[0].lower() not in own] + list(own.values())
        path = given.get("path") or "/"
        reply = await http.Client(wire).request("GET", path if path.startswith("/") else "/" + path, headers)
        await reply.read()
    except (http.HttpError, tls.TlsError, errors.NetError) as error:
        raise Failed(f"{_get(given, target)}: {error or 'EOF'}") from None
    finally:
        wire.close()
    if not 200 <= reply.status < 400:
        raise Failed(f"HTTP probe failed with statuscode: {reply.status}")


async def _tcp(given: Object, target: Target, timeout: float) -> None:
    host = given.get("host") or target.address
    port = port_of(given["port"], target)
    try:
        connection = await target.node.connect(host, port, timeout=timeout)
    except errors.NetError as error:
        raise Failed(_dial(error, host, port)) from None
    connection.close()


async def _exec(given: Object, target: Target, timeout: float) -> None:
    from kubesim.shell import terminal

    result = await terminal.execute(target.machine, given.get("command") or [])
    if result.exit_code:
        raise Failed(f"{result.stdout}{result.stderr}")


async def _grpc(given: Object, target: Target, timeout: float) -> None:
    """pkg/probe/grpc/grpc.go: SERVING is a success, and nothing else."""
    from kubesim.programs import grpc

    at = f"{target.address}:{given['port']}"
    try:
        wire = await target.node.connect(target.address, given["port"], timeout=timeout)
    except errors.TimedOut:
        raise Failed(
            f'timeout: failed to connect service "{at}" within {timeout:g}s: context deadline exceeded'
        ) from None
    except errors.NetError as error:
        why = (
            f'connection error: desc = "transport: Error while dialing: {_dial(error, target.address, given["port"])}"'
        )
        raise Failed(f'error: failed to connect service at "{at}": {why}') from None
    try:
        status = await grpc.check(wire, at, given.get("service") or "")
    except grpc.CallFailed as error:
        if error.code == grpc.UNIMPLEMENTED:
            name = "grpc.health.v1.Health"
            raise Failed(f"error: this server does not implement the grpc health protocol ({name}): {error}") from None
        code = grpc.CODE_NAMES.get(error.code, str(error.code))
        raise Failed(f"error: health rpc probe failed: rpc error: code = {code} desc = {error}") from None
    except (grpc.GrpcError, errors.NetError) as error:
        raise Failed(f"error: health rpc probe failed: rpc error: code = Unavailable desc = {error}") from None
    finally:
        wire.close()
    if status != grpc.SERVING:
        raise Failed(f'service unhealthy (responded with "{grpc.STATUS_NAMES.get(status, status)}")')


KINDS: dict[str, Callable[[Object, Target, float], Coroutine[Any, Any, None]]] = {
    "httpGet": _http,
    "tcpSocket": _tcp,
    "exec": _exec,
    "grpc": _grpc,
}


async def keep(
    world: World,
    kind: str,
    probe: Object,
    target: Target,
    on_result: Callable[[bool, str], bool],
    on_failure: Callable[[str], None],
) -> None:
    """Probe for ever: `on_result` is told each change of the verdict and says whether to go on, `on_failure` each failure.

    `kind` is "startup", "readiness" or "liveness".
    """
    period = float(probe.get("periodSeconds") or 10)
    needed = {True: probe.get("successThreshold") or 1, False: probe.get("failureThreshold") or 3}
    # Before the first verdict a container counts as alive, and as not ready.
    verdict: bool | None = True if kind == "liveness" else None
    streak, last = 0, verdict
    began = world.now
    delay = float(probe.get("initialDelaySeconds") or 0)
    if delay:
        await world.sleep(delay, background=kind == "liveness")
    while True:
        try:
            await check(probe, target)
            result, message = True, ""
        except Failed as failed:
            result, message = False, str(failed)
            on_failure(message)
        streak = streak + 1 if result is last else 1
        last = result
        if streak >= needed[result] and (verdict is not result or kind == "startup"):
            verdict = result
            if not on_result(result, message):
                return
        settled = result if kind == "liveness" else bool(verdict)
        await world.sleep(period, background=settled or world.now - began > PATIENCE)
