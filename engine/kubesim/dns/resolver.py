"""From a name to addresses as a C library does it: /etc/hosts, then resolv.conf's servers along its search list.

Theory of operation
-------------------
`lookup` is getaddrinfo(3).  The candidates for a name are itself and itself under each suffix of the search list; `ndots`
says which comes first.  For each candidate A and AAAA are asked at once from one UDP socket, and each server gets `timeout`
seconds, `attempts` times.  That is glibc; musl (Alpine) asks all servers at once, and stops at the first candidate that
exists.  Every question is a packet on the network, and its trace is kept.

Sources: resolv.conf(5); glibc `resolv/res_send.c`, `resolv/nss_dns/dns-host.c`; musl `src/network/lookup_name.c`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from kubesim import world as world_module
from kubesim.dns import wire
from kubesim.dns.answers import Answer, Question, Record, absolute
from kubesim.net import errors

if TYPE_CHECKING:
    from kubesim.files import FileSystem
    from kubesim.machine import Machine
    from kubesim.net.trace import Trace
    from kubesim.world import World

Libc = Literal["glibc", "musl"]

MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"
# resolv.conf(5) and resolv.h: MAXNS, RES_MAXNDOTS, RES_MAXRETRANS (seconds), RES_MAXRETRY.  More is cut to these.
MAX_SERVERS = 3
MAX_NDOTS = 15
MAX_TIMEOUT = 30.0
MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What resolv.conf says; `timeout` in seconds."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: float = 5.0
    attempts: int = 2
    single_request: bool = False
    use_vc: bool = False
    rotate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One question to one server: the reply, or why there was none ("timed out", "connection refused" ...)."""

    server: str
    question: Question
    reply: wire.Reply | None = None
    error: str = ""
    trace: Trace | None = None
    seconds: float = 0.0

    @property
    def answer(self) -> Answer | None:
        return self.reply.answer if self.reply is not None else None


@dataclass(slots=True, kw_only=True)
class Resolution:
    """What a name came to: `canonical` is the last name of the CNAMEs; `lookups` are the questions asked on the way."""

    name: str
    canonical: str = ""
    addresses: list[str] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)

    @property
    def traces(self) -> tuple[Trace, ...]:
        return tuple(each.trace for each in self.lookups if each.trace is not None)


class NotResolved(Exception):
    """No address: `code` is getaddrinfo's ("EAI_NONAME", "EAI_AGAIN", "EAI_NODATA"), the message the C library's."""

    def __init__(self, name: str, code: str, libc: Libc, lookups: list[Lookup]) -> None:
        super().__init__(MESSAGES[libc][code])
        self.name = name
        self.code = code
        self.lookups = lookups


MESSAGES: dict[Libc, dict[str, str]] = {
    "glibc": {
        "EAI_NONAME": "Name or service not known",
        "EAI_AGAIN": "Temporary failure in name resolution",
        "EAI_NODATA": "No address associated with hostname",
    },
    "musl": {
        "EAI_NONAME": "Name does not resolve",
        "EAI_AGAIN": "Try again",
        "EAI_NODATA": "Name has no usable address",
    },
}


# -- files --------------------------------------------------------------------------------------------------


def config(files: FileSystem) -> Config:
    """/etc/resolv.conf of a machine; without the file, a server on the machine itself."""
    return parse_config(files.read("/etc/resolv.conf")) if files.is_file("/etc/resolv.conf") else Config()


def parse_config(text: str) -> Config:
    """resolv.conf(5): the last `search` or `domain` counts, unknown lines and options are passed over as the C library does."""
    found = Config(servers=())
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        keyword, *values = words
        if keyword == "nameserver" and len(found.servers) < MAX_SERVERS:
            found = replace(found, servers=(*found.servers, values[0]))
        elif keyword == "search":
            found = replace(found, search=tuple(values))
        elif keyword == "domain":
            found = replace(found, search=(values[0],))
        elif keyword == "options":
            for option in values:
                found = _option(found, option)
    return found if found.servers else replace(found, servers=("127.0.0.1",))


