"""What the two ends of a TLS connection know after the handshake, without the cryptography.

Theory of operation
-------------------
Records have TLS's own five-byte header (type, version, length: RFC 8446 section 5.1), so that whoever speaks something else
on the port fails as in life: an HTTP server sees a control byte where a method should be, a TLS client sees "HTTP/" where a
version should be.  Inside a record there is JSON instead of ciphertext: a handshake carries what a real one proves or
negotiates (server name, protocol, the certificates' facts), application data goes as it is.  Nothing is secret here, and
nothing pretends to be: a tcpdump shows it.

A certificate is its facts.  It is trusted when its issuer's chain ends in a root that the client holds, by key id - which
stands for the signature that only the holder of the issuer's key could make.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kubesim.programs import x509

if TYPE_CHECKING:
    from kubesim.net.trace import Trace
    from kubesim.programs.http import Wire

ALERT, HANDSHAKE, DATA = 21, 22, 23
TYPES = (20, ALERT, HANDSHAKE, DATA)
LIMIT = 16384  # bytes of plaintext in a record, RFC 8446 section 5.1
VERSIONS = ("TLSv1.2", "TLSv1.3")
CIPHERS = {"TLSv1.2": "ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.3": "TLS_AES_128_GCM_SHA256"}
# The key id of the authority that all public sites' certificates come from, and that every machine's disk trusts.
PUBLIC = "public-ca"
# RFC 8446 section 6.2: what an alert says, as Go and OpenSSL name it.
ALERTS = {
    0: "close notify", 40: "handshake failure", 42: "bad certificate", 45: "certificate expired", 46: "certificate unknown",
    48: "unknown certificate authority", 70: "protocol version not supported", 112: "unrecognized name",
    116: "certificate required", 120: "no application protocol",
}  # fmt: skip


class TlsError(Exception):
    """The handshake failed, or the other side sent an alert."""


class NotTls(TlsError):
    """What came is not a TLS record (OpenSSL: "wrong version number"); `data` is what came instead."""

    def __init__(self, data: bytes) -> None:
        super().__init__("wrong version number")
        self.data = data


class Closed(TlsError):
    """The other side closed in the middle of the handshake."""


class CertificateError(TlsError):
    """The certificate was not believed; the message is OpenSSL's (`X509_verify_cert_error_string`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The facts of an X.509 certificate.

    `subject` and `issuer` as OpenSSL prints them on one line ("CN=kubia.example.com"); times in seconds since the epoch;
    `key` and `issuer_key` identify the key inside and the one that signed.
    """

    subject: str
    issuer: str
    not_before: float
    not_after: float
    key: str
    issuer_key: str
    sans: tuple[str, ...] = ()  # "DNS:name" and "IP:address"
    authority: bool = False
    serial: str = "01"

    @property
    def common_name(self) -> str:
        parts = (part.strip().partition("=") for part in self.subject.split(","))
        return next((value.strip() for name, _, value in parts if name.strip() == "CN"), "")

    def covers(self, name: str) -> bool:
        """Whether it is for that host: by its subject alternative names, else (as curl still does) its common name."""
        names = [each[4:] for each in self.sans if each.startswith("DNS:")]
        if any(each == f"IP:{name}" for each in self.sans):
            return True
        if not self.sans:
            names = [self.common_name]
        name = name.lower().rstrip(".")
        return any(_matches(name, each.lower()) for each in names)

    def pem(self) -> str:
        """In PEM's armour, for files and Secrets; the inside is this simulation's, not DER."""
        return armour("CERTIFICATE", json.dumps(asdict(self), sort_keys=True).encode())


def _matches(name: str, pattern: str) -> bool:
    if not pattern.startswith("*."):
        return name == pattern
    # A wildcard stands for one label only, RFC 6125 section 6.4.3.
    return fnmatchcase(name, pattern) and name.count(".") == pattern.count(".")


def armour(kind: str, data: bytes) -> str:
    """PEM, RFC 7468: base64 in lines of 64."""
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


def certificates(pem: str) -> list[Certificate]:
    """The certificates of a PEM file in order: those made in a cluster, and real ones.  `ValueError` for what is neither."""
    found = []
    for block in pem.split("-----BEGIN CERTIFICATE-----")[1:]:
        inside, end, _ = block.partition("-----END CERTIFICATE-----")
        try:
            data = base64.b64decode("".join(inside.split()), validate=True)
            facts = x509.facts(data) if data.startswith(b"\x30") else json.loads(data)
            found.append(Certificate(**{**facts, "sans": tuple(facts["sans"])}))
        except (ValueError, TypeError, KeyError):
            raise ValueError("not a certificate" if end else "no end line in PEM") from None
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a server brings: the chain to show for a server name (None: alert "unrecognized name") and its protocols.

    `client_authority`: key ids whose certificates a client may show.
    """

    choose: Callable[[str], Sequence[Certificate] | None]
    protocols: tuple[str, ...] = ("http/1.1",)
    versions: tuple[str, ...] = VERSIONS
    client_authority: frozenset[str] = frozenset()


