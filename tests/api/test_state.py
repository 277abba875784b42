"""`kubesim serve --state`: what was there is there again, or the file says why not and stays as it is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kubesim import http, snapshot
from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.fronts import statefile

KUBESIM = str(Path(sys.executable).parent / "kubesim")


def listed(cluster: Cluster, path: str) -> list[dict[str, Any]]:
    return list(cluster.api.handle(http.request("GET", path)).json()["items"])


@pytest.fixture(scope="module")
def pair() -> tuple[Cluster, Cluster]:
    """A cluster with work on it, and what comes up of its snapshot."""
    cluster = Cluster("kind", 3)
    result = cluster.shell(
        "kubectl create deployment web --image=nginx --replicas=2; kubectl expose deploy web --port 80 --type NodePort;"
        "kubectl run never --image=busybox --restart=Never -- sleep 9999;"
        "kubectl run done --image=busybox --restart=Never -- true;"
        "kubectl create token default --duration 24h > /root/token"
    )
    assert result.exit_code == 0, result.stderr
    cluster.settle()
    cluster.advance(5)
    return cluster, Cluster(saved=snapshot.read(snapshot.take(cluster, {}), "state"))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/services",
        "/api/v1/namespaces",
        "/api/v1/configmaps",
        "/api/v1/serviceaccounts",
        "/apis/apps/v1/replicasets",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ],
)
def test_the_same_objects_with_their_uids(pair: tuple[Cluster, Cluster], path: str) -> None:
    def told(cluster: Cluster) -> list[Any]:
        return [(each["metadata"]["name"], each["metadata"]["uid"], each.get("spec")) for each in listed(cluster, path)]

    assert told(pair[1]) == told(pair[0])


def test_pods_are_the_same_and_their_containers_began_anew(pair: tuple[Cluster, Cluster]) -> None:
    before, after = ({each["metadata"]["name"]: each for each in listed(one, "/api/v1/pods")} for one in pair)
    assert set(before) == set(after)
    for name, pod in after.items():
        assert pod["metadata"]["uid"] == before[name]["metadata"]["uid"]
        status = pod["status"]["containerStatuses"][0]
        if name == "done":
            assert (pod["status"]["phase"], status["restartCount"]) == ("Succeeded", 0)
        elif name == "never":
            assert (pod["status"]["phase"], status["state"]["terminated"]["exitCode"]) == ("Failed", 255)
        else:
            assert (pod["status"]["phase"], status["restartCount"]) == ("Running", 1), name
            assert status["lastState"]["terminated"]["reason"] == "Unknown"


def test_it_works_again(pair: tuple[Cluster, Cluster]) -> None:
    _, after = pair
    result = after.shell("kubectl run c --image=nginx; sleep 5; kubectl exec c -- curl -s web")
    assert "Welcome to nginx" in result.stdout, result.stderr
    # Nothing is given out twice.
    result = after.shell("kubectl create deployment more --image=nginx --replicas=3; sleep 5")
    pods = listed(after, "/api/v1/pods")
    assert len({each["metadata"]["uid"] for each in pods}) == len(pods)
    addresses = [each["status"]["podIP"] for each in pods if each["status"]["phase"] == "Running"]
    assert len({each for each in addresses if each.startswith("10.244.")}) == len(
        [each for each in addresses if each.startswith("10.244.")]
    )


def test_versions_and_the_clock_go_on(pair: tuple[Cluster, Cluster]) -> None:
    before, after = pair
    assert after.store.revision >= before.store.revision
    assert after.world.now >= before.world.now
    assert after.world.start == before.world.start
    token = before.home.files.read("/root/token").strip()
    request = http.request("GET", "/version", headers={"authorization": f"Bearer {token}"}, user=http.ANONYMOUS)
    assert after.api.handle(request).status == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no state of a cluster: Expecting property name"),
        ("[]", "is no state of a cluster"),
        ("{}", "is no state of a cluster"),
        ('{"format":"kubesim-state","version":9}', "has version 9 of the format; this kubesim knows version 1"),
        ('{"format":"kubesim-state","version":1,"preset":"bare"}', "is damaged: no seed"),
        (
            '{"format":"kubesim-state","version":1,"preset":"bare","seed":1,"birth":1.0,"now":1.0,"revision":1,"life":0,'
            '"secret":"","objects":{"pods":[{"metadata":{}}]}}',
            "is damaged: pods holds what is no object",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "state"
    path.write_text(text)
    with pytest.raises(LearnerError, match=re.escape(message)):
        statefile.load(path)
    done = subprocess.run(
        [KUBESIM, "serve", "--state", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == text


def test_a_write_that_fails_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    statefile.save(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LearnerError, match="No space left on device"):
        statefile.save(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state"]


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and what it said."""
    command = [KUBESIM, "serve", "--state", str(folder / "state"), "--kubeconfig", str(folder / "config"), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "export" not in said:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                said += line
            yield process, said
        finally:
            process.kill()


def kubectl(folder: Path, *args: str, kubeconfig: str = "config", code: int = 0) -> str:
    done = subprocess.run(
        [KUBESIM, "kubectl", "--kubeconfig", str(folder / kubeconfig), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_saved_on_demand_and_at_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, "--preset", "bare", "--secure") as (process, _):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
        kubectl(tmp_path, "create", "configmap", "asked")
        process.send_signal(signal.SIGUSR1)
        deadline = time.time() + 10
        while '"name":"asked"' not in (tmp_path / "state").read_text() and time.time() < deadline:
            time.sleep(0.05)
        kubectl(tmp_path, "create", "configmap", "last")
        revision = json.loads(kubectl(tmp_path, "get", "--raw", "/api/v1/configmaps"))["metadata"]["resourceVersion"]
        process.terminate()
        process.wait(10)
        assert process.stderr.read() == ""
    (tmp_path / "config").rename(tmp_path / "before")
    with serving(tmp_path, "--secure") as (process, said):
        assert "As " in said
        found = kubectl(tmp_path, "get", "cm", "-o", "name").split()
        assert found == ["configmap/asked", "configmap/kube-root-ca.crt", "configmap/last"]
        again = json.loads(kubectl(tmp_path, "get", "--raw", "/api/v1/configmaps"))["metadata"]["resourceVersion"]
        assert int(again) >= int(revision)
        # The credentials of before are good still; only the port is another.
        server = re.search(r"https://\S+", said)[0]
        assert "asked" in kubectl(tmp_path, "-s", server, "get", "cm", kubeconfig="before")
        process.send_signal(signal.SIGINT)
        process.wait(10)


def test_another_preset_than_the_saved_one_is_refused(tmp_path: Path) -> None:
    statefile.save(tmp_path / "state", snapshot.take(Cluster("bare"), {}))
    command = [KUBESIM, "serve", "--state", str(tmp_path / "state"), "--preset", "kind"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "holds a cluster of preset bare, not kind" in done.stderr) == (1, True)
