"""Exercises of lab 07: what a balancer is asked, whom it lets in, and what works without it."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from kubelab import checks, manifests, words
from kubelab.exercises import Exercise
from kubelab.port import Port

NODES = ("node-a", "node-b", "node-c")
LAPTOP = "10.138.0.1"

READY = "kubectl wait --for=jsonpath='{.status.loadBalancer.ingress}' service/%s --timeout=5m"


def behind(name: str, *, port: int = 80, extra: str = "", listens: int = 8080, target: int = 0, **more: Any) -> str:
    """A program behind a load balancer; `extra` are more fields of its Service.  What is not said is as it should be."""
    ports = f"[{{port: {port}, targetPort: {target or listens}}}]"
    spec = f"type: LoadBalancer{', ' if extra else ''}{extra}"
    return manifests.behind(name, ports, spec=spec, listens=listens, **more)


def field(port: Port, service: str, path: str) -> str:
    return port.run_outside(f"kubectl get service {service} -o jsonpath='{{{path}}}'").stdout.strip()


def external(port: Port, service: str) -> str:
    return field(port, service, ".status.loadBalancer.ingress[0].ip")


def node_address(port: Port, node: str) -> str:
    return port.run_outside(f"kubectl get node {node} -o jsonpath='{{.status.addresses[0].address}}'").stdout.strip()


def felt(code: int) -> str:
    return {0: "answer", 7: "refused", 28: "timeout"}.get(code, f"exit code {code}")


def who_gets_in(dice: random.Random) -> Exercise:
    """Source ranges drawn, and a caller by one of the ways."""
    name, port = dice.choice(("payroll", "archive", "lab", "vault")), dice.choice((80, 443, 8080))
    lengths = (8, 16, 20, 24, 28, 29, 30, 31, 32)
    near = ipaddress.ip_network(f"{LAPTOP}/{dice.choice(lengths)}", strict=False)
    beside = ipaddress.ip_network(
        f"10.138.0.{dice.choice((2, 4, 16, 32, 64, 128))}/{dice.choice((31, 32))}", strict=False
    )
    far = dice.choice(("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/25"))
    ranges = dice.sample([str(dice.choice((near, beside))), far], k=2)
    way = dice.choice(("address", "address", "address", "node-port", "cluster-ip"))
    told = {
        "address": f"The laptop calls the external address at port {port}.",
        "node-port": "The laptop calls a node at the Service's node port.",
        "cluster-ip": f"Pod `client` calls the ClusterIP at port {port}.",
    }[way]

    def experiment(cluster: Port) -> checks.Outcome:
        cluster.run_outside(READY % name)
        url = {
            "address": f"http://{external(cluster, name)}:{port}",
            "node-port": f"http://{node_address(cluster, NODES[0])}:{field(cluster, name, '.spec.ports[0].nodePort')}",
            "cluster-ip": f"http://{field(cluster, name, '.spec.clusterIP')}:{port}",
        }[way]
        command = f"curl -s -m 3 -o /dev/null {url}"
        done = cluster.run_outside(f"kubectl exec client -- {command}" if way == "cluster-ip" else command)
        source = "pod/client" if way == "cluster-ip" else "outside"
        inside = any(ipaddress.ip_address(LAPTOP) in ipaddress.ip_network(each) for each in ranges)
        because = {
            "address": f"{LAPTOP} is {'in' if inside else 'not in'} the list, and the list guards this address.",
            "node-port": "The list guards the external address alone.",
            "cluster-ip": "The list guards the external address alone; inside, the ClusterIP works as always.",
        }[way]
        return checks.Outcome(answer=felt(done.exit_code), because=because, trace=cluster.trace(source, url))

    return Exercise(
        title="Who gets in?",
        asks=f"`loadBalancerSourceRanges` of Service `{name}` is `[{', '.join(ranges)}]`. The nodes see the laptop as "
        f"{LAPTOP}. **{told}** What comes of it?",
        setup=behind(name, port=port, extra=f"loadBalancerSourceRanges: [{', '.join(ranges)}]"),
        choices={
            "answer": "an answer",
            "timeout": "nothing, until curl gives up",
            "refused": "connection refused, at once",
        },
        experiment=experiment,
        wrong={
            "refused": "The guard does not say no: it drops.",
            "timeout": "The packet gets through. Look at the range's length, and at the way that it takes.",
            "answer": "Count: which addresses does a range of this length hold? The laptop is in none of them.",
        },
        hints=[
            "Which addresses does the list guard? Only one of the Service's.",
            "A /31 holds two addresses, a /30 four, a /28 sixteen.",
        ],
    )


def how_many_are_asked(dice: random.Random) -> Exercise:
    """The health check of the policy Local: how many nodes say yes?"""
    name = dice.choice(("tiles", "quotes", "tides", "fares"))
    spread = dice.random() < 0.5
    replicas = dice.randint(0, 7)
    home = dice.choice(NODES)
    places = "spread by the scheduler" if spread else f"all on `{home}`"

    def experiment(port: Port) -> checks.Outcome:
        health = field(port, name, ".spec.healthCheckNodePort")
        well = [
            node
            for node in NODES
            if port.run_outside(
                f"curl -sf -m 2 -o /dev/null http://{node_address(port, node)}:{health}/healthz"
            ).exit_code
            == 0
        ]
        return checks.Outcome(
            answer=str(len(well)),
            because=f"Those that say 200: {', '.join(well) or 'none'}. kube-proxy says it where a ready pod of "
            f"the Service runs.",
        )

    return Exercise(
        title="Whom does the balancer choose from?",
        asks=f"Service `{name}` of type LoadBalancer has `externalTrafficPolicy: Local` and {replicas} "
        f"pod{'' if replicas == 1 else 's'}{f', {places}' if replicas else ''}. There are three nodes, and all "
        f"of them take pods. How many say 200 at its health check node port?",
        setup=behind(name, replicas=replicas, home="" if spread else home, extra="externalTrafficPolicy: Local"),
        experiment=experiment,
        hints=["Each node answers for itself: is a pod of the Service here?"],
    )


def how_many_answer(dice: random.Random) -> Exercise:
    """Connections and requests: how many pods can at most have answered?"""
    name, replicas = dice.choice(("chat", "prices", "scores", "maps")), dice.randint(2, 6)
    requests, connections = dice.randint(5, 20), dice.randint(1, 4)
    used = min(replicas, connections)

    def experiment(port: Port) -> checks.Outcome:
        port.run_outside(READY % name)
        url = f"http://{external(port, name)}"
        most = 0
        # The dice fall differently each time: so often that the most that is possible has come, if it comes at all.
        for _ in range(80):
            script = "; ".join([f"curl -s '{url}/hostname?[1-{requests}]' -w '\\n'"] * connections)
            most = max(most, len(set(port.run_outside(script).stdout.split())))
            if most == connections:
                break
        return checks.Outcome(
            answer=str(most),
            because="A pod is chosen for each connection, however many requests it carries: "
            f"{connections} of them can come to {used} of {replicas} pods at most.",
            trace=port.trace("outside", url),
        )

    return Exercise(
        title="How many pods work?",
        asks=f"{replicas} pods stand behind Service `{name}`. {connections} client{'' if connections == 1 else 's'} "
        f"{'opens' if connections == 1 else 'open'} one connection each to its external address, and "
        f"{'sends' if connections == 1 else 'send'} {requests} requests over it. How many different pods can "
        f"**at most** have answered?",
        setup=behind(name, replicas=replicas),
        experiment=experiment,
        wrong={
            str(requests): "Requests choose nothing.",
            str(replicas): "Only if there were a connection for each of them.",
        },
        hints=["When is a pod chosen: for each request, or for each connection?"],
    )


def mend_the_front(dice: random.Random) -> Exercise:
    """An external address that does not answer: one of four faults."""
    name, port = dice.choice(("museum", "theatre", "cinema", "opera")), dice.choice((80, 8080, 8888))
    listens = dice.choice((8080, 8081, 9000))
    fault = dice.choice(("range", "class", "target", "selector"))
    given: dict[str, Any] = {"port": port, "listens": listens}
    given |= {
        "range": {"extra": f"loadBalancerSourceRanges: [{dice.choice(('203.0.113.0/24', '10.138.0.2/32'))}]"},
        "class": {"extra": f"loadBalancerClass: example.com/{dice.choice(('metal', 'internal', 'edge'))}"},
        "target": {"target": listens + 1},
        "selector": {"selects": f"the-{name}"},
    }[fault]
    patch = {
        "range": '{"spec":{"loadBalancerSourceRanges":null}}',
        "target": f'{{"spec":{{"ports":[{{"port":{port},"targetPort":{listens}}}]}}}}',
        "selector": f'{{"spec":{{"selector":{{"app":"{name}"}}}}}}',
    }
    anew = f"""kubectl delete service {name}
