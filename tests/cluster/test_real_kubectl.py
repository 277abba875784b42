"""Real kubectl against `kubesim serve`: the working day of issue-sized commands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kubectl, pytest.mark.xdist_group("serve")]


@dataclass(frozen=True)
class Kubectl:
    """Real kubectl, pointed at a server of its own."""

    program: str
    environment: dict[str, str]

    def __call__(self, *args: str, stdin: str | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.program, *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            check=False,
        )
        assert (done.returncode == 0) == ok, f"kubectl {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen([self.program, *args], stdout=subprocess.PIPE, text=True, env=self.environment)


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
spec:
  replicas: 2
  selector:
    matchLabels: {app: hello}
  template:
    metadata:
      labels: {app: hello}
    spec:
      containers:
      - name: hello
        image: gcr.io/google-samples/hello-app:1.0
        ports:
        - containerPort: 8080
"""


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: x}
spec: {ports: [{port: 99999}]}
"""


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl here: nothing to try the server with")
    folder = tmp_path_factory.mktemp("serve")
    kubeconfig = folder / "kubeconfig"
    server = subprocess.Popen(
        [Path(sys.executable).parent / "kubesim", "serve", "--kubeconfig", kubeconfig, "--speed", "5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    while "KUBECONFIG" not in server.stdout.readline():
        assert server.poll() is None, "kubesim serve ended"
    yield Kubectl(program, {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)})
    server.send_signal(signal.SIGINT)
    server.wait(10)


@pytest.fixture(scope="module")
def hello(kubectl: Kubectl) -> Kubectl:
    """The Deployment and Service `hello`, ready."""
    assert kubectl("apply", "-f", "-", stdin=DEPLOYMENT).stdout == "deployment.apps/hello created\n"
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/hello", "--timeout=60s").stdout
    assert (
        kubectl("expose", "deployment", "hello", "--port=80", "--target-port=8080").stdout == "service/hello exposed\n"
    )
    return kubectl


def test_get_in_every_form(hello: Kubectl) -> None:
    table = hello("get", "pods").stdout.splitlines()
    assert table[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert all(re.match(r"hello-\S+ +1/1 +Running +0 +\d+s$", line) for line in table[1:]), table
    wide = hello("get", "pods", "-o", "wide").stdout
    assert re.search(r"10\.244\.\d\.\d+ +kind-worker", wide), wide
    assert "kind: PodList" not in hello("get", "svc", "hello", "-o", "yaml").stdout
    assert '"clusterIP": "10.96.' in hello("get", "svc", "hello", "-o", "json").stdout
    address = hello("get", "svc", "hello", "-o", "jsonpath={.spec.clusterIP}").stdout
    assert re.fullmatch(r"10\.96\.\d+\.\d+", address)
    assert hello("get", "deploy,rs,svc,ep,endpointslices,nodes,ns,cm,sa", "-A").stdout


def test_apply_again_changes_nothing(hello: Kubectl) -> None:
    assert hello("apply", "-f", "-", stdin=DEPLOYMENT).stdout == "deployment.apps/hello unchanged\n"
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    assert hello("apply", "-f", "-", stdin=changed).stdout == "deployment.apps/hello configured\n"


def test_watch_shows_a_change(hello: Kubectl) -> None:
    hello("create", "deployment", "watched", "--image=nginx")
    watch = hello.start("get", "deploy", "watched", "-w")
    assert watch.stdout is not None
    assert watch.stdout.readline().startswith("NAME")
    watch.stdout.readline()
    hello("scale", "deployment/watched", "--replicas=2")
    seen = ""
    deadline = time.monotonic() + 20
    while "2/2" not in seen and time.monotonic() < deadline:
        seen += watch.stdout.readline()
    watch.kill()
    watch.wait()
    assert "2/2" in seen


def test_describe(hello: Kubectl) -> None:
    pod = hello("get", "pods", "-l", "app=hello", "-o", "name").stdout.split()[0]
    text = hello("describe", pod).stdout
    for expected in (
        "Status:           Running",
        "Successfully assigned default/",
        "Image:          gcr.io/google-samples/hello-app:1.0",
    ):
        assert expected in text, text
    assert "TargetPort:               8080/TCP" in hello("describe", "svc", "hello").stdout
    assert "StrategyType:           RollingUpdate" in hello("describe", "deploy", "hello").stdout
    assert "Kubelet Version:" in hello("describe", "node", "kind-worker").stdout


def test_exec_with_and_without_stdin(kubectl: Kubectl) -> None:
    kubectl("run", "box", "--image=nginx")
    kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
    assert kubectl("exec", "box", "--", "hostname").stdout == "box\n"
    assert kubectl("exec", "-i", "box", "--", "cat", stdin="through stdin\n").stdout == "through stdin\n"
    failed = kubectl("exec", "box", "--", "sh", "-c", "echo no >&2; exit 3", ok=False)
    assert failed.returncode == 3
    assert "no\n" in failed.stderr
    assert "command terminated with exit code 3" in failed.stderr
    kubectl("exec", "box", "--", "curl", "-s", "localhost")
    assert '"GET / HTTP/1.1" 200' in kubectl("logs", "box").stdout
    assert kubectl("delete", "pod", "box").stdout.startswith('pod "box" deleted')
    assert 'pods "box" not found' in kubectl("get", "pod", "box", ok=False).stderr


def test_the_server_s_own_words_for_bad_input(kubectl: Kubectl) -> None:
    cases = [
        (("get", "nonsense"), None, 'error: the server doesn\'t have a resource type "nonsense"'),
        (("get", "pod", "nope"), None, 'Error from server (NotFound): pods "nope" not found'),
        (("create", "deployment", "Bad_Name", "--image=nginx"), None, "a lowercase RFC 1123 subdomain must consist of"),
        (("apply", "-f", "-"), "kind: [", "error parsing STDIN"),
        (
            ("apply", "-f", "-"),
            "apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n",
            'no matches for kind "Nonsense" in version "v1"',
        ),
        (("apply", "-f", "-"), DEPLOYMENT.replace("replicas: 2", "replica: 2"), 'unknown field "spec.replica"'),
        (
            ("apply", "-f", "-"),
            SERVICE,
            "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive",
        ),
    ]
    for args, stdin, expected in cases:
        done = kubectl(*args, stdin=stdin, ok=False)
        assert expected in done.stderr, f"kubectl {args}: {done.stderr}"
    names = kubectl("get", "deploy,svc", "-o", "name").stdout
    assert "bad" not in names.lower()
    assert "service/x" not in names
