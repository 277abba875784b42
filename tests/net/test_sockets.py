"""Programs on hosts without rules: who reaches whom, and what they get when they do not."""

from __future__ import annotations

import pytest

from kubesim import net


def test_a_pod_reaches_a_pod_on_another_node(lab):
    lab.serve(lab.pods["c"], 80)
    assert lab.get(lab.pods["a"], "10.244.2.2", 80) == "c saw 10.244.1.2"


def test_a_pod_reaches_its_neighbour_and_itself(lab):
    lab.serve(lab.pods["b"], 80)
    assert lab.get(lab.pods["a"], "10.244.1.3", 80) == "b saw 10.244.1.2"
    assert lab.get(lab.pods["b"], "10.244.1.3", 80) == "b saw 10.244.1.3"
    assert lab.get(lab.pods["b"], "127.0.0.1", 80) == "b saw 127.0.0.1"


def test_the_trace_names_the_hosts_in_order(lab):
    lab.serve(lab.pods["c"], 80)

    async def client():
        return await lab.pods["a"].connect("10.244.2.2", 80)

    trace = lab.world.run(client()).trace
    assert [hop.host for hop in trace.hops] == ["a", "node1", "node2", "c"]
    assert [hop.host for hop in trace.reply.hops] == ["c", "node2", "node1", "a"]
    assert trace.verdict is net.Verdict.DELIVERED
    assert (trace.final.ttl, trace.reply.final.ttl) == (62, 62)


@pytest.mark.parametrize(
    ("bind", "asked", "answer"),
    [
        ("127.0.0.1", "10.244.1.3", "Connection refused"),
        ("127.0.0.1", "127.0.0.1", "b saw 127.0.0.1"),
        ("10.244.1.3", "127.0.0.1", "Connection refused"),
        ("::", "10.244.1.3", "b saw 10.244.1.3"),
        ("", "127.0.0.1", "b saw 127.0.0.1"),
    ],
)
def test_where_a_listener_is_bound_decides_who_reaches_it(lab, bind, asked, answer):
    lab.serve(lab.pods["b"], 80, bind)
    assert lab.get(lab.pods["b"], asked, 80) == answer


def test_a_closed_port_refuses_at_once(lab):
    assert lab.get(lab.pods["a"], "10.244.2.2", 81) == "Connection refused"
    assert lab.world.now == 0


def test_an_address_nobody_has_is_unreachable_after_arp_gave_up(lab):
    assert lab.get(lab.node1, "172.18.0.99", 80) == "No route to host"
    assert lab.world.now == 3


def test_a_router_reports_a_next_hop_that_nobody_answers_for(lab):
    assert lab.get(lab.pods["a"], "172.18.0.99", 80) == "No route to host"
    assert lab.world.now == 3


def test_no_route_is_known_at_once(lab):
    assert lab.get(lab.outside, "10.1.1.1", 80) == "Network is unreachable"
    assert lab.world.now == 0


def test_silence_takes_tcp_127_seconds_or_the_callers_patience(lab):
    lab.outside.routes.add("10.244.1.0/24", "eth0", "172.18.0.2")
    lab.outside.sysctls["net.ipv4.ip_forward"] = 0
    assert lab.get(lab.pods["a"], "8.8.8.8", 53, timeout=5) == "Connection timed out"
    assert lab.world.now == 5
    assert lab.get(lab.pods["a"], "8.8.8.8", 53) == "Connection timed out"
    assert lab.world.now == 5 + 127


def test_an_address_is_given_once(lab):
    lab.node1.listen("tcp", "127.0.0.1", 80)
    lab.node1.listen("tcp", "172.18.0.2", 80)
    for taken in ("127.0.0.1", "0.0.0.0", "::"):
        with pytest.raises(net.AddressInUse):
            lab.node1.listen("tcp", taken, 80)
    with pytest.raises(net.AddressNotAvailable):
        lab.node1.listen("tcp", "1.2.3.4", 81)


def test_when_a_pod_goes_its_peers_see_the_end(lab):
    listener = lab.pods["c"].listen("tcp", "", 80)

    async def story():
        client = await lab.pods["a"].connect("10.244.2.2", 80)
        await listener.accept()
        lab.pods["c"].shutdown()
        return await client.recv()

    assert lab.world.run(story()) == b""
    assert lab.get(lab.pods["a"], "10.244.2.2", 80) in (
        "No route to host",
        "Network is unreachable",
        "Connection timed out",
    )


