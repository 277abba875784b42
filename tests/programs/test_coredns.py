"""CoreDNS behind its port, asked by a pod's resolver over the network."""

from __future__ import annotations

import pytest

from kubesim.dns import corefile, internet, resolver, wire
from kubesim.dns.answers import Question, Record

COREFILE = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
"""
POD_RESOLV = "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.0.0.1\noptions ndots:5\n"


def service(name: str, ip: str, namespace: str = "default") -> dict:
    spec = {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def external(name: str, target: str) -> dict:
    metadata = {"name": name, "namespace": "default"}
    return {"metadata": metadata, "spec": {"type": "ExternalName", "externalName": target}}


@pytest.fixture
def cluster(wire):
    """A CoreDNS at 10.0.0.1, and a resolver of the outside world at 10.0.0.2 that it forwards to."""
    wire.client.put("namespaces", {"metadata": {"name": "default"}})
    wire.client.put("services", service("web", "10.96.0.7"))
    dns = wire.machine(
        "coredns/coredns:1.13.1", "coredns", __etc__coredns__Corefile=COREFILE, __etc__resolv__conf="nameserver 10.0.0.2\n"
    )
    dns.files.write("/etc/resolv.conf", "nameserver 10.0.0.2\n")
    outer = wire.machine("alpine", "outer")
    wire.outer = wire.world.spawn(internet._resolve(outer.net.udp("", 53), {}), "outer")
    wire.coredns = wire.start(dns, "coredns/coredns:1.13.1", args=["-conf", "/etc/coredns/Corefile"])
    wire.pod = wire.machine("nginx", "pod")
    wire.pod.files.write("/etc/resolv.conf", POD_RESOLV)
    wire.pod.files.write("/etc/hosts", "127.0.0.1 localhost\n10.0.0.3 pod\n")
    return wire


def lookup(cluster, name: str, **options):
    return cluster.world.run(resolver.lookup(cluster.pod, name, **options))


def asked(found) -> list[str]:
    return [f"{each.question} {each.answer.rcode if each.answer else each.error}" for each in found.lookups]


def test_a_short_name_is_found_under_the_first_suffix(cluster):
    found = lookup(cluster, "web")
    assert found.addresses == ["10.96.0.7"]
    assert found.canonical == "web.default.svc.cluster.local"
    assert asked(found) == ["web.default.svc.cluster.local. A NOERROR", "web.default.svc.cluster.local. AAAA NOERROR"]
    assert [str(trace.verdict) for trace in found.traces] == ["DELIVERED", "DELIVERED"]
    assert all(trace.reply is not None for trace in found.traces)


def test_an_outside_name_passes_the_whole_search_list_first(cluster):
    found = lookup(cluster, "example.com", family=4)
    assert found.addresses == ["93.184.215.14"]
    assert asked(found) == [
        "example.com.default.svc.cluster.local. A NXDOMAIN",
        "example.com.svc.cluster.local. A NXDOMAIN",
        "example.com.cluster.local. A NXDOMAIN",
        "example.com. A NOERROR",
    ]


def test_a_name_with_its_final_dot_is_asked_as_it_is(cluster):
    assert asked(lookup(cluster, "example.com.", family=4)) == ["example.com. A NOERROR"]


def test_hosts_come_before_dns(cluster):
    found = lookup(cluster, "pod")
    assert (found.addresses, found.lookups) == (["10.0.0.3"], [])


def test_an_external_name_is_followed_outside(cluster):
    cluster.client.put("services", external("my-ext-svc", "www.mozilla.org"))
    found = lookup(cluster, "my-ext-svc", family=4)
    assert found.addresses == ["104.18.37.228"]
    assert found.canonical == "www.mozilla.org"
    assert resolver.chain(found.lookups[0].answer) == [
        Record("my-ext-svc.default.svc.cluster.local.", 30, "CNAME", "www.mozilla.org.")
    ]


def test_a_name_that_is_nowhere(cluster):
    with pytest.raises(resolver.NotResolved, match="Name or service not known") as caught:
        lookup(cluster, "nowhere")
    assert caught.value.code == "EAI_NONAME"
    assert len(caught.value.lookups) == 8


def test_when_the_dns_pod_is_gone_the_port_refuses_and_a_dead_address_times_out(cluster):
    cluster.coredns.task.cancel()
    cluster.world.advance(6.0)  # its lameduck time
    assert cluster.coredns.task.result() == 0
    with pytest.raises(resolver.NotResolved, match="Temporary failure in name resolution") as caught:
        lookup(cluster, "web")
    assert "connection refused" in {each.error for each in caught.value.lookups}
    cluster.pod.files.write("/etc/resolv.conf", "nameserver 10.0.0.99\noptions timeout:1 attempts:2\n")
    start = cluster.world.now
    with pytest.raises(resolver.NotResolved):
        lookup(cluster, "web")
    assert cluster.world.now - start >= 2.0


def test_musl_stops_where_the_name_has_enough_dots(cluster):
    cluster.pod.files.write("/etc/resolv.conf", POD_RESOLV.replace("ndots:5", "ndots:1"))
    with pytest.raises(resolver.NotResolved, match="Name does not resolve") as caught:
        lookup(cluster, "web.default", library="musl")
    assert [str(each.question) for each in caught.value.lookups] == ["web.default. A", "web.default. AAAA"]
    assert lookup(cluster, "web.default", library="glibc").addresses == ["10.96.0.7"]


def lose(cluster, every: int, packet: int) -> None:
    """The pod's questions are lost on their way out: of `every` one, counted from 0."""
    rule = f"-A OUTPUT -p udp -m udp --dport 53 -m statistic --mode nth --every {every} --packet {packet} -j DROP"
    cluster.pod.net.netfilter.restore(f"*filter\n:OUTPUT ACCEPT\n{rule}\nCOMMIT\n")


