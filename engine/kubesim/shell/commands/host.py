"""host (BIND)"""

from __future__ import annotations

import ipaddress

from kubesim.dns import resolver
from kubesim.dns.answers import Question, absolute
from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, options

PHRASES = {
    "A": "has address",
    "AAAA": "has IPv6 address",
    "CNAME": "is an alias for",
    "PTR": "domain name pointer",
    "SRV": "has SRV record",
    "TXT": "descriptive text",
    "NS": "name server",
    "MX": "mail is handled by",
    "SOA": "has SOA record",
}


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="avT46r", values="tWRN", name="host")
    if not rest:
        raise Usage(
            "Usage: host [-aCdilrTvVw] [-c class] [-N ndots] [-t type] [-W time]\n"
            "            [-R number] [-m flag] [-p port] hostname [server]\n"
        )
    settings = resolver.config(ctx.machine.files)
    server = settings.servers[0]
    if len(rest) > 1:
        try:
            server = await sockets.resolve_one(ctx.machine, rest[1])
        except sockets.Failed:
            raise Usage(f"host: couldn't get address for '{rest[1]}': not found\n") from None
        ctx.print(f"Using domain server:\nName: {rest[1]}\nAddress: {server}#53\nAliases: \n")
    try:
        names, types = [absolute(ipaddress.ip_address(rest[0]).reverse_pointer)], ["PTR"]
    except ValueError:
        names = resolver.candidates(rest[0], settings)
        types = [found["t"][-1].upper()] if "t" in found else ["A", "AAAA", "MX"]
    rcode = "NXDOMAIN"
    for name in names:
        asked = await resolver.ask(
            ctx.machine,
            server,
            [Question(name, each) for each in types],
            timeout=float(found.get("W", ["5"])[-1]),
            tcp="T" in found,
        )
        if not any(each.answer for each in asked):
            ctx.print(";; connection timed out; no servers could be reached")
            return 1
        shown: list[str] = []
        for each in asked:
            for record in each.answer.answer if each.answer else ():
                data = (
                    record.data
                    if record.type in ("TXT", "SRV", "SOA", "CNAME", "PTR", "MX", "NS")
                    else record.data.rstrip(".")
                )
                shown.append(
                    f"{record.name.rstrip('.')} {PHRASES.get(record.type, 'has ' + record.type + ' record')} {data}"
                )
        if shown:
            for text in dict.fromkeys(shown):
                ctx.print(text)
            return 0
        rcode = next((each.answer.rcode for each in asked if each.answer), rcode)
        if rcode == "NOERROR":
            ctx.print(f"{name.rstrip('.')} has no {types[0]} record")
            return 1
    ctx.print(
        f"Host {names[0].rstrip('.') if types == ['PTR'] else rest[0]} not found: 3({rcode})"
        if rcode == "NXDOMAIN"
        else f"Host {rest[0]} not found: {rcode}"
    )
    return 1
