"""DNS messages: bytes to values and back, by dnspython (imported when the first name is asked for: it takes 60 ms)."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from kubesim.dns.answers import Answer, Question, RCode, Record

if TYPE_CHECKING:
    import dns.rrset

# RFC 1035 section 4.2.1: what a client that says nothing (no EDNS) can take over UDP.
PLAIN_LIMIT = 512
# NSID, EXPIRE, COOKIE, tcp-keepalive and padding (IANA, DNS EDNS0 Option Codes).
ECHOED = (3, 9, 10, 11, 12)


class Malformed(Exception):
    """The bytes are no DNS message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question as it came: `limit` is how many bytes an answer over UDP may have, `size` how many it had itself."""

    id: int
    question: Question
    recursion: bool = True
    edns: bool = False
    limit: int = PLAIN_LIMIT
    size: int = 0
    opcode: str = "QUERY"
    message: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it came; `message` is dnspython's, for those who print it (`dig`)."""

    id: int
    question: Question
    answer: Answer
    size: int = 0
    message: Any = None

    @property
    def recursion_available(self) -> bool:
        return self.answer.recursion_available


@cache
def _dns() -> Any:
    import dns.edns
    import dns.flags
    import dns.message
    import dns.opcode
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.rrset

    return dns


def query(
    question: Question, identifier: int, *, edns: int = 0, recursion: bool = True, cookie: bytes = b""
) -> bytes:
    """A query of that id; `edns` is the size to advertise, 0 for none; `cookie` the client's (RFC 7873)."""
    dns = _dns()
    message = dns.message.make_query(question.name, question.type, id=identifier)
    if edns:
        given = [dns.edns.CookieOption(cookie, b"")] if cookie else []
        message.use_edns(0, payload=edns, options=given)
    if not recursion:
        message.flags &= ~dns.flags.RD
    return bytes(message.to_wire())


def parse_query(data: bytes) -> Query:
    """`Malformed` for bytes that are no query with one question."""
    message = _parse(data)
    dns = _dns()
    if message.flags & dns.flags.QR or len(message.question) != 1:
        raise Malformed("not a query with one question")
    asked = message.question[0]
    return Query(
        id=message.id,
        question=Question(asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)),
        recursion=bool(message.flags & dns.flags.RD),
        edns=message.edns >= 0,
        limit=max(PLAIN_LIMIT, message.payload) if message.edns >= 0 else PLAIN_LIMIT,
        size=len(data),
        opcode=dns.opcode.to_text(message.opcode()),
        message=message,
    )


def response(asked: Query, answer: Answer, *, limit: int = 65535) -> bytes:
    """The bytes of an answer; with more than `limit` of them, the answer is cut and says so (TC)."""
    dns = _dns()
    message = dns.message.make_response(asked.message, recursion_available=answer.recursion_available)
    message.set_rcode(dns.rcode.from_text(answer.rcode))
    if asked.edns:
        # plugin/pkg/edns and request.SizeAndDo: the asker's own OPT comes back, with the options that CoreDNS knows.
        known = [each for each in asked.message.options if each.otype in ECHOED]
        message.use_edns(0, asked.message.ednsflags & dns.flags.DO, payload=asked.message.payload, options=known)
    if answer.authoritative:
        message.flags |= dns.flags.AA
    if answer.truncated:
        message.flags |= dns.flags.TC
    message.answer = _sections(answer.answer)
    message.authority = _sections(answer.authority)
    message.additional = _sections(answer.additional)
    plain = _uncompressed(message)
    if len(plain) <= limit:
        return plain
    try:
        return bytes(message.to_wire(max_size=limit))
    except dns.exception.TooBig:
        message.flags |= dns.flags.TC
        message.authority, message.additional = [], []
        while message.answer:
            message.answer.pop()
            try:
                return bytes(message.to_wire(max_size=limit))
            except dns.exception.TooBig:
                continue
        return bytes(message.to_wire())


def _uncompressed(message: Any) -> bytes:
    """The message with all names in full: CoreDNS compresses only what would not fit otherwise (plugin/pkg/request, Scrub)."""
    out = io.BytesIO()
    additional = [*message.additional, *([message.opt] if message.opt else [])]
    sections = (message.question, message.answer, message.authority, additional)
    out.write(struct.pack("!HHHHHH", message.id, message.flags, *(len(section) for section in sections)))
    for asked in message.question:
        asked.name.to_wire(out)
        out.write(struct.pack("!HH", asked.rdtype, asked.rdclass))
    for section in sections[1:]:
        for rrset in section:
            rrset.to_wire(out)
    return out.getvalue()


def parse_response(data: bytes) -> Reply:
    """`Malformed` for bytes that are no answer."""
    message = _parse(data)
    dns = _dns()
    if not message.flags & dns.flags.QR:
        raise Malformed("not an answer")
    # An RRset without records, as a question is, counts as false.
    asked = message.question[0] if message.question else None
    question = Question(".") if asked is None else Question(asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype))
    return Reply(
        id=message.id,
        question=question,
        answer=Answer(
            rcode=cast("RCode", dns.rcode.to_text(message.rcode())),
            answer=_records(message.answer),
            authority=_records(message.authority),
            additional=_records(message.additional),
            authoritative=bool(message.flags & dns.flags.AA),
            recursion_available=bool(message.flags & dns.flags.RA),
            truncated=bool(message.flags & dns.flags.TC),
        ),
        size=len(data),
        message=message,
    )


def _parse(data: bytes) -> Any:
    dns = _dns()
    try:
        # Each record for itself keeps the order in which the server put them (a CNAME before its target).
        return dns.message.from_wire(data, one_rr_per_rrset=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise Malformed(str(error)) from None


def _sections(records: tuple[Record, ...]) -> list[dns.rrset.RRset]:
    module = _dns()
    return [module.rrset.from_text(each.name, each.ttl, "IN", each.type, _data(each)) for each in records]


def _data(record: Record) -> str:
    return f'"{record.data}"' if record.type == "TXT" and not record.data.startswith('"') else record.data


def _records(section: list[dns.rrset.RRset]) -> tuple[Record, ...]:
    module = _dns()
    return tuple(
        Record(rrset.name.to_text(), rrset.ttl, module.rdatatype.to_text(rrset.rdtype), rdata.to_text())
        for rrset in section
        for rdata in rrset
    )
