"""A terminal device and a shell at it: what a person types, and what appears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kubesim.programs import disks
from kubesim.shell.terminal import Result, execute
from kubesim.shell.tty import Tty
from kubesim.world import Task


@dataclass
class Person:
    """Somebody at a terminal on which a command runs."""

    place: object
    argv: tuple[str, ...]
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        machine = self.place.machine
        self.tty = Tty(machine.world, self.shown.append)
        self.task: Task[Result] = machine.world.spawn(
            execute(machine, self.argv, self.tty, out=self.shown.append, err=self.shown.append)
        )
        self.world = machine.world
        self.world.advance(0.01)
        self.seen()

    def seen(self) -> str:
        text = "".join(self.shown)
        self.shown.clear()
        return text

    def types(self, text: str) -> str:
        """What appears within a second of typing."""
        self.tty.type(text)
        self.world.advance(1)
        return self.seen()


@pytest.fixture
def at(on_disk) -> Callable[..., Person]:
    def build(*argv: str, disk: frozenset[str] = disks.DEBIAN) -> Person:
        place = on_disk(disk)
        place.machine.kind = "container"
        return Person(place, argv)

    return build


def test_the_line_discipline(at) -> None:
    person = at("cat")
    assert person.types("one") == "one"
    assert person.types("\x7f\x7f\x7ftwo words\x17thing\r") == "\b \b\b \b\b \btwo words" + "\b \b" * 5 + "thing\ntwo thing\n"
    assert person.types("gone\x15\x01\r") == "gone" + "\b \b" * 4 + "^A\n\x01\n"
    assert person.types("half\x04") == "halfhalf"
    assert not person.task.done
    person.types("\x04")
    assert person.task.result().exit_code == 0


def test_prompts(at) -> None:
    assert at("bash").types("\r") == "\nroot@box:/desk# "
    assert at("sh").types("\r") == "\n# "
    assert at("sh", disk=disks.BUSYBOX).types("cd /tmp\r") == "cd /tmp\n/tmp # "
    assert at("bash").types("PS1='<\\W> '; cd\r") == "PS1='<\\W> '; cd\n<~> "


def test_editing_and_history(at) -> None:
    bash = at("bash")
    assert "\nac\n" in bash.types("echo ab\x7fc\r")
    # Up, to the line's beginning, five to the right.
    assert "\nyes ac\n" in bash.types("\x1b[A\x01\x1b[C\x1b[C\x1b[C\x1b[C\x1b[Cyes \r")
    # Up twice and down once; cut all and yank it back twice.
    assert "\nyes acecho yes ac\n" in bash.types("\x1b[A\x1b[A\x1b[B\x15\x19\x19\r")
    assert "    2  echo yes ac\n" in bash.types("history\r")
    assert bash.types("hostna\t") == "hostname "
    assert bash.types("\x15md5sum /etc/\t").endswith("\n/etc/hosts  /etc/passwd  /etc/resolv.conf\nroot@box:/desk# md5sum /etc/")


def test_a_command_reads_what_is_typed_next(at) -> None:
    bash = at("bash")
    bash.types("cat > note\r")
    bash.types("two\rlines\r\x04")
    assert "\ntwo\nlines\n" in bash.types("cat note\r")
    assert bash.types("read -p 'Name? ' who; echo hello $who\r").endswith("Name? ")
    assert "hello Ann\n" in bash.types("Ann\r")
    assert "secret" not in bash.types("read -s word\r").replace("read -s", "") + bash.types("secret\r")
    assert "[secret]" in bash.types("echo [$word]\r")
    assert "2\n" in bash.types("wc -l\r") + bash.types("a\rb\r\x04")
    bash.types("read -n 1 key\r")
    assert "\ngot y\n" in bash.types("yecho got $key\r")


def test_a_command_of_several_lines_and_several_commands_at_once(at) -> None:
    bash = at("bash")
    assert bash.types("for i in 1 2; do\r").endswith("\n> ")
    assert "\nn1\nn2\n" in bash.types("echo n$i; done\r")
    assert "\none\n" in (text := bash.types("echo one\recho two\r"))
    assert "\ntwo\n" in text


def test_interrupting(at) -> None:
    bash = at("bash")
    assert bash.types("half a line\x03").endswith("^C\nroot@box:/desk# ")
    bash.types("sleep 1000\r")
    assert bash.types("\x03") == "^C\nroot@box:/desk# "
    assert "\n130\n" in bash.types("echo $?\r")
    bash.types("while true; do sleep 1; done | cat\r")
    assert bash.types("\x03").endswith("^C\nroot@box:/desk# ")
    assert "\n130\n" in bash.types("echo $?\r")


@pytest.mark.parametrize(("end", "status"), [("exit 3\r", 3), ("(exit 4)\r\x04", 4), ("exec true\r", 0)])
def test_leaving(at, end: str, status: int) -> None:
    bash = at("bash")
    bash.types(end)
    assert bash.task.done
    assert bash.task.result().exit_code == status


def test_a_shell_in_a_shell_has_its_own_history(at) -> None:
    bash = at("bash")
    bash.types("echo outer\rsh\r")
    assert bash.types("\x1b[A") == ""
    assert bash.types("echo $0\r").endswith("\nsh\n# ")
    assert bash.types("exit\r").endswith("root@box:/desk# ")
    assert "echo outer" in bash.types("\x1b[A\x1b[A")
