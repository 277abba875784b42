"""The small, listed internet beyond the cluster: a resolver, and a few sites that answer as the real ones begin to.

Nothing here reaches the real internet.  Sites have their real names and one real-looking address each, a certificate that a
public authority signed, and an HTTP answer for those who look: what is asked of another host name is sent away or
refused as these servers do, which is what an ExternalName Service meets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kubesim.dns import wire
from kubesim.dns.answers import Answer, Question, Record, labels, reverse_name, within
from kubesim.net import errors

if TYPE_CHECKING:
    from kubesim.net.host import Host
    from kubesim.net.network import Network
    from kubesim.net.sockets import UdpSocket
    from kubesim.programs import http, tls
    from kubesim.world import World

RESOLVER_NAME, RESOLVER = "dns.google", "8.8.8.8"
# The address that the router has out there (TEST-NET-2, RFC 5737), its interface, and the provider's side.
OWN, DEVICE, PROVIDER = "198.51.100.10", "wan0", "198.51.100.1"
TTL = 300  # seconds, a common choice of sites
ROOT_SOA = Record(".", 86400, "SOA", "a.root-servers.net. nstld.verisign-grs.com. 2026110200 1800 900 604800 86400")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One server: the first of `names` is its own, to which it sends who asked for another; `style` says how."""

    names: tuple[str, ...]
    address: str
    style: str
    title: str = ""


SITES = (
    Site(names=("www.google.com", "google.com", "google.fr", "www.google.fr"), address="216.58.207.131", style="google"),
    Site(names=("github.com", "www.github.com"), address="140.82.118.4", style="secure", title="GitHub"),
    Site(names=("www.mozilla.org", "mozilla.org"), address="104.18.37.228", style="front", title="Internet for people"),
    Site(names=("example.com", "www.example.com", "example.org", "example.net"), address="93.184.215.14", style="page",
         title="Example Domain"),
    Site(names=("kubernetes.io", "www.kubernetes.io"), address="147.75.40.148", style="secure", title="Kubernetes"),
    Site(names=("deb.debian.org", "security.debian.org", "archive.ubuntu.com", "security.ubuntu.com"),
         address="151.101.130.132", style="page", title="Index of /"),
    Site(names=("dl-cdn.alpinelinux.org",), address="151.101.194.132", style="page", title="Index of /"),
)  # fmt: skip


def build(network: Network, router: Host, records: Mapping[str, Sequence[str]] | None = None) -> str:
    """Put the internet behind a router, which masquerades what it sends there; the address of the resolver.

    `records` are names that somebody has registered besides, with their addresses.

    What is sent to an address that is not listed gets lost at the provider's, and no error comes back.
    """
    world = network.world
    segment = network.switch("internet")
    segment.attach(router, DEVICE)
    router.add_address(DEVICE, f"{OWN}/24")
    router.routes.add("default", DEVICE, PROVIDER)
    router.netfilter.restore(f"*nat\n-A POSTROUTING -o {DEVICE} -j MASQUERADE\nCOMMIT\n", noflush=True)
    provider = network.host("internet", "internet")
    segment.attach(provider, "eth0")
    provider.add_address("eth0", f"{PROVIDER}/24")
    provider.routes.add("default", "eth0")
    provider.sysctls["net.ipv4.ip_forward"] = 1
    provider.netfilter.restore("*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\nCOMMIT\n")
    for name, address in ((RESOLVER_NAME, RESOLVER), *((site.names[0], site.address) for site in SITES)):
        host = network.host(name, "internet")
        segment.attach(host, "eth0")
        host.add_address("eth0", f"{address}/32")
        host.routes.add("default", "eth0")
        router.routes.add(f"{address}/32", DEVICE)
    world.spawn(_resolve(network.hosts[RESOLVER_NAME].udp("", 53), records or {}), "the internet's resolver")
    for site in SITES:
        _Server(world, network.hosts[site.names[0]], site).start()
    return RESOLVER


# -- names --------------------------------------------------------------------------------------------------


