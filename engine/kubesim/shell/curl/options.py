"""curl's command line (src/tool_getparam.c): long options may be shortened, letters may be joined, --no-X turns off."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubesim.errors import NotSimulated
from kubesim.shell.context import Usage

FLAGS = {
    "silent": "s",
    "show-error": "S",
    "remote-name": "O",
    "head": "I",
    "include": "i",
    "verbose": "v",
    "insecure": "k",
    "location": "L",
    "location-trusted": "",
    "fail": "f",
    "fail-with-body": "",
    "fail-early": "",
    "ipv4": "4",
    "ipv6": "6",
    "get": "G",
    "no-buffer": "N",
    "progress-bar": "#",
    "compressed": "",
    "http1.0": "0",
    "http1.1": "",
    "http2": "",
    "globoff": "g",
    "retry-connrefused": "",
    "retry-all-errors": "",
    "path-as-is": "",
    "version": "V",
    "help": "h",
    "create-dirs": "",
    "remote-name-all": "",
    "disable": "q",
    "tlsv1": "1",
    "tlsv1.2": "",
    "tlsv1.3": "",
    "styled-output": "",
    "progress-meter": "",
    "keepalive": "",
    "tcp-nodelay": "",
    "raw": "",
    "junk-session-cookies": "j",
    "next": ":",
}
VALUES = {
    "output": "o",
    "write-out": "w",
    "request": "X",
    "header": "H",
    "data": "d",
    "data-raw": "",
    "data-ascii": "",
    "data-binary": "",
    "data-urlencode": "",
    "json": "",
    "max-time": "m",
    "connect-timeout": "",
    "resolve": "",
    "connect-to": "",
    "user": "u",
    "user-agent": "A",
    "referer": "e",
    "retry": "",
    "retry-delay": "",
    "retry-max-time": "",
    "max-redirs": "",
    "cacert": "",
    "cert": "E",
    "key": "",
    "cookie": "b",
    "cookie-jar": "c",
    "dump-header": "D",
    "url": "",
    "noproxy": "",
    "range": "r",
    "interface": "",
    "keepalive-time": "",
    "tls-max": "",
    "stderr": "",
    "oauth2-bearer": "",
    "output-dir": "",
    "rate": "",
    "dns-servers": "",
}
# Known to curl, not to us.
REFUSED = {
    "proxy": "x",
    "form": "F",
    "upload-file": "T",
    "config": "K",
    "parallel": "Z",
    "unix-socket": "",
    "http3": "",
    "socks5": "",
    "limit-rate": "",
    "local-port": "",
    "trace-ascii": "",
    "trace": "",
    "netrc": "n",
    "remote-time": "R",
    "continue-at": "C",
    "telnet-option": "t",
    "quote": "Q",
    "speed-limit": "Y",
    "speed-time": "y",
    "time-cond": "z",
    "proxy-user": "U",
    "remote-header-name": "J",
    "max-filesize": "",
    "libcurl": "",
    "haproxy-protocol": "",
    "digest": "",
    "negotiate": "",
    "ntlm": "",
}
LETTERS = {letter: name for table in (FLAGS, VALUES, REFUSED) for name, letter in table.items() if letter}
HINT = "curl: try 'curl --help' or 'curl --manual' for more information\n"


@dataclass
class Options:
    """What was asked: `flags` by long name, the last of each value in `values`, all of those that may be repeated."""

    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    headers: list[str] = field(default_factory=list)
    data: list[tuple[str, str]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    resolve: list[str] = field(default_factory=list)
    connect_to: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def seconds(self, name: str) -> float | None:
        text = self.values.get(name, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            raise Usage(f"curl: option --{name}: expected a proper numerical parameter\n{HINT}", 2) from None
        return value or None

    def number(self, name: str, default: int) -> int:
        text = self.values.get(name)
        if text is None:
            return default
        if not text.lstrip("-").isdigit():
            raise Usage(f"curl: option --{name}: expected a proper numerical parameter\n{HINT}", 2)
        return int(text)


def parse(args: list[str]) -> Options:
    """Raises Usage in curl's words (exit status 2), NotSimulated for what curl could do and we cannot."""
    found = Options()
    queue = list(args)
    only_urls = False
    while queue:
        arg = queue.pop(0)
        if only_urls or not arg.startswith("-") or arg == "-":
            found.urls.append(arg)
        elif arg == "--":
            only_urls = True
        elif arg.startswith("--"):
            _long(found, arg, queue)
        else:
            _letters(found, arg, queue)
    return found


def _long(found: Options, arg: str, queue: list[str]) -> None:
    name = arg[2:]
    off = name.startswith("no-") and name[3:] in FLAGS
    name = name[3:] if off else name
    known = [*FLAGS, *VALUES, *REFUSED]
    if name not in known:
        close = [each for each in known if each.startswith(name)]
        if len(close) > 1:
            raise Usage(f"curl: option {arg}: is ambiguous\n{HINT}", 2)
        if not close:
            raise Usage(f"curl: option {arg}: is unknown\n{HINT}", 2)
        name = close[0]
    if off:
        found.flags.discard(name)
        found.flags.add(f"no-{name}")
    else:
        _set(found, name, arg, None, queue)


def _letters(found: Options, arg: str, queue: list[str]) -> None:
    letters = arg[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = LETTERS.get(letter)
        if name is None:
            raise Usage(f"curl: option {arg}: is unknown\n{HINT}", 2)
        if name in FLAGS:
            _set(found, name, arg, None, queue)
        else:
            _set(found, name, arg, letters or None, queue)
            return


def _set(found: Options, name: str, arg: str, value: str | None, queue: list[str]) -> None:
    if name in REFUSED or name in ("http2", "dns-servers", "rate", "next"):
        raise NotSimulated(f"curl --{name}")
    if name in FLAGS:
        found.flags.add(name)
        if name == "remote-name":
            found.outputs.append("")
        return
    if value is None:
        if not queue:
            raise Usage(f"curl: option {arg}: requires parameter\n{HINT}", 2)
        value = queue.pop(0)
    if name == "header":
        found.headers.append(value)
    elif name in ("data", "data-ascii", "data-raw", "data-binary", "data-urlencode", "json"):
        found.data.append((name, value))
    elif name == "output":
        found.outputs.append(value)
    elif name == "resolve":
        found.resolve.append(value)
    elif name == "connect-to":
        found.connect_to.append(value)
    elif name == "cookie":
        found.cookies.append(value)
    elif name == "url":
        found.urls.append(value)
    else:
        found.values[name] = value
