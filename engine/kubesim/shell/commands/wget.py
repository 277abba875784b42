"""wget: GNU's (1.21) and busybox's, for http and https."""

from __future__ import annotations

import posixpath
from urllib.parse import urlsplit

from kubesim import ids
from kubesim.net import errors
from kubesim.programs import http, tls
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, busybox, options
from kubesim.shell.curl import urls
from kubesim.shell.streams import decode
from kubesim.world import TimedOut

LONG_FLAGS = (
    "quiet",
    "no-check-certificate",
    "spider",
    "server-response",
    "verbose",
    "no-verbose",
    "content-on-error",
    "no-proxy",
)
LONG_VALUES = (
    "output-document",
    "timeout",
    "tries",
    "header",
    "post-data",
    "user-agent",
    "max-redirect",
    "method",
    "connect-timeout",
)


async def run(ctx: Context) -> int:
    found, rest = options(
        ctx.args,
        flags="qScvNx46bE",
        values="OTtYUP",
        long_flags=LONG_FLAGS,
        long_values=LONG_VALUES,
        name="wget",
    )
    if not rest:
        raise Usage("wget: missing URL\nUsage: wget [OPTION]... [URL]...\n\nTry `wget --help' for more options.\n")
    plain = busybox(ctx.machine)
    status = 0
    for url in rest:
        status = await _Fetch(ctx, found, plain).run(url) or status
    return status


