"""The small node.js services of the documents: one HTTP server each, a line of text for an answer.

luksa/kubia is from *Kubernetes in Action*; the pgolard images belong to the document on services, whose custom parent image
brings telnet, netcat, ping, curl and a DNS client.
"""

from __future__ import annotations

from collections.abc import Callable

from kubesim.errors import NotSimulated
from kubesim.programs import disks, entry, http
from kubesim.programs.image import Image, Main, Process

Answer = Callable[[Process, http.Request], http.Response]


class Node(http.Style):
    """node:http - a Date and `Connection: keep-alive` on all, five seconds' patience between requests."""

    idle = 5.0

    def headers(self, now: float, response: http.Response) -> http.Headers:
        connection: http.Headers = [] if response.close else [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")]
        return [("Date", http.date(now)), *connection]

    def malformed(self, status: int) -> http.Response:
        return http.Response(status=status)


def server(port: int, answer: Answer, start: str, log: Callable[[http.Request], str]) -> Main:
    """A program that answers every path alike, as these do."""

    async def serve(process: Process) -> int:
        async def handler(request: http.Request) -> http.Response:
            process.log(log(request))
            return answer(process, request)

        listener = process.machine.net.listen("tcp", "", port)
        process.log(start)
        await http.Server(process.world, handler, Node()).serve(listener)
        return 0

    return _node(serve)


def _node(serve: Main) -> Main:
    """`node` with the image's own script; others there are none."""

    async def main(process: Process) -> int:
        script = process.args[1:2]
        if script in (["-v"], ["--version"]):
            process.log(f"v{process.machine.env.get('NODE_VERSION', '')}")
            return 0
        if script not in (["app.js"], ["server.js"]):
            raise NotSimulated(f"node {' '.join(process.args[1:])}".strip(), "Only the image's own script runs.")
        # It is process 1 and handles no signal.
        return await entry.first_process(process, serve(process))

    return main


def _kubia(process: Process, request: http.Request) -> http.Response:
    return http.Response(body=f"You've hit {process.machine.hostname}\n".encode())


def _mapped(address: str) -> str:
    """The peer as a dual-stack socket shows it."""
    return address if ":" in address else f"::ffff:{address}"


def _express(paths: dict[str, str]) -> Answer:
    """An Express application with these routes."""

    def answer(process: Process, request: http.Request) -> http.Response:
        powered = ("X-Powered-By", "Express")
        body = paths.get(request.path)
        if body is not None and request.method in ("GET", "HEAD"):
            return http.Response(headers=[powered, ("Content-Type", "text/html; charset=utf-8")], body=body.encode())
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>\n<body>\n'
            f"<pre>Cannot {request.method} {request.path}</pre>\n</body>\n</html>\n"
        )
        headers = [powered, ("Content-Type", "text/html; charset=utf-8")]
        return http.Response(status=404, headers=headers, body=page.encode())

    return answer


def _asked(request: http.Request) -> str:
    return f"{request.method} {request.path} from {_mapped(request.peer[0])}"


def _image(name: str, main: Main, port: int) -> Image:
    return Image(
        names=(name,),
        program=main,
        programs=("node",),
        entrypoint=("node",),
        command=("server.js",),
        tools=disks.NODE_TOOLS,
        files=disks.CERTIFICATES,
        env={"NODE_VERSION": "14.15.1", "PORT": str(port)},
        workdir="/usr/src/app",
        seconds=1.5,
    )


def _ms_bye() -> Main:
    """ms-bye also has a route that calls ms-hello by its Service, as the document says."""
    from kubesim.programs import fetch

    plain = _express({"/": "This is the test bye with custom node parent image"})

    async def serve(process: Process) -> int:
        async def handler(request: http.Request) -> http.Response:
            process.log(_asked(request))
            if request.path != "/sayHelloToBye":
                return plain(process, request)
            host = process.machine.env.get("MS_HELLO_SVC_SERVICE_HOST", "ms-hello-svc")
            port = process.machine.env.get("MS_HELLO_SVC_SERVICE_PORT", "17")
            try:
                reply = await fetch.get(process.machine, f"http://{host}:{port}/")
            except (fetch.Failed, http.HttpError) as error:
                return http.text(f"ms-hello-svc: {error}\n", 500)
            return http.text(f"ms-bye asked ms-hello, which says: {reply.body.decode()}")

        listener = process.machine.net.listen("tcp", "", 9999)
        process.log("ms-bye listening on port 9999")
        await http.Server(process.world, handler, Node()).serve(listener)
        return 0

    return _node(serve)


_ROUTES = {
    "pgolard/ms-hello": (7777, "This is the hello world custom node parent"),
    "pgolard/multcont-morning": (1234, "This is the good morning root"),
    "pgolard/multcont-afternoon": (4321, "This is the good afternoon root"),
}

IMAGES = [
    Image(
        names=("luksa/kubia",),
        program=server(
            8080, _kubia, "Kubia server starting...", lambda request: f"Received request from {_mapped(request.peer[0])}"
        ),
        programs=("node",),
        entrypoint=("node", "app.js"),
        tools=disks.BUILDPACK | {"node"},
        files=disks.CERTIFICATES,
        env={"NODE_VERSION": "7.9.0", "NPM_CONFIG_LOGLEVEL": "info", "YARN_VERSION": "0.22.0"},
        seconds=2.5,
    ),
    *(
        _image(name, server(port, _express({"/": words}), f"{name.rpartition('/')[2]} listening on port {port}", _asked), port)
        for name, (port, words) in _ROUTES.items()
    ),
    _image("pgolard/ms-bye", _ms_bye(), 9999),
]