def context(*chain: Certificate) -> Context:
    """A server with one certificate (and its intermediates) for all names."""
    return Context(choose=lambda _name: chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What was agreed: `chain` is the server's, `client` the client's own certificate if it showed one."""

    version: str
    cipher: str
    protocol: str = ""
    server_name: str = ""
    chain: tuple[Certificate, ...] = ()
    client: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a client believes: `roots` by key id, at the time `now`; `verify=False` believes all (curl -k), `names=False`
    does not mind for whom a certificate is."""

    roots: frozenset[str] = frozenset((PUBLIC,))
    now: float = 0.0
    verify: bool = True
    names: bool = True

    def check(self, chain: Sequence[Certificate], name: str) -> None:
        """`CertificateError` with OpenSSL's reason."""
        if not self.verify:
            return
        if not chain:
            raise CertificateError("peer did not return a certificate")
        for each in chain:
            if self.now < each.not_before:
                raise CertificateError("certificate is not yet valid")
            if self.now > each.not_after:
                raise CertificateError("certificate has expired")
        last = chain[0]
        for above in chain[1:]:
            if above.key == last.issuer_key and above.authority:
                last = above
        if last.issuer_key not in self.roots and last.key not in self.roots:
            raise CertificateError(
                "self-signed certificate" if last.issuer_key == last.key else "unable to get local issuer certificate"
            )
        if name and self.names and not chain[0].covers(name):
            raise CertificateError(f"no alternative certificate subject name matches target host name '{name}'")


@dataclass(slots=True)
class _Records:
    """Splits a byte stream into records and puts them together."""

    wire: Wire
    buffer: bytearray = field(default_factory=bytearray)

    async def send(self, kind: int, body: bytes) -> None:
        pieces = [body[at : at + LIMIT] for at in range(0, len(body), LIMIT)] or [b""]
        await self.wire.send(b"".join(bytes((kind, 3, 3)) + len(each).to_bytes(2, "big") + each for each in pieces))

    async def receive(self) -> tuple[int, bytes] | None:
        """The next record, None at the end of the stream."""
        while True:
            if self.buffer and (self.buffer[0] not in TYPES or (len(self.buffer) > 1 and self.buffer[1] != 3)):
                raise NotTls(bytes(self.buffer))
            if len(self.buffer) >= 5:
                end = 5 + int.from_bytes(self.buffer[3:5], "big")
                if len(self.buffer) >= end:
                    kind, body = self.buffer[0], bytes(self.buffer[5:end])
                    del self.buffer[:end]
                    return kind, body
            data = await self.wire.recv()
            if not data:
                return None
            self.buffer += data

    async def message(self) -> dict[str, Any]:
        """The next handshake message; an alert is raised."""
        record = await self.receive()
        if record is None:
            raise Closed("EOF")
        kind, body = record
        if kind == ALERT:
            raise TlsError(f"remote error: tls: {ALERTS.get(body[1], body[1])}")
        if kind != HANDSHAKE:
            raise NotTls(body)
        found = json.loads(body)
        return found if isinstance(found, dict) else {}

    async def alert(self, code: int) -> None:
        await self.send(ALERT, bytes((2 if code else 1, code)))


class Connection:
    """A connection through TLS: the same methods as one of the network."""

    def __init__(self, records: _Records, session: Session) -> None:
        self._records = records
        self.session = session
        self._ended = False

    @property
    def local(self) -> tuple[str, int]:
        return self._records.wire.local

    @property
    def peer(self) -> tuple[str, int]:
        return self._records.wire.peer

    @property
    def trace(self) -> Trace:
        return self._records.wire.trace

    async def send(self, data: bytes) -> None:
        await self._records.send(DATA, data)

    async def recv(self) -> bytes:
        """b"" after the other side's close_notify, or when it just closed."""
        while not self._ended:
            record = await self._records.receive()
            if record is None or record[0] == ALERT:
                self._ended = True
            elif record[0] == DATA and record[1]:
                return record[1]
        return b""

    def close(self) -> None:
        self._records.wire.close()


class Peeked:
    """A connection whose first bytes have been looked at."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._first: bytes | None = None

    @property
    def local(self) -> tuple[str, int]:
        return self._wire.local

    @property
    def peer(self) -> tuple[str, int]:
        return self._wire.peer

    @property
    def trace(self) -> Trace:
        return self._wire.trace

    async def peek(self) -> bytes:
        if self._first is None:
            self._first = await self._wire.recv()
        return self._first

    async def recv(self) -> bytes:
        first, self._first = self._first, None
        return await self._wire.recv() if first is None else first

    async def send(self, data: bytes) -> None:
        await self._wire.send(data)

    def close(self) -> None:
        self._wire.close()


def asked_name(first: bytes) -> str:
    """The server name (SNI) in the first bytes of a connection, which hold the whole client hello here; "" for none."""
    try:
        hello = json.loads(first[5 : 5 + int.from_bytes(first[3:5], "big")])["client_hello"]
        return str(hello["server_name"])
    except (ValueError, KeyError, TypeError):
        return ""


async def connect(
    wire: Wire,
    server_name: str,
    trust: Trust | None = None,
    *,
    protocols: Sequence[str] = ("http/1.1",),
    versions: Sequence[str] = VERSIONS,
    certificate: Certificate | None = None,
) -> Connection:
    """The client's side of the handshake; without `trust` it believes any certificate, as kubelets' probes and curl -k do.

    Raises `NotTls` (curl 35), `CertificateError` (curl 60), `TlsError` (curl 35).
    """
    records = _Records(wire)
    # An address is never a server name, RFC 6066 section 3.
    sni = "" if server_name.replace(".", "").isdigit() or ":" in server_name else server_name
    hello = {"server_name": sni, "alpn": list(protocols), "versions": list(versions)}
    await records.send(HANDSHAKE, json.dumps({"client_hello": hello}).encode())
    answer = (await records.message()).get("server_hello")
    if answer is None:
        raise TlsError("unexpected message")
    chain = tuple(Certificate(**{**each, "sans": tuple(each["sans"])}) for each in answer["certificates"])
    try:
        if trust is not None:
            trust.check(chain, server_name)
    except CertificateError as error:
        await records.alert(45 if "expired" in str(error) else 42 if "subject name" in str(error) else 48)
        raise
    finished = {"certificate": asdict(certificate) if certificate else None}
    await records.send(HANDSHAKE, json.dumps({"finished": finished}).encode())
    version = answer["version"]
    return Connection(
        records,
        Session(
            version=version,
            cipher=answer["cipher"],
            protocol=answer["alpn"],
            server_name=sni,
            chain=chain,
            client=certificate,
        ),
    )


async def accept(wire: Wire, context: Context) -> Connection:
    """The server's side.  `NotTls` when the client spoke something else, `TlsError` when it would not go on."""
    records = _Records(wire)
    hello = (await records.message()).get("client_hello")
    if hello is None:
        raise TlsError("unexpected message")
    version = max((each for each in hello["versions"] if each in context.versions), default="")
    if not version:
        await records.alert(70)
        raise TlsError("client offered only unsupported versions")
    chain = context.choose(hello["server_name"])
    if chain is None:
        await records.alert(112)
        raise TlsError(f"no certificate for {hello['server_name']!r}")
    protocol = next((each for each in context.protocols if each in hello["alpn"]), "")
    answer = {
        "version": version,
        "cipher": CIPHERS[version],
        "alpn": protocol,
        "certificates": [asdict(each) for each in chain],
    }
    await records.send(HANDSHAKE, json.dumps({"server_hello": answer}).encode())
    finished = (await records.message()).get("finished") or {}
    shown = finished.get("certificate")
    client = Certificate(**{**shown, "sans": tuple(shown["sans"])}) if shown else None
    if client is not None and client.issuer_key not in context.client_authority:
        await records.alert(48)
        raise TlsError("client didn't provide a certificate that is signed by a known authority")
    return Connection(
        records,
        Session(
            version=version,
            cipher=CIPHERS[version],
            protocol=protocol,
            server_name=hello["server_name"],
            chain=tuple(chain),
            client=client,
        ),
    )