class _Problem(Exception):
    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Fetch:
    def __init__(self, ctx: Context, found: dict[str, list[str]], busybox: bool) -> None:
        self.ctx = ctx
        self.found = found
        self.busybox = busybox
        self.quiet = "q" in found or "quiet" in found
        seconds = (found.get("T") or found.get("timeout") or ["900"])[-1]
        self.timeout = float(seconds)
        self.tries = int((found.get("t") or found.get("tries") or ["1" if busybox else "20"])[-1]) or 20
        self.output = (found.get("O") or found.get("output-document") or [""])[-1]

    def _tell(self, text: str, gnu: bool = True) -> None:
        if not self.quiet and gnu != self.busybox:
            self.ctx.err.write(text)

    def _stamp(self) -> str:
        return ids.utc(self.ctx.world.now).strftime("%Y-%m-%d %H:%M:%S")

    async def run(self, text: str) -> int:
        for attempt in range(1, self.tries + 1):
            try:
                url = urls.parse(text)
                for _ in range(21):
                    tried = f"(try:{attempt:2d})  " if attempt > 1 else ""
                    self._tell(f"--{self._stamp()}--  {tried}{url}\n")
                    location = await self._once(url)
                    if not location:
                        return 0
                    url = urls.join(url, location)
                    self._tell(f"Location: {location} [following]\n")
                raise _Problem(8, "20 redirections exceeded.")
            except urls.Bad as bad:
                self._complain(f"wget: not an http or ftp url: {text}" if self.busybox else f"{text}: {bad.message}.")
                return 1
            except _Problem as problem:
                if problem.code != 0:
                    self._complain(problem.message)
                    return problem.code
                if attempt == self.tries:
                    self._tell("Giving up.\n\n")
                    return 4
                self._tell("Retrying.\n\n")
                await self.ctx.world.sleep(min(attempt, 10))
        return 4

    def _complain(self, text: str) -> None:
        if text and (self.busybox or not self.quiet):
            self.ctx.complain(text)

    async def _once(self, url: urls.Url) -> str:
        """The place of a redirect, "" when done."""
        ctx = self.ctx
        literal = url.host.replace(".", "").isdigit() or ":" in url.host
        try:
            addresses = await sockets.resolve(ctx.machine, url.host)
        except sockets.Failed as error:
            self._tell(f"Resolving {url.host} ({url.host})... failed: {error}.\n")
            raise _Problem(
                1 if self.busybox else 4,
                f"wget: bad address '{url.host}'"
                if self.busybox
                else f"wget: unable to resolve host address ‘{url.host}’",
            ) from None
        if not literal:
            self._tell(f"Resolving {url.host} ({url.host})... {', '.join(addresses)}\n")
        wire = await self._connect(url, addresses, literal)
        client = http.Client(wire)
        try:
            return await ctx.world.wait_for(self._exchange(url, client), self.timeout)
        except TimedOut:
            self._tell("Read error (Connection timed out) in headers.\n")
            raise _Problem(1 if self.busybox else 0, "wget: download timed out" if self.busybox else "") from None
        except http.EmptyReply:
            self._tell("No data received.\n")
            raise _Problem(1 if self.busybox else 0, "wget: error getting response" if self.busybox else "") from None
        except (http.HttpError, errors.NetError) as error:
            self._tell(f"Read error ({error}) in headers.\n")
            raise _Problem(1 if self.busybox else 0, "wget: error getting response" if self.busybox else "") from None
        finally:
            client.close()

    async def _connect(self, url: urls.Url, addresses: list[str], literal: bool) -> http.Wire:
        failure: errors.NetError | None = None
        for address in addresses:
            name = f"{address}" if literal else f"{url.host} ({url.host})|{address}|"
            self._tell(f"Connecting to {name}:{url.port}... ")
            where = url.host if url.port == urls.PORTS[url.scheme] else f"{url.host}:{url.port}"
            self._tell(f"Connecting to {where} ({address}:{url.port})\n", gnu=False)
            try:
                wire: http.Wire = await self.ctx.machine.net.connect(
                    address, url.port, timeout=self.timeout, blocking=True
                )
            except errors.NetError as error:
                self._tell(f"failed: {error}.\n")
                failure = error
                continue
            self._tell("connected.\n")
            return await self._secured(wire, url) if url.scheme == "https" else wire
        if self.busybox:
            timed = isinstance(failure, errors.TimedOut) and self.timeout < 127
            raise _Problem(
                1,
                "wget: download timed out"
                if timed
                else f"wget: can't connect to remote host ({addresses[-1]}): {failure}",
            )
        raise _Problem(4 if isinstance(failure, errors.Refused) else 0)

    async def _secured(self, wire: http.Wire, url: urls.Url) -> http.Wire:
        path = "/etc/ssl/certs/ca-certificates.crt"
        files = self.ctx.files
        roots = (
            frozenset(each.key for each in tls.certificates(files.read(path))) if files.is_file(path) else frozenset()
        )
        verify = not self.busybox and "no-check-certificate" not in self.found
        try:
            return await tls.connect(wire, url.host, tls.Trust(roots=roots, now=self.ctx.world.now, verify=verify))
        except tls.CertificateError as error:
            self._tell(f"ERROR: cannot verify {url.host}'s certificate: {error}.\n")
            raise _Problem(5, f"To connect to {url.host} insecurely, use `--no-check-certificate'.") from None
        except tls.TlsError as error:
            raise _Problem(
                1 if self.busybox else 4, f"OpenSSL: error: {error}\nUnable to establish SSL connection."
            ) from None

    async def _exchange(self, url: urls.Url, client: http.Client) -> str:
        agent = "Wget" if self.busybox else (self.found.get("U") or self.found.get("user-agent") or ["Wget/1.21.3"])[-1]
        headers: http.Headers = [("Host", url.authority), ("User-Agent", agent), ("Accept", "*/*")]
        if not self.busybox:
            headers += [("Accept-Encoding", "identity"), ("Connection", "Keep-Alive")]
        else:
            headers.append(("Connection", "close"))
        for text in self.found.get("header", []):
            name, _, value = text.partition(":")
            headers = [each for each in headers if each[0].lower() != name.lower()] + [(name, value.strip())]
        data = (self.found.get("post-data") or [""])[-1].encode()
        spider = "spider" in self.found
        method = (self.found.get("method") or ["POST" if "post-data" in self.found else "HEAD" if spider else "GET"])[
            -1
        ]
        if data:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        self._tell("HTTP request sent, awaiting response... ")
        reply = await client.request(method, url.target, headers, data)
        self._tell(f"{reply.status} {reply.reason}\n")
        if "S" in self.found or "server-response" in self.found:
            for line in [
                f"HTTP/{reply.version} {reply.status} {reply.reason}",
                *(f"{key}: {value}" for key, value in reply.headers),
            ]:
                self.ctx.complain("  " + line)
        if reply.status in (301, 302, 303, 307, 308) and reply.header("location"):
            await reply.read()
            return reply.header("location")
        if reply.status >= 400:
            if self.busybox:
                raise _Problem(1, f"wget: server returned error: HTTP/{reply.version} {reply.status} {reply.reason}")
            raise _Problem(8, f"{self._stamp()} ERROR {reply.status}: {reply.reason}.\n")
        body = await reply.read() if not spider else b""
        self._save(url, reply, body, spider)
        return ""

    def _save(self, url: urls.Url, reply: http.Reply, body: bytes, spider: bool) -> None:
        if spider:
            self._tell("Remote file exists.\n\n")
            return
        stdout = self.output == "-"
        name = self.output or posixpath.basename(urlsplit(url.target).path) or "index.html"
        length = reply.header("content-length")
        kind = reply.header("content-type").split(";")[0]
        self._tell(f"Length: {length or 'unspecified'} [{kind}]\nSaving to: ‘{'STDOUT' if stdout else name}’\n\n")
        self._tell("writing to stdout\n" if stdout else f"saving to '{name}'\n", gnu=False)
        if stdout:
            self.ctx.out.write(decode(body))
        elif name != "/dev/null":
            self.ctx.files.write(self.ctx.path(name), body)
        dots = "." * min(50, len(body) // 1024 + 1)
        percent = "100% " if length else "     "
        self._tell(f"     0K {dots:<50} {percent}{len(body) / 10.24:.2f}K=0.01s\n\n")
        rate = f"({len(body) / 10.24:.2f} KB/s)"
        done = (
            f"written to stdout [{len(body)}{'/' + length if length else ''}]"
            if stdout
            else f"‘{name}’ saved [{len(body)}{'/' + length if length else ''}]"
        )
        self._tell(f"{self._stamp()} {rate} - {done}\n\n")
        shown = "-" if stdout else name
        self._tell(f"{shown:<20} 100% |{'*' * 32}| {len(body):5d}  0:00:00 ETA\n", gnu=False)
        self._tell("written to stdout\n" if stdout else f"'{name}' saved\n", gnu=False)
