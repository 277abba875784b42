"""The same seed gives the same bytes, in another process too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
kubectl create deployment web --image=nginx --replicas=3; kubectl expose deployment web --port=80; sleep 10
kubectl get all -A -o wide; kubectl get endpointslices,events -A -o yaml
for i in $(seq 10); do curl -s http://$(kubectl get svc web -o jsonpath='{.spec.clusterIP}') | md5sum; done
sudo iptables-save; kubectl logs -l app=web --tail=-1; ip a; kubectl describe nodes
"""


def run(*args: str, hash_seed: str) -> str:
    kubesim = Path(sys.executable).parent / "kubesim"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([kubesim, *args], capture_output=True, text=True, timeout=120, check=False, env=environment)
    return done.stdout + done.stderr


@pytest.mark.parametrize("preset", ["kind", "vagrant"])
def test_outputs(preset: str) -> None:
    args = ("shell", "--preset", preset, "-c", SCRIPT)
    first = run(*args, "--seed", "3", hash_seed="1")
    assert first == run(*args, "--seed", "3", hash_seed="2")
    assert "deployment.apps/web created" in first
    assert first != run(*args, "--seed", "4", hash_seed="1")


def test_traces() -> None:
    args = ("trace", "-c", SCRIPT, "node/kind-worker", "http://10.96.0.1:443", "--json")
    assert run(*args, hash_seed="1") == run(*args, hash_seed="2")
