"""Real dig against `kubesim serve --dns-port` says what the simulated dig says inside of the cluster."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.cluster import Cluster
from kubesim.dns import wire
from kubesim.dns.answers import Answer, Question

KUBESIM = str(Path(sys.executable).parent / "kubesim")
SERVER = "10.96.0.10"

pytestmark = [pytest.mark.xdist_group("serve")]


@pytest.fixture(scope="module")
def real() -> Iterator[list[str]]:
    """The beginning of a command line that asks the server."""
    program = shutil.which("dig")
    if program is None:
        pytest.skip("no dig here: nothing to ask the real port with")
    server = subprocess.Popen(
        [KUBESIM, "serve", "--dns-port", "0", "--kubeconfig", "/dev/null"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = ""
    while not port:
        line = server.stdout.readline()
        assert line, "kubesim serve ended"
        port = "".join(re.findall(r"^DNS on 127\.0\.0\.1, port (\d+),", line))
    yield [program, "-r", "@127.0.0.1", "-p", port]
    server.send_signal(signal.SIGINT)
    server.wait(10)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster("kind")


OWN = ("; <<>>", "; (", ";; global", ";; Query time", ";; SERVER", ";; WHEN", ";; WARNING: .local", ";; You are")


def plain(text: str) -> str:
    """dig's output without what is each run's own, and what only a real dig has to say (".local is for mDNS")."""
    lines = []
    for line in text.splitlines():
        if line.startswith(OWN):
            continue
        line = re.sub(r"(id: |COOKIE: )\w+", r"\1X", line)
        lines.append(re.sub(r"(hostmaster\S+ )\d+", r"\1SERIAL", line))
    return "\n".join(lines).strip()


@pytest.mark.parametrize(
    "question",
    [
        "kubernetes.default.svc.cluster.local",
        "kube-dns.kube-system.svc.cluster.local",
        "kubernetes.default.svc.cluster.local AAAA",
        "_https._tcp.kubernetes.default.svc.cluster.local SRV",
        "_dns._udp.kube-dns.kube-system.svc.cluster.local SRV",
        "-x 10.96.0.1",
        "-x 10.96.0.99",
        "nowhere.default.svc.cluster.local",
        "cluster.local SOA",
        "cluster.local NS",
        "+tcp kubernetes.default.svc.cluster.local",
        "+tcp nowhere.default.svc.cluster.local AAAA",
        "+noedns kubernetes.default.svc.cluster.local",
        "+norecurse +nocookie kubernetes.default.svc.cluster.local",
        "+short -x 10.96.0.10",
    ],
)
def test_dig(real: list[str], cluster: Cluster, question: str) -> None:
    said = subprocess.run([*real, *question.split()], capture_output=True, text=True, timeout=30, check=True).stdout
    simulated = cluster.shell(f"dig @{SERVER} {question}")
    assert simulated.stderr == ""
    assert plain(said) == plain(simulated.stdout)
    assert said.strip()


def test_a_port_that_is_taken(tmp_path: Path, real: list[str]) -> None:
    done = subprocess.run(
        [KUBESIM, "serve", "--dns-port", real[-1], "--kubeconfig", str(tmp_path / "config")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"kubesim: cannot listen on 127.0.0.1:{real[-1]} for DNS: Address already in use")


def test_a_preset_without_dns() -> None:
    done = subprocess.run(
        [KUBESIM, "serve", "--preset", "bare", "--dns-port", "0"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "the preset bare has no DNS" in done.stderr) == (1, True)


def test_the_question_comes_back() -> None:
    asked = wire.parse_query(wire.query(Question("web.default.svc.cluster.local.", "SRV"), 7, edns=1232))
    reply = wire.parse_response(wire.response(asked, Answer(rcode="NXDOMAIN")))
    assert (reply.question, reply.id) == (Question("web.default.svc.cluster.local.", "SRV"), 7)
    assert reply.message.payload == 1232
