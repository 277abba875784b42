"""curl: see `kubesim.shell.curl`."""

from __future__ import annotations

import posixpath

from kubesim.programs import http
from kubesim.shell.context import Context
from kubesim.shell.curl import VERSION, meter, urls, writeout
from kubesim.shell.curl.options import Options, parse
from kubesim.shell.curl.transfer import Transfer
from kubesim.shell.streams import decode

# Transient: --retry tries these again (src/tool_operate.c).
TRANSIENT_CODES = (6, 7, 28)
TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)


async def run(ctx: Context) -> int:
    options = parse(ctx.args)
    if "version" in options.flags:
        ctx.print(
            f"curl {VERSION} (x86_64-pc-linux-gnu) libcurl/{VERSION} OpenSSL/3.0.13 zlib/1.3\n"
            "Release-Date: 2023-12-06\nProtocols: http https"
        )
        return 0
    if "help" in options.flags:
        ctx.print("Usage: curl [options...] <url>")
        return 0
    if not options.urls:
        ctx.complain("curl: (2) no URL specified\ncurl: try 'curl --help' or 'curl --manual' for more information")
        return 2
    clients: dict[tuple[str, str, int], http.Client] = {}
    status = 0
    number = 0
    meter_shown = False
    try:
        for place, pattern in enumerate(options.urls):
            name = options.outputs[place] if place < len(options.outputs) else None
            for url in [pattern] if "globoff" in options.flags else urls.globbed(pattern):
                attempt = _Attempt(ctx, options, url, name, number, clients, meter_shown)
                status = await attempt.with_retries()
                meter_shown = meter_shown or attempt.metered
                number += 1
                if status and "fail-early" in options.flags:
                    return status
    finally:
        for client in clients.values():
            client.close()
    return status


class _Attempt:
    """One URL, tried until it works or --retry is used up."""

    def __init__(
        self,
        ctx: Context,
        options: Options,
        url: str,
        name: str | None,
        number: int,
        clients: dict[tuple[str, str, int], http.Client],
        meter_shown: bool,
    ) -> None:
        self.ctx = ctx
        self.options = options
        self.url = url
        self.number = number
        self.clients = clients
        self.path = self._path(name)
        self.metered = self._wants_meter()
        self.meter_shown = meter_shown
        self._created = False

    def _path(self, name: str | None) -> str | None:
        """The file the body goes to; None for stdout."""
        if name is None and "remote-name-all" not in self.options.flags:
            return None
        if name == "-":
            return None
        if not name:
            base = posixpath.basename(urls.parse(self.url).target.partition("?")[0])
            name = base or "curl_response"
        folder = self.options.values.get("output-dir")
        return self.ctx.path(posixpath.join(folder, name) if folder else name)

    def _wants_meter(self) -> bool:
        flags = self.options.flags
        if "silent" in flags or "no-progress-meter" in flags or "progress-bar" in flags:
            return False
        return self.path is not None or not self.ctx.terminal

    def _write(self, data: bytes) -> None:
        if self.path is None:
            self.ctx.out.write(decode(data))
        elif self.path != "/dev/null":
            if not self._created:
                if "create-dirs" in self.options.flags:
                    self.ctx.files.mkdir(posixpath.dirname(self.path), parents=True)
                self.ctx.files.write(self.path, b"")
                self._created = True
            self.ctx.files.append(self.path, data)

    async def with_retries(self) -> int:
        left = self.options.number("retry", 0)
        pause = self.options.seconds("retry-delay")
        backoff = 1.0
        while True:
            status, transient = await self._once()
            if not transient or left <= 0:
                return status
            wait = pause if pause is not None else backoff
            if "silent" not in self.options.flags:
                plural = "y" if left == 1 else "ies"
                self.ctx.complain(
                    f"Warning: Problem: {transient}. Will retry in {wait:.0f} seconds. {left} retr{plural} left."
                )
            left -= 1
            backoff = min(backoff * 2, 600.0)
            await self.ctx.world.sleep(wait)

    async def _once(self) -> tuple[int, str]:
        """The exit status, and why trying again may help ("" if not)."""
        ctx, flags = self.ctx, self.options.flags
        transfer = Transfer(ctx, self.options, self._write, self.clients)
        if self.metered:
            if not self.meter_shown:
                ctx.err.write(meter.HEAD)
                self.meter_shown = True
            ctx.err.write(meter.line(0, 0, None, 0))
        code, message = 0, ""
        try:
            await transfer.run(self.url)
        except urls.Bad as bad:
            code, message = bad.code, bad.message
        facts = transfer.facts
        if self.metered:
            spent = facts.times.get("total", 0.0)
            for second in range(1, int(spent) + 1):
                ctx.err.write(meter.line(second, 0, None, 0))
            ctx.err.write(meter.line(spent, facts.downloaded, facts.expected, facts.uploaded) + "\n")
        if message and ("silent" not in flags or "show-error" in flags):
            ctx.complain(f"curl: ({code}) {message}")
        if "write-out" in self.options.values:
            text = self.options.values["write-out"]
            if text.startswith("@"):
                text = ctx.files.read(ctx.path(text[1:]))
            ctx.out.write(writeout.expand(text, facts, code, message, self.number))
        return code, self._transient(code, facts.status)

    def _transient(self, code: int, status: int) -> str:
        flags = self.options.flags
        if code == 7 and not ({"retry-connrefused", "retry-all-errors"} & flags):
            return ""
        if code in TRANSIENT_CODES:
            return {6: "timeout", 7: "connection refused", 28: "timeout"}[code]
        if code in (0, 22) and status in TRANSIENT_STATUSES:
            return "HTTP error"
        return "(retrying all errors)" if code and "retry-all-errors" in flags else ""
