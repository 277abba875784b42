"""A live cluster for tests: `kubesim serve`'s own server in a thread, with stand-ins for `docker` and `kind` on the PATH.

What is tested goes over TLS with a token, through the real kubectl and the official client, as to any cluster.  `docker exec`,
the pods' network namespaces (`ip netns`) and the network of the nodes, which the API does not offer, are answered by stand-ins
out of the cluster itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
import yaml

from kubelab.live import dumps
from kubesim import http
from kubesim.cluster import Cluster
from kubesim.fronts import asgi, identity, pacing, serve, tunnel

ASK = """#!{python}
import json, os, re, shlex, shutil, socket, sys

def ask(node, script, session):
    door = socket.socket(socket.AF_UNIX)
    door.connect(os.environ["STANDIN_DOOR"])
    door.sendall(json.dumps(dict(node=node, script=script, session=session)).encode() + b"\\n")
    done = json.loads(door.makefile().readline())
    sys.stdout.write(done["stdout"]); sys.stdout.flush()
    sys.stderr.write(done["stderr"]); sys.stderr.flush()
    return done["exit_code"]

args = sys.argv[1:]

def elsewhere():
    # The real program of this name: the stand-ins are first on the PATH.
    name, path = os.path.basename(sys.argv[0]), os.pathsep.join(os.environ["PATH"].split(os.pathsep)[1:])
    os.execve(shutil.which(name, path=path), [name, *args], {**os.environ, "PATH": path})
"""
DOCKER = (
    ASK
    + """
if args == ["info"]:
    sys.exit(0)
if args[0] in ("start", "stop"):
    sys.exit(ask("outside", shlex.join(["docker", *args]), ""))
if args[0] != "exec":
    sys.exit("docker: no stand-in for " + args[0])
if args[1] != "-i":
    sys.exit(ask(args[1], args[4] if args[2:4] == ["bash", "-c"] else shlex.join(args[2:]), ""))
assert args[3:] == ["bash"], args
script, status = "", 0
for line in sys.stdin:
    script += line
    if re.match(r"printf .*kubelab-.*>&2$", line):
        status = ask(args[2], script, str(os.getpid()))
        script = ""
"""
)
# Nodes are on a network of Docker's, which this computer reaches: here only the cluster's own computer outside does.
TOOLS = ("curl", "dig", "getent", "ip", "nc", "nslookup", "openssl", "ping", "ssh", "traceroute")
TOOL = (
    ASK
    + """
name = os.path.basename(sys.argv[0])
# What `kubectl port-forward` opens is on this computer, and so are OpenSSL's keys and certificates; a certificate that its client
# was shown is the cluster's.
if any("localhost" in each or "127.0.0.1" in each for each in args):
    elsewhere()
if name == "openssl" and args[0] not in ("s_client", "x509"):
    elsewhere()
# A file that is named (curl --cacert) goes with the command.
files = [each for each in args if os.path.isfile(each)]
given = "".join(f"cat > {shlex.quote(each)} <<'END-OF-FILE'\\n{open(each).read()}END-OF-FILE\\n" for each in files)
command = shlex.join([name, *args])
if args[:1] == ["x509"] and not files:
    command += " <<'END-OF-FILE'\\n" + sys.stdin.read() + "END-OF-FILE"
sys.exit(ask("outside", given + command, ""))
"""
)
KIND = """#!{python}
import os, shutil, sys
log = os.environ["STANDIN_LOG"]
args = sys.argv[1:]
if args == ["get", "clusters"]:
    print(open(log).read().split("\\n")[0] if os.path.exists(log) else "")
elif args[:2] == ["create", "cluster"]:
    name = args[args.index("--name") + 1]
    open(log, "w").write(name + "\\n" + sys.stdin.read())
    text = open(os.environ["STANDIN_KUBECONFIG"]).read().replace("kubesim-kind", "kind-" + name)
    open(os.environ["KUBECONFIG"], "w").write(text)
else:
    sys.exit("kind: no stand-in for " + " ".join(args))
