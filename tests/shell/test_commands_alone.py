"""Commands without a shell as `kubectl exec` starts them, disks with fewer tools, and the JSON protocol."""

from __future__ import annotations

import json

import pytest

from kubesim.programs import disks
from kubesim.shell import commands, streams, tools
from kubesim.shell.terminal import answer, execute


def run(place, *argv, stdin=b""):
    return place.world.run(execute(place.machine, argv, stdin))


def test_a_command_without_a_shell_sees_the_containers_environment(place):
    place.machine.env["DEPLOY1_SERVICE_HOST"] = "10.96.1.2"
    assert "DEPLOY1_SERVICE_HOST=10.96.1.2\n" in run(place, "env").stdout
    assert run(place, "echo", "$HOME").stdout == "$HOME\n"
    assert run(place, "sh", "-c", "echo $HOME | tr a-z A-Z").stdout == "/ROOT\n"
    assert run(place, "/bin/cat", stdin=b"in").stdout == "in"


@pytest.mark.parametrize(
    ("argv", "why", "status"),
    [
        (["curl"], 'exec: "curl": executable file not found in $PATH', 127),
        (["/agnhost"], 'exec: "/agnhost": stat /agnhost: no such file or directory', 127),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied', 126),
    ],
)
def test_what_cannot_be_started(on_disk, argv, why, status):
    result = run(on_disk(disks.DEBIAN), *argv)
    assert "OCI runtime exec failed: exec failed: unable to start container process: " + why in result.stderr
    assert result.exit_code == status


def test_bytes_survive(place):
    data = bytes(range(256))
    assert run(place, "cat", stdin=data).stdout_bytes == data
    place.machine.files.write("/desk/blob", data)
    packed = run(place, "tar", "cf", "-", "blob").stdout_bytes
    assert run(place, "tar", "xmf", "-", "-C", "/tmp", stdin=packed).exit_code == 0
    assert place.machine.files.read_bytes("/tmp/blob") == data


def test_output_can_be_had_as_it_is_written(place):
    seen = []
    task = place.world.spawn(execute(place.machine, ["sh", "-c", "echo a; sleep 10; echo b"], out=seen.append))
    place.world.advance(5)
    assert seen == ["a\n"]
    place.world.run(task)
    assert "".join(seen) == "a\nb\n"


def test_a_shell_reads_commands_as_they_are_typed(place):
    keyboard = streams.Pipe(place.world)
    seen = []
    task = place.world.spawn(execute(place.machine, ["sh"], keyboard, out=seen.append))
    keyboard.write("x=1\nfor i in 1 2\n")
    keyboard.write("do echo $x$i; done\n")
    place.world.drain()
    assert "".join(seen) == "11\n12\n"
    keyboard.write("exit 7\n")
    assert place.world.run(task).exit_code == 7


@pytest.mark.parametrize(
    ("disk", "shell", "words"),
    [
        (disks.DEBIAN, "bash", "bash: line 1: curl: command not found\n"),
        (disks.DEBIAN, "sh", "sh: 1: curl: not found\n"),
        (disks.BUSYBOX, "sh", "sh: curl: not found\n"),
    ],
)
def test_missing_commands_in_the_shells_own_words(on_disk, disk, shell, words):
    result = run(on_disk(disk), shell, "-c", "curl x")
    assert (result.stderr, result.exit_code) == (words, 127)


def test_every_tool_of_the_nodes_is_there_or_says_that_it_is_not():
    missing = {name for name in tools.NODE | tools.OUTSIDE if not commands.exists(name)}
    assert missing <= {
        "crictl", "ctr", "df", "dpkg", "free", "gunzip", "gzip", "ipset", "journalctl", "killall", "minikube", "nft",
        "openssl", "kill",
        "perl",
        "stty",
        "time", "pgrep", "pkill", "ps", "systemctl", "tcpdump", "top", "uptime", "zcat", "nproc", "truncate",
    }  # fmt: skip


def test_apt_needs_the_network(place):
    result = place.run("apt-get update; apt-get install -y curl")
    assert "Temporary failure resolving 'deb.debian.org'" in result.stderr
    assert result.exit_code == 100 or "already the newest" in result.stdout


def test_json_protocol(place):
    assert json.loads(answer(place.terminal, '{"command": "x=1; echo out; echo err >&2; (exit 3)"}')) == {
        "stdout": "out\n",
        "stderr": "err\n",
        "exit_code": 3,
    }
    assert json.loads(answer(place.terminal, '{"command": "echo $x"}'))["stdout"] == "1\n"
    assert json.loads(answer(place.terminal, "nonsense"))["exit_code"] == 2


def test_a_containers_own_sleeping_does_not_keep_the_cluster_busy(place):
    from kubesim.shell import processes
    from kubesim.shell.context import Context

    ctx = Context(
        machine=place.machine, name="sh", args=["-c", "while true; do sleep 5; done"], env={}, cwd="/", background=True
    )
    place.world.spawn(processes.run(ctx))
    assert place.world.settle()
    assert place.world.now == place.world.start
