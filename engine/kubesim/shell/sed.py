"""sed's language (POSIX XCU sed, and what GNU added that people type): a script to commands, and the cycle over lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kubesim.shell import regex

ROUNDS = 1_000_000  # jumps before a script counts as endless


class Problem(Exception):
    """The script is wrong; the message is GNU's after `sed: `."""


@dataclass
class Address:
    """A line number, the last line, a pattern, or FIRST~STEP."""

    line: int = 0
    last: bool = False
    pattern: re.Pattern[str] | None = None
    step: int = 0
    offset: int = -1  # +N after the first address


@dataclass
class Command:
    name: str
    first: Address | None = None
    second: Address | None = None
    negated: bool = False
    text: str = ""
    pattern: re.Pattern[str] | None = None
    flags: str = ""
    number: int = 0
    body: list[Command] = field(default_factory=list)
    active: bool = False
    until: int = 0


class Parser:
    def __init__(self, script: str, extended: bool) -> None:
        self._text = script
        self._at = 0
        self._extended = extended
        self._last = ""

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _fail(self, why: str) -> Problem:
        return Problem(f"-e expression #1, char {self._at}: {why}")

    def _skip(self, characters: str) -> None:
        while self._peek() and self._peek() in characters:
            self._at += 1

    def commands(self, inside: bool = False) -> list[Command]:
        found: list[Command] = []
        while True:
            self._skip(" \t\n;")
            if not self._peek():
                if inside:
                    raise self._fail("unmatched `{'")
                return found
            if self._peek() == "}":
                self._at += 1
                if not inside:
                    raise self._fail("unexpected `}'")
                return found
            if self._peek() == "#":
                self._line()
                continue
            found.append(self._command())

    def _line(self) -> str:
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        text, self._at = self._text[self._at : end], end
        return text

    def _number(self) -> int:
        match = re.compile(r"\d+").match(self._text, self._at)
        if match is None:
            return 0
        self._at = match.end()
        return int(match[0])

    def _until(self, mark: str) -> str:
        """Up to the next unescaped mark, brackets kept whole; an escaped mark loses its backslash."""
        out = ""
        while self._peek():
            char = self._peek()
            if char == "\\":
                following = self._text[self._at + 1 : self._at + 2]
                out += following if following == mark and mark not in "()|+?{}" else char + following
                self._at += 2
                continue
            self._at += 1
            if char == mark:
                return out
            out += char
        raise self._fail("unterminated address regex")

    def _compile(self, text: str, ignore_case: bool) -> re.Pattern[str]:
        self._last = text = text or self._last
        try:
            return regex.compiled(text, self._extended, ignore_case)
        except re.error as error:
            raise self._fail(error.msg) from None

    def _address(self) -> Address | None:
        char = self._peek()
        if char.isdigit():
            number = self._number()
            if self._peek() == "~":
                self._at += 1
                return Address(line=number, step=self._number())
            return Address(line=number)
        if char == "$":
            self._at += 1
            return Address(last=True)
        if char in ("/", "\\") and char:
            self._at += 1
            mark = char
            if char == "\\":
                mark = self._peek()
                self._at += 1
            text = self._until(mark)
            ignore = self._peek() == "I"
            self._at += ignore
            return Address(pattern=self._compile(text, ignore))
        return None

    def _command(self) -> Command:
        command = Command("")
        command.first = self._address()
        self._skip(" \t")
        if command.first is not None and self._peek() == ",":
            self._at += 1
            self._skip(" \t")
            if self._peek() == "+":
                self._at += 1
                command.second = Address(offset=self._number())
            else:
                command.second = self._address()
                if command.second is None:
                    raise self._fail("unexpected `,'")
            self._skip(" \t")
        while self._peek() == "!":
            command.negated = True
            self._at += 1
            self._skip(" \t")
        command.name = self._peek()
        if not command.name:
            raise self._fail("missing command")
        self._at += 1
        if command.name == "{":
            command.body = self.commands(inside=True)
        elif command.name in ("s", "y"):
            self._substitution(command)
        elif command.name in ("a", "i", "c"):
            command.text = self._inserted()
        elif command.name in (":", "b", "t", "T"):
            self._skip(" \t")
            end = re.compile(r"[^\s;}]*").match(self._text, self._at)
            command.text = end[0] if end else ""
            self._at += len(command.text)
        elif command.name in ("r", "w"):
            self._skip(" \t")
            command.text = self._line()
        elif command.name in ("q", "Q"):
            self._skip(" \t")
            command.number = self._number()
        elif command.name not in "dDpPnNgGhHx=l":
            raise self._fail(f"unknown command: `{command.name}'")
        self._skip(" \t")
        if self._peek() not in ("", "\n", ";", "}", "#") and command.name not in "{:aic":
            raise self._fail("extra characters after command")
        return command

    def _substitution(self, command: Command) -> None:
        mark = self._peek()
        self._at += 1
        try:
            pattern, replacement = self._until(mark), self._until(mark)
        except Problem:
            raise self._fail(f"unterminated `{command.name}' command") from None
        if command.name == "y":
            command.text = replacement
            command.flags = pattern
            return
        flags = re.compile(r"[gpiIeMm0-9]*").match(self._text, self._at)
        command.flags = flags[0] if flags else ""
        self._at += len(command.flags)
        if self._peek() not in ("", "\n", ";", "}", " ", "\t", "#"):
            raise self._fail("unknown option to `s'")
        digits = re.sub(r"\D", "", command.flags)
        command.number = int(digits) if digits else 1
        command.pattern = self._compile(pattern, "i" in command.flags.lower())
        command.text = replacement

    def _inserted(self) -> str:
        """The text of a, i, c: GNU's one-line form and the one after a backslash."""
        self._skip(" \t")
        if self._text.startswith("\\\n", self._at):
            self._at += 2
        elif self._peek() == "\\":
            self._at += 1
        out = ""
        while self._peek() and self._peek() != "\n":
            if self._peek() == "\\":
                out += {"t": "\t", "n": "\n"}.get(
                    self._text[self._at + 1 : self._at + 2], self._text[self._at + 1 : self._at + 2]
                )
                self._at += 2
                continue
            out += self._peek()
            self._at += 1
        return out


