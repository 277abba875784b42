"""One URL fetched: resolve, connect, hand shake, ask, read, follow redirects; what goes wrong becomes curl's exit status."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from kubesim import ids
from kubesim.net import errors
from kubesim.net.address import is_address
from kubesim.programs import http, tls
from kubesim.shell import sockets
from kubesim.shell.context import Context
from kubesim.shell.curl import VERSION, urls
from kubesim.shell.curl.options import Options
from kubesim.shell.curl.urls import Bad, Url
from kubesim.world import TimedOut

# lib/connect.h: DEFAULT_CONNECT_TIMEOUT is 300 s; the kernel gives up before.
CONNECT_TIMEOUT = 300.0
REDIRECTS = (301, 302, 303, 307, 308)
ROOTS = "/etc/ssl/certs/ca-certificates.crt"
CERTIFICATE_HELP = (
    "\nMore details here: https://curl.se/docs/sslcerts.html\n\n"
    "curl failed to verify the legitimacy of the server and therefore could not\n"
    "establish a secure connection to it. To learn more about this situation and\n"
    "how to fix it, please visit the web page mentioned above."
)
# X509_V_ERR_* of what may go wrong, for the line of -v with -k.
VERIFY_CODES = {
    "self-signed certificate": 18,
    "unable to get local issuer certificate": 20,
    "certificate has expired": 10,
}


@dataclass
class Facts:
    """What -w and the meter ask about a transfer.  Times in seconds since its start."""

    url: str = ""
    status: int = 0
    version: str = "0"
    method: str = "GET"
    scheme: str = ""
    content_type: str = ""
    redirect_url: str = ""
    remote: tuple[str, int] = ("", 0)
    local: tuple[str, int] = ("", 0)
    redirects: int = 0
    connects: int = 0
    downloaded: int = 0
    expected: int | None = None
    uploaded: int = 0
    headers_size: int = 0
    verify: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)


class Transfer:
    """`write(data, head)` takes what is received: head lines for -i and -I, and the body."""

    def __init__(
        self,
        ctx: Context,
        options: Options,
        write: Callable[[bytes], None],
        reuse: dict[tuple[str, str, int], http.Client],
    ) -> None:
        self.ctx = ctx
        self.options = options
        self.facts = Facts()
        self._write = write
        self._clients = reuse
        self._began = ctx.world.now
        self._phase = "resolve"
        # The connection in use: closed when the transfer fails or is given up.
        self._wire: http.Wire | None = None
        self._cookies: dict[str, str] = {}

    # -- what -v says ---------------------------------------------------------------------------------------

    def tell(self, text: str, mark: str = "* ") -> None:
        if "verbose" in self.options.flags:
            self.ctx.err.write(f"{mark}{text}\n")

    @property
    def _spent(self) -> float:
        return self.ctx.world.now - self._began

    def _time(self, name: str) -> None:
        self.facts.times.setdefault(name, self._spent)

    # -- the whole ------------------------------------------------------------------------------------------

    async def run(self, text: str) -> None:
        """Fetch; raises Bad with curl's exit status and message."""
        limit = self.options.seconds("max-time")
        try:
            await self.ctx.world.wait_for(self._follow(urls.parse(text, "path-as-is" in self.options.flags)), limit)
        except TimedOut:
            spent = f"{self._spent * 1000 + 1:.0f}"
            received = self.facts.downloaded
            known = self.facts.expected
            raise Bad(
                28,
                {
                    "resolve": f"Resolving timed out after {spent} milliseconds",
                    "connect": f"Connection timed out after {spent} milliseconds",
                    "tls": "SSL connection timeout",
                    "transfer": f"Operation timed out after {spent} milliseconds with {received}"
                    + (f" out of {known}" if known is not None and received else "")
                    + " bytes received",
                }[self._phase],
            ) from None
        finally:
            self._time("total")
            if self._wire is not None:
                self._wire.close()

    async def _follow(self, url: Url) -> None:
        follow = "location" in self.options.flags or "location-trusted" in self.options.flags
        most = self.options.number("max-redirs", 50)
        method, body = self._method(), self._body()
        if "get" in self.options.flags and body:
            mark = "&" if "?" in url.target else "?"
            url = urls.parse(f"{url.scheme}://{url.authority}{url.target}{mark}{body.decode()}")
            body = b""
        origin = url.host
        while True:
            reply = await self._once(url, method, body, trusted=url.host == origin)
            location = reply.header("location")
            self.facts.redirect_url = str(urls.join(url, location)) if location and reply.status in REDIRECTS else ""
            if not (follow and self.facts.redirect_url):
                return
            if self.facts.redirects >= most >= 0:
                raise Bad(47, f"Maximum ({most}) redirects followed")
            self.facts.redirects += 1
            url = urls.join(url, location)
            self.tell(f"Issue another request to this URL: '{url}'")
            if reply.status in (301, 302, 303) and method == "POST" and "request" not in self.options.values:
                method, body = "GET", b""

    def _method(self) -> str:
        if "request" in self.options.values:
            return self.options.values["request"]
        if "head" in self.options.flags:
            return "HEAD"
        return "POST" if self.options.data and "get" not in self.options.flags else "GET"

    def _body(self) -> bytes:
        parts = []
        for kind, text in self.options.data:
            if kind == "data-urlencode":
                name, mark, value = text.partition("=")
                parts.append(((name + "=" if name and mark else "") + _quoted(value if mark else name)).encode())
            elif text.startswith("@") and kind != "data-raw":
                data = self.ctx.files.read_bytes(self.ctx.path(text[1:]))
                parts.append(data if kind in ("data-binary", "json") else data.replace(b"\n", b"").replace(b"\r", b""))
            else:
                parts.append(text.encode("utf-8", "surrogateescape"))
        return (b"" if any(kind == "json" for kind, _ in self.options.data) else b"&").join(parts)

    # -- one request ----------------------------------------------------------------------------------------

    async def _once(self, url: Url, method: str, body: bytes, trusted: bool) -> http.Reply:
        facts = self.facts
        facts.url, facts.scheme, facts.method = str(url), url.scheme, method
        key = (url.scheme, url.host, url.port)
        client = self._clients.pop(key, None)
        if client is not None and client.reusable:
            self.tell(f"Re-using existing connection with host {url.host}")
            for name in ("namelookup", "connect"):
                self._time(name)
        else:
            client = http.Client(await self._connect(url))
            facts.connects += 1
        self._wire = client.wire
        facts.remote, facts.local = client.wire.peer, client.wire.local
        headers = self._headers(url, body, trusted)
        self.tell(f"{method} {url.target} HTTP/1.1", "> ")
        for name, value in headers:
            self.tell(f"{name}: {value}", "> ")
        self.tell("", "> ")
        self._phase = "transfer"
        self._time("pretransfer")
        try:
            await client.send(method, url.target, headers, body)
            facts.uploaded = len(body)
            reply = await client.receive()
            self._time("starttransfer")
            await self._read(url, method, reply)
        except http.EmptyReply:
            self.tell("Empty reply from server")
            raise Bad(52, "Empty reply from server") from None
        except http.NotHttp:
            raise Bad(1, "Received HTTP/0.9 when not allowed") from None
        except http.Cut:
            left = (facts.expected or 0) - facts.downloaded
            what = (
                f"transfer closed with {left} bytes remaining to read"
                if facts.expected
                else "transfer closed with outstanding read data remaining"
            )
            raise Bad(18, what) from None
        except (errors.Reset, errors.BrokenPipe) as error:
            self.tell(f"Recv failure: {error}")
            raise Bad(56, f"Recv failure: {error}") from None
        except errors.TimedOut as error:
            raise Bad(56, f"Recv failure: {error}") from None
        except tls.TlsError as error:
            raise Bad(56, f"OpenSSL SSL_read: {error}, errno 0") from None
        self._wire = None
        if client.reusable:
            self._clients[key] = client
            self.tell(f"Connection #{len(self._clients) - 1} to host {url.host} left intact")
        else:
            client.close()
            self.tell("Closing connection")
        return reply

    def _headers(self, url: Url, body: bytes, trusted: bool) -> http.Headers:
        options = self.options
        found: http.Headers = [("Host", url.authority)]
        user = options.values.get("user") or url.user
        if user and trusted:
            found.append(("Authorization", "Basic " + base64.b64encode(user.encode()).decode()))
        if "oauth2-bearer" in options.values:
            found.append(("Authorization", "Bearer " + options.values["oauth2-bearer"]))
        if "range" in options.values:
            found.append(("Range", "bytes=" + options.values["range"]))
        found.append(("User-Agent", options.values.get("user-agent", f"curl/{VERSION}")))
        found.append(("Accept", "*/*"))
        if "compressed" in options.flags:
            found.append(("Accept-Encoding", "deflate, gzip"))
        if "referer" in options.values:
            found.append(("Referer", options.values["referer"]))
        cookies = "; ".join([*(each for each in options.cookies if "=" in each), *self._jar(url)])
        if cookies:
            found.append(("Cookie", cookies))
        if body:
            kind = "application/x-www-form-urlencoded"
            if any(name == "json" for name, _ in options.data):
                kind = "application/json"
                found[-1 if not cookies else -2] = (
                    ("Accept", "application/json") if "referer" not in options.values else found[-1]
                )
            found += [("Content-Length", str(len(body))), ("Content-Type", kind)]
        for text in options.headers:
            name, mark, value = text.partition(":")
            if not mark and text.endswith(";"):
                name, value = text[:-1], ""
            place = next((index for index, each in enumerate(found) if each[0].lower() == name.lower()), None)
            if mark and not value.strip():
                found = [each for each in found if each[0].lower() != name.lower()]
            elif place is not None:
                found[place] = (name, value.strip())
            else:
                found.append((name, value.strip()))
        return [each for each in found if each[1] or each[0].lower() != "user-agent"]

    def _jar(self, url: Url) -> list[str]:
        """Cookies from the file that -b names, and those that came with an earlier answer."""
        for name in self.options.cookies:
            path = self.ctx.path(name)
            if "=" not in name and self.ctx.files.is_file(path):
                for line in self.ctx.files.read(path).splitlines():
                    fields = line.removeprefix("#HttpOnly_").split("\t")
                    if len(fields) == 7 and not line.startswith("# ") and url.host.endswith(fields[0].lstrip(".")):
                        self._cookies.setdefault(fields[5], fields[6])
        return [f"{name}={value}" for name, value in self._cookies.items()]

    async def _read(self, url: Url, method: str, reply: http.Reply) -> None:
        facts, flags = self.facts, self.options.flags
        facts.status, facts.version, facts.headers = reply.status, reply.version, reply.headers
        facts.content_type = reply.header("content-type")
        length = reply.header("content-length")
        facts.expected = int(length) if length.isdigit() and method != "HEAD" else None
        lines = [
            f"HTTP/{reply.version} {reply.status} {reply.reason}".rstrip(" ")
            if not reply.reason
            else f"HTTP/{reply.version} {reply.status} {reply.reason}"
        ]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
        facts.headers_size += len(head)
        for line in [*lines, ""]:
            self.tell(line, "< ")
        self._keep_cookies(url, reply)
        if "dump-header" in self.options.values:
            self._dump(head)
        failed = reply.status >= 400 and ("fail" in flags or "fail-with-body" in flags)
        if ("include" in flags or "head" in flags) and not (failed and "fail" in flags):
            self._write(head)
        if failed and "fail" in flags:
            raise Bad(22, f"The requested URL returned error: {reply.status}")
        redirected = (
            reply.status in REDIRECTS and reply.header("location") and ({"location", "location-trusted"} & flags)
        )
        if method == "HEAD":
            await reply.read()
            return
        if redirected:
            await reply.read()
            self.tell("Ignoring the response-body")
            return
        async for piece in reply.pieces():
            facts.downloaded += len(piece)
            if "silent" in flags or not self.ctx.terminal:
                self.tell(f"[{len(piece)} bytes data]", "{ ")
            self._write(piece)
        if failed:
            raise Bad(22, f"The requested URL returned error: {reply.status}")

    def _dump(self, head: bytes) -> None:
        name = self.options.values["dump-header"]
        if name == "-":
            self.ctx.out.write(head.decode("latin-1"))
        else:
            self.ctx.files.append(self.ctx.path(name), head)

    def _keep_cookies(self, url: Url, reply: http.Reply) -> None:
        if not self.options.cookies and "cookie-jar" not in self.options.values:
            return
        for name, value in reply.headers:
            if name.lower() == "set-cookie":
                key, _, text = value.split(";")[0].strip().partition("=")
                self._cookies[key] = text
        if "cookie-jar" in self.options.values:
            head = "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n"
            rows = "".join(f"{url.host}\tFALSE\t/\tFALSE\t0\t{key}\t{value}\n" for key, value in self._cookies.items())
            if self.options.values["cookie-jar"] == "-":
                self.ctx.out.write(head + rows)
            else:
                self.ctx.files.write(self.ctx.path(self.options.values["cookie-jar"]), head + rows)

    # -- the connection -------------------------------------------------------------------------------------

    async def _addresses(self, url: Url) -> list[str]:
        for text in self.options.resolve:
            host, port, address = text.lstrip("+-").split(":", 2)
            if host in (url.host, "*") and int(port) == url.port:
                self.tell(f"Added {host}:{port}:{address} to DNS cache")
                return [each.strip("[]") for each in address.split(",")]
        family = 4 if "ipv4" in self.options.flags else 6 if "ipv6" in self.options.flags else 0
        try:
            return await sockets.resolve(self.ctx.machine, url.host, family)
        except sockets.Failed:
            self.tell(f"Could not resolve host: {url.host}")
            self.tell("Closing connection")
            raise Bad(6, f"Could not resolve host: {url.host}") from None

    def _destination(self, url: Url) -> Url:
        """--connect-to HOST1:PORT1:HOST2:PORT2"""
        for text in self.options.connect_to:
            host, port, other, number = text.split(":")
            if host in ("", url.host) and port in ("", str(url.port)):
                return Url(scheme=url.scheme, host=other or url.host, port=int(number or url.port), target="/")
        return url

    def _source(self, address: str) -> str | None:
        """--interface: an address of this machine, or an interface whose first one is taken."""
        given = self.options.values.get("interface", "")
        name = given.removeprefix("if!").removeprefix("host!")
        if not given or is_address(name):
            return name or None
        own = self.ctx.machine.net.interfaces.get(name)
        found = next((each.ip for each in own.addresses if (":" in each.ip) == (":" in address)), "") if own else ""
        if not found:
            raise Bad(45, f"bind failed with errno 99: Couldn't bind to '{given}'")
        return found

    async def _connect(self, url: Url) -> http.Wire:
        self._phase = "resolve"
        where = self._destination(url)
        addresses = await self._addresses(where)
        self._time("namelookup")
        self._phase = "connect"
        limit = self.options.seconds("connect-timeout")
        began = self.ctx.world.now
        failure: errors.NetError | None = None
        for address in addresses:
            shown = f"[{address}]" if ":" in address else address
            self.tell(f"  Trying {shown}:{where.port}...")
            left = (limit or CONNECT_TIMEOUT) - (self.ctx.world.now - began)
            source = self._source(address)
            try:
                wire = await self.ctx.machine.net.connect(address, where.port, source=source, timeout=max(left, 0.001))
            except errors.NetError as error:
                failure = error
                spent = self.ctx.world.now - began
                if isinstance(error, errors.TimedOut) and spent >= (limit or CONNECT_TIMEOUT) - 0.001:
                    self.tell("Connection timed out")
                    raise Bad(28, f"Connection timed out after {spent * 1000 + 1:.0f} milliseconds") from None
                self.tell(f"connect to {address} port {where.port} failed: {error}")
                continue
            self.tell(f"Connected to {url.host} ({address}) port {where.port}")
            self._time("connect")
            self._wire = wire
            return await self._secured(wire, url) if url.scheme == "https" else wire
        spent = self.ctx.world.now - began
        message = f"Failed to connect to {where.host} port {where.port} after {spent * 1000:.0f} ms: Couldn't connect to server"
        self.tell(message)
        self.tell("Closing connection")
        raise Bad(28 if isinstance(failure, errors.TimedOut) else 7, message)

    async def _secured(self, wire: http.Wire, url: Url) -> http.Wire:
        self._phase = "tls"
        self.tell("ALPN: curl offers h2,http/1.1")
        self.tell("TLSv1.3 (OUT), TLS handshake, Client hello (1):")
        verify = "insecure" not in self.options.flags
        roots = self._roots()
        if verify:
            self.tell(f" CAfile: {self.options.values.get('cacert', ROOTS)}")
        trust = tls.Trust(roots=roots, now=self.ctx.world.now, verify=verify)
        try:
            connection = await tls.connect(
                wire,
                url.host,
                trust,
                protocols=("h2", "http/1.1"),
                versions=self._versions(),
                certificate=self._certificate(),
            )
        except tls.NotTls:
            raise Bad(35, "error:0A00010B:SSL routines::wrong version number") from None
        except tls.CertificateError as error:
            what = f"SSL: {error}" if "subject name" in str(error) else f"SSL certificate problem: {error}"
            self.tell(what)
            raise Bad(60, what + CERTIFICATE_HELP) from None
        except (tls.Closed, errors.Reset, errors.BrokenPipe) as error:
            reset = isinstance(error, errors.NetError)
            what = "OpenSSL SSL_connect: " + ("Connection reset by peer" if reset else "SSL_ERROR_SYSCALL")
            raise Bad(35, f"{what} in connection to {url.host}:{url.port} ") from None
        except tls.TlsError as error:
            words = str(error).rpartition("tls: ")[2]
            raise Bad(35, f"error:0A000410:SSL routines::tlsv1 alert {words}") from None
        self._tell_session(connection.session, roots)
        self._time("appconnect")
        return connection

    def _versions(self) -> tuple[str, ...]:
        most = self.options.values.get("tls-max")
        if most == "1.2":
            return ("TLSv1.2",)
        return ("TLSv1.3",) if "tlsv1.3" in self.options.flags else tls.VERSIONS

    def _roots(self) -> frozenset[str]:
        name = self.options.values.get("cacert")
        path = self.ctx.path(name) if name else ROOTS
        if not self.ctx.files.is_file(path):
            if name:
                raise Bad(77, f"error setting certificate file: {name}")
            return frozenset()
        try:
            return frozenset(each.key for each in tls.certificates(self.ctx.files.read(path)))
        except ValueError:
            raise Bad(77, f"error setting certificate file: {name or path}") from None

    def _certificate(self) -> tls.Certificate | None:
        name = self.options.values.get("cert")
        if name is None:
            return None
        path = self.ctx.path(name)
        if not self.ctx.files.is_file(path):
            raise Bad(
                58,
                f"could not load PEM client certificate from {name}, "
                "OpenSSL error error:80000002:system library::No such file or directory",
            )
        return tls.certificates(self.ctx.files.read(path))[0]

    def _tell_session(self, session: tls.Session, roots: frozenset[str]) -> None:
        self.tell(f"SSL connection using {session.version} / {session.cipher}")
        self.tell(
            f"ALPN: server accepted {session.protocol}"
            if session.protocol
            else "ALPN: server did not agree on a protocol. Uses default."
        )
        if session.chain:
            first = session.chain[0]
            self.tell("Server certificate:")
            self.tell(f" subject: {first.subject}")
            self.tell(f" start date: {_date(first.not_before)}")
            self.tell(f" expire date: {_date(first.not_after)}")
            self.tell(f" issuer: {first.issuer}")
        try:
            tls.Trust(roots=roots, now=self.ctx.world.now).check(session.chain, "")
            self.tell(" SSL certificate verify ok.")
        except tls.CertificateError as error:
            self.facts.verify = VERIFY_CODES.get(str(error), 1)
            self.tell(f" SSL certificate verify result: {error} ({self.facts.verify}), continuing anyway.")
        self.tell("using HTTP/1.x")


def _date(seconds: float) -> str:
    """ASN1_TIME_print."""
    stamp = ids.utc(seconds)
    return f"{http.MONTHS[stamp.month - 1]} {stamp.day:2d} {stamp:%H:%M:%S} {stamp.year} GMT"


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
