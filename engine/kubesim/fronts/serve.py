"""`kubesim serve`: the API server on a real TCP port, for real kubectl.

HTTPS on loopback, for those who show a token or a client certificate that this run made (`identity`); RBAC holds for all but the
admin.  Presets that were made for tests alone (`Preset.open`), and --insecure, are plain HTTP instead, where whoever reaches the
address is the admin unless he shows a token: on loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import yaml

from kubesim import http, presets, snapshot
from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.fronts import asgi, dnsport, identity, pacing, statefile, tunnel


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket; LearnerError says what to do when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off for sockets that say their protocol; with it an answer in two writes takes 40 ms.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise LearnerError(
            f"--host {host} is no IP address", "127.0.0.1, ::1, 0.0.0.0, or one of this machine."
        ) from None


def write_kubeconfig(path: Path, document: Mapping[str, object]) -> None:
    """Write a kubeconfig that only its owner can read."""
    text = yaml.safe_dump(dict(document), sort_keys=False, width=1_000_000)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LearnerError(f"cannot write {path}: {error.strerror}", "Name another place with --kubeconfig.") from None
    if path.exists() and not path.is_file():
        # /dev/null, /dev/stdout, a pipe.
        path.write_text(text)
    else:
        statefile.save(path, text)


class State:
    """What --state names: written at the end, and when SIGUSR1 asks for it."""

    def __init__(
        self, path: Path, cluster: Cluster, who: identity.Identity | None, saved: snapshot.Snapshot | None
    ) -> None:
        self._path = path
        self._cluster = cluster
        # Served once without authentication, it has its authority still.
        before = saved.front if saved is not None else {}
        self._front = {**before, "identity": who.saved()} if who is not None else before

    async def start(self) -> None:
        usr1 = getattr(signal, "SIGUSR1", None)
        if usr1 is not None:
            asyncio.get_running_loop().add_signal_handler(usr1, self._asked)

    def _asked(self) -> None:
        try:
            self.save()
        except LearnerError as error:
            print(f"kubesim: {error}", file=sys.stderr, flush=True)

    def save(self) -> None:
        statefile.save(self._path, snapshot.take(self._cluster, self._front))

    def close(self) -> None:
        self._asked()


def _hosts(host: str) -> list[str]:
    """The names and addresses under which the server is reached."""
    found = ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    if host not in ("0.0.0.0", "::"):
        return list(dict.fromkeys([*found, host]))
    found.append(socket.gethostname())
    # Documentation's addresses (RFC 5737, RFC 3849): which of ours a packet to the outside would leave from; none is sent.
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))
            found.append(probe.getsockname()[0].partition("%")[0])
    with contextlib.suppress(OSError):
        own = socket.getaddrinfo(socket.gethostname(), None)
        found += sorted({str(each[4][0]).partition("%")[0] for each in own})
    return list(dict.fromkeys(found))


def users(given: Iterable[str]) -> dict[str, list[str]]:
    """NAME or NAME:GROUP,GROUP of --user -> groups by name."""
    found: dict[str, list[str]] = {}
    for each in given:
        name, _, groups = each.partition(":")
        if not name or name == identity.ADMIN:
            raise LearnerError(f"--user {each}: no name of a user", "As in --user jane:dev,ops.")
        found[name] = [group for group in groups.split(",") if group]
    return found


def serve(
    preset: str | None,
    seed: int,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    kubeconfig: str = "",
    speed: float = 1.0,
    dns_port: int | None = None,
    insecure: bool | None = None,
    people: Iterable[str] = (),
    state: str = "",
    out: IO[str] = sys.stdout,
) -> None:
    """Serve until interrupted.  Prints where it listens and which kubeconfig it wrote, then nothing.

    `preset` None is what `state` holds, else kind; `insecure` None is what the preset says.
    """
    try:
        import uvicorn
    except ImportError:
        raise LearnerError("kubesim serve needs uvicorn", "Install it: pip install 'kubewalk[serve]'") from None
    saved = statefile.load(Path(state)) if state else None
    if saved is not None and preset not in (None, saved.preset):
        raise LearnerError(f"{state} holds a cluster of preset {saved.preset}, not {preset}", "Leave --preset away.")
    name = preset or (saved.preset if saved else "kind")
    if insecure is None:
        insecure = presets.load(name).open
    if insecure and not is_loopback(host):
        raise LearnerError(
            f"without authentication it listens on loopback only, not on {host}",
            "Say --secure: HTTPS, with a token in the kubeconfig.",
        )
    given = users(people)
    if insecure and given:
        raise LearnerError("--user needs authentication: this is plain HTTP", "Say --secure.")
    who = None if insecure else _identity(saved)
    found = listen(host, port)
    # Who comes from outside has a clock: kubectl reckons ages by it.
    cluster = Cluster(name, seed, birth=time.time(), secret=secrets.token_urlsafe(32), saved=saved)
    bound = found.getsockname()[1]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    address = f"{'https' if who else 'http'}://" + (f"[{reached}]:{bound}" if ":" in reached else f"{reached}:{bound}")
    path = Path(kubeconfig) if kubeconfig else Path(tempfile.gettempdir()) / f"kubesim-{bound}.kubeconfig"
    write_kubeconfig(path, identity.kubeconfig(f"kubesim-{cluster.preset.name}", address, who, given))
    if who is not None:
        cluster.api.tokens[who.token] = http.User()
    pacer = pacing.Pacer(cluster.world, speed)
    dns = None if dns_port is None else dnsport.DnsPort(cluster, pacer, host, dns_port)
    kept = State(Path(state), cluster, who, saved) if state else None
    if kept is not None:
        # A place that cannot be written is told of before there is anything to lose.
        kept.save()
    app = asgi.App(cluster.api, pacer, [each for each in (dns, kept) if each is not None], open=who is None)
    config = uvicorn.Config(
        app,
        http=tunnel.protocols(app),
        ws="websockets-sansio",
        log_level="warning",
        timeout_graceful_shutdown=1,
        ws_max_size=2**24,
        h11_max_incomplete_event_size=2**18,
        # Who a connection is from is what it is, whatever its headers say.
        proxy_headers=False,
    )
    config.load()
    if who is not None:
        config.ssl = identity.context(who, _hosts(host))
    print(f"Kubernetes {cluster.preset.version} ({cluster.preset.name}) on {address}", file=out)
    if who is None:
        print("Plain HTTP, no authentication: whoever reaches this address is the cluster's admin.", file=out)
    if saved is not None:
        print(f"As {state} has it, saved at revision {saved.revision}", file=out)
    if dns is not None:
        print(f"DNS on {dns.address[0]}, port {dns.address[1]}, UDP and TCP", file=out)
    print(f"export KUBECONFIG={path}", file=out, flush=True)
    uvicorn.Server(config).run(sockets=[found])


def _identity(saved: snapshot.Snapshot | None) -> identity.Identity:
    """Of the state that was saved, so that the kubeconfigs of before go on being good; else a new one."""
    if saved is not None and saved.front.get("identity"):
        return identity.Identity.restored(saved.front["identity"])
    return identity.create()