def replacement(template: str) -> Callable[[re.Match[str]], str]:
    """What `s` puts in: & and \\1, \\n and \\t, case changes \\U \\L \\u \\l \\E."""
    parts = re.findall(r"\\\n|\\.|&|[^\\&]+|\\", template)

    def build(match: re.Match[str]) -> str:
        out, case, once = "", "", ""
        for part in parts:
            if part == "&":
                text = match[0]
            elif part[:1] == "\\" and part[1:].isdigit():
                text = (match[int(part[1:])] if int(part[1:]) <= (match.re.groups) else "") or ""
            elif part in ("\\U", "\\L", "\\E"):
                case = part[1] if part != "\\E" else ""
                continue
            elif part in ("\\u", "\\l"):
                once = part[1]
                continue
            elif part[:1] == "\\" and len(part) > 1:
                text = {"n": "\n", "t": "\t", "r": "\r"}.get(part[1], part[1])
            else:
                text = part
            text = text.upper() if case == "U" else text.lower() if case == "L" else text
            if once and text:
                text = (text[0].upper() if once == "u" else text[0].lower()) + text[1:]
                once = ""
            out += text
        return out

    return build


class Quit(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class _Restart(Exception):
    pass


class Run:
    """One pass over some lines.  `status` is what `q` said."""

    def __init__(self, commands: Sequence[Command], quiet: bool, read: Callable[[str], str]) -> None:
        self._commands = commands
        self._quiet = quiet
        self._read = read
        self._hold = ""
        self.status = 0

    def over(self, text: str) -> str:
        """The output for the text."""
        self._lines = text.split("\n")
        self._final = "\n"
        if text.endswith("\n") or not text:
            self._lines.pop()
        else:
            self._final = ""
        self._out: list[str] = []
        self._number = 0
        self._rounds = 0
        quitting = False
        while self._number < len(self._lines) and not quitting:
            self._space = self._lines[self._number]
            self._number += 1
            self._after: list[str] = []
            try:
                while True:
                    try:
                        self._deleted = False
                        self._substituted = False
                        self._block(self._commands)
                        break
                    except _Restart:
                        continue
            except Quit as quit_:
                self.status = quit_.code
                quitting = True
            if not self._quiet and not self._deleted:
                self._print(self._space)
            for each in self._after:
                self._print(each)
        result = "".join(f"{line}\n" for line in self._out)
        ended = self._number >= len(self._lines) and not self._final
        return result[:-1] if ended and result else result

    def _print(self, text: str) -> None:
        self._out.append(text)

    def _matches(self, address: Address) -> bool:
        if address.pattern is not None:
            return address.pattern.search(self._space) is not None
        if address.last:
            return self._number == len(self._lines)
        if address.step:
            return self._number >= address.line and (self._number - address.line) % address.step == 0
        return self._number == address.line

    def _selected(self, command: Command) -> bool:
        if command.first is None:
            return True
        if command.second is None:
            return self._matches(command.first)
        second = command.second
        if not command.active:
            if not self._matches(command.first):
                return False
            command.until = self._number + second.offset if second.offset >= 0 else second.line
            by_line = second.offset >= 0 or (second.line and not second.step)
            command.active = not (by_line and command.until <= self._number)
            return True
        if second.pattern is not None or second.last or second.step:
            command.active = not self._matches(second)
            return True
        command.active = self._number < command.until
        return self._number <= command.until

    def _block(self, commands: Sequence[Command]) -> str | None:
        """Run them; a label to go to, if it is not in this block."""
        at = 0
        while at < len(commands):
            command = commands[at]
            at += 1
            if self._selected(command) == command.negated:
                continue
            label = self._one(command)
            if label is None:
                if self._deleted:
                    return None
                continue
            self._rounds += 1
            if self._rounds > ROUNDS:
                raise Problem("stopped: this script does not seem to end")
            place = next(
                (index for index, each in enumerate(commands) if each.name == ":" and each.text == label), None
            )
            if place is None:
                return label
            at = place
        return None

    def _one(self, command: Command) -> str | None:
        name = command.name
        if name == "{":
            return self._block(command.body)
        if name == "s":
            self._substitute(command)
        elif name == "y":
            self._space = self._space.translate(str.maketrans(command.flags, command.text))
        elif name == "d":
            self._deleted = True
        elif name == "D":
            _, newline, rest = self._space.partition("\n")
            if not newline:
                self._deleted = True
            else:
                self._space = rest
                raise _Restart
        elif name == "p":
            self._print(self._space)
        elif name == "P":
            self._print(self._space.partition("\n")[0])
        elif name == "=":
            self._print(str(self._number))
        elif name == "l":
            self._print(self._space.replace("\\", "\\\\").replace("\t", "\\t") + "$")
        elif name == "a":
            self._after.append(command.text)
        elif name == "i":
            self._print(command.text)
        elif name == "c":
            if command.second is None or not command.active or command.negated:
                self._print(command.text)
            self._deleted = True
        elif name == "r":
            self._after += self._read(command.text).removesuffix("\n").split("\n") if self._read(command.text) else []
        elif name in ("q", "Q"):
            self._deleted = name == "Q"
            raise Quit(command.number)
        elif name in ("n", "N"):
            self._next(name)
        elif name in "gGhHx":
            self._holding(name)
        elif name == "b":
            return command.text or self._end()
        elif name in ("t", "T"):
            if self._substituted == (name == "t"):
                self._substituted = False
                return command.text or self._end()
            self._substituted = False
        elif name == "w":
            raise Problem("not simulated: the command w")
        return None

    @staticmethod
    def _end() -> str:
        # No such label anywhere: the search falls through all blocks to the cycle's end.
        return "\0end"

    def _substitute(self, command: Command) -> None:
        assert command.pattern is not None
        build = replacement(command.text)
        done = False

        def one(match: re.Match[str], number: int) -> str | None:
            nonlocal done
            if number < command.number or (number > command.number and "g" not in command.flags):
                return None
            done = True
            return build(match)

        text = regex.substitute(command.pattern, one, self._space)
        if done:
            self._space = text
            self._substituted = True
            if "p" in command.flags:
                self._print(text)

    def _next(self, name: str) -> None:
        if self._number >= len(self._lines):
            # GNU prints the pattern space when there is no next line.
            raise Quit(0)
        line = self._lines[self._number]
        self._number += 1
        if name == "N":
            self._space += "\n" + line
        else:
            if not self._quiet:
                self._print(self._space)
            self._space = line

    def _holding(self, name: str) -> None:
        if name == "g":
            self._space = self._hold
        elif name == "G":
            self._space += "\n" + self._hold
        elif name == "h":
            self._hold = self._space
        elif name == "H":
            self._hold += "\n" + self._space
        else:
            self._space, self._hold = self._hold, self._space
