"""The shell against the real bash, and what is particular to ours: state that lasts, jobs, virtual time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kubesim.files import FileSystem
from kubesim.machine import Machine
from kubesim.shell import tools
from kubesim.shell.terminal import Terminal
from kubesim.world import Cancelled, World

CASES = Path(__file__).with_name("bash.cases")


def cases() -> list[tuple[str, int, str]]:
    found = []
    text = CASES.read_text().split("\n\n", 1)[1]
    for part in text.split("====\n"):
        if part.strip():
            script, _, rest = part.partition("\n--- ")
            status, _, stdout = rest.partition("\n")
            found.append((script.strip("\n"), int(status), stdout))
    return found


@pytest.mark.parametrize(("script", "status", "stdout"), cases(), ids=lambda value: str(value).split("\n")[0][:60])
def test_as_the_real_bash(script: str, status: int, stdout: str) -> None:
    world = World(1)
    files = FileSystem({"/tmp/x": ""}, lambda: world.now)
    files.mkdir("/desk")
    machine = Machine(
        world=world,
        name="n",
        hostname="n",
        kind="node",
        net=None,
        files=files,
        cwd="/desk",
        tools=tools.NODE,  # type: ignore[arg-type]
    )
    result = world.run(Terminal(machine).run(script))
    assert (result.stdout, result.exit_code) == (stdout, status), result.stderr


def test_variables_functions_files_and_directory_last(place):
    place.run("export A=1; b=2; f() { echo \"f $1\"; }; mkdir d; cd d; echo hi > x; alias greet='echo hello'")
    assert place.out("echo $A $b; f 3; pwd; cat x; greet you") == "1 2\nf 3\n/desk/d\nhi\nhello you\n"


def test_sleep_takes_virtual_time_only(place):
    before = place.world.now
    place.run("sleep 30; sleep 1m")
    assert place.world.now == before + 90


def test_time_is_the_worlds(place):
    assert place.out("date; sleep 60; date +%T; echo $SECONDS") == "Sun Sep 13 12:26:40 UTC 2020\n12:27:40\n60\n"
    assert "real\t0m2.500s" in place.run("time sleep 2.5").stderr


def test_timeout_ends_a_command(place):
    result = place.run("timeout 5 sleep 100; echo $?; timeout 5 echo fast")
    assert result.stdout == "124\nfast\n"


def test_a_background_job_goes_on_and_its_output_comes_with_the_next_command(place):
    assert place.out("{ sleep 10; echo done; } & echo started") == "started\n"
    assert place.out("jobs").startswith("[1]+  Running")
    assert place.out("sleep 20; echo later") == "done\nlater\n"
    assert place.out("wait; jobs") == ""


def test_stages_of_a_pipeline_run_side_by_side(place):
    before = place.world.now
    assert place.out("(echo a; sleep 100; echo b) | while read x; do echo $x $SECONDS; done") == "a 0\nb 100\n"
    assert place.world.now == before + 100
    # The reader's end is the writer's end.
    assert place.out("yes | head -2") == "y\ny\n"


def test_ctrl_c_leaves_a_shell_that_works(place):
    task = place.world.spawn(place.terminal.run("for i in 1 2 3; do sleep 100; done"))
    place.world.advance(50)
    task.cancel()
    place.world.drain()
    with pytest.raises(Cancelled):
        task.result()
    assert place.out("echo $?; echo still here") == "130\nstill here\n"


def test_an_endless_loop_is_stopped_with_a_message(place):
    result = place.run("while true; do :; done; echo after")
    assert "bash: while: stopped after 100000 rounds" in result.stderr


def test_stderr_and_stdout_keep_their_order_in_one_pipe(lan):
    lines = lan.out("curl -sv web 2>&1").splitlines()
    assert lines[0] == "*   Trying 10.0.0.2:80..."
    assert lines[-2:] == ["GET / for web: ", "* Connection #0 to host web left intact"]


@pytest.mark.parametrize(
    ("script", "message", "status"),
    [
        ("frobnicate", "bash: frobnicate: command not found\n", 127),
        ("./none", "bash: ./none: No such file or directory\n", 127),
        ("echo x > f; ./f", "bash: ./f: Permission denied\n", 126),
        ("/tmp", "bash: /tmp: Is a directory\n", 126),
        ("cat < nofile", "bash: nofile: No such file or directory\n", 1),
        ("echo x > /no/such/dir", "bash: /no/such/dir: No such file or directory\n", 1),
        ("echo x > /tmp", "bash: /tmp: Is a directory\n", 1),
        ("echo >&7", "bash: 7: Bad file descriptor\n", 1),
        ("echo )", "bash: syntax error near unexpected token `)'\n", 2),
        ("if true; then echo", "bash: syntax error: unexpected end of file\n", 2),
        ("echo 'abc", "bash: unexpected EOF while looking for matching `''\n", 2),
        ("f() { f; }; f", "bash: f: maximum function nesting level exceeded (50)\n", 1),
        ("vi x", "vi: not simulated: an editor", 1),
        ("top", "top: not simulated: the command top\n", 1),
    ],
)
def test_errors_in_bashs_words(place, script, message, status):
    stderr, code = place.err(script)
    assert stderr.startswith(message)
    assert code == status


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("echo a", True),
        ("echo 'a", False),
        ("for i in 1 2; do", False),
        ("for i in 1 2; do\necho $i\ndone", True),
        ("cat <<EOF\nx", False),
        ("cat <<EOF\nx\nEOF", True),
        ("cat <<< x", True),
        ("echo a \\", False),
        ("k get pods |", False),
        ("x=$(echo", False),
        ("echo it\\'s", True),
        ("echo # it's a comment", True),
        ("done", True),
    ],
)
def test_a_prompt_knows_when_a_command_is_whole(place, text, whole):
    assert place.terminal.complete(text) is whole


def test_prompt_and_completion(place):
    place.machine.prompt, place.machine.user = "{user}@{hostname}:{cwd}$ ", "vagrant"
    place.machine.home = "/desk"
    assert place.terminal.prompt() == "vagrant@box:~$ "
    place.run("mkdir -p dir/sub; touch data; cd dir")
    assert place.terminal.prompt() == "vagrant@box:~/dir$ "
    assert place.terminal.completions("iptables-s") == ["iptables-save"]
    assert place.terminal.completions("ls | gre") == ["grep"]
    assert place.terminal.completions("cat ../d") == ["../data", "../dir/"]


def test_the_heavy_part_comes_with_the_first_command_and_brings_no_network():
    code = (
        "import sys; import kubesim.shell.terminal; assert 'just_bash' not in sys.modules;"
        "import kubesim.shell.interpreter;"
        "print(sorted({'aiohttp', 'nest_asyncio', 'asyncio', 'socket', 'ssl'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