def _option(found: Config, option: str) -> Config:
    name, _, value = option.partition(":")
    if name == "ndots" and value.isdigit():
        return replace(found, ndots=min(int(value), MAX_NDOTS))
    if name == "timeout" and value.isdigit():
        return replace(found, timeout=min(float(value), MAX_TIMEOUT))
    if name == "attempts" and value.isdigit():
        return replace(found, attempts=min(int(value), MAX_ATTEMPTS))
    if name in ("single-request", "single-request-reopen"):
        return replace(found, single_request=True)
    if name == "use-vc":
        return replace(found, use_vc=True)
    if name == "rotate":
        return replace(found, rotate=True)
    return found


def hosts(files: FileSystem, name: str) -> list[str]:
    """The addresses of a name in /etc/hosts, in order (hosts(5))."""
    wanted = name.lower().rstrip(".")
    found = []
    for address, names in _hosts(files):
        if wanted in (each.lower() for each in names):
            found.append(address)
    return found


def hosts_name(files: FileSystem, address: str) -> str:
    """The first name of an address in /etc/hosts, or ""."""
    return next((names[0] for each, names in _hosts(files) if each == address and names), "")


def _hosts(files: FileSystem) -> list[tuple[str, list[str]]]:
    if not files.is_file("/etc/hosts"):
        return []
    lines = (line.split("#")[0].split() for line in files.read("/etc/hosts").splitlines())
    return [(words[0], words[1:]) for words in lines if len(words) > 1]


def libc(machine: Machine) -> Libc:
    """Which C library the machine's disk has."""
    return "musl" if machine.files.exists(MUSL_LOADER) else "glibc"


# -- names --------------------------------------------------------------------------------------------------


def candidates(name: str, settings: Config, library: Libc = "glibc") -> list[str]:
    """The absolute names to try, in order."""
    if name.endswith("."):
        return [name]
    searched = [absolute(f"{name}.{suffix}") if suffix.strip(".") else absolute(name) for suffix in settings.search]
    if name.count(".") >= settings.ndots:
        # musl never searches for a name with enough dots.
        return [absolute(name)] + ([] if library == "musl" else searched)
    return [*searched, absolute(name)]


async def lookup(machine: Machine, name: str, *, family: int = 0, library: Libc | None = None) -> Resolution:
    """The addresses of a name: an address itself, /etc/hosts, or DNS.  `family` 4 or 6 asks for one kind only.

    Raises `NotResolved`.
    """
    try:
        return Resolution(name=name, canonical=name, addresses=[str(ipaddress.ip_address(name))])
    except ValueError:
        pass
    library = library or libc(machine)
    found = [each for each in hosts(machine.files, name) if not family or (":" in each) == (family == 6)]
    if found:
        return Resolution(name=name, canonical=name, addresses=found)
    settings = config(machine.files)
    types = {0: ("A", "AAAA"), 4: ("A",), 6: ("AAAA",)}[family]
    lookups: list[Lookup] = []
    code = "EAI_NONAME"
    for candidate in candidates(name, settings, library):
        asked = await _ask_servers(machine, settings, [Question(candidate, each) for each in types], library, lookups)
        answers = [each.answer for each in asked if each.answer is not None]
        if library == "musl" and not all(_good(each) for each in asked):
            # lookup_name.c, name_from_dns: all questions must be answered.
            raise NotResolved(name, "EAI_AGAIN", library, lookups)
        addresses, canonical = _addresses(candidate, answers)
        if addresses:
            addresses = _sorted(machine, addresses)
            return Resolution(name=name, canonical=canonical.rstrip("."), addresses=addresses, lookups=lookups)
        if not answers or any(each.rcode not in ("NOERROR", "NXDOMAIN") for each in answers):
            # No server could say: trying further suffixes would be as vain.
            raise NotResolved(name, "EAI_AGAIN", library, lookups)
        if any(each.rcode == "NOERROR" for each in answers):
            code = "EAI_NODATA"
            if library == "musl":
                break
    raise NotResolved(name, code, library, lookups)


