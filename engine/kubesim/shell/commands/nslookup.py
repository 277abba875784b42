"""nslookup: BIND's, and busybox's two (before 1.29 it asked getaddrinfo and named the server; since then it asks by itself)."""

from __future__ import annotations

import ipaddress

from kubesim.dns import resolver
from kubesim.dns.answers import Answer, Question, absolute
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, not_simulated
from kubesim.shell.context import busybox as is_busybox


async def run(ctx: Context) -> int:
    kind, words, port, timeout = "", [], 53, 5.0
    for arg in ctx.args:
        if arg.startswith("-"):
            name, _, value = arg.lstrip("-").partition("=")
            if name in ("type", "q", "query", "querytype", "ty"):
                kind = value.upper()
            elif name == "port":
                port = int(value)
            elif name == "timeout":
                timeout = float(value)
            elif name not in ("debug", "nosearch", "search", "recurse"):
                raise not_simulated(ctx, f"the option {arg}")
        else:
            words.append(arg)
    if not words:
        raise not_simulated(ctx, "its own prompt; give a name")
    settings = resolver.config(ctx.machine.files)
    server = words[1] if len(words) > 1 else settings.servers[0]
    try:
        address = await sockets.resolve_one(ctx.machine, server)
    except sockets.Failed:
        raise Usage(f"nslookup: couldn't get address for '{server}': not found\n") from None
    # Where dig is, there are BIND's tools: on Alpine they take busybox's place (bind-tools; agnhost has them).
    busybox = ctx.name == "busybox nslookup" or (is_busybox(ctx.machine) and "dig" not in ctx.machine.tools)
    if busybox and "apt-get" in ctx.machine.tools:
        return await _old_busybox(ctx, words[0], server, address)
    return await _Asking(ctx, settings, server, address, port, timeout, busybox).all(words[0], kind)


async def _old_busybox(ctx: Context, name: str, server: str, address: str) -> int:
    """busybox before 1.29, networking/nslookup.c: print_host."""

    async def show(title: str, addresses: list[str]) -> None:
        ctx.print(f"{title}")
        for number, each in enumerate(addresses, 1):
            found = await sockets.reverse(ctx.machine, each)
            ctx.print(f"Address {number}: {each}" + (f" {found}" if found else ""))

    await show(f"Server:    {server}", [address])
    ctx.print()
    try:
        addresses = await sockets.resolve(ctx.machine, name)
    except sockets.Failed as error:
        ctx.complain(f"nslookup: can't resolve '{name}': {error}")
        return 1
    await show(f"Name:      {name}", addresses)
    return 0


class _Asking:
    def __init__(
        self,
        ctx: Context,
        settings: resolver.Config,
        server: str,
        address: str,
        port: int,
        timeout: float,
        busybox: bool,
    ) -> None:
        self.ctx = ctx
        self.settings = settings
        self.server = server
        self.address = address
        self.port = port
        self.timeout = timeout
        self.busybox = busybox

    async def _ask(self, name: str, types: list[str]) -> list[resolver.Lookup]:
        found: list[resolver.Lookup] = []
        for _ in range(self.settings.attempts + 1):
            found = await resolver.ask(
                self.ctx.machine,
                self.address,
                [Question(name, each) for each in types],
                port=self.port,
                timeout=self.timeout,
            )
            if any(each.answer for each in found):
                break
        return found

    def _no_server(self) -> int:
        ctx = self.ctx
        if self.busybox:
            ctx.print(";; connection timed out; no servers could be reached\n")
        else:
            for _ in range(self.settings.attempts + 1):
                ctx.print(f";; communications error to {self.address}#{self.port}: timed out")
            ctx.print(";; no servers could be reached\n")
        return 1

    async def all(self, name: str, kind: str) -> int:
        ctx = self.ctx
        try:
            pointer = ipaddress.ip_address(name).reverse_pointer
        except ValueError:
            pointer = ""
        if pointer:
            names, types = [absolute(pointer)], ["PTR"]
        else:
            names, types = resolver.candidates(name, self.settings), [kind] if kind else ["A", "AAAA"]
        head = False
        missing: list[tuple[str, str]] = []
        for each in names:
            asked = await self._ask(each, types)
            if not any(one.answer for one in asked):
                return self._no_server()
            if not head:
                mark = ":" if self.busybox else "#"
                ctx.print(
                    f"Server:\t\t{self.server if not self.busybox else self.address}\nAddress:\t{self.address}{mark}{self.port}\n"
                )
                head = True
            answers = [one.answer for one in asked if one.answer is not None]
            if any(answer.answer for answer in answers):
                self._show(answers)
                return 0
            rcode = answers[0].rcode
            missing.append((each.rstrip("."), rcode))
            if rcode == "NOERROR" and not self.busybox:
                ctx.print(f"*** Can't find {name}: No answer\n")
                return 1
            if self.busybox:
                ctx.print(
                    f"*** Can't find {each.rstrip('.')}: No answer\n"
                    if rcode == "NOERROR"
                    else f"** server can't find {each.rstrip('.')}: {rcode}\n"
                )
        if not self.busybox:
            shown = pointer or name
            ctx.print(f"** server can't find {shown}: {missing[-1][1]}\n")
        return 1

    def _show(self, answers: list[Answer]) -> None:
        ctx = self.ctx
        if not answers[0].authoritative:
            ctx.print("Non-authoritative answer:")
        done: set[str] = set()
        for answer in answers:
            for record in answer.answer:
                name = record.name.rstrip(".")
                data = record.data
                if record.type in ("A", "AAAA"):
                    text = f"Name:\t{name}\nAddress: {data}"
                elif record.type == "CNAME":
                    text = f"{name}\tcanonical name = {data if not self.busybox else data.rstrip('.')}" + (
                        "." if not data.endswith(".") and not self.busybox else ""
                    )
                elif record.type == "PTR":
                    text = f"{name}\tname = {data if not self.busybox else data.rstrip('.')}"
                elif record.type == "SRV":
                    text = f"{name}\tservice = {data}"
                elif record.type == "TXT":
                    text = f"{name}\ttext = {data}"
                elif record.type in ("NS", "MX"):
                    text = f"{name}\t{'nameserver' if record.type == 'NS' else 'mail exchanger'} = {data}"
                else:
                    text = f"{name}\t{record.type} = {data}"
                if text not in done:
                    ctx.print(text)
                    done.add(text)
            if self.busybox and answer.answer:
                ctx.print()
        if not self.busybox:
            ctx.print()
