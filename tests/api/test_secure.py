"""`kubesim serve` asks who one is: TLS, a token or a client certificate; nothing without."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("cryptography")

KUBESIM = str(Path(sys.executable).parent / "kubesim")


class Served:
    """A running server, and what its kubeconfig says."""

    def __init__(self, folder: Path, said: str) -> None:
        self.folder = folder
        self.said = said
        self.config: Any = yaml.safe_load((folder / "config").read_text())
        self.server: str = self.config["clusters"][0]["cluster"]["server"]

    def kubectl(self, *args: str, code: int = 0) -> str:
        command = [KUBESIM, "kubectl", "--kubeconfig", str(self.folder / "config"), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=str(self.folder / "ca"))
        request = urllib.request.Request(self.server + path, headers=headers)
        try:
            with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("secure")
    command = [
        KUBESIM, "serve", "--preset", "bare", "--secure", "--user", "jane:dev,ops", "--kubeconfig", str(folder / "config"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "export" not in said:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                said += line
            import base64

            found = Served(folder, said)
            (folder / "ca").write_bytes(
                base64.b64decode(found.config["clusters"][0]["cluster"]["certificate-authority-data"])
            )
            yield found
        finally:
            process.terminate()
            errors = process.stderr.read()
    assert errors == ""


def test_it_listens_on_loopback_and_its_kubeconfig_is_for_its_owner(served: Served) -> None:
    assert re.search(r"on https://127\.0\.0\.1:\d+\n", served.said)
    assert (served.folder / "config").stat().st_mode & 0o777 == 0o600
    assert set(served.config["users"][0]["user"]) == {"token"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"X-Remote-User": "admin"}])
@pytest.mark.parametrize("path", ["/api/v1/pods", "/version", "/healthz", "/openapi/v2"])
def test_nothing_without_a_credential(served: Served, path: str, headers: dict[str, str]) -> None:
    status, answer = served.get(path, **headers)
    assert (status, answer["message"]) == (401, "Unauthorized")


def test_nothing_in_plain_http(served: Served) -> None:
    host, port = served.server.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"gitVersion" not in sock.recv(4096)
        except ConnectionResetError:
            return


def test_the_admin_and_jane(served: Served) -> None:
    assert "kubernetes-admin" in served.kubectl("auth", "whoami")
    assert served.kubectl("auth", "can-i", "*", "*") == "yes\n"
    jane = "--context=jane@kubesim-bare"
    assert "[dev ops system:authenticated]" in served.kubectl(jane, "auth", "whoami")
    assert served.kubectl(jane, "get", "pods", code=1) == (
        'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the '
        'namespace "default"\n'
    )
    served.kubectl("create", "rolebinding", "ops", "--clusterrole=view", "--group=ops")
    assert "No resources found" in served.kubectl(jane, "get", "pods")
    assert served.kubectl(jane, "auth", "can-i", "delete", "pods", code=1) == "no\n"
    assert served.kubectl("auth", "can-i", "list", "pods", "--as=jane", "--as-group=ops") == "yes\n"


def test_a_service_account(served: Served) -> None:
    token = served.kubectl("create", "token", "default").strip()
    assert served.get("/version", Authorization=f"Bearer {token}")[0] == 200
    status, answer = served.get("/api/v1/secrets", Authorization=f"Bearer {token}")
    assert status == 403
    assert 'User "system:serviceaccount:default:default" cannot list resource "secrets"' in answer["message"]


def test_a_certificate_of_another_authority_is_refused(served: Served, tmp_path: Path) -> None:
    from kubesim.fronts import identity

    pair = identity.create().issue("kubernetes-admin", ["system:masters"])
    (tmp_path / "pair").write_text(pair.certificate + pair.key)
    context = ssl.create_default_context(cafile=str(served.folder / "ca"))
    context.load_cert_chain(tmp_path / "pair")
    with pytest.raises((ssl.SSLError, urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(served.server + "/version", context=context, timeout=20).read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--insecure", "--host", "0.0.0.0"], "without authentication it listens on loopback only, not on 0.0.0.0"),
        (["--preset", "bare", "--host", "0.0.0.0"], "without authentication it listens on loopback only"),
        (["--preset", "bare", "--user", "jane"], "--user needs authentication"),
        (["--host", "here"], "cannot listen on here:0"),
        (["--user", ":dev"], "--user :dev: no name of a user"),
    ],
)
def test_what_it_refuses(options: list[str], message: str) -> None:
    done = subprocess.run([KUBESIM, "serve", *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