def _addresses(name: str, answers: Sequence[Answer]) -> tuple[list[str], str]:
    """The addresses at the end of the CNAMEs from `name`, and the name there."""
    found: list[str] = []
    canonical = name
    for answer in answers:
        at = name.lower()
        aliases = {each.name.lower(): each.data for each in answer.answer if each.type == "CNAME"}
        for _ in aliases:
            if at not in aliases:
                break
            canonical = aliases[at]
            at = canonical.lower()
        found += [each.data for each in answer.answer if each.type in ("A", "AAAA") and each.name.lower() == at]
    return found, canonical


def _sorted(machine: Machine, addresses: list[str]) -> list[str]:
    """RFC 6724, what matters of it: a family that the machine has no address of goes last; IPv6 first otherwise."""
    no_ipv6 = not machine.net.addresses(ipv6=True)
    return sorted(addresses, key=lambda each: (":" in each) == no_ipv6)


async def reverse(machine: Machine, address: str) -> Resolution:
    """getnameinfo(3): the name of an address in `canonical`.  `NotResolved` when it has none."""
    known = hosts_name(machine.files, address)
    if known:
        return Resolution(name=address, canonical=known, addresses=[address])
    pointer = f"{ipaddress.ip_address(address).reverse_pointer}."
    lookups: list[Lookup] = []
    asked = await _ask_servers(machine, config(machine.files), [Question(pointer, "PTR")], libc(machine), lookups)
    for each in asked:
        names = [record.data for record in each.answer.answer if record.type == "PTR"] if each.answer else []
        if names:
            return Resolution(name=address, canonical=names[0].rstrip("."), addresses=[address], lookups=lookups)
    code = "EAI_NONAME" if any(each.answer for each in asked) else "EAI_AGAIN"
    raise NotResolved(address, code, libc(machine), lookups)


# -- servers ------------------------------------------------------------------------------------------------


async def _ask_servers(
    machine: Machine, settings: Config, questions: list[Question], library: Libc, lookups: list[Lookup]
) -> list[Lookup]:
    """The questions, asked until all are answered or the time is over; SERVFAIL counts as no answer while there is another
    server.  What was asked last is returned, and everything is added to `lookups`."""
    servers = list(settings.servers)
    if settings.rotate:
        first = machine.world.rng("dns/rotate").randrange(len(servers))
        servers = servers[first:] + servers[:first]
    if library == "musl":
        return await _ask_musl(machine, settings, servers, questions, lookups)
    asked: list[Lookup] = []
    # `single-request`: one question after the other, for servers and firewalls that lose the second of two.
    single, halves = settings.single_request, 0
    for _ in range(settings.attempts):
        for server in servers:
            while True:
                asked = await _ask_glibc(machine, settings, server, questions, single)
                lookups += asked
                if len(asked) == len(questions) and all(_good(each) for each in asked):
                    return asked
                if not any(each.answer for each in asked) or all(each.answer for each in asked):
                    break
                # res_send.c, send_dg: the time is over, and one answer of two came.  From now on one question after the
                # other; then from a fresh socket for each; then it makes do with the one.
                single, halves = True, halves + 1
                if halves == 3:
                    return asked
        if any(each.answer for each in asked):
            break
    return asked


def _good(asked: Lookup) -> bool:
    return asked.answer is not None and asked.answer.rcode in ("NOERROR", "NXDOMAIN")


async def _ask_glibc(
    machine: Machine, settings: Config, server: str, questions: list[Question], single: bool
) -> list[Lookup]:
    """One server: both questions at once, or (`single`) the second when the first is answered."""
    asked: list[Lookup] = []
    for some in [[each] for each in questions] if single else [questions]:
        asked += await ask(machine, server, some, timeout=settings.timeout, tcp=settings.use_vc)
        if single and asked[-1].answer is None:
            break
    return asked


async def _ask_musl(
    machine: Machine, settings: Config, servers: list[str], questions: list[Question], lookups: list[Lookup]
) -> list[Lookup]:
    """musl's res_msend: all servers at once, and every timeout/attempts again what is not answered yet.  One server after the
    other in that rhythm tells the same to whoever has one server, as pods have."""
    found: dict[Question, Lookup] = {}
    for _ in range(settings.attempts):
        for server in servers:
            missing = [each for each in questions if each not in found or not _good(found[each])]
            asked = await ask(
                machine, server, missing, timeout=settings.timeout / settings.attempts, tcp=settings.use_vc
            )
            lookups += asked
            found |= {each.question: each for each in asked}
            if all(_good(found[each]) for each in questions):
                return list(found.values())
    return list(found.values())


