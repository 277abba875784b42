"""What curl makes of an argument: globs (`[1-3]`, `{a,b}`), a guessed scheme, host, port and target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from urllib.parse import quote, unquote

PORTS = {"http": 80, "https": 443}


class Bad(Exception):
    """Exit status and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """`host` without brackets; `port` as given or the scheme's; `target` goes into the request line."""

    scheme: str
    host: str
    port: int
    target: str
    user: str = ""

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str, path_as_is: bool = False) -> Url:
    text = text.strip()
    if any(char in text for char in " \t\n"):
        raise Bad(3, "URL using bad/illegal format or missing URL")
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise Bad(1, f'Protocol "{scheme}" not supported')
    authority, target = re.match(r"([^/?#]*)([^#]*)", rest).groups()  # type: ignore[union-attr]
    user, _, host = authority.rpartition("@")
    port = PORTS[scheme]
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^:]*)(?::(\d*))?", host)
    if match is None or not match[1]:
        raise Bad(3, "URL using bad/illegal format or missing URL")
    if match[2]:
        port = int(match[2])
        if port > 65535:
            raise Bad(3, "URL using bad/illegal format or missing URL")
    if not target.startswith("/"):
        target = "/" + target
    if not path_as_is:
        target = _without_dots(target)
    target = quote(target, safe="/?:@!$&'()*+,;=-._~%[]")
    return Url(scheme=scheme, host=match[1].strip("[]"), port=port, target=target, user=unquote(user))


def join(base: Url, location: str) -> Url:
    """Where a redirect goes."""
    if re.match(r"[A-Za-z][\w+.-]*://", location):
        return parse(location)
    if location.startswith("//"):
        return parse(f"{base.scheme}:{location}")
    folder = base.target.partition("?")[0].rpartition("/")[0]
    target = location if location.startswith("/") else f"{folder}/{location}"
    return parse(f"{base.scheme}://{base.authority}{target}")


def _without_dots(target: str) -> str:
    """RFC 3986 section 5.2.4."""
    path, mark, query = target.partition("?")
    if "/." not in path:
        return target
    parts: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    if path.endswith(("/.", "/..")):
        parts.append("")
    return "/" + "/".join(parts) + mark + query


def globbed(text: str) -> list[str]:
    """All the URLs that a pattern stands for."""
    if "{" not in text and "[" not in text:
        return [text]
    choices: list[list[str]] = []
    for part in re.split(r"(\{[^{}]*\}|\[\w+-\w+(?::\d+)?\])", text):
        span = re.fullmatch(r"\[(\w+)-(\w+)(?::(\d+))?\]", part)
        if part.startswith("{") and part.endswith("}"):
            choices.append(part[1:-1].split(","))
        elif span and span[1].isdigit() and span[2].isdigit():
            width = len(span[1]) if span[1].startswith("0") else 0
            choices.append(
                [str(each).zfill(width) for each in range(int(span[1]), int(span[2]) + 1, int(span[3] or 1))]
            )
        elif span and len(span[1]) == len(span[2]) == 1:
            choices.append([chr(each) for each in range(ord(span[1]), ord(span[2]) + 1, int(span[3] or 1))])
        else:
            choices.append([part])
    return ["".join(each) for each in product(*choices)]
