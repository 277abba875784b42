"""openssl s_client: what a TLS server shows, for the name that it is asked for.

openssl s_client -connect 172.18.0.3:443 -servername shop.example </dev/null | openssl x509 -noout -subject

The handshake and what came of it, in OpenSSL 3.0's order.  To speak over the connection is curl's business here.
Source: openssl `apps/s_client.c: print_stuff`.
"""

from __future__ import annotations

from kubesim import ids
from kubesim.net import errors
from kubesim.programs import tls
from kubesim.shell import sockets
from kubesim.shell.context import Context, not_simulated

# name -> whether a value follows.
OPTIONS = {
    "-connect": True, "-servername": True, "-noservername": False, "-CAfile": True, "-showcerts": False,
}  # fmt: skip
CODES = {"self-signed certificate": 18, "unable to get local issuer certificate": 20, "certificate has expired": 10}
ROOTS = "/etc/ssl/certs/ca-certificates.crt"


async def connect(ctx: Context, options: dict[str, str]) -> int:
    where = options.get("-connect", "localhost:4433")
    name, _, port = where.rpartition(":")
    name = name.strip("[]")
    asked = "" if "-noservername" in options else options.get("-servername", name)
    try:
        wire = await ctx.machine.net.connect(await sockets.resolve_one(ctx.machine, name), int(port))
    except (sockets.Failed, errors.NetError) as error:
        ctx.complain(f"connect:errno=111 {error}" if isinstance(error, errors.Refused) else f"BIO_connect: {error}")
        return 1
    ctx.print("CONNECTED(00000003)")
    try:
        connection = await tls.connect(wire, asked)
    except (tls.TlsError, errors.NetError) as error:
        ctx.complain(f"SSL routines:ssl3_get_record: {error}")
        wire.close()
        return 1
    roots = _roots(ctx, options.get("-CAfile", ROOTS))
    session = connection.session
    try:
        tls.Trust(roots=roots, now=ctx.world.now).check(session.chain, "")
        words, code = "ok", 0
    except tls.CertificateError as error:
        words, code = str(error), CODES.get(str(error), 1)
    first = session.chain[0]
    ctx.complain(f"depth=0 {_spaced(first.subject)}")
    if code:
        ctx.complain(f"verify error:num={code}:{words}")
    ctx.complain("verify return:1")
    lines = ["---", "Certificate chain"]
    for number, each in enumerate(session.chain):
        lines += [f" {number} s:{_spaced(each.subject)}", f"   i:{_spaced(each.issuer)}"]
        lines.append(f"   v:NotBefore: {_date(each.not_before)}; NotAfter: {_date(each.not_after)}")
        lines += [each.pem().rstrip()] if "-showcerts" in options else []
    lines += ["---", "Server certificate", first.pem().rstrip(), f"subject={_spaced(first.subject)}", ""]
    lines += [f"issuer={_spaced(first.issuer)}", "", "---"]
    lines += ["Verification: OK" if not code else f"Verification error: {words}", "---"]
    lines += [f"New, {session.version}, Cipher is {session.cipher}", f"Verify return code: {code} ({words})", "---"]
    ctx.print("\n".join(lines))
    typed = await ctx.stdin.read()
    connection.close()
    if typed.strip():
        raise not_simulated(ctx, "to speak over the connection", "End it by </dev/null, and ask with curl.")
    ctx.print("DONE")
    return 0


def _roots(ctx: Context, name: str) -> frozenset[str]:
    path = ctx.path(name)
    return (
        frozenset(each.key for each in tls.certificates(ctx.files.read(path)))
        if ctx.files.is_file(path)
        else frozenset()
    )


def _spaced(subject: str) -> str:
    return ", ".join(" = ".join(part.split("=", 1)) for part in subject.split(", "))


def _date(seconds: float) -> str:
    stamp = ids.utc(seconds)
    return f"{stamp:%b} {stamp.day:2d} {stamp:%H:%M:%S %Y} GMT"
