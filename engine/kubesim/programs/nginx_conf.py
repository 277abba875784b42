"""nginx's configuration: the part of its language that a Service's backend needs.

Read from /etc/nginx/conf.d/*.conf as the image's nginx.conf includes them.  A directive that nginx has and this one does not
is refused by name; one that nginx has not either is refused in nginx's own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kubesim.files import FileSystem

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
VARIABLES = frozenset(
    """host http_host hostname proxy_add_x_forwarded_for remote_addr remote_port request_method request_uri scheme
    server_addr server_name server_port uri""".split()  # noqa: SIM905 - read by people
)
# Directives of nginx that change nothing that can be seen here.
WITHOUT_EFFECT = frozenset(
    """access_log error_log sendfile tcp_nopush tcp_nodelay keepalive_timeout client_max_body_size charset gzip gzip_types
    server_tokens proxy_http_version proxy_buffering proxy_read_timeout proxy_connect_timeout expires etag
    log_not_found include types_hash_max_size""".split()  # noqa: SIM905
)
# Directives of nginx that would matter and are not there.
NOT_SIMULATED = frozenset(
    """rewrite if try_files auth_basic auth_basic_user_file limit_req limit_req_zone ssl_certificate ssl_certificate_key
    ssl_protocols alias_regex map geo split_clients stub_status fastcgi_pass grpc_pass uwsgi_pass autoindex allow deny set
    sub_filter proxy_redirect proxy_cache proxy_cache_path resolver stream mirror internal auth_request""".split()  # noqa: SIM905
)


class ConfError(Exception):
    """The configuration is not accepted; the message is what nginx writes after "[emerg]"."""


@dataclass(slots=True)
class Directive:
    name: str
    args: list[str]
    line: int
    block: list[Directive] | None = None


@dataclass(slots=True, kw_only=True)
class Location:
    """What to do below a path.  `kind` is "", "=", "^~", "~" or "~*"."""

    kind: str = ""
    path: str = "/"
    root: str = "/etc/nginx/html"
    alias: str = ""
    index: tuple[str, ...] = ("index.html",)
    default_type: str = "application/octet-stream"
    answer: tuple[int, str] | None = None
    upstream: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    proxy_headers: list[tuple[str, str]] = field(default_factory=list)

    def file(self, path: str) -> str:
        """The file for a path: below `root`, or with `alias` in place of the location's path."""
        return self.alias + path[len(self.path) :] if self.alias else self.root + path

    def target(self, target: str) -> tuple[str, str]:
        """Where a request goes on to: the server's URL and the request target (ngx_http_proxy_module, proxy_pass)."""
        scheme, _, rest = self.upstream.partition("://")
        authority, slash, path = rest.partition("/")
        base = f"{scheme}://{authority}"
        return base, slash + path + target[len(self.path) :] if slash else target


@dataclass(slots=True, kw_only=True)
class Server:
    """One server block."""

    listen: list[tuple[str, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)
    error_pages: dict[int, str] = field(default_factory=dict)
    base: Location = field(default_factory=Location)

    def serves(self, host: str) -> bool:
        return any(
            name == host or (name.startswith("*.") and host.endswith(name[1:])) or name == "_" for name in self.names
        )

    def location(self, path: str) -> Location:
        """The location that nginx chooses (ngx_http_core_module, location)."""
        best: Location | None = None
        for each in self.locations:
            if each.kind == "=" and each.path == path:
                return each
            longer = best is None or len(each.path) > len(best.path)
            if each.kind in ("", "^~") and path.startswith(each.path) and longer:
                best = each
        if best is None or best.kind != "^~":
            for each in self.locations:
                flags = re.IGNORECASE if each.kind == "~*" else 0
                if each.kind.startswith("~") and re.search(each.path, path, flags):
                    return each
        return best or self.base


def load(files: FileSystem, directory: str = "/etc/nginx/conf.d") -> list[Server]:
    """The servers of all configuration files there, in order.  `ConfError`."""
    names = [name for name in files.listdir(directory) if name.endswith(".conf")] if files.is_dir(directory) else []
    return [server for name in names for server in parse(files.read(f"{directory}/{name}"), f"{directory}/{name}")]


def parse(text: str, path: str) -> list[Server]:
    """The servers of one file."""
    tokens = list(_tokens(text))
    directives, rest = _block(tokens, 0, path, top=True)
    assert rest == len(tokens)
    reader = _Reader(path)
    upstreams = {each.args[0]: each for each in directives if each.name == "upstream"}
    servers = []
    for each in directives:
        if each.name == "server":
            servers.append(reader.server(each, upstreams))
        elif each.name != "upstream":
            reader.refuse(each)
    return servers


def _tokens(text: str) -> Iterator[tuple[str, int, bool]]:
    """(token, line, quoted)"""
    pattern = re.compile(r"""(\s+|\#[^\n]*)|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|([{};])|((?:\$\{\w+\}|[^\s{};])+)""", re.S)
    line = 1
    for match in pattern.finditer(text):
        if match[2]:
            yield re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), match[2][1:-1]), line, True
        elif match[3] or match[4]:
            yield match[0], line, False
        line += match[0].count("\n")