"""


class Door:
    """Where the stand-in of `docker` asks: a socket in the server's own loop, so that the cluster has one thread."""

    def __init__(self, cluster: Cluster, path: Path) -> None:
        self._cluster = cluster
        self._path = path
        self._terminals: dict[tuple[str, str], object] = {}
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader, writer) -> None:
        asked = json.loads(await reader.readline())
        writer.write(json.dumps(self._answer(**asked)).encode() + b"\n")
        await writer.drain()
        writer.close()

    def _answer(self, node: str, script: str, session: str) -> dict[str, object]:
        if node != "outside" and node not in self._cluster.nodes:
            return {
                "stdout": "",
                "stderr": f"Error response from daemon: No such container: {node}\n",
                "exit_code": 1,
            }
        if script == dumps.PODS:
            return {"stdout": "".join(_namespaces(self._cluster, node)), "stderr": "", "exit_code": 0}
        key = (node, session)
        terminal = self._terminals.get(key) if session else None
        terminal = terminal or self._cluster.terminal(node if node == "outside" else f"node/{node}")
        if session:
            self._terminals[key] = terminal
        done = self._cluster.shell(script, terminal)
        if script == dumps.NODE:
            done = replace(done, stdout=done.stdout + "".join(_recent(self._cluster, node)))
        return {"stdout": done.stdout, "stderr": done.stderr, "exit_code": done.exit_code}


def _recent(cluster: Cluster, node: str):
    """The kernel's clock, and its lists of recent addresses, as /proc has them with 250 jiffies a second."""
    uptime = 5000.0
    jiffies = 2**32 + int((uptime - 300) * 250)
    yield f"### clock\n{uptime} 9000.00\njiffies: {jiffies}\n### recent\n"
    for name, seen in cluster.nodes[node].net.netfilter.recent.items():
        for address, stamps in seen.items():
            listed = [jiffies - int((cluster.world.now - each) * 250) for each in stamps]
            told = ", ".join(map(str, listed))
            yield f"{name}:src={address} ttl: 64 last_seen: {listed[-1]} oldest_pkt: {len(listed)} {told}\n"


def _namespaces(cluster: Cluster, node: str):
    """What `ip` and `ss` would print in each pod's network namespace."""
    for host in cluster.network.hosts.values():
        device = host.interfaces.get("eth0")
        peer = device.peer if device is not None and host.kind == "pod" else None
        if peer is None or peer.host.name != node:
            continue
        name = "cni-" + host.name.replace("/", "-")
        yield f"### addresses {name}\n"
        for interface in host.interfaces.values():
            for each in interface.addresses:
                family = "inet6" if ":" in each.ip else "inet"
                yield f"{interface.index}: {interface.name}    {family} {each} scope {each.scope} {interface.name}\n"
        yield f"### routes {name}\n{host.routes}"
        yield f"### sockets {name}\n"
        for protocol, sockets in (("tcp", host.stack.listeners), ("udp", host.stack.udp)):
            for port, listed in sockets.items():
                for each in listed:
                    address = "*" if each.address in ("", "::") else each.address
                    yield f"{protocol}   LISTEN 0      4096   {address}:{port}   *:*\n"


@contextmanager
def cluster(folder: Path, monkeypatch, preset: str = "kind", seed: int = 1, speed: float = 20.0):
    """Serve; the context is "kubesim-PRESET" of the kubeconfig that is in the environment meanwhile.  Gives the Cluster."""
    who = identity.create()
    found = serve.listen("127.0.0.1", 0)
    embedded = Cluster(preset, seed, birth=time.time())
    embedded.api.tokens[who.token] = http.User()
    address = f"https://127.0.0.1:{found.getsockname()[1]}"
    kubeconfig = folder / "kubeconfig"
    serve.write_kubeconfig(kubeconfig, identity.kubeconfig(f"kubesim-{preset}", address, who, {}))
    door = folder / "door"
    app = asgi.App(embedded.api, pacing.Pacer(embedded.world, speed), [Door(embedded, door)], open=False)
    config = uvicorn.Config(
        app, http=tunnel.protocols(app), ws="websockets-sansio", log_level="warning", timeout_graceful_shutdown=1
    )
    config.load()
    config.ssl = identity.context(who, ["localhost", "127.0.0.1"])
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
    thread.start()
    tools = folder / "bin"
    tools.mkdir()
    for name, text in (("docker", DOCKER), ("kind", KIND), *((each, TOOL) for each in TOOLS)):
        (tools / name).write_text(text.replace("{python}", sys.executable), encoding="utf-8")
        (tools / name).chmod(stat.S_IRWXU)
    shutil.copy(kubeconfig, folder / "served")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("STANDIN_DOOR", str(door))
    monkeypatch.setenv("STANDIN_LOG", str(folder / "kind.log"))
    monkeypatch.setenv("STANDIN_KUBECONFIG", str(folder / "served"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    try:
        while not server.started:
            time.sleep(0.02)
        yield embedded
    finally:
        server.should_exit = True
        thread.join(10)


def contexts(path: Path) -> list[str]:
    return [each["name"] for each in yaml.safe_load(path.read_text(encoding="utf-8"))["contexts"]]