kubectl expose deployment {name} --type=LoadBalancer --port={port} --target-port={listens}"""

    def answers(subject: checks.Subject) -> checks.Finding:
        address = external(subject.port, name)
        if not address:
            return checks.Finding(passed=False, message=f"Service “{name}” has no external address.")
        url = f"http://{address}:{port}"
        done = subject.port.run_outside(f"curl -s -m 3 {url}/hostname")
        well = done.exit_code == 0 and done.stdout.startswith(name)
        trace = subject.port.trace("outside", url)
        told = f"{address} answers the laptop." if well else f"The laptop called {url}, and got no answer."
        return checks.Finding(passed=well, message=told, explanation=words.explain(trace), trace=trace)

    return Exercise(
        title="No show tonight",
        asks=f"Service `{name}` should answer everybody outside at its external address, port {port}; its program listens on "
        f"{listens}. It does not. Mend it (you may make the Service anew).",
        setup=behind(name, **given),
        checks=[answers],
        hints=[
            f"Has it an external address? kubectl get service {name}. If not: who should give it one?",
            "If it has, follow the packet: x.trace('outside', 'http://ADDRESS:PORT'). Firewall, no endpoints, or "
            "nobody listens?",
            "The fields: loadBalancerSourceRanges; loadBalancerClass, which cannot be changed once set; "
            "selector; targetPort.",
        ],
        solve=anew if fault == "class" else f"kubectl patch service {name} --type=merge -p '{patch[fault]}'",
    )


EXERCISES = (who_gets_in, mend_the_front, how_many_answer, how_many_are_asked)
