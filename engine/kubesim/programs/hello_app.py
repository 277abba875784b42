"""Google's hello-app, a Go server that says its version and the pod's name."""

from __future__ import annotations

from kubesim import ids
from kubesim.programs import disks, http
from kubesim.programs.image import Image, Main, Process
from kubesim.world import Cancelled

# A Go program without a handler for SIGTERM dies of it even as process 1: the runtime raises the signal again, the
# kernel ignores that, and it exits (runtime/signal_unix.go, dieFromSignal).
DIED = 2


def log_time(seconds: float) -> str:
    """How Go's package log begins a line."""
    return f"{ids.utc(seconds):%Y/%m/%d %H:%M:%S}"


def server(version: str) -> Main:
    async def main(process: Process) -> int:
        def log(words: str) -> None:
            process.log(f"{log_time(process.world.now)} {words}")

        async def hello(request: http.Request) -> http.Response:
            log(f"Serving request: {request.path}")
            return http.text(f"Hello, world!\nVersion: {version}\nHostname: {process.machine.hostname}\n")

        port = int(process.machine.env.get("PORT") or 8080)
        log(f"Server listening on port {port}")
        try:
            await http.Server(process.world, hello).serve(process.machine.net.listen("tcp", "", port))
        except Cancelled:
            return DIED
        return 0

    return main


def _image(tag: str, version: str) -> Image:
    return Image(
        names=(
            "gcr.io/google-samples/hello-app",
            "us-docker.pkg.dev/google-samples/containers/gke/hello-app",
        ),
        tags=(tag,),
        program=server(version),
        programs=("hello-app",),
        entrypoint=("./hello-app",),
        # Built on Alpine when the documents were written (on distroless later).
        tools=disks.ALPINE,
        env={"PORT": "8080"},
        workdir="/",
        user="65532",
    )


IMAGES = [_image("1.0", "1.0.0"), _image("2.0", "2.0.0")]
