"""kube-apiserver in its pod: HTTPS on 6443, answered by the cluster's API server (`apiserver`).

A request carries its user as a bearer token (a service account's, projected into the pod) or as a client certificate; one
without is `system:anonymous`.  What it may do is the API server's business; this program turns bytes into requests, watches
into chunks, and refuses what cannot be had over this connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qsl, urlsplit

from kubesim import klog
from kubesim.errors import LearnerError
from kubesim.http import ANONYMOUS, Request, Response, Stream, User
from kubesim.programs import authority, disks, http, tls, tokens
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled, Future, World

UNAUTHORIZED = b"""\
{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}
"""


async def pieces(world: World, stream: Stream) -> AsyncIterator[bytes]:
    """What a stream gives, as it comes, until its end."""
    try:
        while True:
            data = stream.read()
            if data is None:
                return
            if data:
                yield data
                continue
            ready: Future[None] = world.future()
            stream.on_ready(_resolving(ready))
            await ready
    finally:
        stream.close()


def _resolving(future: Future[None]) -> Callable[[], None]:
    return lambda: future.resolve(None)


def port_range(text: str) -> str:
    """A value of --service-node-port-range as "LOW-HIGH": "32000", "30000-32767" or "30000+100" (apimachinery,
    pkg/util/net/port_range.go)."""
    match = re.fullmatch(r"(\d+)(?:([-+])(\d+))?", text.strip())
    low = int(match[1]) if match else 0
    high = low if not match or not match[2] else int(match[3]) + (low if match[2] == "+" else 0)
    if not match or not 0 <= low <= high <= 65535:
        why = f"invalid argument {json.dumps(text)} for \"--service-node-port-range\" flag: unable to parse port range"
        raise LearnerError(f"Error: {why}: {text}")
    return f"{low}-{high}"


class ApiServerProgram:
    """One running kube-apiserver."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.say = klog.logger(process)

    async def run(self) -> int:
        process, net = self.process, self.process.machine.net
        port = int(klog.flag(process.args, "secure-port", "6443"))
        address = klog.flag(process.args, "bind-address", "0.0.0.0")
        process.cluster.api.reconfigure(
            node_port_range=port_range(klog.flag(process.args, "service-node-port-range", "30000-32767"))
        )
        service = process.cluster.preset.api_address
        domain = process.cluster.preset.cluster_domain
        names = [f"DNS:kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", f".default.svc.{domain}")]
        certificate = authority.serving(process, "kube-apiserver", *names, f"IP:{service}", "DNS:localhost", "IP:127.0.0.1")
        context = tls.Context(
            choose=lambda _name: (certificate,),
            client_authority=frozenset((authority.CLUSTER,)),
        )
        self.say(f"external host was not specified, using {klog.flag(process.args, 'advertise-address')}", "options.go:263")
        self.say(f"Version: {process.tag}", "server.go:150")
        self.say(f"Serving securely on [::]:{port}", "secure_serving.go:211")
        server = http.Server(
            process.world, self.handle, context=context, complain=lambda words: self.say(words, "server.go:3419")
        )
        try:
            await server.serve(net.listen("tcp", "" if address == "0.0.0.0" else address, port))
        except Cancelled:
            self.say('"[graceful-termination] shutdown event" name="ShutdownInitiated"', "genericapiserver.go:694")
        return 0

    async def handle(self, request: http.Request) -> http.Response:
        user = self._user(request)
        if user is None:
            return http.Response(status=401, headers=[("Content-Type", "application/json")], body=UNAUTHORIZED)
        parts = urlsplit(request.target)
        answered = self.process.cluster.api.handle(
            Request(
                method=request.method,
                path=parts.path,
                query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
                headers={key.lower(): value for key, value in request.headers},
                body=request.body,
                user=user,
            )
        )
        return self._response(answered)

    def _response(self, answered: Response) -> http.Response:
        if answered.session is not None:
            answered.session.close()
            return http.text("not simulated: exec, attach and port-forward from inside a pod\n", 501)
        headers = [(key, value) for key, value in answered.headers if key.lower() not in ("content-length", "transfer-encoding")]
        if answered.stream is not None:
            return http.Response(
                status=answered.status, headers=headers, stream=pieces(self.process.world, answered.stream)
            )
        return http.Response(status=answered.status, headers=headers, body=answered.body)

    def _user(self, request: http.Request) -> User | None:
        """Who asks; None for a token that nobody issued (401)."""
        header = request.header("authorization")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            return tokens.user(self.process.world, token.strip())
        shown = request.tls.client if request.tls else None
        if shown is not None:
            fields = [part.strip().partition("=") for part in shown.subject.split(",")]
            groups = tuple(value for name, _, value in fields if name == "O")
            return User(name=shown.common_name, groups=(*groups, "system:authenticated"))
        return ANONYMOUS


async def main(process: Process) -> int:
    return await ApiServerProgram(process).run()


IMAGES = [
    Image(
        names=("registry.k8s.io/kube-apiserver",),
        program=main,
        programs=("kube-apiserver",),
        entrypoint=("kube-apiserver",),
        tools=disks.DISTROLESS,
        seconds=1.5,
    )
]