def answer(question: Question, records: Mapping[str, Sequence[str]] | None = None, turn: int = 0) -> Answer:
    """What a recursive resolver out there says.

    Several addresses of one name take turns in being the first (BIND's `rrset-order cyclic`): `turn` counts.
    """
    name = question.name.lower()
    pointers = {reverse_name(site.address): f"{site.names[0]}." for site in SITES} | {
        reverse_name(RESOLVER): f"{RESOLVER_NAME}."
    }
    if name in pointers:
        found = (Record(question.name, TTL, "PTR", pointers[name]),) if question.type == "PTR" else ()
        return Answer(answer=found, authority=() if found else (ROOT_SOA,))
    known: dict[str, Sequence[str]] = {f"{each}.": (site.address,) for site in SITES for each in site.names}
    known[f"{RESOLVER_NAME}."] = (RESOLVER,)
    known.update({f"{each}.": addresses for each, addresses in (records or {}).items()})
    if name in known:
        if question.type == "A":
            first = turn % len(known[name])
            rotated = [*known[name][first:], *known[name][:first]]
            return Answer(answer=tuple(Record(question.name, TTL, "A", each) for each in rotated))
        return Answer(authority=(_soa(name),))
    # The parent of a known name exists too ("com."), and holds nothing.
    if any(within(each, name) for each in known):
        return Answer(authority=(_soa(name),))
    zone = next((each for each in sorted(known, key=len) if within(name, each)), "")
    return Answer(rcode="NXDOMAIN", authority=(_soa(zone) if zone else ROOT_SOA,))


def _soa(name: str) -> Record:
    zone = ".".join(labels(name)[-2:]) + "."
    return Record(zone, TTL, "SOA", f"ns1.{zone} hostmaster.{zone} 2026110201 7200 3600 1209600 300")


async def _resolve(socket: UdpSocket, records: Mapping[str, Sequence[str]]) -> None:
    socket.answers = True
    # Each name's addresses take their own turns: the AAAA question beside each A does not count.
    turns: Counter[Question] = Counter()
    while True:
        try:
            data, client = await socket.recv_from()
            query = wire.parse_query(data)
            found = replace(answer(query.question, records, turns[query.question]), recursion_available=True)
            turns[query.question] += 1
            socket.send_to(wire.response(query, found, limit=query.limit), *client)
        except (errors.NetError, wire.Malformed):
            if socket.closed:
                return


# -- sites --------------------------------------------------------------------------------------------------


class _Server:
    """A site's two ports.  The web parts are imported when the first client comes."""

    def __init__(self, world: World, host: Host, site: Site) -> None:
        self.world = world
        self.host = host
        self.site = site

    def start(self) -> None:
        for port in (80, 443):
            self.world.spawn(self._serve(port), f"{self.site.names[0]}:{port}")

    async def _serve(self, port: int) -> None:
        listener = self.host.listen("tcp", "", port)
        first = await listener.accept()
        from kubesim.programs import http, tls

        context = tls.context(self._certificate()) if port == 443 else None
        server = http.Server(self.world, self._handler(port == 443), context=context)
        server.take(first)
        await server.serve(listener)

    def _certificate(self) -> tls.Certificate:
        from kubesim.programs import tls

        born = self.world.start - 30 * 24 * 3600
        return tls.Certificate(
            subject=f"CN={self.site.names[0]}",
            issuer="CN=Public Trust CA",
            not_before=born,
            not_after=born + 90 * 24 * 3600,
            key=self.site.names[0],
            issuer_key=tls.PUBLIC,
            sans=tuple(f"DNS:{name}" for name in self.site.names),
        )

    def _handler(self, secure: bool) -> Callable[[http.Request], Awaitable[http.Response]]:
        async def handle(request: http.Request) -> http.Response:
            return STYLES[self.site.style](self.site, request, secure)

        return handle


def _page(title: str, status: int = 200, doctype: str = "<!DOCTYPE html>") -> http.Response:
    from kubesim.programs import http

    body = f"{doctype}\n<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n</body>\n</html>\n"
    return http.text(body, status, "text/html; charset=utf-8")


def _moved(header: str, location: str, status: int = 301) -> http.Response:
    from kubesim.programs import http

    return http.Response(status=status, headers=[(header, location), ("Content-Type", "text/html")])


def _google(site: Site, request: http.Request, secure: bool) -> http.Response:
    """Its own host name gets the page, any other is sent there; names of headers are in small letters, as in HTTP/2."""
    if request.host in site.names and request.host.startswith("www."):
        return _page("Google", doctype="<!doctype html>")
    return _moved("location", f"{'https' if secure and request.host in site.names else 'http'}://{site.names[0]}/")


def _secure(site: Site, request: http.Request, secure: bool) -> http.Response:
    """Everything but its own name through TLS is sent to that."""
    if secure and request.host == site.names[0]:
        return _page(site.title)
    return _moved("Location", f"https://{site.names[0]}/")


def _front(site: Site, request: http.Request, secure: bool) -> http.Response:
    """A content network in front of the site: it does not serve what it does not know."""
    if request.host not in site.names:
        return _page("Direct IP access not allowed", 403)
    return _secure(site, request, secure)


def _plain(site: Site, request: http.Request, secure: bool) -> http.Response:
    return _page(site.title) if request.host in site.names else _page("404 - Not Found", 404)


STYLES: dict[str, Callable[[Site, http.Request, bool], http.Response]] = {
    "google": _google,
    "secure": _secure,
    "front": _front,
    "page": _plain,
}
