"""traefik/whoami, a Go server that tells a client what came: the favourite backend of Traefik's own documents.

Source: github.com/traefik/whoami `app.go`.
"""

from __future__ import annotations

import json

from kubesim.programs import forwarding, http, tls
from kubesim.programs.hello_app import DIED
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled

# net/http writes these two first when it prints a request, and the rest by name.
FIRST = ("host", "user-agent")


async def main(process: Process) -> int:
    args = process.args[1:]
    name = _flag(args, "name") or process.machine.env.get("WHOAMI_NAME", "")
    port = int(_flag(args, "port") or process.machine.env.get("WHOAMI_PORT_NUMBER") or 80)

    async def handle(request: http.Request) -> http.Response:
        match request.path:
            case "/health":
                return http.Response()
            case "/api":
                return http.text(_json(process, name, request), content_type="application/json")
        return http.text(_text(process, name, request))

    files = process.machine.files
    certificate = _flag(args, "cert")
    context = tls.context(*tls.certificates(files.read_bytes(certificate).decode())) if certificate else None
    process.log(f"Starting up on port {port}{' with TLS' if context else ''}")
    try:
        server = http.Server(process.world, handle, forwarding.Style(), context=context)
        await server.serve(process.machine.net.listen("tcp", "", port))
    except Cancelled:
        return DIED
    return 0


def _flag(args: list[str], name: str) -> str:
    for index, word in enumerate(args):
        key, equals, value = word.lstrip("-").partition("=")
        if key == name:
            return value if equals else "".join(args[index + 1 : index + 2])
    return ""


def _addresses(process: Process) -> list[str]:
    found = [each.ip for interface in process.machine.net.interfaces.values() for each in interface.addresses]
    return ["127.0.0.1", *(ip for ip in found if ip != "127.0.0.1" and ":" not in ip)]


def _headers(request: http.Request) -> list[tuple[str, str]]:
    named = {
        key.lower(): ("-".join(part.capitalize() for part in key.split("-")), value) for key, value in request.headers
    }
    rest = sorted(pair for key, pair in named.items() if key not in FIRST)
    return [named[key] for key in FIRST if key in named] + rest


def _remote(request: http.Request) -> str:
    return f"{request.peer[0].removeprefix('::ffff:')}:{request.peer[1]}"


def _text(process: Process, name: str, request: http.Request) -> str:
    lines = [f"Name: {name}"] if name else []
    lines += [f"Hostname: {process.machine.hostname}"]
    lines += [f"IP: {address}" for address in _addresses(process)]
    lines += [f"RemoteAddr: {_remote(request)}", f"{request.method} {request.target} HTTP/1.1"]
    lines += [f"{key}: {value}" for key, value in _headers(request)]
    return "\n".join(lines) + "\n\n"


def _json(process: Process, name: str, request: http.Request) -> str:
    headers = {key: [value] for key, value in sorted(_headers(request)) if key != "Host"}
    found = {
        "hostname": process.machine.hostname,
        "ip": _addresses(process),
        "headers": headers,
        "url": request.target,
        "host": request.header("host"),
        "method": request.method,
        **({"name": name} if name else {}),
        "remoteAddr": _remote(request),
    }
    return json.dumps(found, separators=(",", ":")) + "\n"


IMAGES = [
    Image(
        names=("traefik/whoami",),
        program=main,
        programs=("whoami",),
        entrypoint=("/whoami",),
        seconds=1.0,
    )
]
