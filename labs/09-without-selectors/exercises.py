"""Exercises of lab 09: slices by hand - which port, whether they are found, and what may stand in them."""

from __future__ import annotations

import random

from kubelab import checks
from kubelab.exercises import Exercise
from kubelab.port import Port

CLIENT = "pod/client"
NAMES = ("billing", "stock", "mainframe", "printer", "backup", "archive", "clock")
PORT_NAMES = ("http", "web", "api", "main")
MACHINE, LISTENS = "ledger-machine", 8443


def wired(name: str, service_ports: str, label: str, slice_ports: str) -> str:
    """A Service without a selector and a slice with the machine's address."""
    return f"""kubectl apply -f - <<EOF
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{service_ports}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-by-hand{label}}}
addressType: IPv4
ports: [{slice_ports}]
endpoints: [{{addresses: [$(kubectl get pod {MACHINE} -o jsonpath='{{.status.hostIP}}')]}}]
EOF
"""


def which_port(dice: random.Random) -> Exercise:
    """Three numbers, and one of them counts."""
    name = dice.choice(NAMES)
    port, target, real = dice.sample(range(20, 9999), 3)
    url = f"http://{name}:{port}"

    def experiment(at: Port) -> checks.Outcome:
        trace = at.trace(CLIENT, url)
        return checks.Outcome(
            answer=str(trace.final.dport),
            because="kube-proxy takes the port from the slice. Nobody read the targetPort: there is no selector.",
            trace=trace,
        )

    return Exercise(
        title="Which port?",
        asks=f"Service `{name}` has no selector; its port is {port}, its targetPort {target}. Its slice, written by "
        f"hand, says port {real}. A pod "
        f"runs `curl {url}`. Which destination **port** has the packet when it comes to the machine?",
        setup=wired(
            name,
            f"{{port: {port}, targetPort: {target}}}",
            f", labels: {{kubernetes.io/service-name: {name}}}",
            f"{{port: {real}, protocol: TCP}}",
        ),
        experiment=experiment,
        wrong={str(target): "A targetPort is read by the controller that writes slices for selectors."},
        hints=("Which of the two objects does kube-proxy take addresses and ports from?",),
    )


def is_it_found(dice: random.Random) -> Exercise:
    """Label, name, port: does the wire hold?"""
    name = dice.choice(NAMES)
    own, other = dice.sample(PORT_NAMES, 2)
    label = dice.choice((name, name, name, dice.choice([each for each in NAMES if each != name]), ""))
    port_name = dice.choice((own, own, other))
    number = dice.choice((LISTENS, LISTENS, 8080))
    text = f"carries the label `kubernetes.io/service-name: {label}`" if label else "carries no labels"

    def experiment(at: Port) -> checks.Outcome:
        done = at.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null http://{name}")
        trace = at.trace(CLIENT, f"http://{name}")
        if done.exit_code == 0:
            answer = "answer"
        else:
            answer = "rule" if str(trace.verdict).endswith("REJECTED") else "machine"
        return checks.Outcome(
            answer=answer,
            because="Three things must agree: the slice's label with the Service's name, the ports' names, and the "
            "slice's port with the "
            "program's own.",
            trace=trace,
        )

    return Exercise(
        title="Does the wire hold?",
        asks=f"Service `{name}`: no selector, port 80, called `{own}`. Slice `{name}-by-hand`: {text}, its port is "
        f"{number}, called "
        f"`{port_name}`, its address is a machine's whose program listens on {LISTENS}. What does `curl http://{name}` see?",
        setup=wired(
            name,
            f"{{name: {own}, port: 80}}",
            f", labels: {{kubernetes.io/service-name: {label}}}" if label else "",
            f"{{name: {port_name}, port: {number}, protocol: TCP}}",
        ),
        choices={
            "answer": "the machine answers",
            "rule": "refused by a rule on the client's node: no endpoints",
            "machine": "refused by the machine itself: nobody listens there",
        },
        experiment=experiment,
        wrong={
            "machine": "For that the packet would have to get there. Does the wire hold so far?",
            "rule": "Label and port name agree: the Service has its endpoint.",
            "answer": "Go through the three things that must agree, one by one.",
        },
        hints=("First the label: is this slice the Service's at all?", "Then the names of the ports. Last the number."),
    )


def may_it_stand(dice: random.Random) -> Exercise:
    """What the API lets into a slice."""
    plain = f"{dice.choice((10, 172, 192, 203))}.{dice.randint(16, 30)}.{dice.randint(1, 250)}.{dice.randint(1, 250)}"
    special = ("127.0.0.1", "127.0.1.1", "169.254.1.1", "169.254.169.254", "0.0.0.0", "db.example.com", "224.0.0.1")
    address = dice.choice((plain, dice.choice(special)))
    name = dice.choice(NAMES)

    def experiment(at: Port) -> checks.Outcome:
        done = at.run_outside(
            f"""kubectl apply -f - <<EOF
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-by-hand, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{port: 80, protocol: TCP}}]
endpoints: [{{addresses: ["{address}"]}}]
EOF"""
        )
        said = (done.stderr or done.stdout).strip()
        return checks.Outcome(answer="yes" if done.exit_code == 0 else "no", because=f"The API said: {said}")

    return Exercise(
        title="May it stand there?",
        asks=f"You write an EndpointSlice (`addressType: IPv4`) for a Service `{name}`, with the address "
        f"`{address}`. Does the API take it?",
        choices={"yes": "it takes it", "no": "it refuses it"},
        experiment=experiment,
        wrong={
            "yes": "A slice sends other people's packets somewhere. Not to the node itself, nor to a neighbour's "
            "metadata, and a name is no address.",
            "no": "It does not ask whose address it is, nor whether anybody is there.",
        },
        hints=(
            "Loopback, link-local, unspecified, multicast: these mean something else on every node.",
            "A slice of type IPv4 holds addresses.",
        ),
    )


def wire_it_up(dice: random.Random) -> Exercise:
    """Doing: a Service is there, its slice is missing."""
    name, port_name = dice.choice(NAMES), dice.choice(PORT_NAMES)
    port = dice.choice((80, 8000, 5000))
    machine, listens = dice.choice((("ledger-machine", 8443), ("archive-machine", 8444)))
    return Exercise(
        title="Wire it up",
        asks=f"Service `{name}` (port {port}, called `{port_name}`, no selector) waits for its slice. Write one, so "
        f"that `http://{name}:{port}` is "
        f"answered by the machine of pod `{machine}`, whose program listens on {listens}. The Service stays as it is.",
        setup=f"""kubectl apply -f - <<EOF
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: {port_name}, port: {port}}}]}}
EOF
""",
        checks=[
            checks.reaches(CLIENT, f"http://{name}:{port}"),
            checks.required(checks.state("Service", name, {"spec": {"ports": [{"name": port_name, "port": port}]}})),
        ],
        hints=(
            f"`kubectl get pod {machine} -o jsonpath='{{.status.hostIP}}'` is the address.",
            f"The slice needs the label kubernetes.io/service-name: {name}.",
            f"Its port is called {port_name} and is {listens}.",
        ),
        solve=f"""kubectl apply -f - <<EOF
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: {port_name}, port: {listens}, protocol: TCP}}]
endpoints: [{{addresses: [$(kubectl get pod {machine} -o jsonpath='{{.status.hostIP}}')]}}]
EOF
""",
    )


EXERCISES = (which_port, is_it_found, may_it_stand, wire_it_up)
