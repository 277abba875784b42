"""`kubesim kubectl` and a server behind TLS: its authority, a client certificate, a token."""

from __future__ import annotations

import http.server
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim import http as wire
from kubesim.fronts import remote
from kubesim.kubectl import config, io


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates by it for the server "kubernetes" and for the person "me"."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed: it makes the certificates")
    folder = tmp_path_factory.mktemp("keys")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority", "-days", "2")
    for name in ("kubernetes", "me"):
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "ext").write_text(f"subjectAltName=DNS:{name}\n")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)
    return folder


class Handler(http.server.BaseHTTPRequestHandler):
    """Tells who asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        subject = dict(pair for each in (self.connection.getpeercert() or {}).get("subject", ()) for pair in each)
        body = json.dumps({"name": subject.get("commonName"), "token": self.headers.get("authorization")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(keys: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "kubernetes.crt", keys / "kubernetes.key")
    context.load_verify_locations(keys / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()


def ask(target: config.Target, **headers: str) -> dict[str, str]:
    request = wire.Request(method="GET", path="/", headers=headers)
    server = remote.Server(target)
    first = server(request).json()
    # The second takes the connection of the first.
    assert server(request).json() == first
    return first


def test_a_client_certificate_and_a_token(keys, address):
    target = config.Target(
        address,
        ca=(keys / "ca.crt").read_bytes(),
        client_certificate=(keys / "me.crt").read_bytes(),
        client_key=(keys / "me.key").read_bytes(),
        tls_server_name="kubernetes",
    )
    assert ask(target, authorization="Bearer secret") == {"name": "me", "token": "Bearer secret"}


def test_insecure_takes_any_certificate(address):
    assert ask(config.Target(address, insecure=True)) == {"name": None, "token": None}


def test_a_server_that_cannot_be_trusted(keys, address):
    with pytest.raises(io.Unreachable) as refused:
        ask(config.Target(address, tls_server_name="kubernetes"))
    assert str(refused.value) == ("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    with pytest.raises(io.Unreachable, match=r"failed to verify certificate: x509: .*127"):
        ask(config.Target(address, ca=(keys / "ca.crt").read_bytes()))


def test_certificates_that_are_none(address):
    with pytest.raises(io.Unreachable, match="the kubeconfig's certificates cannot be used"):
        ask(config.Target(address, ca=b"no PEM"))


def test_nobody_there():
    with pytest.raises(io.Refused) as refused:
        ask(config.Target("http://127.0.0.1:1"))
    assert refused.value.host == "127.0.0.1:1"
    with pytest.raises(io.Unreachable, match=r"dial tcp: lookup no-such-host\.invalid: no such host"):
        ask(config.Target("http://no-such-host.invalid"))


def test_flags_say_it_where_no_kubeconfig_does(keys, address):
    program = Path(sys.executable).parent / "kubesim"
    flags = ["--certificate-authority=ca.crt", "--client-certificate=me.crt", "--client-key=me.key"]
    done = subprocess.run(
        [
            program,
            "kubectl",
            "-s",
            address,
            *flags,
            "--tls-server-name=kubernetes",
            "--token=secret",
            "get",
            "--raw",
            "/",
        ],
        capture_output=True,
        text=True,
        cwd=keys,
        env={"HOME": str(keys)},
        check=False,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"name": "me", "token": "Bearer secret"}
