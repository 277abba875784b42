"""CoreDNS's plugins: each gets a query and answers it, or hands it on.

The order is the one of `corefile.ORDER`, fixed when CoreDNS is built.  A plugin that CoreDNS has and this one has not is refused
by name, not passed over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kubesim.dns import cache, corefile, records, resolver, wire
from kubesim.dns.answers import Answer, Question, Record, absolute, address_type, reverse_name, within

if TYPE_CHECKING:
    from kubesim.dns.objects import Objects
    from kubesim.machine import Machine

# Nobody answered: CoreDNS's server says so (core/dnsserver, errorFunc).
SERVER_FAILURE = Answer(rcode="SERVFAIL")
REFUSED = Answer(rcode="REFUSED")
# plugin/forward: read timeout of one upstream, and for how long all are tried.
UPSTREAM_TIMEOUT = 2.0
FORWARD_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query on its way through the chain: who asked, over what, and the bytes' own facts."""

    question: Question
    client: tuple[str, int]
    protocol: str = "udp"
    query: wire.Query | None = None
    depth: int = 0


@dataclass(eq=False, kw_only=True)
class Server:
    """What plugins know of the server that they are in: its machine, its clock, the cluster's objects, its log;
    `fatal` logs and ends the program."""

    machine: Machine
    objects: Objects
    synced: Callable[[], bool]
    log: Callable[[str], None]
    fatal: Callable[[str], None]
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def now(self) -> float:
        return self.machine.world.now


Next = Callable[[Asked], Awaitable[Answer]]


class Plugin:
    """One link of the chain; this one hands everything on."""

    def __init__(self, server: Server, block: corefile.Block, directive: corefile.Directive) -> None:
        self.server = server
        self.block = block
        self.setup(directive)

    def setup(self, directive: corefile.Directive) -> None:
        """Read the directive; `CorefileError`."""

    async def serve(self, asked: Asked, further: Next) -> Answer:
        return await further(asked)

    def _unknown(self, each: corefile.Directive, plugin: str) -> corefile.CorefileError:
        return _error(plugin, each, f"unknown property '{each.name}'")


def _error(plugin: str, at: corefile.Directive, words: str) -> corefile.CorefileError:
    return corefile.CorefileError(f"plugin/{plugin}: /etc/coredns/Corefile:{at.line} - Error during parsing: {words}")


