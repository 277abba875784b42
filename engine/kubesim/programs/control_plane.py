"""kube-controller-manager and kube-scheduler as a pod beside them sees them: health ports and a few lines of log.

The loops themselves run in the core (`controllers`, `scheduler`): a cluster whose learner deletes these pods heals at
once, as one with several replicas does.
"""

from __future__ import annotations

from kubesim import klog
from kubesim.programs import authority, disks, http, tls
from kubesim.programs.image import Image, Main, Process


def program(name: str, port: int, lease: str) -> Main:
    async def main(process: Process) -> int:
        say = klog.logger(process)

        async def handler(request: http.Request) -> http.Response:
            if request.path in ("/healthz", "/livez", "/readyz"):
                return http.text("ok")
            # Everything else wants an authenticated user.
            return http.text("Forbidden", 403)

        address = klog.flag(process.args, "bind-address", "0.0.0.0")
        secure_port = int(klog.flag(process.args, "secure-port", str(port)))
        say("Generated self-signed cert in-memory", "serving.go:386")
        say(f'"Starting" version="{process.tag}"', f"{name.removeprefix('kube-')}.go:205")
        listener = process.machine.net.listen("tcp", address, secure_port)
        say(f"Serving securely on {address}:{secure_port}", "secure_serving.go:211")
        identity = f"{process.machine.hostname.lower()}_{process.pod.get('metadata', {}).get('uid', '')}"
        say(f"attempting to acquire leader lease kube-system/{lease}...", "leaderelection.go:258")
        say(f"successfully acquired lease kube-system/{lease}", "leaderelection.go:272")
        say(f'"Became leader" identity="{identity}"', "leaderelection.go:280")
        context = tls.context(authority.serving(process, name, "DNS:localhost"))
        server = http.Server(
            process.world, handler, context=context, complain=lambda words: say(words, "server.go:3419", "E")
        )
        await server.serve(listener)
        return 0

    return main


IMAGES = [
    Image(
        names=(f"registry.k8s.io/{name}",),
        program=program(name, port, name),
        programs=(name,),
        entrypoint=(name,),
        tools=disks.DISTROLESS,
        seconds=1.2,
    )
    for name, port in (("kube-controller-manager", 10257), ("kube-scheduler", 10259))
]