async def ask(
    machine: Machine,
    server: str,
    questions: list[Question],
    *,
    port: int = 53,
    timeout: float = 5.0,
    edns: int = 0,
    recursion: bool = True,
    tcp: bool = False,
    cookie: bytes = b"",
) -> list[Lookup]:
    """Questions to one server at once, over UDP (again over TCP where the answer was cut), and what came in `timeout` seconds."""
    world = machine.world
    start = world.now
    ids = [world.rng("dns").getrandbits(16) for _ in questions]
    if tcp:
        found = []
        for question, id_ in zip(questions, ids, strict=True):
            data = wire.query(question, id_, edns=edns, recursion=recursion, cookie=cookie)
            found.append(await _ask_tcp(machine, server, port, data, question, timeout))
        return found
    replies: dict[int, wire.Reply] = {}
    traces: dict[int, Trace] = {}
    error = "timed out"
    socket = machine.net.udp()
    try:
        for question, id_ in zip(questions, ids, strict=True):
            data = wire.query(question, id_, edns=edns, recursion=recursion, cookie=cookie)
            traces[id_] = socket.send_to(data, server, port)
            # A datagram is delivered as it is sent: what its sample drew, and the answer to it, is in the socket's trace.
            traces[id_] = socket.trace(server, port) or traces[id_]
        deadline = start + timeout
        while len(replies) < len(ids):
            data, peer = await world.wait_for(socket.recv_from(), deadline - world.now)
            try:
                reply = wire.parse_response(data)
            except wire.Malformed:
                continue
            if reply.id in ids and peer == (server, port):
                replies[reply.id] = reply
                traces[reply.id] = socket.trace(server, port) or traces[reply.id]
    except world_module.TimedOut:
        pass
    except errors.NetError as problem:
        error = str(problem).lower()
        if problem.trace is not None:
            for id_ in ids:
                traces.setdefault(id_, problem.trace)
    finally:
        socket.close()
    found = []
    for question, id_ in zip(questions, ids, strict=True):
        answered = replies.get(id_)
        if answered is not None and answered.answer.truncated:
            data = wire.query(question, id_, edns=edns, recursion=recursion, cookie=cookie)
            found.append(await _ask_tcp(machine, server, port, data, question, timeout))
            continue
        found.append(
            Lookup(
                server=server,
                question=question,
                reply=answered,
                error="" if answered is not None else error,
                trace=traces.get(id_),
                seconds=world.now - start,
            )
        )
    return found


async def _ask_tcp(machine: Machine, server: str, port: int, data: bytes, question: Question, timeout: float) -> Lookup:
    """One question over TCP, with its two bytes of length before it (RFC 1035 section 4.2.2)."""
    world: World = machine.world
    start = world.now
    trace: Trace | None = None
    try:
        connection = await machine.net.connect(server, port, timeout=timeout)
        trace = connection.trace
        try:
            await connection.send(len(data).to_bytes(2, "big") + data)
            buffer = b""
            while len(buffer) < 2 or len(buffer) < 2 + int.from_bytes(buffer[:2], "big"):
                piece = await world.wait_for(connection.recv(), timeout)
                if not piece:
                    raise errors.Reset("end of file")
                buffer += piece
            reply = wire.parse_response(buffer[2:])
        finally:
            connection.close()
    except world_module.TimedOut:
        return Lookup(server=server, question=question, error="timed out", trace=trace, seconds=world.now - start)
    except (errors.NetError, wire.Malformed) as problem:
        trace = trace or getattr(problem, "trace", None)
        return Lookup(
            server=server, question=question, error=str(problem).lower(), trace=trace, seconds=world.now - start
        )
    return Lookup(server=server, question=question, reply=reply, trace=trace, seconds=world.now - start)


def chain(answer: Answer) -> list[Record]:
    """The CNAMEs of an answer, in order."""
    return [each for each in answer.answer if each.type == "CNAME"]