def _number(plugin: str, at: corefile.Directive, text: str) -> int:
    if not text.isdigit():
        raise _error(plugin, at, f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


class Errors(Plugin):
    """Logs what went wrong behind it: `Forward` writes these lines."""


class Log(Plugin):
    """A line for each query, in the format "common" (plugin/log)."""

    def setup(self, directive: corefile.Directive) -> None:
        if len(directive.args) > 1 or directive.block:
            raise corefile.CorefileError("not simulated: formats and classes of the CoreDNS plugin log")
        self.zone = absolute(directive.args[0]) if directive.args else "."

    async def serve(self, asked: Asked, further: Next) -> Answer:
        start = self.server.now
        answer = await further(asked)
        if within(asked.question.name, self.zone):
            query = asked.query
            size = query.size if query else 0
            aa, ra = answer.authoritative, answer.recursion_available
            flags = ",".join(["qr", *(["aa"] if aa else []), "rd", *(["ra"] if ra else [])])
            id_, limit = (query.id, query.limit) if query else (0, wire.PLAIN_LIMIT)
            sent = len(wire.response(query, answer)) if query else 0
            self.server.log(
                f"[INFO] {asked.client[0]}:{asked.client[1]} - {id_} "
                f'"{asked.question.type} IN {asked.question.name} {asked.protocol} {size} false {limit}" '
                f"{answer.rcode} {flags} {sent} {self.server.now - start:.9f}s"
            )
        return answer


class LoadBalance(Plugin):
    """Puts A and AAAA records in a random order, CNAMEs first (plugin/loadbalance, round_robin)."""

    def setup(self, directive: corefile.Directive) -> None:
        if directive.args and directive.args[0] != "round_robin":
            raise _error("loadbalance", directive, f"unknown policy '{directive.args[0]}'")

    async def serve(self, asked: Asked, further: Next) -> Answer:
        answer = await further(asked)
        addresses = [each for each in answer.answer if each.type in ("A", "AAAA")]
        if len(addresses) < 2:
            return answer
        self.server.machine.world.rng("dns/loadbalance").shuffle(addresses)
        aliases = [each for each in answer.answer if each.type == "CNAME"]
        others = [each for each in answer.answer if each.type not in ("A", "AAAA", "CNAME", "MX")]
        mail = [each for each in answer.answer if each.type == "MX"]
        return replace(answer, answer=(*aliases, *others, *addresses, *mail))


class Cached(Plugin):
    """`cache [TTL] [ZONES...]` with success, denial and disable."""

    def setup(self, directive: corefile.Directive) -> None:
        args = list(directive.args)
        kept = cache.Cache()
        if args and args[0].isdigit():
            ttl = int(args.pop(0))
            kept.success, kept.denial = min(ttl, cache.MAX_TTL), min(ttl, cache.MAX_DENIAL_TTL)
        self.zones = tuple(zone for each in args for zone in corefile.zones(each)) or self.block.zones
        for each in directive.block:
            if each.name in ("success", "denial"):
                numbers = [_number("cache", each, word) for word in each.args]
                kept.capacity = numbers[0] if numbers else kept.capacity
                if len(numbers) > 1:
                    setattr(kept, each.name, numbers[1])
                if len(numbers) > 2:
                    kept.minimum = numbers[2]
            elif each.name == "disable" and each.args and each.args[0] in ("success", "denial"):
                zones = tuple(zone for word in each.args[1:] for zone in corefile.zones(word)) or self.zones
                setattr(kept, f"no_{each.args[0]}", zones)
            elif each.name in ("prefetch", "serve_stale", "servfail", "keepttl"):
                raise corefile.CorefileError(f"not simulated: {each.name} of the CoreDNS plugin cache")
            else:
                raise self._unknown(each, "cache")
        self.cache = kept

    async def serve(self, asked: Asked, further: Next) -> Answer:
        if not any(within(asked.question.name, zone) for zone in self.zones):
            return await further(asked)
        found = self.cache.get(asked.question, self.server.now)
        if found is not None:
            return found
        return self.cache.put(asked.question, await further(asked), self.server.now)


class Hosts(Plugin):
    """`hosts [FILE]` with lines of its own, ttl, no_reverse and fallthrough."""

    def setup(self, directive: corefile.Directive) -> None:
        args = list(directive.args)
        self.file = args.pop(0) if args and args[0].startswith("/") else ("" if directive.block else "/etc/hosts")
        self.zones: tuple[str, ...] = tuple(zone for each in args for zone in corefile.zones(each)) or self.block.zones
        self.ttl, self.reverse = 3600, True
        self.inline: list[tuple[str, list[str]]] = []
        self.fallthrough: tuple[str, ...] | None = None
        for each in directive.block:
            if address_type(each.name) != "CNAME":
                self.inline.append((each.name, [absolute(name).lower() for name in each.args]))
            elif each.name == "ttl":
                self.ttl = _number("hosts", each, each.args[0])
            elif each.name == "no_reverse":
                self.reverse = False
            elif each.name == "fallthrough":
                self.fallthrough = _fall(each)
            elif each.name != "reload":
                raise self._unknown(each, "hosts")

    async def serve(self, asked: Asked, further: Next) -> Answer:
        name, kind = asked.question.name, asked.question.type
        if not any(within(name, zone) for zone in self.zones):
            return await further(asked)
        lines = list(self.inline)
        files = self.server.machine.files
        if self.file and files.is_file(self.file):
            for line in files.read(self.file).splitlines():
                address, *names = line.split("#")[0].split() or [""]
                lines.append((address, [absolute(each).lower() for each in names]))
        found: list[Record] = []
        if kind == "PTR" and self.reverse:
            pointers = [each for address, names in lines if address and reverse_name(address) == name.lower() for each in names]
            found = [Record(name, self.ttl, "PTR", each) for each in pointers]
        addresses = [address for address, names in lines if name.lower() in names]
        found += [Record(name, self.ttl, kind, each) for each in addresses if address_type(each) == kind]
        if found:
            return Answer(answer=tuple(found), authoritative=True)
        falls = self.fallthrough is not None and any(within(name, zone) for zone in self.fallthrough)
        if addresses and not falls:
            return Answer(authoritative=True)
        return await further(asked)


def _fall(each: corefile.Directive) -> tuple[str, ...]:
    """The zones of a `fallthrough`: all without arguments."""
    return tuple(zone for word in each.args for zone in corefile.zones(word)) or (".",)


class Kubernetes(Plugin):
    """The cluster's names: see `records`."""

    def setup(self, directive: corefile.Directive) -> None:
        zones = tuple(zone for each in directive.args for zone in corefile.zones(each)) or self.block.zones
        options = records.Options(zones=zones)
        if not options.primary:
            raise corefile.CorefileError("plugin/kubernetes: non-reverse zone name must be used")
        self.fallthrough: tuple[str, ...] = ()
        for each in directive.block:
            match each.name, each.args:
                case "pods", [mode]:
                    if mode not in ("disabled", "insecure", "verified"):
                        raise corefile.CorefileError(
                            f"plugin/kubernetes: wrong value for pods: {mode},  must be one of: disabled, verified, insecure"
                        )
                    options = replace(options, pods=mode)
                case "ttl", [ttl]:
                    number = _number("kubernetes", each, ttl)
                    if number > 3600:
                        raise _error("kubernetes", each, f"ttl must be in range [0, 3600]: {number}")
                    options = replace(options, ttl=number)
                case "namespaces", [_, *_]:
                    options = replace(options, namespaces=tuple(each.args))
                case "fallthrough", _:
                    self.fallthrough = _fall(each)
                case "endpoint_pod_names", []:
                    options = replace(options, endpoint_pod_names=True)
                case "ignore", ["empty_service"]:
                    options = replace(options, ignore_empty_service=True)
                case "ignore", [what]:
                    raise corefile.CorefileError(f"plugin/kubernetes: unable to parse ignore value: '{what}'")
                case "upstream" | "startup_timeout" | "kubeconfig", _:
                    pass  # nothing to see: the pod's service account is who asks, and names are chased through this server
                case "pods" | "ttl" | "namespaces" | "endpoint_pod_names", _:
                    raise _error("kubernetes", each, f"Wrong argument count or unexpected line ending after '{each.name}'")
                case "endpoint" | "tls" | "labels" | "namespace_labels" | "noendpoints" | "multicluster", _:
                    raise corefile.CorefileError(f"not simulated: {each.name} of the CoreDNS plugin kubernetes")
                case _:
                    raise self._unknown(each, "kubernetes")
        self.records = records.Records(
            self.server.objects, options, tuple(self.server.machine.net.addresses(ipv6=False))
        )

    async def serve(self, asked: Asked, further: Next) -> Answer:
        question = asked.question
        if not self.records.zone_of(question.name):
            return await further(asked)
        answer = self.records.answer(question, self.server.synced())
        if answer.rcode == "NXDOMAIN" and any(within(question.name, zone) for zone in self.fallthrough):
            return await further(asked)
        return answer


class Loop(Plugin):
    """Ends the program when a query that it forwarded comes back to it (plugin/loop).

    Upstream sends a query of its own at the start to find out; here the first forwarded query finds the same.
    """

    def setup(self, directive: corefile.Directive) -> None:
        self.under_way: dict[Question, int] = {}

    async def serve(self, asked: Asked, further: Next) -> Answer:
        question, machine = asked.question, self.server.machine
        own = asked.client[0].startswith("127.") or asked.client[0] in machine.net.addresses()
        if own and question in self.under_way and asked.depth == 0:
            zone = self.block.zones[0]
            self.server.fatal(
                f'plugin/loop: Loop ({asked.client[0]}:{asked.client[1]} -> :{self.block.port}) detected for zone "{zone}", '
                f'see https://coredns.io/plugins/loop#troubleshooting. Query: "{question.type} {question.name}"'
            )
            return SERVER_FAILURE
        self.under_way[question] = self.under_way.get(question, 0) + 1
        try:
            return await further(asked)
        finally:
            self.under_way[question] -= 1
            if not self.under_way[question]:
                del self.under_way[question]


class Forward(Plugin):
    """`forward FROM TO...`: ask others, the next when one does not answer."""

    def setup(self, directive: corefile.Directive) -> None:
        if len(directive.args) < 2:
            raise _error("forward", directive, "Wrong argument count or unexpected line ending after 'forward'")
        self.zone = corefile.zones(directive.args[0])[0]
        self.upstreams: list[tuple[str, int]] = []
        self.policy, self.tcp = "random", False
        self.excepted: tuple[str, ...] = ()
        for to in directive.args[1:]:
            if to.startswith("/"):
                text = self.server.machine.files.read(to) if self.server.machine.files.is_file(to) else ""
                self.upstreams += [(each, 53) for each in resolver.parse_config(text).servers]
                continue
            host, _, port = to.removeprefix("dns://").rpartition(":") if to.count(":") == 1 else (to, "", "")
            if address_type(host or to) == "CNAME":
                raise corefile.CorefileError(f'plugin/forward: not an IP address or file: "{to}"')
            self.upstreams.append((host or to, int(port or 53)))
        for each in directive.block:
            if each.name == "policy" and each.args:
                self.policy = each.args[0]
            elif each.name == "except":
                self.excepted = tuple(zone for word in each.args for zone in corefile.zones(word))
            elif each.name == "force_tcp":
                self.tcp = True
            elif each.name not in ("max_concurrent", "health_check", "expire", "max_fails", "prefer_udp"):
                raise self._unknown(each, "forward")
        self.turn = 0

    async def serve(self, asked: Asked, further: Next) -> Answer:
        question, server = asked.question, self.server
        if not within(question.name, self.zone) or any(within(question.name, zone) for zone in self.excepted):
            return await further(asked)
        start = server.now
        while True:
            for host, port in self._order():
                found = await resolver.ask(
                    server.machine, host, [question], port=port, timeout=UPSTREAM_TIMEOUT, tcp=self.tcp, edns=wire.PLAIN_LIMIT
                )
                if found[0].answer is not None:
                    return replace(found[0].answer, authoritative=False)
                trace = found[0].trace
                source = f"{trace.flow.src}:{trace.flow.sport}" if trace else ""
                words = "i/o timeout" if found[0].error == "timed out" else f"read: {found[0].error}"
                server.log(
                    f"[ERROR] plugin/errors: 2 {question.name} {question.type}: read udp {source}->{host}:{port}: {words}"
                )
                if server.now - start >= FORWARD_TIMEOUT or found[0].error != "timed out":
                    return SERVER_FAILURE

    def _order(self) -> list[tuple[str, int]]:
        ordered = list(self.upstreams)
        if self.policy == "random":
            self.server.machine.world.rng("dns/forward").shuffle(ordered)
        elif self.policy == "round_robin":
            self.turn += 1
            ordered = ordered[self.turn % len(ordered) :] + ordered[: self.turn % len(ordered)]
        return ordered


class Health(Plugin):
    """Not on the way of queries: see `programs.coredns`, which serves :8080/health."""


class Ready(Plugin):
    """:8181/ready."""


class Prometheus(Plugin):
    """Counts requests and answers; served at its address under /metrics."""

    async def serve(self, asked: Asked, further: Next) -> Answer:
        answer = await further(asked)
        counts = self.server.counts
        for key in (("requests", asked.protocol, asked.question.type), ("responses", answer.rcode)):
            counts[key] = counts.get(key, 0) + 1
        return answer


class Reload(Plugin):
    """Watches the Corefile: see `programs.coredns`."""


PLUGINS: dict[str, type[Plugin]] = {
    "reload": Reload,
    "ready": Ready,
    "health": Health,
    "prometheus": Prometheus,
    "errors": Errors,
    "log": Log,
    "loadbalance": LoadBalance,
    "cache": Cached,
    "hosts": Hosts,
    "kubernetes": Kubernetes,
    "loop": Loop,
    "forward": Forward,
}


class Chain:
    """The plugins of one server block, in order."""

    def __init__(self, server: Server, block: corefile.Block) -> None:
        self.block = block
        self.plugins: list[Plugin] = []
        seen: set[str] = set()
        for each in sorted(block.plugins, key=lambda plugin: corefile.ORDER.index(plugin.name)):
            if each.name not in PLUGINS:
                raise corefile.CorefileError(f"not simulated: the CoreDNS plugin {each.name!r}")
            if each.name in seen and each.name not in ("forward", "log"):
                raise corefile.CorefileError(f"plugin/{each.name}: this plugin can only be used once per Server Block")
            seen.add(each.name)
            self.plugins.append(PLUGINS[each.name](server, block, each))

    async def serve(self, asked: Asked) -> Answer:
        """The chain's answer, with the target of a CNAME that leads out of the cluster looked up through the chain again
        (CoreDNS: `upstream.Lookup` asks the server itself)."""
        answer = await self._from(0, asked)
        if answer.chase and asked.depth < records.MAX_CNAMES:
            further = Asked(
                question=Question(answer.chase, asked.question.type),
                client=asked.client,
                protocol=asked.protocol,
                depth=asked.depth + 1,
            )
            found = await self.serve(further)
            answer = replace(answer, answer=answer.answer + found.answer, truncated=found.truncated, chase="")
        return answer

    async def _from(self, index: int, asked: Asked) -> Answer:
        if index == len(self.plugins):
            # No plugin is left: CoreDNS refuses what no backend took.
            return REFUSED
        return await self.plugins[index].serve(asked, lambda further: self._from(index + 1, further))
