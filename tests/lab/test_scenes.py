"""A packet's way as moments: what a learner steps through."""

from __future__ import annotations

import lab_traces as traces

from kubelab import words
from kubelab.stepper import scenes


def lines(trace):
    return [f"{scene.host}: {scene.title}" for scene in scenes.of(trace)]


def test_a_packet_to_a_service_is_told_in_its_decisive_moments():
    assert lines(traces.delivered()) == [
        "default/client: The name web.default.svc.cluster.local becomes 10.96.44.12",
        "default/client: A packet for 10.96.44.12:80",
        "default/client: On to kind-worker",
        "kind-worker: PREROUTING hands it to KUBE-SERVICES",
        "kind-worker: KUBE-SERVICES hands it to KUBE-SVC-LOLE4ISW44XBNF3G",
        "kind-worker: The dice choose 10.244.2.7:8080",
        "kind-worker: The destination is rewritten",
        "kind-worker: On to kind-worker2",
        "kind-worker2: On to default/web-5d9c-abcde",
        "default/web-5d9c-abcde: The packet is taken",
        "default/web-5d9c-abcde: The answer sets out from 10.244.2.7:8080",
        "default/web-5d9c-abcde: On to kind-worker2",
        "kind-worker2: On to kind-worker",
        "kind-worker: Conntrack turns it back",
        "kind-worker: On to default/client",
        "default/client: The client hears 10.96.44.12:80",
    ]


def test_rules_that_did_not_match_stay_with_the_one_that_did():
    by_title = {scene.title: scene for scene in scenes.of(traces.delivered())}
    services = by_title["KUBE-SERVICES hands it to KUBE-SVC-LOLE4ISW44XBNF3G"]
    assert [each.why for each in services.missed] == [
        "the destination is 10.96.44.12, not 10.96.0.1",
        "the destination is 10.96.44.12, not 10.96.0.10",
    ]
    drawn = by_title["The dice choose 10.244.2.7:8080"]
    assert len(drawn.missed) == 2
    assert "a 1 in 3 chance" in drawn.text


def test_what_decided_nothing_is_named_and_counted():
    onward = next(scene for scene in scenes.of(traces.delivered()) if scene.title == "On to kind-worker2")
    assert onward.folded == "filter FORWARD (1 rule), nat POSTROUTING (1 rule), nat KUBE-POSTROUTING (1 rule)"


def test_the_header_before_and_after_is_the_rewrite():
    changed = [scene for scene in scenes.of(traces.delivered()) if scene.changed]
    assert [words.rewrite(scene.before, scene.after) for scene in changed] == [
        "destination 10.96.44.12:80 → 10.244.2.7:8080",
        "source 10.244.2.7:8080 → 10.96.44.12:80",
    ]


def test_a_rejected_packet_ends_on_the_rule_that_rejected_it():
    told = [scene for scene in scenes.of(traces.rejected()) if scene.way == "request"]
    assert told[-1].title == "KUBE-SERVICES: REJECT, for “default/web has no endpoints”"
    assert told[-1].verdict is traces.Verdict.REJECTED
    assert "curl" in told[-1].text.lower()


def test_a_lost_packet_is_shown_the_rules_that_were_not_for_it():
    scene = next(scene for scene in scenes.of(traces.rejected()) if scene.title.startswith("No rule"))
    assert scene.title == "No rule of KUBE-SERVICES is for this packet"
    assert "destination 10.96.44.12, protocol tcp, port 80" in scene.text
    assert len(scene.missed) == 2


def test_a_refused_packet_reaches_the_pod_and_a_reset_goes_back():
    told = scenes.of(traces.refused())
    request = [scene for scene in told if scene.way == "request"]
    assert request[-1].title == "The kernel answers for a program that is not there"
    assert told[len(request)].title == "A reset (RST) goes back"


def test_every_scene_asks_something_before_it_shows():
    for make in traces.ALL.values():
        for scene in scenes.of(make()):
            assert scene.question.endswith("?"), scene.title


def test_it_is_said_in_words_with_what_the_client_feels():
    assert words.explain(traces.delivered()) == (
        "default/client asked 10.96.44.12:80, which kind-worker turned into 10.244.2.7:8080, and default/web-5d9c-abcde answered."
    )
    assert '"default/web has no endpoints"' in words.explain(traces.rejected())
    assert words.explain(traces.rejected()).endswith("Curl says (7) connection refused, at once.")
    assert words.felt_as(traces.refused()) == "curl says (7) connection refused, at once"


def test_ipvs_is_told_like_a_rule_that_rewrites_and_remembers():
    from kubesim import net
    from kubesim.world import World

    network = net.Network(World(seed=1))
    hosts = [network.host(name, kind) for name, kind in (("client", "pod"), ("node", "node"), ("web", "pod"))]
    client, node, web = hosts
    for pod, ip in ((client, "10.244.1.9"), (web, "10.244.1.2")):
        network.link(pod, "eth0", node, f"veth-{pod.name}")
        pod.add_address("eth0", f"{ip}/32")
        pod.routes.add("default", "eth0", "")
        node.routes.add(f"{ip}/32", f"veth-{pod.name}", scope="link")
        node.sysctls[f"net.ipv4.conf.veth-{pod.name}.proxy_arp"] = 1
    node.sysctls["net.ipv4.ip_forward"] = 1
    node.add_interface("kube-ipvs0").up = False
    node.add_address("kube-ipvs0", "10.96.0.7/32")
    service = node.ipvs.add("tcp", "10.96.0.7", 80, "rr")
    packet = net.Packet(dst="10.96.0.7", dport=80, sport=40000, flags="S")
    lost = network.trace(client, packet)
    assert lines(lost)[-4:-3] == ["node: IPVS has nobody to give it to"]
    node.ipvs.add_server(service, "10.244.1.2", 8080)
    web.listen("tcp", "", 8080)
    told = lines(network.trace(client, packet))
    assert told == [
        "client: A packet for 10.96.0.7:80",
        "client: On to node",
        "node: IPVS gives it to 10.244.1.2:8080",
        "node: On to web",
        "web: The packet is taken",
        "web: The answer sets out from 10.244.1.2:8080",
        "web: On to node",
        "node: IPVS turns it back",
        "node: On to client",
        "client: The client hears 10.96.0.7:80",
    ]
    changed = [words.rewrite(each.before, each.after) for each in scenes.of(network.trace(client, packet)) if each.changed]
    assert changed == ["destination 10.96.0.7:80 → 10.244.1.2:8080", "source 10.244.1.2:8080 → 10.96.0.7:80"]
