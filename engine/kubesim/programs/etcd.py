"""etcd, as far as a pod beside it sees it: its ports, its health, its log.

What it would hold is in the API server's store; nobody may read it past the API server, so its client port takes TLS and
says nothing else.
"""

from __future__ import annotations

import json

from kubesim import ids
from kubesim.klog import flag
from kubesim.programs import authority, disks, http, tls
from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled


async def main(process: Process) -> int:
    world, net, args = process.world, process.machine.net, process.args

    def log(message: str, **fields: object) -> None:
        """zap's JSON, as etcd 3.4 and later write it."""
        stamp = ids.micro_timestamp(world.now).replace("000Z", "Z")
        process.log(json.dumps({"level": "info", "ts": stamp, "msg": message, **fields}, separators=(",", ":")))

    async def health(request: http.Request) -> http.Response:
        if request.path in ("/health", "/livez", "/readyz"):
            body = '{"health":"true","reason":""}' if request.path == "/health" else "ok\n"
            return http.text(body, content_type="application/json" if request.path == "/health" else "text/plain")
        return http.text("404 page not found\n", 404)

    async def client(request: http.Request) -> http.Response:
        if request.path == "/health":
            return await health(request)
        return http.text("not simulated: etcd's gRPC interface; ask the API server\n", 501)

    name = flag(args, "name", "default")
    certificate = authority.serving(process, "etcd", f"DNS:{name}", "DNS:localhost", "IP:127.0.0.1")
    context = tls.context(certificate)
    log("Running: ", args=args)
    tasks = []
    urls = [*flag(args, "listen-client-urls", "http://localhost:2379").split(",")]
    urls += [url for url in flag(args, "listen-metrics-urls").split(",") if url]
    for url in urls:
        scheme, _, rest = url.partition("://")
        host, port = http.split_host(rest.rstrip("/"))
        host = "127.0.0.1" if host == "localhost" else host
        secure = context if scheme == "https" else None
        serve = http.Server(world, client if secure else health, context=secure).serve(net.listen("tcp", host, port))
        tasks.append(world.spawn(serve, f"etcd {url}"))
    log("published local member to cluster through raft", **{"local-member-attributes": f"{{Name:{name}}}"})
    log("ready to serve client requests")
    try:
        await world.future()
    except Cancelled:
        log("received signal; shutting down", signal="terminated")
    finally:
        for task in tasks:
            task.cancel()
    return 0


IMAGES = [
    Image(
        names=("registry.k8s.io/etcd",),
        program=main,
        programs=("etcd",),
        entrypoint=("etcd",),
        tools=disks.DISTROLESS,
        seconds=2.0,
    )
]