def _block(tokens: list[tuple[str, int, bool]], at: int, path: str, top: bool = False) -> tuple[list[Directive], int]:
    found: list[Directive] = []
    words: list[str] = []
    start = line = tokens[at][1] if at < len(tokens) else 1
    while at < len(tokens):
        token, line, quoted = tokens[at]
        at += 1
        if quoted or token not in "{};":
            start = line if not words else start
            words.append(token)
        elif token == "}":
            if words or top:
                raise ConfError(f'unexpected "}}" in {path}:{line}')
            return found, at
        elif not words:
            raise ConfError(f'unexpected "{token}" in {path}:{line}')
        else:
            directive = Directive(words[0], words[1:], start)
            if token == "{":
                directive.block, at = _block(tokens, at, path)
            found.append(directive)
            words = []
    if words or not top:
        raise ConfError(f'unexpected end of file, expecting "{";" if words else "}"}" in {path}:{line}')
    return found, at


class _Reader:
    """Turns directives into servers and locations."""

    def __init__(self, path: str) -> None:
        self.path = path

    def refuse(self, each: Directive) -> None:
        """`ConfError` for what is not there; nothing for what has no effect."""
        where = f"in {self.path}:{each.line}"
        if each.name in WITHOUT_EFFECT:
            return
        if each.name in NOT_SIMULATED:
            raise ConfError(f'not simulated: the nginx directive "{each.name}" {where}')
        raise ConfError(f'unknown directive "{each.name}" {where}')

    def server(self, block: Directive, upstreams: dict[str, Directive]) -> Server:
        server = Server()
        locations = []
        for each in block.block or ():
            match each.name:
                case "listen":
                    server.listen.append(self._listen(each))
                case "server_name":
                    server.names += each.args
                case "location":
                    locations.append(each)
                case "error_page":
                    server.error_pages |= dict.fromkeys((self._number(each, word) for word in each.args[:-1]), each.args[-1])
                case _:
                    self._common(each, server.base, upstreams)
        server.listen = server.listen or [("0.0.0.0", 80)]
        server.names = server.names or [""]
        for each in locations:
            kind, path = (each.args[0], each.args[1]) if len(each.args) > 1 else ("", each.args[0])
            base = server.base
            location = Location(
                kind=kind, path=path, root=base.root, index=base.index, default_type=base.default_type, headers=[*base.headers]
            )
            for inner in each.block or ():
                self._common(inner, location, upstreams)
            server.locations.append(location)
        return server

    def _common(self, each: Directive, location: Location, upstreams: dict[str, Directive]) -> None:
        """What may stand in a server and in a location."""
        settings: dict[str, Callable[[], None]] = {
            "root": lambda: setattr(location, "root", each.args[0].rstrip("/")),
            "alias": lambda: setattr(location, "alias", each.args[0]),
            "index": lambda: setattr(location, "index", tuple(each.args)),
            "default_type": lambda: setattr(location, "default_type", each.args[0]),
            "add_header": lambda: location.headers.append((each.args[0], each.args[1])),
            "proxy_set_header": lambda: location.proxy_headers.append((each.args[0], each.args[1])),
            "proxy_pass": lambda: setattr(location, "upstream", self._upstream(each, upstreams)),
            "return": lambda: setattr(location, "answer", self._return(each)),
        }
        setting = settings.get(each.name)
        if setting is None:
            self.refuse(each)
            return
        if not each.args:
            raise ConfError(f'invalid number of arguments in "{each.name}" directive in {self.path}:{each.line}')
        for word in each.args:
            for match in VARIABLE.finditer(word):
                name = match[1] or match[2]
                if name not in VARIABLES:
                    raise ConfError(f'unknown "{name}" variable')
        setting()

    def _listen(self, each: Directive) -> tuple[str, int]:
        where = each.args[0]
        if "ssl" in each.args[1:]:
            raise ConfError(f'not simulated: the nginx parameter "ssl" in {self.path}:{each.line}')
        if where.isdigit():
            return "0.0.0.0", int(where)
        address, _, port = where.rpartition(":") if re.search(r":\d+$", where) else (where, "", "80")
        return address.strip("[]") or "0.0.0.0", self._number(each, port)

    def _number(self, each: Directive, word: str) -> int:
        if not word.isdigit():
            raise ConfError(f'invalid value "{word}" in {self.path}:{each.line}')
        return int(word)

    def _return(self, each: Directive) -> tuple[int, str]:
        if each.args[0].startswith(("http://", "https://", "$scheme")):
            return 302, each.args[0]
        return self._number(each, each.args[0]), " ".join(each.args[1:])

    def _upstream(self, each: Directive, upstreams: dict[str, Directive]) -> str:
        scheme, separator, rest = each.args[0].partition("://")
        if not separator or scheme not in ("http", "https"):
            raise ConfError(f'invalid URL prefix in {self.path}:{each.line}')
        name, slash, path = rest.partition("/")
        if name not in upstreams:
            return each.args[0]
        servers = [inner for inner in upstreams[name].block or () if inner.name == "server"]
        if len(servers) != 1:
            raise ConfError(f'not simulated: an nginx upstream of {len(servers)} servers in {self.path}:{upstreams[name].line}')
        return f"{scheme}://{servers[0].args[0]}{slash}{path}"
