"""`kubesim kubectl` in a real terminal, on `kubesim serve`: sockets, streams, sessions, files, an editor, Ctrl-C."""

from __future__ import annotations

import http.server
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent / "kubesim"


@dataclass
class Desk:
    """A person's folder, and a cluster that is served."""

    folder: Path
    errors: Path

    def start(self, *args: str, **more: object) -> subprocess.Popen[str]:
        env = {**os.environ, "KUBECONFIG": str(self.folder / "config"), "HOME": str(self.folder), **more.pop("env", {})}
        return subprocess.Popen(
            [BIN, "kubectl", *args],
            stdin=more.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=env,
            **more,
        )

    def run(self, *args: str, stdin: str = "", code: int = 0, **env: str) -> tuple[str, str]:
        """(stdout, stderr) of a command that must end with `code`."""
        process = self.start(*args, stdin=subprocess.PIPE, env=env)
        out, err = process.communicate(stdin, timeout=30)
        assert process.returncode == code, (out, err)
        return out, err


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    errors = folder / "errors"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [BIN, "serve", "--preset", "kind", "--speed", "5", "--kubeconfig", str(folder / "config")],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "KUBECONFIG" in line:
                break
        desk = Desk(folder, errors)
        desk.run("create", "deployment", "web", "--image=nginx")
        desk.run("wait", "--for=condition=Available", "deploy/web", "--timeout=60s")
        yield desk
        process.terminate()
        process.wait(10)


def test_exec_carries_streams_and_exit_codes(desk):
    assert desk.run("exec", "deploy/web", "--", "echo", "hi") == ("hi\n", "")
    assert desk.run("exec", "-i", "deploy/web", "--", "tr", "a-z", "A-Z", stdin="shout\n") == ("SHOUT\n", "")
    out, err = desk.run("exec", "deploy/web", "--", "sh", "-c", "echo so >&2; exit 3", code=3)
    assert (out, err) == ("", "so\ncommand terminated with exit code 3\n")


def test_what_the_server_refuses_is_said_as_it_says_it(desk):
    pod = desk.run("get", "pods", "-l", "app=web", "-o", "name")[0].strip()
    assert desk.run("exec", "nope", "--", "ls", code=1)[1] == 'Error from server (NotFound): pods "nope" not found\n'
    assert "not found in pod" in desk.run("exec", pod, "-c", "nope", "--", "ls", code=1)[1]
    # A refused handshake is nothing to complain of in the server's log.
    request = urllib.request.Request(
        url_of(desk) + "/api/v1/namespaces/default/pods/nope/exec?command=ls",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
            "Authorization": "Bearer " + desk.run("config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}")[0],
        },
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=ssl._create_unverified_context())
    assert refused.value.code == 404
    assert b'pods \\"nope\\" not found' in refused.value.read()
    assert desk.errors.read_text() == ""


def url_of(desk: Desk) -> str:
    return desk.run("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")[0]


def test_files_come_and_go(desk):
    (desk.folder / "note").write_text("a note\n")
    pod = desk.run("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")[0]
    desk.run("cp", "note", f"{pod}:/tmp/note")
    desk.run("cp", f"{pod}:/tmp/note", "back")
    assert (desk.folder / "back").read_text() == "a note\n"


def test_manifests_diff_and_an_editor(desk):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {a: before}\n"
    (desk.folder / "cm.yaml").write_text(text)
    assert desk.run("apply", "-f", "cm.yaml")[0] == "configmap/mine created\n"
    (desk.folder / "cm.yaml").write_text(text.replace("before", "after"))
    out, _ = desk.run("diff", "-f", "cm.yaml", code=1)
    assert "-  a: before\n+  a: after\n" in out
    out, _ = desk.run("edit", "cm", "mine", EDITOR="sed -i 's/a: before/a: edited/'", SHELL="/bin/sh")
    assert out == "configmap/mine edited\n"
    assert desk.run("get", "cm", "mine", "-o", "jsonpath={.data.a}")[0] == "edited"
    assert desk.run("apply", "-f", "-", stdin=text)[0] == "configmap/mine configured\n"
    assert desk.run("edit", "cm", "mine", code=1, EDITOR="no-such-editor")[1] == (
        'error: unable to launch the editor "no-such-editor"\n'
    )


def test_streams_go_on_until_ctrl_c(desk):
    watch = desk.start("get", "cm", "-w", "-o", "name")
    try:
        assert watch.stdout.readline() == "configmap/kube-root-ca.crt\n"
        desk.run("create", "cm", "late", "--from-literal=a=b")
        while (line := watch.stdout.readline()) != "configmap/late\n":
            assert line.startswith("configmap/")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130
        assert "Traceback" not in watch.stderr.read()
    finally:
        watch.kill()


def test_a_followed_log(desk):
    follow = desk.start("logs", "-f", "deploy/web")
    try:
        assert "nginx" in follow.stdout.readline() + follow.stdout.readline()
        time.sleep(0.2)
        assert follow.poll() is None
    finally:
        follow.kill()


def test_no_server_no_file_no_rights(desk):
    assert desk.run("-s", "http://127.0.0.1:1", "get", "ns", code=1)[1] == (
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n"
    )
    assert desk.run("--kubeconfig", "absent", "get", "ns", code=1)[1] == (
        "error: stat absent: no such file or directory\n"
    )
    plain = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    try:
        assert desk.run("-s", f"https://127.0.0.1:{plain.server_port}", "get", "ns", code=1)[1] == (
            "Unable to connect to the server: http: server gave HTTP response to HTTPS client\n"
        )
    finally:
        plain.shutdown()
        plain.server_close()
