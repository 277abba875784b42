"""Exercises of lab 06: who answers at which door, and whom the pod sees."""

from __future__ import annotations

import random
from typing import Any

from kubelab import checks, manifests
from kubelab.exercises import Exercise
from kubelab.port import Port

NODES = ("kind-control-plane", "kind-worker", "kind-worker2")


def behind(
    name: str, number: int, *, policy: str = "Cluster", listens: int = 8080, target: int = 0, **more: Any
) -> str:
    """A program behind node port `number`.  What is not said is as it should be."""
    ports = f"[{{port: 80, targetPort: {target or listens}, nodePort: {number}}}]"
    spec = f"type: NodePort, externalTrafficPolicy: {policy}"
    return manifests.behind(name, ports, spec=spec, listens=listens, **more)


def address(port: Port, node: str) -> str:
    """The node's address."""
    said = f"kubectl get node {node} -o jsonpath='{{.status.addresses[0].address}}'"
    return port.run_outside(said).stdout.strip()


def whom_it_sees(dice: random.Random) -> Exercise:
    """Where the pod runs, through which node the caller comes, and the policy: which source, if any answer?"""
    name = dice.choice(("guestbook", "counter", "turnstile", "reception"))
    number, policy = dice.randint(30000, 30085), dice.choice(("Cluster", "Local"))
    home, entry = dice.choice(NODES), dice.choice(NODES)
    inside = dice.random() < 0.25
    who = "pod “client”" if inside else "the laptop"

    def experiment(port: Port) -> checks.Outcome:
        url = f"http://{address(port, entry)}:{number}"
        command = f"curl -s -m 3 {url}/clientip"
        done = port.run_outside(f"kubectl exec client -- {command}" if inside else command)
        trace = port.trace("pod/client" if inside else "outside", url)
        if done.exit_code:
            answer = {7: "refused", 28: "timeout"}.get(done.exit_code, f"exit code {done.exit_code}")
        else:
            seen = done.stdout.rpartition(":")[0]
            answer = "caller" if seen == trace.flow.src else "node"
        because = {
            "caller": "No rule on the way rewrote the source.",
            "node": f"It saw {trace.final.src}: a node masqueraded the packet, so that the answer comes back by it.",
            "timeout": "The policy leaves this node no endpoint, and its rule drops the packet.",
        }
        return checks.Outcome(answer=answer, because=because.get(answer, "Look at the packet."), trace=trace)

    return Exercise(
        title="Whom does the pod see?",
        asks=f"The only pod of Service `{name}` runs on `{home}`. Its node port is {number}, and `externalTrafficPolicy` is "
        f"`{policy}`. **{who[0].upper()}{who[1:]}** calls `{entry}` at {number}. What comes of it?",
        setup=behind(name, number, policy=policy, home=home),
        choices={
            "caller": "an answer, and the pod sees the caller's own address",
            "node": "an answer, and the pod sees a node's address",
            "timeout": "no answer, until curl gives up",
            "refused": "connection refused, at once",
        },
        experiment=experiment,
        wrong={
            "refused": "Nobody refuses here. Where a policy leaves no endpoint, the rule is DROP.",
            "timeout": "It is answered. A node without a pod is silent only under the policy Local, and not to its own pods.",
        },
        hints=[
            "Does the packet have to go to another node than the one that was called? May it?",
            "Cluster: every node answers, and masquerades. Local: only nodes with a pod answer, and leave the source alone.",
        ],
    )


def how_many_doors(dice: random.Random) -> Exercise:
    """Local, and so many pods at so many places: how many of the three nodes answer the laptop?"""
    name, number = dice.choice(("tickets", "radio", "weather", "library")), dice.randint(30000, 30085)
    everywhere = dice.random() < 0.4
    replicas = dice.randint(3, 9) if everywhere else dice.randint(0, 6)
    home = dice.choice(NODES[1:])
    policy = dice.choice(("Local", "Local", "Cluster"))
    places = "wherever the scheduler puts them (the control plane takes none)" if everywhere else f"all on `{home}`"

    def experiment(port: Port) -> checks.Outcome:
        answered, last = [], None
        for node in NODES:
            url = f"http://{address(port, node)}:{number}"
            if port.run_outside(f"curl -s -m 2 {url}/hostname").exit_code == 0:
                answered.append(node)
            else:
                last = port.trace("outside", url)
        return checks.Outcome(
            answer=str(len(answered)),
            because=f"Those that answer: {', '.join(answered) or 'none'}. "
            + (
                "With Local a node answers if a pod runs there."
                if policy == "Local"
                else "With Cluster all do, or none."
            ),
            trace=last,
        )

    return Exercise(
        title="How many doors open?",
        asks=f"Service `{name}` has {replicas} pod{'' if replicas == 1 else 's'}{f', {places}' if replicas else ''}. "
        f"Its `externalTrafficPolicy` is `{policy}`. The laptop calls each of the three nodes at its node port. How many answer?",
        setup=behind(name, number, policy=policy, replicas=replicas, home="" if everywhere else home),
        experiment=experiment,
        hints=["List the nodes that run a pod. What does the policy say of the others?"],
    )


