"""CoreDNS's *kubernetes* plugin: the cluster's objects and a question give an answer.  Pure.

Theory of operation
-------------------
A name below the zone is taken apart from the right (`parse`): `svc` or `pod`, the namespace, the service, and then
either one label (an endpoint) or two (port and protocol).  The parts select `Hit`s - an address or a name, with a port
and the name that it is known by - and the question's type decides what records these become.  A name that selects
nothing is NXDOMAIN; one that exists and has nothing of the asked type is NODATA: NOERROR with the zone's SOA.

Upstream (CoreDNS 1.13): `plugin/kubernetes/{kubernetes,handler,parse,reverse,ns}.go`, `plugin/backend_lookup.go`;
https://github.com/kubernetes/dns/blob/master/docs/specification.md says what must hold.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kubesim.dns import objects
from kubesim.dns.answers import (
    Answer,
    Question,
    RCode,
    Record,
    absolute,
    address_type,
    is_reverse,
    labels,
    longest,
    reversed_address,
    within,
)

SCHEMA_VERSION = "1.1.0"  # of the specification above; answered as TXT at dns-version.<zone>
SCHEMA_TTL = 28800
# Longer chains of CNAMEs inside the cluster are cut (upstream `A`: "don't add it, and just continue").
MAX_CNAMES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the plugin's block in the Corefile says.  `ttl` in seconds; `namespaces` empty for all."""

    zones: tuple[str, ...] = ("cluster.local.",)
    pods: str = "disabled"
    ttl: int = 5
    namespaces: tuple[str, ...] = ()
    endpoint_pod_names: bool = False
    ignore_empty_service: bool = False
    zonal: bool = False

    @property
    def primary(self) -> str:
        """The first zone that is not one of addresses: what PTR answers point into."""
        return next((zone for zone in self.zones if not is_reverse(zone)), "")