@pytest.mark.parametrize(
    ("library", "every", "packet", "seconds", "questions"),
    [
        # The AAAA is lost: after five seconds glibc asks again, one question after the other.
        ("glibc", 3, 1, 5.0, ["A NOERROR", "AAAA timed out", "A NOERROR", "AAAA NOERROR"]),
        # Every second question is lost: at its third time-out it makes do with the A.
        ("glibc", 2, 1, 15.0, ["A NOERROR", "AAAA timed out"] * 3),
        # The A is lost: musl asks again for it alone, at half of its five seconds.
        ("musl", 3, 0, 2.5, ["A timed out", "AAAA NOERROR", "A NOERROR"]),
    ],
)
def test_a_lost_question_costs_a_time_out(cluster, library, every, packet, seconds, questions):
    cluster.pod.files.write("/etc/resolv.conf", "nameserver 10.0.0.1\n")
    lose(cluster, every, packet)
    start = cluster.world.now
    found = lookup(cluster, "web.default.svc.cluster.local", library=library)
    assert found.addresses == ["10.96.0.7"]
    assert [each.removeprefix("web.default.svc.cluster.local. ") for each in asked(found)] == questions
    assert cluster.world.now - start == pytest.approx(seconds, abs=0.1)


def test_musl_wants_both_answers(cluster):
    cluster.pod.files.write("/etc/resolv.conf", "nameserver 10.0.0.1\n")
    cluster.pod.net.netfilter.restore(
        "*filter\n:OUTPUT ACCEPT\n-A OUTPUT -p udp -m udp --dport 53 -m statistic --mode nth --every 4 --packet 1 -j DROP\n"
        "-A OUTPUT -p udp -m udp --dport 53 -m statistic --mode nth --every 2 --packet 0 -j DROP\nCOMMIT\n"
    )
    with pytest.raises(resolver.NotResolved) as caught:
        lookup(cluster, "web.default.svc.cluster.local", library="musl")
    assert caught.value.code == "EAI_AGAIN"


def test_single_request_asks_one_after_the_other(cluster):
    cluster.pod.files.write("/etc/resolv.conf", POD_RESOLV + "options single-request\n")
    found = lookup(cluster, "web")
    ports = {trace.flow.sport for trace in found.traces}
    assert (found.addresses, len(ports)) == (["10.96.0.7"], 2)


def test_rotate_uses_all_servers(cluster):
    cluster.pod.files.write("/etc/resolv.conf", "nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions rotate\n")
    used = {lookup(cluster, "example.com", family=4).lookups[0].server for _ in range(20)}
    assert used == {"10.0.0.1", "10.0.0.2"}


def test_a_pointer(cluster):
    found = cluster.world.run(resolver.reverse(cluster.pod, "10.96.0.7"))
    assert found.canonical == "web.default.svc.cluster.local"