def test_a_reset_is_felt_by_both(lab):
    listener = lab.pods["c"].listen("tcp", "", 80)

    async def story():
        client = await lab.pods["a"].connect("10.244.2.2", 80)
        server = await listener.accept()
        server.reset()
        with pytest.raises(net.Reset):
            await client.recv()

    lab.world.run(story())


def test_data_goes_both_ways_in_order_and_closing_ends_it(lab):
    listener = lab.pods["c"].listen("tcp", "", 80)

    async def story():
        client = await lab.pods["a"].connect("10.244.2.2", 80)
        server = await listener.accept()
        await client.send(b"one")
        await client.send(b"two")
        client.send_eof()
        got = [await server.recv() for _ in range(3)]
        await server.send(b"bye")
        server.close()
        got += [await client.recv(), await client.recv()]
        with pytest.raises(net.BrokenPipe):
            await client.send(b"more")
        return got

    assert lab.world.run(story()) == [b"one", b"two", b"", b"bye", b""]
    assert not lab.pods["a"].stack.connections
    assert not lab.pods["c"].stack.connections


def test_udp_answers_and_a_closed_port_refuses(lab):
    server = lab.pods["c"].udp("", 53)

    async def serve():
        data, (ip, port) = await server.recv_from()
        server.send_to(data.upper(), ip, port)

    async def story():
        lab.world.spawn(serve())
        socket = lab.pods["a"].udp()
        socket.send_to(b"hello", "10.244.2.2", 53)
        answer = await socket.recv_from()
        trace = socket.trace("10.244.2.2", 53)
        socket.send_to(b"hello", "10.244.2.2", 54)
        with pytest.raises(net.Refused):
            await socket.recv_from()
        return answer, trace.reply.verdict

    assert lab.world.run(story()) == ((b"HELLO", ("10.244.2.2", 53)), net.Verdict.DELIVERED)


def test_ping_and_its_ttl(lab):
    echo = lab.world.run(lab.pods["a"].ping("10.244.2.2"))
    assert (echo.icmp, echo.address, echo.ttl) == ("echo-reply", "10.244.2.2", 62)
    echo = lab.world.run(lab.pods["a"].ping("10.244.2.2", ttl=1))
    # node1 answers from the address it speaks to the pod from: its own on the LAN, the veth having none.
    assert (echo.icmp, echo.address) == ("time-exceeded", "172.18.0.2")


def test_a_dry_walk_changes_nothing(lab):
    listener = lab.pods["c"].listen("tcp", "", 80)
    trace = lab.network.trace(lab.pods["a"], net.Packet(dst="10.244.2.2", sport=40000, dport=80, flags="S"))
    assert (trace.verdict, trace.reply.verdict) == (net.Verdict.DELIVERED, net.Verdict.DELIVERED)
    assert not lab.pods["c"].stack.connections
    assert not listener._ready


@pytest.mark.parametrize(
    ("client", "rule", "blocking", "seconds"),
    [
        ("a", "-A FORWARD -p tcp --dport 80 -j REJECT", False, 0),
        ("a", "-A FORWARD -p tcp --dport 80 -j REJECT", True, 1),
        ("node1", "-A OUTPUT -p tcp --dport 80 -j REJECT", True, 1),
        ("a", "-A FORWARD -p tcp --dport 80 -j REJECT --reject-with tcp-reset", True, 0),
        # The other node is another machine: its answer comes when connect(2) has long begun to wait.
        ("outside", "-A FORWARD -p tcp --dport 80 -j REJECT", True, 0),
    ],
)
def test_who_blocks_hears_of_its_own_machines_reject_a_second_later(lab, client, rule, blocking, seconds):
    lab.node1.netfilter.restore(f"*filter\n{rule}\nCOMMIT\n")
    lab.outside.routes.add("10.244.0.0/16", "eth0", "172.18.0.2")
    host = lab.network.hosts[client]

    async def connect():
        with pytest.raises(net.Refused):
            await host.connect("10.244.2.2", 80, blocking=blocking)

    lab.world.run(connect())
    assert lab.world.now == seconds
