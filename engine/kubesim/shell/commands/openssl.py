"""openssl genrsa | req | x509 | s_client: keys and certificates, as far as TLS at an ingress needs them.

A key here is its id in PEM's armour, and a certificate the facts that `programs.tls` knows: nothing is secret in this world.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from kubesim import ids
from kubesim.programs import tls
from kubesim.shell.commands import openssl_s_client
from kubesim.shell.context import Context, not_simulated

DAY = 86400.0
KEY = "RSA PRIVATE KEY"
# Options of each command: name -> whether a value follows.
GENRSA = {"-out": True}
REQ = {
    "-new": False, "-x509": False, "-nodes": False, "-noenc": False, "-sha256": False, "-batch": False, "-key": True,
    "-keyout": True, "-newkey": True, "-out": True, "-days": True, "-subj": True, "-addext": True,
}  # fmt: skip
X509 = {
    "-noout": False, "-text": False, "-subject": False, "-issuer": False, "-dates": False, "-enddate": False, "-in": True,
}  # fmt: skip


class _Failed(Exception):
    """The message goes to stderr, and the exit status is 1."""


async def run(ctx: Context) -> int:
    commands = {"genrsa": (_genrsa, GENRSA), "req": (_req, REQ), "x509": (_x509, X509), "version": (_version, {})}
    name = ctx.args[0] if ctx.args else ""
    if name == "s_client":
        return await openssl_s_client.connect(ctx, _options(ctx, name, openssl_s_client.OPTIONS)[0])
    if name not in commands:
        raise not_simulated(ctx, name or "the prompt", f"Here are: {', '.join(commands)}, s_client.")
    command, known = commands[name]
    piped = await ctx.stdin.read() if name == "x509" and "-in" not in ctx.args else ""
    try:
        options, rest = _options(ctx, name, known)
        command(ctx, options, [piped] if piped else rest)
    except _Failed as error:
        ctx.complain(str(error))
        return 1
    return 0


def _options(ctx: Context, command: str, known: dict[str, bool]) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(ctx.args[1:])
    for word in words:
        if not word.startswith("-"):
            rest.append(word)
        elif word not in known:
            raise not_simulated(ctx, f"{command} {word}")
        else:
            found[word] = next(words, "") if known[word] else ""
    return found, rest


def _version(ctx: Context, options: dict[str, str], rest: Sequence[str]) -> None:
    ctx.print("OpenSSL 3.0.17 1 Jul 2025 (Library: OpenSSL 3.0.17 1 Jul 2025)")


def _genrsa(ctx: Context, options: dict[str, str], rest: Sequence[str]) -> None:
    bits = rest[0] if rest else "2048"
    if not bits.isdecimal():
        raise _Failed(f'genrsa: Can\'t parse "{bits}" as a number')
    _write(ctx, options.get("-out", ""), _new_key(ctx))


def _req(ctx: Context, options: dict[str, str], rest: Sequence[str]) -> None:
    if "-x509" not in options:
        raise not_simulated(ctx, "req without -x509", "Certificates sign themselves here.")
    if "-subj" not in options:
        raise not_simulated(
            ctx, "req without -subj", "Questions are not asked here: say who it is for by -subj /CN=name."
        )
    if "-newkey" in options:
        pem = _new_key(ctx)
        _write(ctx, options.get("-keyout", "privkey.pem"), pem)
    elif "-key" in options:
        pem = _read(ctx, options["-key"], "private key")
    else:
        raise _Failed("req: a key is needed: -key or -newkey")
    key = _key_id(pem, options.get("-key", ""))
    now = float(int(ctx.world.now))
    subject = _subject(options["-subj"])
    made = tls.Certificate(
        subject=subject,
        issuer=subject,
        not_before=now,
        not_after=now + int(options.get("-days", "30")) * DAY,
        key=key,
        issuer_key=key,
        sans=_names(ctx, options.get("-addext", "")),
        serial=hashlib.sha256(f"{key}{subject}{now}".encode()).hexdigest()[:40],
    )
    _write(ctx, options.get("-out", ""), made.pem())


def _x509(ctx: Context, options: dict[str, str], rest: Sequence[str]) -> None:
    """`rest` is what came on standard input, where no file is named."""
    pem = _read(ctx, options["-in"], "certificate") if "-in" in options else "".join(rest)
    try:
        found = tls.certificates(pem)[0]
    except (ValueError, IndexError):
        raise _Failed(f"Could not find certificate from {options.get('-in', '<stdin>')}") from None
    begins, ends = _date(found.not_before), _date(found.not_after)
    if "-text" in options:
        lines = ["Certificate:", "    Data:", "        Version: 3 (0x2)", f"        Issuer: {_spaced(found.issuer)}"]
        lines += ["        Validity", f"            Not Before: {begins}", f"            Not After : {ends}"]
        lines.append(f"        Subject: {_spaced(found.subject)}")
        if found.sans:
            names = ", ".join(each.replace("IP:", "IP Address:") for each in found.sans)
            lines += ["            X509v3 Subject Alternative Name: ", f"                {names}"]
        ctx.print("\n".join(lines))
    if "-subject" in options:
        ctx.print(f"subject={_spaced(found.subject)}")
    if "-issuer" in options:
        ctx.print(f"issuer={_spaced(found.issuer)}")
    if "-dates" in options:
        ctx.print(f"notBefore={begins}")
    if "-dates" in options or "-enddate" in options:
        ctx.print(f"notAfter={ends}")
    if "-noout" not in options:
        ctx.out.write(pem)


def _new_key(ctx: Context) -> str:
    rng = ctx.world.rng("openssl")
    return tls.armour(KEY, bytes(rng.randrange(256) for _ in range(32)))


def _key_id(pem: str, name: str) -> str:
    match = re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s(.*?)-----END", pem, re.DOTALL)
    if match is None:
        raise _Failed(f"Could not find private key from {name}")
    return hashlib.sha256(base64.b64decode("".join(match[1].split()))).hexdigest()[:16]


def _subject(text: str) -> str:
    """ "/C=FR/CN=a.example" in the form of one line: "C=FR, CN=a.example"."""
    if not text.startswith("/"):
        raise _Failed(
            f"req: subject name is expected to be in the format /type0=value0/type1=value1/type2=... Here: {text!r}"
        )
    return ", ".join(part for part in text.split("/")[1:] if part)


def _spaced(subject: str) -> str:
    return ", ".join(" = ".join(part.split("=", 1)) for part in subject.split(", "))


def _names(ctx: Context, extension: str) -> tuple[str, ...]:
    if not extension:
        return ()
    name, _, value = extension.partition("=")
    if name.strip() != "subjectAltName":
        raise not_simulated(ctx, f"req -addext {name.strip()}")
    return tuple(each.strip() for each in value.split(","))


def _date(seconds: float) -> str:
    stamp = ids.utc(seconds)
    return f"{stamp:%b} {stamp.day:2d} {stamp:%H:%M:%S %Y} GMT"


def _read(ctx: Context, name: str, what: str) -> str:
    try:
        return ctx.files.read(ctx.path(name))
    except OSError:
        raise _Failed(f"Could not open file or uri for loading {what} from {name}: No such file or directory") from None


def _write(ctx: Context, name: str, text: str) -> None:
    if name:
        ctx.files.write(ctx.path(name), text.encode())
    else:
        ctx.out.write(text)