def test_the_cache_runs_ttls_down_and_lets_go_at_their_end(cluster):
    def ttl() -> int:
        found = cluster.world.run(resolver.ask(cluster.pod, "10.0.0.1", [Question("web.default.svc.cluster.local.")]))
        return found[0].answer.answer[0].ttl

    assert ttl() == 30
    cluster.world.advance(10)
    assert ttl() == 20
    cluster.world.advance(21)
    assert ttl() == 30


def test_a_denial_is_cached_too_so_a_new_service_is_not_seen_at_once(cluster):
    with pytest.raises(resolver.NotResolved):
        lookup(cluster, "late")
    cluster.client.put("services", service("late", "10.96.0.8"))
    with pytest.raises(resolver.NotResolved):
        lookup(cluster, "late")
    cluster.world.advance(31)
    assert lookup(cluster, "late").addresses == ["10.96.0.8"]


def test_over_tcp(cluster):
    found = cluster.world.run(resolver.ask(cluster.pod, "10.0.0.1", [Question("web.default.svc.cluster.local.")], tcp=True))
    assert [record.data for record in found[0].answer.answer] == ["10.96.0.7"]


def test_a_long_answer_is_cut_over_udp_and_asked_for_again_over_tcp(cluster):
    slice_ = {
        "metadata": {"name": "many-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "many"}},
        "endpoints": [{"addresses": [f"10.244.1.{n}"]} for n in range(1, 61)],
        "ports": [{"port": 80}],
    }
    cluster.client.put("services", {"metadata": {"name": "many", "namespace": "default"}, "spec": {"clusterIP": "None"}})
    cluster.client.put("endpointslices.discovery.k8s.io", slice_)
    found = lookup(cluster, "many", family=4)
    assert len(found.addresses) == 60
    assert found.addresses != sorted(found.addresses), "the plugin loadbalance shuffles"


def test_what_it_logs_at_the_start(cluster):
    assert cluster.coredns.log[0] == ".:53"
    assert cluster.coredns.log[1].startswith("[INFO] plugin/reload: Running configuration SHA512 = ")
    assert cluster.coredns.log[2:] == ["CoreDNS-1.13.1", "linux/amd64, go1.25.2, 1db4568"]


def test_a_changed_corefile_takes_effect_within_half_a_minute(cluster):
    machine = cluster.coredns.machine
    hosts = "    hosts {\n      10.9.9.9 somewhere.test\n      fallthrough\n    }\n"
    machine.files.write("/etc/coredns/Corefile", COREFILE.replace("    loop\n", hosts))
    with pytest.raises(resolver.NotResolved):
        lookup(cluster, "somewhere.test.")
    cluster.world.advance(61)
    assert lookup(cluster, "somewhere.test.", family=4).addresses == ["10.9.9.9"]
    machine.files.write("/etc/coredns/Corefile", COREFILE.replace("    loop\n", "    lopp\n"))
    cluster.world.advance(31)
    assert cluster.coredns.log[-1] == (
        "[ERROR] Restart failed: /etc/coredns/Corefile:17 - Error during parsing: Unknown directive 'lopp'"
    )
    assert lookup(cluster, "web").addresses == ["10.96.0.7"]


def test_a_forward_to_itself_ends_it(cluster):
    machine = cluster.machine("coredns/coredns:1.13.1", "looping", __etc__coredns__Corefile=COREFILE)
    machine.files.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    looping = cluster.start(machine, "coredns/coredns:1.13.1", args=["-conf", "/etc/coredns/Corefile"])
    address = machine.net.addresses()[0]
    cluster.world.run(resolver.ask(cluster.pod, address, [Question("example.com.")], timeout=1.0))
    assert looping.task.result() == 1
    assert looping.log[-1].startswith("[FATAL] plugin/loop: Loop (127.0.0.1:")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (".:53 {\n    forwad . 8.8.8.8\n}\n", "/etc/coredns/Corefile:2 - Error during parsing: Unknown directive 'forwad'"),
        (".:53 {\n    errors\n", "/etc/coredns/Corefile:2 - Error during parsing: Unexpected EOF"),
        (".:53 {\n    dnssec\n}\n", "not simulated: the CoreDNS plugin 'dnssec'"),
        (
            ".:53 {\n    kubernetes cluster.local {\n      pods maybe\n    }\n}\n",
            "plugin/kubernetes: wrong value for pods: maybe,  must be one of: disabled, verified, insecure",
        ),
    ],
)
def test_a_wrong_corefile_ends_it_with_its_own_words(wire, text, words):
    machine = wire.machine("coredns/coredns:1.13.1", "dns", __etc__coredns__Corefile=text)
    running = wire.start(machine, "coredns/coredns:1.13.1", args=["-conf", "/etc/coredns/Corefile"])
    assert running.task.result() == 1
    assert running.log == [words]