@dataclass(frozen=True, slots=True)
class Hit:
    """What a name selects: an address or a name, with its port, known as `name` (upstream `msg.Service`)."""

    host: str
    name: str
    ttl: int
    port: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A name taken apart.  Empty parts were not given."""

    kind: str = ""
    namespace: str = ""
    service: str = ""
    endpoint: str = ""
    port: str = ""
    protocol: str = ""
    zone: str = ""
    mode: str = ""  # with `zone`: "pin" or "prefer"


class NoSuchName(Exception):
    """The name is not in the zone: NXDOMAIN."""


def parse(name: str, zone: str, zonal: bool = False) -> Request:
    """Take a name below `zone` apart; `NoSuchName` where no such name can be (upstream `parseRequest`)."""
    parts = labels(name)[: -len(labels(zone)) or None]
    if not parts:
        return Request()
    kind = parts.pop()
    if kind not in ("svc", "pod"):
        raise NoSuchName(name)
    # "svc.<zone>" and "pod.<zone>" exist and hold nothing, like the apex.
    request = Request(kind=kind if parts else "")
    for part in ("namespace", "service"):
        if parts:
            request = replace(request, **{part: parts.pop()})
    if zonal and kind == "svc" and len(parts) >= 3 and parts[-1] == "_zone" and parts[-2] in ("pin", "prefer"):
        return replace(request, zone=".".join(parts[:-2]), mode=parts[-2])
    if len(parts) == 1:
        return replace(request, endpoint=parts[0])
    if len(parts) == 2:
        return replace(request, port=parts[0].removeprefix("_"), protocol=parts[1].removeprefix("_"))
    if parts:
        raise NoSuchName(name)
    return request


class Records:
    """The plugin's answers over `known` objects; `local_ips` are the addresses that the server itself listens on."""

    def __init__(self, known: objects.Objects, options: Options, local_ips: tuple[str, ...] = ()) -> None:
        self.known = known
        self.options = options
        self.local_ips = local_ips

    def zone_of(self, name: str) -> str:
        """The zone that the name is in, spelt as the question spells it; "" when it is none of ours."""
        zone = longest(name, self.options.zones)
        return name[-len(zone) :] if zone else ""

    def answer(self, question: Question, synced: bool = True) -> Answer:
        """The reply to a question in one of the zones.  Before the first listing (`synced`) a miss is SERVFAIL."""
        zone = self.zone_of(question.name)
        try:
            found = self._lookup(question, zone)
        except NoSuchName:
            return self._negative("NXDOMAIN" if synced else "SERVFAIL", zone)
        return found if found.answer else self._negative("NOERROR", zone)

    def _negative(self, rcode: RCode, zone: str) -> Answer:
        return Answer(rcode=rcode, authority=(self.soa(zone),), authoritative=True)

    def soa(self, zone: str) -> Record:
        """The zone's start of authority; upstream caps its TTL at 300 s."""
        ttl = self.options.ttl
        prefix = "" if zone == "." else zone
        data = f"ns.dns.{prefix} hostmaster.{prefix} {self.known.serial} 7200 1800 86400 {ttl}"
        return Record(zone, min(ttl, 300), "SOA", data)

    # -- by type --------------------------------------------------------------------------------------------

    def _lookup(self, question: Question, zone: str) -> Answer:
        name, apex = question.name, question.name.lower() == zone.lower()
        match question.type:
            case "A" | "AAAA":
                records, chase = self._addresses(name, zone, question.type, ())
                return Answer(answer=records, chase=chase, authoritative=True)
            case "CNAME":
                aliases = [hit for hit in self._hits(name, zone)[:1] if address_type(hit.host) == "CNAME"]
                records = tuple(Record(name, hit.ttl, "CNAME", absolute(hit.host)) for hit in aliases)
                return Answer(answer=records, authoritative=True)
            case "SRV":
                return self._services(name, zone)
            case "TXT":
                if name.lower() == f"dns-version.{zone}".lower():
                    return Answer(answer=(Record(name, SCHEMA_TTL, "TXT", SCHEMA_VERSION),), authoritative=True)
                self._hits(name, zone)
                return Answer()
            case "PTR":
                return self._reverse(name, zone)
            case "SOA":
                return Answer(answer=(self.soa(zone),) if apex else (), authoritative=True)
            case "NS" if apex:
                hits = self._name_servers(zone)
                names = dict.fromkeys(hit.name for hit in hits)
                return Answer(
                    answer=tuple(Record(name, self.options.ttl, "NS", each) for each in names),
                    additional=tuple(_address(hit.name, hit) for hit in hits),
                    authoritative=True,
                )
            case _:
                # Any other type holds nothing; the look-up still tells NODATA from NXDOMAIN.
                self._hits(name, zone)
                return Answer()

    def _addresses(
        self, name: str, zone: str, wanted: str, aliases: tuple[Record, ...]
    ) -> tuple[tuple[Record, ...], str]:
        """A or AAAA records, CNAMEs followed inside the zone; and a target outside of it that is left to chase."""
        found: dict[Record, None] = {}
        chase = ""
        for hit in self._hits(name, zone):
            kind = address_type(hit.host)
            if kind == wanted:
                found[_address(name, hit)] = None
            elif kind == "CNAME":
                target = absolute(hit.host)
                alias = Record(name, hit.ttl, "CNAME", target)
                known = any(each.name.lower() == name.lower() and each.data == target for each in aliases)
                if target.lower() == name.lower() or known or len(aliases) > MAX_CNAMES:
                    continue
                if not within(target, zone):
                    found[alias] = None
                    chase = target
                    continue
                try:
                    further, chase = self._addresses(target, zone, wanted, (*aliases, alias))
                except NoSuchName:
                    continue
                if further:
                    found.update(dict.fromkeys((alias, *further)))
        return tuple(found), chase

    def _services(self, name: str, zone: str) -> Answer:
        # Services of type ExternalName have no SRV (upstream `Services`: "not yet implemented").
        hits = [hit for hit in self._hits(name, zone) if address_type(hit.host) != "CNAME"]
        weight = max(1, 100 // len(hits)) if hits else 0
        answer: dict[Record, None] = {}
        additional: dict[Record, None] = {}
        for hit in hits:
            if hit.port == -1:
                continue
            answer[Record(name, hit.ttl, "SRV", f"0 {weight} {hit.port} {hit.name}")] = None
            additional[_address(hit.name, hit)] = None
        return Answer(answer=tuple(answer), additional=tuple(additional), authoritative=True)

    def _reverse(self, name: str, zone: str) -> Answer:
        ip = reversed_address(name)
        if not ip:
            self._hits(name, zone)
            return Answer()
        names: dict[str, None] = {}
        for service in self.known.services_at(ip):
            if self._exposed(service["metadata"]["namespace"], existing=False):
                names[self._join(service["metadata"]["name"], service["metadata"]["namespace"])] = None
                break
        else:
            for each in self.known.endpoints_at(ip):
                if not self._exposed(each.service[0], existing=False):
                    continue
                for address in each.addresses:
                    if address.ip == ip:
                        label = address.label(self.options.endpoint_pod_names)
                        names[f"{label}.{self._join(each.service[1], each.service[0])}"] = None
        if not names:
            raise NoSuchName(name)
        records = tuple(Record(name, self.options.ttl, "PTR", each) for each in names)
        return Answer(answer=records, authoritative=True)

    def _join(self, service: str, namespace: str) -> str:
        return f"{service}.{namespace}.svc.{self.options.primary}"

    # -- what a name selects --------------------------------------------------------------------------------

    def _hits(self, name: str, zone: str) -> list[Hit]:
        """What the name selects: possibly nothing (it exists), or `NoSuchName`."""
        lowered = name.lower()
        if lowered == f"ns.dns.{zone}".lower():
            return [replace(hit, name=name) for hit in self._name_servers(zone)]
        request = parse(lowered, zone, self.options.zonal)
        if not request.kind:
            return []
        if is_reverse(name) or not self._exposed(request.namespace):
            raise NoSuchName(name)
        if not request.service:
            return []
        return self._pod(request, zone) if request.kind == "pod" else self._service(request, zone)

    def _exposed(self, namespace: str, existing: bool = True) -> bool:
        configured = not self.options.namespaces or namespace in self.options.namespaces
        return configured and (not existing or namespace in self.known.namespaces)

    def _pod(self, request: Request, zone: str) -> list[Hit]:
        label = request.service
        dots = label.count("-") == 3 and "--" not in label
        ip = label.replace("-", "." if dots else ":")
        if self.options.pods == "disabled" or address_type(ip) == "CNAME":
            raise NoSuchName(label)
        if self.options.pods == "verified" and not self.known.pods_at(ip, request.namespace):
            raise NoSuchName(label)
        return [Hit(ip, f"{label}.{request.namespace}.pod.{zone}", self.options.ttl)]

    def _service(self, request: Request, zone: str) -> list[Hit]:
        key = (request.namespace, request.service)
        service = self.known.services.get(key)
        if service is None:
            raise NoSuchName(request.service)
        name, ttl = f"{request.service}.{request.namespace}.svc.{zone}", self.options.ttl
        if service["spec"].get("type") == "ExternalName":
            target = service["spec"].get("externalName", "")
            if request.endpoint or request.port or request.protocol or request.zone or address_type(target) != "CNAME":
                raise NoSuchName(request.service)
            return [Hit(target, name, ttl)]
        without_head = objects.headless(service)
        if request.zone:
            if not without_head:
                raise NoSuchName(request.service)
            return self._zonal(request, list(self._endpoints(request, name)))
        if without_head or request.endpoint:
            found = [hit for hit, _ in self._endpoints(request, name)]
        elif self.options.ignore_empty_service and not any(each.addresses for each in self.known.endpoints_of(key)):
            found = []
        else:
            found = [
                Hit(ip, name, ttl, port["port"])
                for port in objects.ports(service)
                if _port_matches(request, port)
                for ip in objects.cluster_ips(service)
            ]
        if not found:
            raise NoSuchName(request.service)
        return found

    def _endpoints(self, request: Request, name: str) -> Iterator[tuple[Hit, str]]:
        """The ready endpoints that match, each with its topology zone."""
        for each in self.known.endpoints_of((request.namespace, request.service)):
            for address in each.addresses:
                label = address.label(self.options.endpoint_pod_names)
                if request.endpoint and request.endpoint.lower() != label.lower():
                    continue
                for port in each.ports:
                    if _port_matches(request, port):
                        # A nil port stands for all ports (discovery/v1 EndpointPort.port).
                        number = port.get("port")
                        yield Hit(address.ip, f"{label}.{name}", self.options.ttl, -1 if number is None else number), (
                            address.zone.lower()
                        )

    def _zonal(self, request: Request, found: list[tuple[Hit, str]]) -> list[Hit]:
        """The endpoints of one topology zone; "prefer" falls back to all, "pin" to none, which is NODATA."""
        if not found:
            raise NoSuchName(request.service)
        there = [hit for hit, zone in found if zone == request.zone]
        return there or ([hit for hit, _ in found] if request.mode == "prefer" else [])

    def _name_servers(self, zone: str) -> list[Hit]:
        """The services in front of this very server, else its own addresses (upstream `nsAddrs`)."""
        ttl = self.options.ttl
        found = [
            Hit(ip, f"{service}.{namespace}.svc.{zone}", ttl)
            for local in self.local_ips
            for namespace, service in dict.fromkeys(each.service for each in self.known.endpoints_at(local))
            if (namespace, service) in self.known.services
            for ip in objects.cluster_ips(self.known.services[namespace, service])
        ]
        return list(dict.fromkeys(found)) or [Hit(local, f"ns.dns.{zone}", ttl) for local in self.local_ips]


def _address(name: str, hit: Hit) -> Record:
    return Record(name, hit.ttl, address_type(hit.host), str(ipaddress.ip_address(hit.host)))


def _port_matches(request: Request, port: objects.Object) -> bool:
    named = not request.port or request.port.lower() == (port.get("name") or "").lower()
    return named and (not request.protocol or request.protocol.lower() == (port.get("protocol") or "TCP").lower())
