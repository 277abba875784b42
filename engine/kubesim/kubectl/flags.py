"""Flags as kubectl reads them (spf13/pflag and cobra), with their words for what is wrong.

Flags and arguments may be mixed; `--` ends the flags; `-it` is `-i -t`; `-nfoo`, `-n foo` and `-n=foo` are one.  A flag of
kind bool takes its value only after `=`; so does one with `bare`, the value that it has when it stands alone (`--dry-run`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubesim.kubectl import fail
from kubesim.machinery import durations, gotext


@dataclass(frozen=True, slots=True)
class Flag:
    """`kind`: string, bool, int, int32, duration, list (comma-separated, may repeat), array (may repeat), tristate."""

    name: str
    short: str = ""
    kind: str = "string"
    default: Any = None
    bare: str | None = None
    help: str = ""

    def empty(self) -> Any:
        if self.default is not None:
            return self.default
        return {"bool": False, "int": 0, "int32": 0, "duration": 0.0, "list": [], "array": []}.get(self.kind, "")

    @property
    def title(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def define(*specs: str) -> tuple[Flag, ...]:
    """Flags from short texts: "name[,s]:kind[=default][?bare]"; kind string may be left out."""
    return tuple(_define(spec) for spec in specs)


def _define(spec: str) -> Flag:
    spec, _, bare = spec.partition("?")
    names, _, rest = spec.partition(":")
    kind, has_default, text = rest.partition("=")
    name, _, short = names.partition(",")
    kind = kind or "string"
    flag = Flag(name, short, kind, bare=bare or None)
    return Flag(name, short, kind, _convert(flag, text) if has_default else None, bare or None)


@dataclass
class Values:
    """What was given: `values["name"]`; `changed` names the flags that stood there."""

    values: dict[str, Any] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)


@dataclass
class Parsed:
    flags: Values
    args: list[str]
    dash: int = -1  # how many arguments stood before "--", -1 without one


def parse(args: Iterable[str], known: Iterable[Flag], path: str) -> Parsed:
    """Raises fail.Usage in pflag's words."""
    by_name = {flag.name: flag for flag in known}
    by_short = {flag.short: flag for flag in by_name.values() if flag.short}
    values = Values({flag.name: flag.empty() for flag in by_name.values()})
    parsed = Parsed(values, [])
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--":
            parsed.dash = len(parsed.args)
            parsed.args += rest
            break
        if arg.startswith("--"):
            _long(arg, rest, by_name, values, path)
        elif arg.startswith("-") and len(arg) > 1:
            _shorts(arg, rest, by_short, values, path)
        else:
            parsed.args.append(arg)
    return parsed


def _long(arg: str, rest: list[str], known: Mapping[str, Flag], values: Values, path: str) -> None:
    name, equals, value = arg[2:].partition("=")
    if not name or name.startswith("-"):
        raise fail.Usage(f"bad flag syntax: {arg}", path)
    flag = known.get(name.replace("_", "-"))
    if flag is None:
        if name == "help":
            raise fail.Help
        raise fail.Usage(f"unknown flag: --{name}", path)
    if equals:
        _set(flag, value, values, path)
    elif flag.bare is not None:
        _set(flag, flag.bare, values, path)
    elif flag.kind == "bool":
        _set(flag, "true", values, path)
    elif rest:
        _set(flag, rest.pop(0), values, path)
    else:
        raise fail.Usage(f"flag needs an argument: {arg}", path)


def _shorts(arg: str, rest: list[str], known: Mapping[str, Flag], values: Values, path: str) -> None:
    letters = arg[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = known.get(letter)
        if flag is None:
            if letter == "h":
                raise fail.Help
            raise fail.Usage(f"unknown shorthand flag: {gotext.quote(letter).replace(chr(34), chr(39))} in {arg}", path)
        if letters.startswith("=") and len(letters) > 1:
            _set(flag, letters[1:], values, path)
            return
        if flag.bare is not None or flag.kind == "bool":
            _set(flag, flag.bare or "true", values, path)
            continue
        if letters:
            _set(flag, letters, values, path)
            return
        if not rest:
            raise fail.Usage(f"flag needs an argument: '{letter}' in {arg}", path)
        _set(flag, rest.pop(0), values, path)


def _set(flag: Flag, text: str, values: Values, path: str) -> None:
    try:
        value = _convert(flag, text)
    except ValueError as error:
        raise fail.Usage(f'invalid argument "{text}" for "{flag.title}" flag: {error}', path) from None
    if flag.kind in ("list", "array"):
        before = values.values[flag.name] if flag.name in values.changed else []
        value = before + value
    values.values[flag.name] = value
    values.changed.add(flag.name)


_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def _convert(flag: Flag, text: str) -> Any:
    match flag.kind:
        case "bool":
            if text not in _TRUE + _FALSE:
                raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
            return text in _TRUE
        case "int" | "int32":
            return _integer(text, 32 if flag.kind == "int32" else 64)
        case "duration":
            return durations.parse(text)
        case "list":
            return text.split(",") if text else []
        case "array":
            return [text]
    return text


def _integer(text: str, bits: int) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value