def test_a_port_that_is_taken_ends_it_and_leaves_nothing_behind(wire):
    machine = wire.machine("coredns/coredns:1.13.1", "dns", __etc__coredns__Corefile=COREFILE)
    machine.files.write("/etc/resolv.conf", "nameserver 10.0.0.2\n")
    taken = machine.net.listen("tcp", "", 8181)
    args = ["-conf", "/etc/coredns/Corefile"]
    running = wire.start(machine, "coredns/coredns:1.13.1", args=args)
    assert (running.task.result(), running.log[-1]) == (1, "Listen: listen tcp :8181: bind: address already in use")
    taken.close()
    wire.world.drain()
    assert not wire.start(machine, "coredns/coredns:1.13.1", args=args).task.done


def test_server_blocks_have_zones_and_ports():
    text = "cluster.local:1053 10.0.0.0/16 {\n    errors\n}\nexample.org {\n    forward . 1.1.1.1\n}\n"
    blocks = corefile.parse(text)
    assert [(block.zones, block.port) for block in blocks] == [
        (("cluster.local.",), 1053),
        (("0.10.in-addr.arpa.",), 53),
        (("example.org.",), 53),
    ]


def test_resolv_conf_as_the_c_library_reads_it():
    text = "domain a.example\nsearch b.example c.example\nnameserver 10.0.0.1\noptions ndots:40 timeout:3 attempts:9 trust-ad\n"
    found = resolver.parse_config(text)
    assert found == resolver.Config(
        servers=("10.0.0.1",), search=("b.example", "c.example"), ndots=15, timeout=3.0, attempts=5
    )


def test_messages_survive_the_wire():
    query = wire.parse_query(wire.query(Question("Web.default.svc.cluster.local.", "SRV"), 4711, edns=1232))
    assert (query.id, query.question, query.limit) == (4711, Question("Web.default.svc.cluster.local.", "SRV"), 1232)


def test_flags_say_whose_answer_it_is(cluster):
    def flags(name: str) -> tuple[bool, bool]:
        answer = cluster.world.run(resolver.ask(cluster.pod, "10.0.0.1", [Question(name)]))[0].answer
        return answer.authoritative, answer.recursion_available

    assert flags("web.default.svc.cluster.local.") == (True, False)
    assert flags("example.com.") == (False, True)
    assert flags("example.com.") == (True, True), "out of the cache"


def test_a_silent_upstream_is_said_in_the_log(cluster):
    cluster.outer.cancel()
    cluster.world.drain()
    machine = cluster.coredns.machine
    machine.files.write("/etc/resolv.conf", "nameserver 10.0.0.98\n")
    machine.files.write("/etc/coredns/Corefile", COREFILE.replace("    loop\n", ""))
    cluster.world.advance(31)
    found = cluster.world.run(resolver.ask(cluster.pod, "10.0.0.1", [Question("example.com.")], timeout=20.0))[0]
    assert found.answer.rcode == "SERVFAIL"
    assert cluster.coredns.log[-1].startswith("[ERROR] plugin/errors: 2 example.com. A: read udp 10.0.0.1:")


def test_the_log_plugin(cluster):
    cluster.coredns.machine.files.write("/etc/coredns/Corefile", COREFILE.replace("    loop\n", "    log\n"))
    cluster.world.advance(31)
    cluster.world.run(resolver.ask(cluster.pod, "10.0.0.1", [Question("nowhere.default.svc.cluster.local.")]))
    line = cluster.coredns.log[-1]
    assert line.startswith("[INFO] 10.0.0.3:")
    assert line.endswith(
        '"A IN nowhere.default.svc.cluster.local. udp 51 false 512" NXDOMAIN qr,aa,rd 144 0.000000000s'
    )
