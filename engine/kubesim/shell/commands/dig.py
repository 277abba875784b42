"""dig (BIND 9.18)"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from kubesim import ids
from kubesim.dns import resolver, wire
from kubesim.dns.answers import Question, Record, absolute
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, not_simulated, words

VERSION = "9.18.28"
# IANA, DNS EDNS0 Option Codes.
COOKIE = 10
TYPES = words("A AAAA ANY CAA CNAME DNSKEY HTTPS MX NAPTR NS PTR SOA SRV SVCB TXT")
# +option and +nooption that are understood; what they do stands in `_Query.show`.
TOGGLES = words("""
    short search tcp recurse edns cmd comments question answer authority additional stats all ndots ttlid identify qr showsearch
    besteffort cookie dnssec multiline defname trace nssearch
""")


@dataclass
class _Query:
    name: str = "."
    type: str = "A"
    server: str = ""
    port: int = 53
    family: int = 0
    options: dict[str, bool] = field(default_factory=dict)
    timeout: float = 5.0
    tries: int = 3

    def on(self, option: str, default: bool = True) -> bool:
        return self.options.get(option, default)


async def run(ctx: Context) -> int:
    query = _parse(ctx)
    settings = resolver.config(ctx.machine.files)
    server = query.server or settings.servers[0]
    try:
        address = await sockets.resolve_one(ctx.machine, server)
    except sockets.Failed:
        ctx.complain(f"dig: couldn't get address for '{server}': not found")
        return 9
    names = [absolute(query.name)]
    if query.on("search", False) and not query.name.endswith("."):
        names = resolver.candidates(query.name, settings)
    short = query.on("short", False)
    if query.on("cmd") and not short:
        ctx.print(f"\n; <<>> DiG {VERSION} <<>> {' '.join(ctx.args)}\n;; global options: +cmd")
    found = None
    for name in names:
        found = None
        for attempt in range(query.tries):
            if attempt:
                ctx.print(f";; communications error to {address}#{query.port}: {found.error if found else ''}")
            asked = await resolver.ask(
                ctx.machine,
                address,
                [Question(name, query.type)],
                port=query.port,
                timeout=query.timeout,
                edns=1232 if query.on("edns") else 0,
                recursion=query.on("recurse"),
                tcp=query.on("tcp", False),
                cookie=ctx.world.rng("dig").randbytes(8) if query.on("cookie") else b"",
            )
            found = asked[0]
            if found.reply is not None:
                break
        if found is None or found.reply is None:
            error = found.error if found else "timed out"
            ctx.print(f";; communications error to {address}#{query.port}: {error}\n\n;; no servers could be reached")
            return 9
        # dighost.c: the search goes on after an error such as NXDOMAIN, not after an empty answer.
        if found.reply.answer.rcode == "NOERROR":
            break
        if query.on("showsearch", False) and name != names[-1] and not short:
            _show(ctx, query, found, found.reply, server, address)
    assert found is not None
    assert found.reply is not None
    if short:
        for record in found.reply.answer.answer:
            ctx.print(record.data)
        return 0
    _show(ctx, query, found, found.reply, server, address)
    return 0


def _parse(ctx: Context) -> _Query:
    query = _Query()
    args = list(ctx.args)
    named = False
    while args:
        arg = args.pop(0)
        if arg.startswith("@"):
            query.server = arg[1:]
        elif arg.startswith("+"):
            _toggle(ctx, query, arg[1:])
        elif arg in ("-x", "-p", "-t", "-q", "-b", "-c"):
            if not args:
                raise Usage(f"Invalid option: {arg}\n")
            value = args.pop(0)
            if arg == "-x":
                try:
                    query.name, query.type = ipaddress.ip_address(value).reverse_pointer + ".", "PTR"
                except ValueError:
                    raise Usage(f"Invalid IP address {value}\n") from None
            elif arg == "-p":
                query.port = int(value)
            elif arg == "-t":
                query.type = value.upper()
            elif arg == "-q":
                query.name = value
        elif arg in ("-4", "-6"):
            query.family = int(arg[1:])
        elif arg.startswith("-"):
            raise not_simulated(ctx, f"the option {arg}")
        elif arg.upper() in TYPES:
            query.type = arg.upper()
        elif arg.upper() not in ("IN", "CH", "HS"):
            if named:
                raise not_simulated(ctx, "more than one name a command")
            query.name, named = arg, True
    if not named and query.name == ".":
        query.type = "NS"
    return query


def _toggle(ctx: Context, query: _Query, text: str) -> None:
    name, _, value = text.partition("=")
    if name in ("time", "timeout"):
        query.timeout = float(value)
    elif name in ("tries", "retry"):
        query.tries = int(value) + (name == "retry")
    elif name in ("bufsize", "ndots", "domain"):
        return
    elif name == "vc":
        query.options["tcp"] = True
    else:
        on = not name.startswith("no") or name == "notcp"
        bare = name[2:] if not on else name
        if bare not in TOGGLES:
            raise Usage(f"Invalid option: +{text}\n")
        if bare in ("trace", "nssearch", "multiline", "dnssec") and on:
            raise not_simulated(ctx, f"+{bare}")
        if bare == "all":
            for each in ("comments", "question", "answer", "authority", "additional", "stats", "cmd"):
                query.options[each] = on
        else:
            query.options[bare] = on


def _show(ctx: Context, query: _Query, asked: resolver.Lookup, reply: wire.Reply, server: str, address: str) -> None:
    message, answer = reply.message, reply.answer
    edns = message.edns >= 0
    if query.on("comments"):
        flags = " ".join(
            ["qr"]
            + (["aa"] if answer.authoritative else [])
            + (["tc"] if answer.truncated else [])
            + (["rd"] if query.on("recurse") else [])
            + (["ra"] if reply.recursion_available else [])
        )
        counts = (1, len(answer.answer), len(answer.authority), len(answer.additional) + edns)
        ctx.print(
            f";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: {answer.rcode}, id: {reply.id}\n;; flags: {flags}; "
            "QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}".format(*counts)
        )
        if query.on("recurse") and not reply.recursion_available:
            ctx.print(";; WARNING: recursion requested but not available")
        ctx.print()
        if edns:
            ctx.print(f";; OPT PSEUDOSECTION:\n; EDNS: version: {message.edns}, flags:; udp: {message.payload}")
            for option in message.options:
                if option.otype == COOKIE:
                    # It has the client's half only: the server does no cookies, and gave it back as it was.
                    ctx.print(f"; COOKIE: {option.client.hex()} (echoed)")
    if query.on("question"):
        title = ";; QUESTION SECTION:\n" if query.on("comments") else ""
        ctx.print(title + _columns([(f";{reply.question.name}", 32), ("IN", 40), (reply.question.type, 0)]) + "\n")
    for title, section, option in (
        ("ANSWER", answer.answer, "answer"),
        ("AUTHORITY", answer.authority, "authority"),
        ("ADDITIONAL", answer.additional, "additional"),
    ):
        if section and query.on(option):
            if query.on("comments"):
                ctx.print(f";; {title} SECTION:")
            for record in section:
                ctx.print(line(record))
            if query.on("comments"):
                ctx.print()
    if query.on("stats"):
        stamp = ids.utc(ctx.world.now).strftime("%a %b %d %H:%M:%S UTC %Y")
        how = "TCP" if query.on("tcp", False) else "UDP"
        ctx.print(
            f";; Query time: {asked.seconds * 1000:.0f} msec\n;; SERVER: {address}#{query.port}({server}) ({how})\n"
            f";; WHEN: {stamp}\n;; MSG SIZE  rcvd: {reply.size}\n"
        )


def line(record: Record) -> str:
    """A record in the columns of BIND's master style: TTL at 24, class at 32, type at 40, data at 48."""
    return _columns([(record.name, 24), (str(record.ttl), 32), ("IN", 40), (record.type, 48), (record.data, 0)])


def _columns(cells: list[tuple[str, int]]) -> str:
    """Texts, each with the column that the next one begins at: by tabs, then blanks, at least one (BIND, masterdump.c: indent).
    A question's semicolon is not counted."""
    out, at = "", 0
    for text, following in cells:
        out += text
        at += len(text) - text.startswith(";")
        if following:
            to = max(following, at + 1)
            tabs = to // 8 - at // 8
            out += "\t" * tabs + " " * (to - (to // 8 * 8 if tabs else at))
            at = to
    return out
