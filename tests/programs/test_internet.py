"""The listed internet, reached through a router that masquerades."""

from __future__ import annotations

import pytest

from kubesim.dns import internet, resolver
from kubesim.net.trace import Verdict
from kubesim.programs import fetch, http, tls


@pytest.fixture
def home(wire):
    """A machine on a LAN behind a router."""
    router = wire.network.host("router", "outside")
    wire.segment.attach(router, "eth0")
    router.add_address("eth0", "10.0.0.254/24")
    router.sysctls["net.ipv4.ip_forward"] = 1
    address = internet.build(wire.network, router)
    wire.laptop = wire.machine("nginx", "laptop")
    wire.laptop.net.routes.add("default", "eth0", "10.0.0.254")
    wire.laptop.files.write("/etc/resolv.conf", f"nameserver {address}\n")
    return wire


def ask(home, url: str, host: str = "") -> fetch.Fetched:
    if not host:
        return home.world.run(fetch.get(home.laptop, url))
    headers = [("Host", host), ("Connection", "close")]
    return home.world.run(fetch.send(home.laptop, "GET", url, "/", headers))


def test_a_page_and_the_way_there(home):
    found = ask(home, "http://example.com/")
    assert b"<title>Example Domain</title>" in found.body
    assert [hop.host for hop in found.trace.hops] == ["laptop", "router", "example.com"]
    assert found.trace.final.src == internet.OWN, "the router speaks for those behind it"
    assert found.trace.reply is not None
    assert found.trace.reply.verdict is Verdict.DELIVERED


@pytest.mark.parametrize(
    ("url", "host", "status", "header", "first"),
    [
        ("https://216.58.207.131", "10.99.12.62", 301, "location: http://www.google.com/", ""),
        ("https://140.82.118.4", "10.99.12.62", 301, "Location: https://github.com/", ""),
        ("http://google.com", "www.google.com", 200, "", "<!doctype html>"),
        ("http://www.mozilla.org", "my-ext-svc", 403, "", "<!DOCTYPE html>"),
        ("http://www.mozilla.org", "www.mozilla.org", 301, "Location: https://www.mozilla.org/", ""),
        ("https://www.mozilla.org", "www.mozilla.org", 200, "", "<!DOCTYPE html>"),
    ],
)
def test_what_sites_say_to_whom(home, url, host, status, header, first):
    found = ask(home, url, host)
    assert found.status == status
    if header:
        assert header in [f"{key}: {value}" for key, value in found.headers]
    assert found.body.decode().splitlines()[:1] == ([first] if first else [])


def test_sites_have_certificates_that_machines_trust(home):
    async def talk(name: str) -> tls.Session:
        connection = await home.laptop.net.connect("140.82.118.4", 443)
        trust = tls.Trust(roots=frozenset([tls.PUBLIC]), now=home.world.now)
        return (await tls.connect(connection, name, trust)).session

    assert home.world.run(talk("github.com")).chain[0].subject == "CN=github.com"
    with pytest.raises(tls.CertificateError, match="no alternative certificate subject name"):
        home.world.run(talk("example.com"))


@pytest.mark.parametrize(("name", "code"), [("nowhere.example", "EAI_NONAME"), ("com", "EAI_NODATA")])
def test_names_that_have_no_address(home, name, code):
    with pytest.raises(resolver.NotResolved) as caught:
        home.world.run(resolver.lookup(home.laptop, name))
    assert caught.value.code == code


def test_an_address_has_its_name(home):
    found = home.world.run(resolver.reverse(home.laptop, "140.82.118.4"))
    assert found.canonical == "github.com"


def test_what_is_not_listed_is_not_there(home):
    with pytest.raises(fetch.Failed, match="Connection timed out") as caught:
        home.world.run(fetch.get(home.laptop, "http://203.0.113.77/", timeout=3.0))
    assert caught.value.trace is not None
    assert [hop.host for hop in caught.value.trace.hops] == ["laptop", "router", "internet"]
    assert caught.value.trace.verdict is Verdict.DROPPED
    assert http.find(ask(home, "http://google.fr/").headers, "location") == "http://www.google.com/"
