"""Every real kubectl at hand, and ours, through the same working day on `kubesim serve`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kubectl, pytest.mark.slow]

KUBESIM = str(Path(sys.executable).parent / "kubesim")


def _programs() -> dict[str, list[str]]:
    """By name: those that stand beside the one on the path, else that one; and ours."""
    found = {"ours": [KUBESIM, "kubectl"]}
    main = shutil.which("kubectl")
    if main is not None:
        beside = sorted(Path(main).resolve().parent.glob("kubectl.1.*"))
        found |= {each.name.removeprefix("kubectl."): [str(each)] for each in beside}
        if not beside:
            found["path"] = [main]
    return found


PROGRAMS = _programs()
# Debian's package of it is 1.20; where apt is, it is fetched, and stays in the folder that CACHE names.
DEBIAN = "debian"
CACHE = Path(os.environ.get("KUBESIM_TEST_CACHE", Path(tempfile.gettempdir()) / "kubesim-tests"))


def _debian() -> list[str]:
    """The kubectl of Debian's kubernetes-client, unpacked beside whatever is installed."""
    folder = CACHE / "kubernetes-client"
    program = folder / "usr/bin/kubectl"
    if not program.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            pytest.skip("no apt here to fetch Debian's kubernetes-client with")
        folder.mkdir(parents=True, exist_ok=True)
        fetching = ["apt-get", "download", "kubernetes-client"]
        done = subprocess.run(fetching, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        packages = sorted(folder.glob("kubernetes-client_*.deb"))
        if not packages:
            pytest.skip(f"Debian's kubernetes-client cannot be fetched: {done.stderr.strip()[-200:]}")
        subprocess.run(["dpkg-deb", "-x", packages[-1], folder], check=True, timeout=60)
    if not program.exists():
        pytest.skip("the package kubernetes-client brings no kubectl here")
    return [str(program)]


WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: nginx, image: nginx, ports: [{name: http, containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 8000, targetPort: http}]
"""


@dataclass
class Day:
    """One program, in a namespace of its own."""

    program: list[str]
    folder: Path
    space: str
    kubeconfig: str

    def start(self, *args: str) -> subprocess.Popen[str]:
        env = {**os.environ, "KUBECONFIG": self.kubeconfig, "HOME": str(self.folder)}
        env["KUBE_EDITOR"] = "sed -i s/replicas:.1/replicas:\\ 2/"
        return subprocess.Popen(
            [*self.program, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=self.folder,
        )

    def __call__(self, line: str, *more: str, stdin: str = "", code: int = 0) -> str:
        """Standard output of a command that must end with `code`."""
        command = [*line.split(" "), "-n", self.space, *more]
        process = self.start(*command)
        out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == code, f"$ kubectl {command}\n[{process.returncode}]\n{out}{err}"
        return out


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("serve") / "config"
    process = subprocess.Popen(
        [KUBESIM, "serve", "--preset", "kind", "--speed", "5", "--kubeconfig", str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "KUBECONFIG" in line:
            break
    yield str(path)
    process.terminate()
    process.wait(10)


@pytest.mark.parametrize("name", [*PROGRAMS, DEBIAN])
def test_a_working_day(name: str, kubeconfig: str, tmp_path: Path) -> None:
    day = Day(_debian() if name == DEBIAN else PROGRAMS[name], tmp_path, f"day-{name.replace('.', '-')}", kubeconfig)
    (tmp_path / "web.yaml").write_text(WEB)
    day(f"create namespace {day.space}")
    assert day("apply -f web.yaml") == "deployment.apps/web created\nservice/web created\n"
    assert "successfully rolled out" in day("rollout status deploy/web --timeout=60s")
    assert day("wait --for=condition=Available deploy/web --timeout=60s") == "deployment.apps/web condition met\n"
    assert "web   1/1" in day("get deploy,svc,pods")
    assert "Endpoints:" in day("describe svc web")
    pod = day("get pods -l app=web -o jsonpath={.items[0].metadata.name}")
    assert "Successfully assigned" in day(f"describe pod {pod}")

    assert day("exec deploy/web", "--", "echo", "hi") == "hi\n"
    assert day("exec -i deploy/web", "--", "tr", "a-z", "A-Z", stdin="shout\n") == "SHOUT\n"
    day("exec deploy/web", "--", "sh", "-c", "exit 3", code=3)
    assert "nginx" in day("logs deploy/web")
    (tmp_path / "note").write_text("a note\n")
    day(f"cp note {pod}:/tmp/note")
    day(f"cp {pod}:/tmp/note back")
    assert (tmp_path / "back").read_text() == "a note\n"
    _forwarded(day)
    _attached(day, pod)
    _proxied(day)
    if name != DEBIAN:
        # (That of 1.20 asks for a form of ephemeral containers which went with 1.25.)
        day(f"debug {pod} --image=busybox -c looker --attach=false", "--", "sleep", "1000")
        looked = "wget -qO- localhost"
        assert "Welcome to nginx!" in _soon(lambda: day(f"exec {pod} -c looker", "--", *looked.split(" ")))
        assert day("create token default").count(".") == 2
    day("top pods", code=1)
    assert day("auth can-i create pods") == "yes\n"

    assert day("edit deploy web") == "deployment.apps/web edited\n"
    assert day("get deploy web -o jsonpath={.spec.replicas}") == "2"
    (tmp_path / "web.yaml").write_text(WEB.replace("port: 8000", "port: 8001"))
    assert "+  - port: 8001" in day("diff -f web.yaml", code=1)
    assert "service/web configured" in day("apply -f web.yaml")
    assert day("set image deploy/web nginx=nginx:1.25") == "deployment.apps/web image updated\n"
    assert "successfully rolled out" in day("rollout status deploy/web --timeout=60s")
    assert "REVISION" in day("rollout history deploy/web")
    assert day("rollout undo deploy/web") == "deployment.apps/web rolled back\n"
    assert "FIELD" in day("explain service.spec.type")
    assert day("scale deploy web --replicas=1") == "deployment.apps/web scaled\n"
    assert "deleted" in day("delete -f web.yaml --wait=false")
    assert "deleted" in day(f"delete namespace {day.space} --wait=false")


def _forwarded(day: Day) -> None:
    process = day.start("-n", day.space, "port-forward", "svc/web", ":8000")
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        port = said.removeprefix("Forwarding from 127.0.0.1:").split(" ")[0]
        for _ in range(2):
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10).read()
            assert b"Welcome to nginx!" in page
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _attached(day: Day, pod: str) -> None:
    """What the container writes from now on."""
    process = day.start("-n", day.space, "attach", pod)
    try:
        assert process.stdout is not None
        read: list[str] = []
        reading = threading.Thread(target=lambda: read.append(process.stdout.readline()), daemon=True)
        reading.start()
        for _ in range(40):
            day(f"exec {pod}", "--", "curl", "-s", "localhost")
            reading.join(0.25)
            if read:
                break
        assert '"GET / HTTP/1.1" 200' in read[0]
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _proxied(day: Day) -> None:
    process = day.start("proxy", "--port=0")
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" ")[-1].strip()
        path = f"/api/v1/namespaces/{day.space}/services/web:8000/proxy/"
        page = urllib.request.urlopen(f"http://{address}{path}", timeout=10).read()
        assert b"Welcome to nginx!" in page
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _soon(what: Callable[[], str]) -> str:
    """Until it does not fail: a container needs its time to start."""
    for _ in range(20):
        try:
            return what()
        except AssertionError:
            time.sleep(0.3)
    return what()
