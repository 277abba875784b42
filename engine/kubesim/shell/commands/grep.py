"""grep, egrep, fgrep"""

from __future__ import annotations

import posixpath
import re

from kubesim.shell import regex
from kubesim.shell.context import Context, Usage, options, reason, words
from kubesim.shell.streams import decode

LONG_FLAGS = words("""
    ignore-case invert-match count line-number files-with-matches files-without-match only-matching quiet silent word-regexp
    line-regexp extended-regexp fixed-strings basic-regexp perl-regexp no-filename with-filename recursive no-messages
    line-buffered text color colour
""")
SHORT = {
    "ignore-case": "i",
    "invert-match": "v",
    "count": "c",
    "line-number": "n",
    "files-with-matches": "l",
    "files-without-match": "L",
    "only-matching": "o",
    "quiet": "q",
    "silent": "q",
    "word-regexp": "w",
    "line-regexp": "x",
    "extended-regexp": "E",
    "fixed-strings": "F",
    "perl-regexp": "P",
    "no-filename": "h",
    "with-filename": "H",
    "recursive": "r",
    "no-messages": "s",
    "after-context": "A",
    "before-context": "B",
    "context": "C",
    "regexp": "e",
    "max-count": "m",
    "file": "f",
}


async def run(ctx: Context) -> int:
    args = [f"-C{arg[1:]}" if arg[:1] == "-" and arg[1:].isdigit() else arg for arg in ctx.args]
    args = [arg for arg in args if not arg.startswith(("--color", "--colour"))]
    try:
        found, rest = options(
            args,
            flags="ivcnlLoqwxEFGPhHrRsayU",
            values="ABCemf",
            long_flags=tuple(LONG_FLAGS),
            long_values=(
                "after-context",
                "before-context",
                "context",
                "regexp",
                "max-count",
                "file",
                "include",
                "exclude",
            ),
            name=ctx.name,
        )
    except Usage as usage:
        raise Usage(usage.message + "Usage: grep [OPTION]... PATTERNS [FILE]...\n", 2) from None
    for long, short in SHORT.items():
        if long in found:
            found.setdefault(short, []).extend(found[long])
    patterns = list(found.get("e", []))
    for name in found.get("f", []):
        patterns += decode(ctx.files.read_bytes(ctx.path(name))).splitlines()
    if "e" not in found and "f" not in found:
        if not rest:
            raise Usage("Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.\n", 2)
        patterns = rest.pop(0).split("\n")
    try:
        matcher = _pattern(ctx, found, patterns)
    except re.error as error:
        ctx.complain(f"{ctx.name}: {error.msg}")
        return 2
    return await _Search(ctx, found, matcher, rest).all()


def _pattern(ctx: Context, found: dict[str, list[str]], patterns: list[str]) -> re.Pattern[str]:
    fixed = "F" in found or ctx.name == "fgrep"
    extended = "E" in found or ctx.name == "egrep"
    if fixed:
        parts = [re.escape(each) for each in patterns]
    elif "P" in found:
        parts = list(patterns)
    else:
        parts = [regex.translate(each, extended) for each in patterns]
    joined = "|".join(f"(?:{each})" for each in parts) if len(parts) > 1 else "".join(parts)
    if "w" in found:
        joined = rf"(?<!\w)(?:{joined})(?!\w)"
    if "x" in found:
        joined = rf"\A(?:{joined})\Z"
    return re.compile(joined, re.IGNORECASE if "i" in found or "y" in found else 0)


class _Search:
    def __init__(self, ctx: Context, found: dict[str, list[str]], matcher: re.Pattern[str], names: list[str]) -> None:
        self.ctx = ctx
        self.found = found
        self.matcher = matcher
        recursive = "r" in found or "R" in found
        self.names = names or (["."] if recursive else ["-"])
        self.recursive = recursive
        self.titled = "H" in found or ((len(self.names) > 1 or recursive) and "h" not in found)
        both = int(found.get("C", ["0"])[-1])
        self.after = int(found.get("A", [both])[-1])
        self.before = int(found.get("B", [both])[-1])
        self.most = int(found["m"][-1]) if "m" in found else -1
        self.failed = False
        self.matched = False

    async def all(self) -> int:
        for name in self.names:
            if self.recursive and name != "-" and self.ctx.files.is_dir(self.ctx.path(name)):
                for each in self._below(name):
                    self._file(each)
            elif name == "-":
                await self._stdin()
            else:
                self._file(name)
            if self.matched and "q" in self.found:
                return 0
        return 2 if self.failed else 0 if self.matched else 1

    def _below(self, name: str) -> list[str]:
        files, found = self.ctx.files, []
        for each in files.listdir(self.ctx.path(name)):
            path = posixpath.join(name, each)
            if files.is_dir(self.ctx.path(path)):
                found += self._below(path)
            else:
                found.append(path)
        return found

    def _file(self, name: str) -> None:
        try:
            text = decode(self.ctx.files.read_bytes(self.ctx.path(name)))
        except OSError as error:
            self.failed = True
            if "s" not in self.found:
                self.ctx.complain(f"grep: {name}: {reason(error)}")
            return
        self._lines(name, text.split("\n")[: None if not text.endswith("\n") and text else -1])

    async def _stdin(self) -> None:
        streaming = not ({"c", "l", "L", "q"} & set(self.found) or self.before or self.after)
        if not streaming:
            text = await self.ctx.stdin.read()
            self._lines("(standard input)", text.split("\n")[: None if not text.endswith("\n") and text else -1])
            return
        number = 0
        hits = 0
        while line := await self.ctx.stdin.readline():
            number += 1
            line = line.removesuffix("\n")
            if (self.matcher.search(line) is None) == ("v" in self.found):
                hits += 1
                self.matched = True
                self._show("(standard input)", number, line, ":")
                if hits == self.most:
                    break

    def _lines(self, name: str, lines: list[str]) -> None:
        inverted = "v" in self.found
        hits = [index for index, line in enumerate(lines) if (self.matcher.search(line) is None) == inverted]
        if self.most >= 0:
            hits = hits[: self.most]
        self.matched |= bool(hits)
        if "q" in self.found:
            return
        if "c" in self.found:
            self.ctx.print(f"{name}:{len(hits)}" if self.titled else str(len(hits)))
        elif "l" in self.found or "L" in self.found:
            if bool(hits) == ("l" in self.found):
                self.ctx.print(name)
        else:
            self._context(name, lines, hits)

    def _context(self, name: str, lines: list[str], hits: list[int]) -> None:
        last = -1
        chosen = set(hits)
        for hit in hits:
            first = max(last + 1, hit - self.before)
            if last >= 0 and first > last + 1 and (self.before or self.after):
                self.ctx.print("--")
            for index in range(first, min(len(lines), hit + self.after + 1)):
                if index > last and (index <= hit or index not in chosen):
                    self._show(name, index + 1, lines[index], ":" if index in chosen else "-")
                    last = index
                elif index > hit and index in chosen:
                    break

    def _show(self, name: str, number: int, line: str, mark: str) -> None:
        head = (name + mark if self.titled else "") + (f"{number}{mark}" if "n" in self.found else "")
        if "o" in self.found:
            if "v" not in self.found:
                for match in self.matcher.finditer(line):
                    if match[0]:
                        self.ctx.print(head + match[0])
            return
        self.ctx.print(head + line)