def is_it_allowed(dice: random.Random) -> Exercise:
    """A number for a node port: taken as it is, out of range, or somebody else's?"""
    taken = dice.randint(30000, 32767)
    number = dice.choice(
        (
            taken,
            dice.choice((22, 80, 443, 8080, 8443)),
            dice.choice((dice.randint(20000, 29999), dice.randint(32768, 40000), 29999, 32768)),
            dice.choice((dice.randint(30000, 32767), 30000, 32767)),
        )
    )
    elsewhere = dice.choice(("default", "games"))

    def experiment(port: Port) -> checks.Outcome:
        done = port.run_outside(f"kubectl create service nodeport mine --tcp=80:8080 --node-port={number}")
        said = done.stderr
        answer = "taken" if "already allocated" in said else "range" if "not in the valid range" in said else "yes"
        return checks.Outcome(
            answer=answer if done.exit_code else "yes",
            because=said.strip() or "It is in the range and free. The range ends at 32767.",
        )

    return Exercise(
        title="Is the number allowed?",
        asks=f"In namespace `{elsewhere}` there is a NodePort Service with node port {taken}. You ask for one in `default` "
        f"with node port **{number}**. What does the API server say?",
        setup="kubectl create namespace games\n"
        f"kubectl -n {elsewhere} create service nodeport first --tcp=80:80 --node-port={taken}",
        choices={
            "yes": "it is created",
            "range": "refused: not in the valid range",
            "taken": "refused: already allocated",
        },
        experiment=experiment,
        wrong={
            "yes": "A node port is one number for the whole cluster, out of 30000-32767.",
            "taken": "Only the very same number is taken; compare both, digit by digit.",
            "range": "The range is 30000 to 32767, both ends included.",
        },
    )


def mend_the_door(dice: random.Random) -> Exercise:
    """A node port that does not answer everywhere: one of three faults."""
    name, number = dice.choice(("kiosk", "museum", "harbour", "bakery")), dice.randint(30000, 30085)
    listens, home = dice.choice((8080, 8081, 9000)), dice.choice(NODES[1:])
    other = NODES[3 - NODES.index(home)]
    fault = dice.choice(("policy", "target", "selector"))
    given: dict[str, Any] = {"listens": listens, "home": home}
    patch = {
        "policy": '{"spec":{"externalTrafficPolicy":"Cluster"}}',
        "target": f'{{"spec":{{"ports":[{{"port":80,"targetPort":{listens}}}]}}}}',
        "selector": f'{{"spec":{{"selector":{{"app":"{name}"}}}}}}',
    }[fault]
    given |= {
        "policy": {"policy": "Local"},
        "target": {"target": listens + 1},
        "selector": {"selects": f"{name}s"},
    }[fault]

    def answers(node: str) -> checks.Check:
        def check(subject: checks.Subject) -> checks.Finding:
            from kubelab import words

            url = f"http://{address(subject.port, node)}:{number}"
            done = subject.port.run_outside(f"curl -s -m 3 {url}/hostname")
            well = done.exit_code == 0 and done.stdout.startswith(name)
            trace = subject.port.trace("outside", url)
            told = (
                f"{node} lets the laptop in." if well else f"The laptop called {node} at {number}, and got no answer."
            )
            return checks.Finding(passed=well, message=told, explanation=words.explain(trace), trace=trace)

        return check

    return Exercise(
        title="A door that does not open",
        asks=f"Visitors complain: node port {number} of Service `{name}` does not answer on `{other}`. Its pod must stay on "
        f"`{home}`, and its program listens on {listens}. Mend it, so that **both workers** answer the laptop.",
        setup=behind(name, number, **given),
        checks=[checks.required(answers(home)), answers(other)],
        hints=[
            "Call both workers and compare. Then follow the packet: x.trace('outside', 'http://ADDRESS:NUMBER').",
            "Refused by a rule: no endpoints. Refused by the pod: nobody listens there. Dropped: a policy.",
            f"The fault is in the Service (kubectl get service {name} -o yaml): selector, targetPort or externalTrafficPolicy.",
        ],
        solve=f"kubectl patch service {name} -p '{patch}'",
    )


EXERCISES = (whom_it_sees, mend_the_door, how_many_doors, is_it_allowed)
