"""`kubesim serve`: the API server on a real TCP port, for real kubectl.

Plain HTTP on loopback unless told otherwise: whoever reaches the address is the cluster's admin.  (kubectl sends
credentials over TLS only, so a token here would keep kubectl itself out.)
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.fronts import asgi, dnsport, pacing, tunnel

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: kubesim-{preset}
  cluster:
    server: http://{address}
contexts:
- name: kubesim-{preset}
  context:
    cluster: kubesim-{preset}
    user: kubernetes-admin
current-context: kubesim-{preset}
users:
- name: kubernetes-admin
  user: {{}}
"""


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket; LearnerError says what to do when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        # Now, so that who reads the address that is printed finds somebody there.
        found.listen(128)
    except OSError as error:
        found.close()
        raise LearnerError(
            f"cannot listen on {host}:{port}: {error.strerror}", "Take another --port, or 0 for any."
        ) from None
    return found


def write_kubeconfig(path: Path, preset: str, address: str) -> None:
    """Write a kubeconfig that only its owner can read."""
    text = KUBECONFIG.format(preset=preset, address=address)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise LearnerError(f"cannot write {path}: {error.strerror}", "Name another place with --kubeconfig.") from None


def serve(
    preset: str,
    seed: int,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    kubeconfig: str = "",
    speed: float = 1.0,
    dns_port: int | None = None,
    out: IO[str] = sys.stdout,
) -> None:
    """Serve until interrupted.  Prints where it listens and which kubeconfig it wrote, then nothing."""
    try:
        import uvicorn
    except ImportError:
        raise LearnerError("kubesim serve needs uvicorn", "Install it: pip install 'kubewalk[serve]'") from None
    found = listen(host, port)
    # Who comes from outside has a clock: kubectl reckons ages by it.
    cluster = Cluster(preset, seed, birth=time.time())
    bound = found.getsockname()[1]
    address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
    path = Path(kubeconfig) if kubeconfig else Path(tempfile.gettempdir()) / f"kubesim-{bound}.kubeconfig"
    write_kubeconfig(path, cluster.preset.name, address)
    pacer = pacing.Pacer(cluster.world, speed)
    dns = None if dns_port is None else dnsport.DnsPort(cluster, pacer, host, dns_port)
    app = asgi.App(cluster.api, pacer, dns)
    config = uvicorn.Config(
        app,
        http=tunnel.protocols(app),
        ws="websockets-sansio",
        log_level="warning",
        timeout_graceful_shutdown=1,
        ws_max_size=2**24,
        h11_max_incomplete_event_size=2**18,
    )
    print(f"Kubernetes {cluster.preset.version} ({cluster.preset.name}) on http://{address}", file=out)
    if not ipaddress.ip_address(host).is_loopback:
        print("Beware: whoever reaches this address is the cluster's admin.", file=out)
    if dns is not None:
        print(f"DNS on {dns.address[0]}, port {dns.address[1]}, UDP and TCP", file=out)
    print(f"export KUBECONFIG={path}", file=out, flush=True)
    uvicorn.Server(config).run(sockets=[found])
