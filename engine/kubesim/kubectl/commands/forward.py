"""kubectl port-forward: ports of this machine that lead into a pod, through the API server and the pod's kubelet.

Each connection to a local port is a session of its own with the API server (upstream: a pair of streams of one session); the
kubelet dials from within the pod's network namespace.  No Service, rule or policy is on this way: a Service only says which
pod, and which of its ports.

Source: kubectl `pkg/cmd/portforward/portforward.go`; client-go `tools/portforward/portforward.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubesim import http
from kubesim.kubectl import builder, fail, flags, io, podtargets, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

DATA, ERROR = 0, 1
LOST = "error: lost connection to pod"


@dataclass(frozen=True)
class Port:
    """`local` 0 takes a free one."""

    local: int
    remote: int

    def __str__(self) -> str:
        return f"{self.local}:{self.remote}"


async def run(of: session.Session) -> int:
    if len(of.args) < 2:
        raise of.hint("TYPE/NAME and list of ports are required for port-forward")
    target, pod = _target(of, of.args[0])
    ports = [_port(text) for text in _translated(of.args[1:], target, pod)]
    phase = (pod.get("status") or {}).get("phase", "")
    if phase != "Running":
        raise fail.Failed(f"error: unable to forward port because pod is not running. Current status={phase}")
    return await Forwarding(of, pod).serve(ports, of.flags["address"] or ["localhost"])


def _target(of: session.Session, word: str) -> tuple[Object, Object]:
    """What was named, and the pod that it means."""
    if "/" not in word:
        pod = podtargets.pod(of, word)
        return pod, pod
    request = builder.resolve(of, [word]).requests[0]
    found = of.get(request.mapping, request.names[0], of.namespace if request.mapping.namespaced else "")
    found.setdefault("kind", request.mapping.kind)
    return found, found if request.mapping.kind == "Pod" else podtargets.pods_of(of, found, request.mapping.kind)[0]


# -- ports ------------------------------------------------------------------------------------------------------


def _split(text: str) -> tuple[str, str]:
    """(local, remote) of "8080:80", ":80" (a free one) and "80" (the same)."""
    local, colon, remote = text.partition(":")
    if not colon:
        return text, text
    if not remote:
        raise fail.Failed(f'error: invalid port format "{text}"')
    return local or "0", remote


def _translated(words: list[str], target: Object, pod: Object) -> list[str]:
    """Ports in numbers of the pod: a Service's port becomes its target port, a name the container's port."""
    service = target["kind"] == "Service"
    found = []
    for word in words:
        local, remote = _split(word)
        if service:
            number = _of_service(target, pod, remote)
        else:
            number = int(remote) if remote.isdecimal() else _named(pod, remote)
        if local == remote and not remote.isdecimal():
            local = str(number)
        found.append(f"{local}:{number}")
    _only_tcp(found, pod)
    return found


def _of_service(service: Object, pod: Object, word: str) -> int:
    name = objects.name(service)
    for port in service["spec"].get("ports") or ():
        if word not in (str(port["port"]), port.get("name")):
            continue
        if port.get("protocol", "TCP") != "TCP":
            raise fail.Failed(f"error: {port['protocol']} protocol is not supported for {word}")
        wanted = port.get("targetPort") or port["port"]
        if service["spec"].get("clusterIP") == "None" and isinstance(wanted, int):
            return int(port["port"]) if wanted == 0 else wanted
        return wanted if isinstance(wanted, int) else _named(pod, wanted)
    if word.isdecimal():
        raise fail.Failed(f"error: Service {name} does not have a service port {word}")
    raise fail.Failed(f"error: Service '{name}' does not have a named port '{word}'")


def _named(pod: Object, name: str) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == name:
                return int(port["containerPort"])
    raise fail.Failed(f"error: Pod '{objects.name(pod)}' does not have a named port '{name}'")


def _only_tcp(words: list[str], pod: Object) -> None:
    """A port that the pod declares for UDP alone cannot be forwarded."""
    protocols: dict[int, set[str]] = {}
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            protocols.setdefault(port["containerPort"], set()).add(port.get("protocol", "TCP"))
    for word in words:
        remote = word.rpartition(":")[2]
        declared = protocols.get(int(remote))
        if declared is not None and "TCP" not in declared:
            raise fail.Failed(f"error: {min(declared)} protocol is not supported for {remote}")


def _port(text: str) -> Port:
    numbers = []
    for side, word in zip(("local", "remote"), text.split(":"), strict=True):
        if not word.isdecimal() or int(word) > 65535 or (side == "remote" and int(word) == 0):
            detail = "invalid syntax" if not word.isdecimal() else "value out of range"
            what = "remote port must be > 0" if word == "0" else f'error parsing {side} port "{word}": {detail}'
            raise fail.Failed(f"error: {what}")
        numbers.append(int(word))
    return Port(*numbers)


# -- carrying ---------------------------------------------------------------------------------------------------


def _binds(addresses: list[str]) -> list[tuple[str, bool]]:
    """(address, must it be had).  "localhost" is both loopbacks, of which either is enough."""
    found: list[tuple[str, bool]] = []
    for address in addresses:
        if address == "localhost":
            found += [("127.0.0.1", False), ("::1", False)]
        else:
            found.append((address, True))
    return list(dict.fromkeys(found))


class Forwarding:
    """One run: listeners, and what came to them.  It ends when the pod cannot be reached any more, or never."""

    def __init__(self, of: session.Session, pod: Object) -> None:
        if of.io.listen is None or of.io.spawn is None:
            raise fail.Failed("error: not simulated: kubectl port-forward where no port can be opened")
        self._of = of
        self._listen = of.io.listen
        self._spawn = of.io.spawn
        self._pod = pod
        self._path = of.discovery.find("pods").path(objects.namespace(pod), objects.name(pod), "portforward")
        self._lost = Signal()
        self._connections = 0
        self._carrying: dict[int, Any] = {}

    async def serve(self, ports: list[Port], addresses: list[str]) -> int:
        listeners: list[io.Listener] = []
        tasks = []
        try:
            for port in ports:
                opened = await self._open(port, _binds(addresses))
                listeners += opened
                tasks += [self._spawn(self._accept(listener, port)) for listener in opened]
            if not listeners:
                said = " ".join(f"{{{port.local} {port.remote}}}" for port in ports)
                raise fail.Failed(f"error: unable to listen on any of the requested ports: [{said}]")
            await self._of.io.wait(self._lost)
            raise fail.Failed(LOST)
        finally:
            for task in [*tasks, *self._carrying.values()]:
                task.cancel()
            for listener in listeners:
                listener.close()

    async def _open(self, port: Port, binds: list[tuple[str, bool]]) -> list[io.Listener]:
        """The listeners for one port; what cannot be had is said, and the other ports are tried."""
        opened: list[io.Listener] = []
        problems = []
        failed = False
        local = port.local
        for address, must in binds:
            shown = f"[{address}]" if ":" in address else address
            try:
                listener = await self._listen(address, local)
            except io.InUse as error:
                network = "tcp6" if ":" in address else "tcp4"
                problems.append(f"unable to create listener: Error listen {network} {shown}:{local}: {error}")
                failed = failed or must
                continue
            # With port 0 both loopbacks get the same.
            local = listener.port
            self._of.io.print(f"Forwarding from {shown}:{local} -> {port.remote}")
            opened.append(listener)
        if failed or not opened:
            self._of.io.complain(
                f"Unable to listen on port {port.local}: Listeners failed to create with the following errors: "
                f"[{' '.join(problems)}]"
            )
        return opened

    async def _accept(self, listener: io.Listener, port: Port) -> None:
        while True:
            connection = await listener.accept()
            self._connections += 1
            carried = self._carry(self._connections, connection, Port(listener.port, port.remote))
            self._carrying[self._connections] = self._spawn(carried)

    async def _carry(self, number: int, connection: io.Connection, port: Port) -> None:
        self._of.io.print(f"Handling connection for {port.local}")
        try:
            remote = self._dial(port)
        except fail.Failed as error:
            connection.close()
            del self._carrying[number]
            self._failed(port, error.message)
            return
        outgoing = self._spawn(_outgoing(connection, remote))
        try:
            problem = await self._incoming(connection, remote)
        finally:
            outgoing.cancel()
            connection.close()
            remote.close()
            del self._carrying[number]
        if problem:
            self._failed(port, problem)

    def _dial(self, port: Port) -> http.Session:
        response = self._of.rest.send("POST", self._path, query=[("ports", str(port.remote))], accept="*/*")
        if response.session is None:
            raise rest.refusal(response)
        return response.session

    async def _incoming(self, connection: io.Connection, remote: http.Session) -> str:
        """From the pod until its end; what the kubelet complained of."""
        # The first two bytes of each channel are its port's number.
        heads = {DATA: 2, ERROR: 2}
        problem = b""
        while (frames := remote.read()) is not None:
            for channel, data in frames:
                skipped = min(heads.get(channel, 0), len(data))
                heads[channel] = heads.get(channel, 0) - skipped
                if channel == ERROR:
                    problem += data[skipped:]
                elif data[skipped:]:
                    await connection.send(data[skipped:])
            if not frames:
                await self._of.io.wait(remote)
        return problem.decode("utf-8", "replace")

    def _failed(self, port: Port, why: str) -> None:
        """Upstream gives all up after one connection that failed (kubernetes/kubernetes#103526)."""
        self._of.klog(
            f'portforward.go:424] "Unhandled Error" err="an error occurred forwarding {port.local} -> {port.remote}: error '
            f'forwarding port {port.remote} to pod {objects.uid(self._pod)}, uid : {why}"',
            "E",
        )
        self._lost.give()


async def _outgoing(connection: io.Connection, remote: http.Session) -> None:
    while data := await connection.recv():
        remote.write(DATA, data)
    remote.close_channel(DATA)


class Signal:
    """Something that happens once (io.Waitable)."""

    def __init__(self) -> None:
        self._given = False
        self._callbacks: list[Any] = []

    def give(self) -> None:
        self._given = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_ready(self, callback: Any) -> None:
        if self._given:
            callback()
        else:
            self._callbacks.append(callback)


COMMANDS = {
    "port-forward": Command(
        "port-forward",
        "Forward one or more local ports to a pod.",
        run,
        tuple(flags.define("address:list", "pod-running-timeout:duration=1m0s")),
        "TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
    )
}
