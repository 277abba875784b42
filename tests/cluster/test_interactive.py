"""A person at a real terminal: `kubesim shell`, and real kubectl's `exec -it` and `run -it` against `kubesim serve`."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

KUBESIM = str(Path(sys.executable).parent / "kubesim")
pytestmark = [pytest.mark.xdist_group("serve")]


class Terminal:
    """A pseudo-terminal with a command on it."""

    def __init__(self, argv: list[str], environment: dict[str, str] | None = None) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execvpe(argv[0], argv, {**os.environ, "TERM": "dumb", **(environment or {})})
        self.text = ""

    def until(self, pattern: str, seconds: float = 10.0) -> str:
        """All that appeared up to the end of a match of the pattern."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text!r}"
            if self._readable(left):
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # EIO: the command has ended
                    data = b""
                assert data, f"ended without {pattern!r}: {self.text!r}"
                self.text += data.decode("utf-8", "replace")
        seen, self.text = self.text[: match.end()], self.text[match.end() :]
        return seen

    def _readable(self, seconds: float) -> bool:
        # select(2) knows descriptors below 1024 only, and a whole run of tests has many.
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def types(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def ended(self) -> int:
        """Its exit code."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if self._readable(0.05):
                try:
                    self.text += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    continue
        raise AssertionError(f"still there: {self.text!r}")

    def close(self) -> None:
        os.close(self.fd)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


@pytest.fixture(scope="module")
def prompt() -> Iterator[Terminal]:
    terminal = Terminal([KUBESIM, "shell"])
    terminal.until(r"kind-control-plane:\S+# ")
    yield terminal
    terminal.types("exit\r")
    try:
        assert terminal.ended() == 0
    finally:
        terminal.close()


NODE = r"root@kind-control-plane:\S+# "


def test_what_is_typed_goes_to_the_command(prompt: Terminal) -> None:
    prompt.types("cat > note\r")
    prompt.until("cat > note\r\n")
    prompt.types("first\rsecond\r\x04")
    prompt.until(NODE)
    prompt.types("wc -l < note; read -p 'Who? ' who; echo hello $who\r")
    assert "\r\n2\r\n" in prompt.until(r"\nWho\? ")
    prompt.types("An\x7fnn\r")
    assert "hello Ann\r\n" in prompt.until(NODE)


def test_ctrl_c_ends_the_command_only(prompt: Terminal) -> None:
    prompt.types("sleep 1000\r")
    prompt.until("sleep 1000\r\n")
    time.sleep(0.2)
    prompt.types("\x03")
    prompt.until(NODE)
    prompt.types("echo $?\r")
    assert "130\r\n" in prompt.until(NODE)


def test_a_shell_in_a_pod_and_on_a_node(prompt: Terminal) -> None:
    prompt.types("k create deployment web --image=nginx && k wait --for=condition=Available deploy/web --timeout=60s\r")
    prompt.until("condition met")
    prompt.until(NODE)
    prompt.types("k exec -it deploy/web -- bash\r")
    pod = r"root@web-\S+:/# "
    prompt.until(pod)
    prompt.types("hostname\r")
    assert re.search(r"\r\nweb-\S+\r\n", prompt.until(pod))
    prompt.types("sleep 100\r")
    prompt.until("sleep 100\r\n")
    prompt.types("\x03")
    prompt.until(pod)
    prompt.types("\x04")
    assert "command terminated with exit code 130" in prompt.until(NODE)
    prompt.types("ssh kind-worker\r")
    prompt.until("root@kind-worker:~# ")
    prompt.types("exit\r")
    assert "Connection to kind-worker closed." in prompt.until(NODE)


def test_a_pod_for_the_occasion(prompt: Terminal) -> None:
    prompt.types("k run -it --rm box --image=busybox --restart=Never -- sh\r")
    assert "If you don't see a command prompt, try pressing enter." in prompt.until(r"/ # ")
    prompt.types("hostname; exit\r")
    assert 'box\r\npod "box" deleted' in prompt.until(NODE)
    prompt.types("k get pod box\r")
    assert "not found" in prompt.until(NODE)


def test_netcat_sends_what_is_typed(prompt: Terminal) -> None:
    prompt.types("k expose deploy web --port=80; nc $(k get svc web -o jsonpath={.spec.clusterIP}) 80\r")
    prompt.until("exposed")
    time.sleep(0.5)
    prompt.types("GET / HTTP/1.0\r\r")
    assert "Welcome to nginx!" in prompt.until(NODE)


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl here: nothing to try the server with")
    folder = tmp_path_factory.mktemp("serve")
    kubeconfig = folder / "kubeconfig"
    server = subprocess.Popen([KUBESIM, "serve", "--kubeconfig", kubeconfig], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    while "KUBECONFIG" not in server.stdout.readline():
        assert server.poll() is None, "kubesim serve ended"
    yield program, {"KUBECONFIG": str(kubeconfig), "HOME": str(folder)}
    server.send_signal(signal.SIGINT)
    server.wait(10)


@pytest.mark.kubectl
def test_real_kubectl_exec(kubectl: tuple[str, dict[str, str]]) -> None:
    program, environment = kubectl
    everything = {**os.environ, **environment}
    for args in (["run", "web", "--image=nginx"], ["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]):
        subprocess.run([program, *args], env=everything, check=True, capture_output=True)
    terminal = Terminal([program, "exec", "-it", "web", "--", "bash"], environment)
    try:
        terminal.until("root@web:/# ")
        terminal.types("echo $((6 * 7\x7f8))\r")
        assert "48\r\n" in terminal.until("root@web:/# ")
        terminal.types("read x\r")
        terminal.until("read x\r\n")
        terminal.types("typed\r")
        terminal.until("root@web:/# ")
        terminal.types("echo [$x]\r")
        assert "[typed]\r\n" in terminal.until("root@web:/# ")
        terminal.types("sleep 1000\r")
        terminal.until("sleep 1000\r\n")
        terminal.types("\x03")
        assert terminal.until("root@web:/# ") == "^C\r\nroot@web:/# "
        terminal.types("(exit 3)\r\x04")
        assert "exit code 3" in terminal.until("exit code .")
        assert terminal.ended() == 3
    finally:
        terminal.close()


@pytest.mark.kubectl
def test_real_kubectl_run(kubectl: tuple[str, dict[str, str]]) -> None:
    program, environment = kubectl
    terminal = Terminal(
        [program, "run", "-it", "--rm", "box", "--image=busybox", "--restart=Never", "--", "sh"], environment
    )
    try:
        terminal.until("/ # ")
        terminal.types("nslookup kubernetes.default.svc.cluster.local\r")
        assert "10.96.0.1\r\n" in terminal.until("/ # ")
        terminal.types("exit\r")
        terminal.until('pod "box" deleted')
        assert terminal.ended() == 0
    finally:
        terminal.close()
