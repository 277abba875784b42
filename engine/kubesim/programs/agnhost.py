"""agnhost, Kubernetes' own image for network tests: netexec's HTTP and UDP servers, serve-hostname, connect, pause.

Source: kubernetes/test/images/agnhost (README.md says what each subcommand answers).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from kubesim import ids, klog
from kubesim import world as world_module
from kubesim.dns import resolver
from kubesim.net import errors
from kubesim.programs import disks, fetch, http
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled, Task

if TYPE_CHECKING:
    from kubesim.net.sockets import Connection

KNOWN = ("connect", "grpc-health-checking", "netexec", "pause", "serve-hostname")


class BadFlag(Exception):
    """A flag that cannot be what it is given."""


def _number(args: list[str], name: str, default: str) -> int:
    """An integer flag; BadFlag in the words of Go's pflag, as for `--http-port=tcp://10.96.0.7:80`."""
    given = klog.flag(args, name, default)
    try:
        return int(given)
    except ValueError:
        why = f'strconv.ParseInt: parsing "{given}": invalid syntax'
        raise BadFlag(f'invalid argument "{given}" for "--{name}" flag: {why}') from None


class NetExec:
    """`agnhost netexec`: see the README's table of its paths."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.machine = process.machine
        self.world = process.world
        self.say = klog.logger(process)
        self.exiting = self.world.future()
        self.ready = True

    async def run(self) -> int:
        args = self.process.args
        http_port = _number(args, "http-port", "8080")
        udp_port = _number(args, "udp-port", "8081")
        tasks: list[Task[Any]] = []
        sctp_port = _number(args, "sctp-port", "-1")
        listener = self.machine.net.listen("tcp", "", http_port)
        tasks.append(self.world.spawn(http.Server(self.world, self.handle).serve(listener), "netexec http"))
        self.say(f"Started HTTP server on port {http_port}", "log.go:245")
        if udp_port != -1:
            tasks.append(self.world.spawn(self._udp(udp_port), "netexec udp"))
            self.say(f"Started UDP server on port  {udp_port}", "log.go:245")
        if sctp_port != -1:
            # Associations are taken; what would be said over them is not simulated (`/dial?protocol=sctp` says so).
            self.machine.net.stack.sctp.add(sctp_port)
            self.say(f"Started SCTP server on port {sctp_port}", "log.go:245")
        try:
            return await self.exiting
        except Cancelled:
            delay = float(klog.flag(args, "delay-shutdown", "0"))
            self.ready = False
            self.say(f"Sleeping {delay:g} seconds before terminating...", "log.go:245")
            await self.world.sleep(delay)
            return 0
        finally:
            self.machine.net.stack.sctp.discard(sctp_port)
            for task in tasks:
                task.cancel()

    async def handle(self, request: http.Request) -> http.Response:
        self.say(f"{request.method} {request.target}", "log.go:245")
        handlers: dict[str, Callable[[http.Request], Coroutine[Any, Any, http.Response]]] = {
            "/": self._root,
            "/clientip": self._client_ip,
            "/dial": self._dial,
            "/echo": self._echo,
            "/exit": self._exit,
            "/header": self._header,
            "/healthz": self._healthz,
            "/hostname": self._hostname,
            "/hostName": self._hostname,
            "/redirect": self._redirect,
            "/shell": self._shell,
        }
        handler = handlers.get(request.path)
        if handler is None:
            # Go's ServeMux: "/" takes what nothing else does.
            handler = self._root
        return await handler(request)

    async def _root(self, request: http.Request) -> http.Response:
        stamp = ids.utc(self.world.now)
        nanos = int(self.world.now % 1 * 1e9)
        since = self.world.now - self.world.start
        return http.text(f"NOW: {stamp:%Y-%m-%d %H:%M:%S}.{nanos:09d} +0000 UTC m=+{since:.9f}")

    async def _client_ip(self, request: http.Request) -> http.Response:
        host, port = request.peer
        return http.text(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def _hostname(self, request: http.Request) -> http.Response:
        return http.text(self.machine.hostname)

    async def _echo(self, request: http.Request) -> http.Response:
        code = request.param("code")
        return http.text(request.param("msg"), int(code) if code.isdigit() else 200)

    async def _header(self, request: http.Request) -> http.Response:
        return http.text(request.header(request.param("key")))

    async def _healthz(self, request: http.Request) -> http.Response:
        return http.text("", 200 if self.ready else 412)

    async def _redirect(self, request: http.Request) -> http.Response:
        code = request.param("code", "302")
        return http.Response(
            status=int(code) if code.isdigit() else 302, headers=[("Location", request.param("location"))]
        )

    async def _exit(self, request: http.Request) -> http.Response:
        code = request.param("code", "0")
        self.world.call_soon(self.exiting.resolve, int(code) if code.isdigit() else 0)
        return http.text("")

    async def _shell(self, request: http.Request) -> http.Response:
        command = request.param("shellCommand") or request.param("cmd")
        from kubesim.shell import context, processes, streams

        out = streams.Capture()
        ctx = context.Context(
            machine=self.machine, name="sh", args=["-c", command], env=self.machine.env, cwd="/", out=out, err=out
        )
        status = await processes.run(ctx)
        answer = {"output": out.text}
        if status:
            answer["error"] = f"exit status {status}"
        return http.text(json.dumps(answer, separators=(",", ":")))

    async def _dial(self, request: http.Request) -> http.Response:
        """Ask another one, and say what it said: how a test looks from inside a pod."""
        host, port = request.param("host"), request.param("port")
        protocol, path = request.param("protocol", "http"), request.param("request", "hostname")
        tries = int(request.param("tries", "1"))
        if not host or not port.isdigit():
            return http.text("invalid request parameter. missing host or port\n", 400)
        if protocol not in ("http", "udp"):
            return http.text(f"not simulated: dialling over {protocol}\n", 501)
        responses: list[str] = []
        failures: list[str] = []
        for _ in range(tries):
            try:
                if protocol == "udp":
                    responses.append(await self._dial_udp(host, int(port), path))
                else:
                    found = await fetch.get(self.machine, f"http://{host}:{port}/{path}", timeout=5.0)
                    responses.append(found.body.decode("utf-8", "replace"))
            except (
                fetch.Failed,
                http.HttpError,
                errors.NetError,
                resolver.NotResolved,
                world_module.TimedOut,
            ) as error:
                failures.append(str(error))
        answer: dict[str, list[str]] = {}
        if responses:
            answer["responses"] = responses
        if failures:
            answer["errors"] = failures
        return http.text(json.dumps(answer, separators=(",", ":")))

    async def _dial_udp(self, host: str, port: int, words: str) -> str:
        found = await resolver.lookup(self.machine, host)
        socket = self.machine.net.udp()
        try:
            socket.send_to(words.encode(), found.addresses[0], port)
            data, _ = await self.world.wait_for(socket.recv_from(), 5.0)
            return data.decode("utf-8", "replace")
        finally:
            socket.close()

    async def _udp(self, port: int) -> None:
        socket = self.machine.net.udp("", port)
        socket.answers = True
        try:
            while True:
                try:
                    data, client, local = await socket.recv_message()
                except errors.NetError:
                    if socket.closed:
                        return
                    continue  # an ICMP error about an answer whose client has gone
                words = data.decode("utf-8", "replace").strip()
                verb, _, rest = words.partition(" ")
                answers = {"hostname": self.machine.hostname, "echo": rest, "clientip": f"{client[0]}:{client[1]}"}
                if verb in answers:
                    socket.send_to(answers[verb].encode(), *client, source=local)
                elif verb:
                    self.say(f"Unknown UDP command received from {client[0]}:{client[1]}: {words}", "log.go:245")
        finally:
            socket.close()


async def _serve_hostname(process: Process) -> int:
    async def handler(request: http.Request) -> http.Response:
        return http.text(process.machine.hostname)

    port = _number(process.args, "port", "9376")
    klog.logger(process)("Serving on port " + str(port), "log.go:245")
    await http.Server(process.world, handler).serve(process.machine.net.listen("tcp", "", port))
    return 0


async def _connect(process: Process) -> int:
    """`agnhost connect HOST:PORT`: silence for success, else one word that says how it failed."""
    operands = [arg for arg in process.args[2:] if not arg.startswith("--")]
    if len(operands) != 1:
        process.log(f"Error: accepts 1 arg(s), received {len(operands)}")
        return 1
    protocol = klog.flag(process.args, "protocol", "tcp")
    if protocol != "tcp":
        process.log(f"not simulated: agnhost connect --protocol={protocol}")
        return 1
    from kubesim.machinery import durations

    given = klog.flag(process.args, "timeout", "1s")
    timeout = durations.parse(given)
    host, port = http.split_host(operands[0])
    try:
        found = await resolver.lookup(process.machine, host)
    except resolver.NotResolved:
        process.log(f"DNS: lookup {host}: no such host")
        return 1
    try:
        connection = await process.machine.net.connect(found.addresses[0], port, timeout=timeout)
    except errors.Refused:
        process.log("REFUSED")
        return 1
    except errors.TimedOut:
        process.log("TIMEOUT")
        return 1
    except errors.NetError as error:
        process.log(f"OTHER: {error}")
        return 1
    connection.close()
    return 0


async def _grpc_health_checking(process: Process) -> int:
    """`agnhost grpc-health-checking`: a health service whose answer is changed by /make-serving and /make-not-serving."""
    from kubesim.programs import grpc

    say = klog.logger(process)
    own = klog.flag(process.args, "service", "")
    port, control = _number(process.args, "port", "5000"), _number(process.args, "http-port", "8080")
    status = grpc.SERVING

    async def health(service: str) -> int | None:
        return status if service in ("", own) else None

    async def handle(request: http.Request) -> http.Response:
        nonlocal status
        if request.path == "/make-serving":
            status = grpc.SERVING
        elif request.path == "/make-not-serving":
            status = grpc.NOT_SERVING
        else:
            return http.text("404 page not found\n", 404)
        say(f"Mark as {grpc.STATUS_NAMES[status].replace('_', ' ').lower()}", "log.go:245")
        return http.text("")

    async def answer(connection: Connection) -> None:
        try:
            await grpc.serve(connection, health)
        except (grpc.GrpcError, errors.NetError):
            pass
        finally:
            connection.close()

    net = process.machine.net
    listener = net.listen("tcp", "", port)
    web = process.world.spawn(
        http.Server(process.world, handle).serve(net.listen("tcp", "", control)), "grpc's control"
    )
    say(f"Http server starting to listen on :{control}", "log.go:245")
    say(f"gRPC server starting to listen on :{port}", "log.go:245")
    try:
        while True:
            process.world.spawn(answer(await listener.accept()), "a grpc call")
    finally:
        web.cancel()


async def _pause(process: Process) -> int:
    process.log("Paused")
    try:
        await process.world.future()
    except Cancelled:
        process.log("Ending the pod")
    return 0


async def main(process: Process) -> int:
    try:
        return await _subcommand(process)
    except BadFlag as error:
        process.log(f"Error: {error}")
        return 1


async def _subcommand(process: Process) -> int:
    command = process.args[1] if len(process.args) > 1 else "pause"
    match command:
        case "netexec":
            return await NetExec(process).run()
        case "serve-hostname":
            return await _serve_hostname(process)
        case "connect":
            return await _connect(process)
        case "grpc-health-checking":
            return await _grpc_health_checking(process)
        case "pause":
            return await _pause(process)
    process.log(f'Error: unknown command "{command}" for "app" (simulated: {", ".join(KNOWN)})')
    return 1


IMAGES = [
    Image(
        names=("registry.k8s.io/e2e-test-images/agnhost",),
        program=main,
        programs=("agnhost",),
        entrypoint=("/agnhost",),
        command=("pause",),
        tools=disks.ALPINE | disks.commands("curl dig host iperf nc netstat"),
        files={**disks.CERTIFICATES, "/lib/ld-musl-x86_64.so.1": ""},
        seconds=1.5,
    )
]
