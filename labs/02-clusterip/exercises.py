"""Exercises of lab 02: who answers at a ClusterIP, how the dice fall, and Services to mend."""

from __future__ import annotations

import random
import re

from kubelab import checks, rules
from kubelab.exercises import Exercise
from kubelab.port import Port

CLIENT = "pod/client"
IMAGE = "gcr.io/google-samples/hello-app:1.0"
NAMES = ("cart", "stock", "search", "mail", "quotes", "tickets", "menu", "ledger")
# hello-app's own.
LISTENS = 8080


def _deployment(name: str, replicas: int) -> str:
    return f"kubectl create deployment {name} --image={IMAGE} --replicas={replicas}\nkubectl rollout status deployment {name}"


def _felt(port: Port, target: str) -> str:
    """How curl in pod client ends, in a word of the choices."""
    done = port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null {target}")
    return {0: "answer", 6: "no-name", 7: "refused", 28: "silence"}[done.exit_code]


FELT = {
    "answer": "an answer",
    "refused": "connection refused, at once",
    "silence": "nothing, until it gives up",
    "no-name": "no address: the name does not resolve",
}


def how_it_ends(dice: random.Random) -> Exercise:
    """One Service, and one thing about it that is not as one might think."""
    name, port = dice.choice(NAMES), dice.choice((80, 81, 8000, 9000))
    replicas = dice.randint(1, 4)
    asked, target, twist = dice.choice(
        (
            (f"port {port}", LISTENS, "plain"),
            (f"port {port}", LISTENS, "zero"),
            (f"port {port}", dice.choice((80, 8081, 9090)), "target"),
            (f"port {LISTENS + 1}", LISTENS, "other"),
            (f"port {port}", LISTENS, "selector"),
            (f"port {port}", LISTENS, "deleted"),
        )
    )
    url = f"http://{name}:{LISTENS + 1 if twist == 'other' else port}"
    told = {
        "plain": "",
        "zero": " Then the Deployment is scaled to zero.",
        "target": "",
        "other": "",
        "selector": f" Then the Service's selector is changed to `app={name}s`, which no pod carries.",
        "deleted": " Then the Service is deleted; the pods stay.",
    }[twist]
    after = {
        "zero": f"kubectl scale deployment {name} --replicas=0",
        "selector": f"""kubectl patch service {name} -p '{{"spec":{{"selector":{{"app":"{name}s"}}}}}}'""",
        "deleted": f"kubectl delete service {name}",
    }.get(twist, "true")

    def ask(port_: Port) -> checks.Outcome:
        felt = _felt(port_, url)
        because = {
            "answer": "The address, the port and the target port are right, and a pod is ready.",
            "refused": "Somebody says no at once: a rule that rejects, for the Service has nobody behind it; or a "
            "pod's own kernel, "
            "for no program listens on the target port.",
            "silence": "No rule is for this port: the packet keeps an address that no machine has, and nobody says "
            "anything.",
            "no-name": "The name is the Service's, and went with it.",
        }[felt]
        trace = None if felt == "no-name" else port_.trace(CLIENT, url)
        return checks.Outcome(answer=felt, because=because, trace=trace)

    return Exercise(
        title="How does it end?",
        asks=f"Deployment `{name}` has {replicas} pods whose program listens on {LISTENS}. Service `{name}` selects "
        f"`app={name}`, "
        f"with port {port} and target port {target}.{told} In pod `client` you run `curl {url}`, so you ask for "
        f"{asked}. What does "
        "curl get?",
        setup=f"{_deployment(name, replicas)}\nkubectl expose deployment {name} --port={port} "
        f"--target-port={target}\n{after}",
        choices=FELT,
        experiment=ask,
        wrong={
            "answer": "Go through it in order: the name, the Service's port, its endpoints, the program's port.",
            "refused": "To refuse, somebody must get the packet: a rule for this address and port, or a pod.",
            "silence": "Silence is a packet that nobody got. Here somebody has a rule for it.",
            "no-name": "The name is there as long as the Service is, whatever is behind it.",
        },
        hints=(
            "Four questions, in this order: is there a name, is there a rule for that port, is there an endpoint, "
            "does a program "
            "listen there?",
            'The trace answers the last three: x.trace("pod/client", "http://...").',
        ),
    )


def which_chance(dice: random.Random) -> Exercise:
    """The rules of one Service: what the nth of them says, and how often it takes a packet."""
    name, replicas = dice.choice(NAMES), dice.randint(3, 7)
    number = dice.randint(1, replicas - 1)

    def read(port: Port) -> checks.Outcome:
        node = port.objects("Node")[-1]["metadata"]["name"]
        found = [
            line
            for line in port.node_rules(node).splitlines()
            if line.startswith("-A KUBE-SVC-") and f"{port.namespace}/{name} ->" in line
        ]
        shown = re.search(r"--probability (\d\.\d\d)", found[number - 1])
        assert shown is not None
        return checks.Outcome(
            answer=shown.group(1),
            because=f"The rules are asked one after the other. When rule {number} is asked, {replicas - number + 1} "
            "endpoints are left, "
            f"and it takes one in {replicas - number + 1} of what comes to it; of all packets that is "
            f"{rules.chance(1 / replicas)}.",
            trace=port.trace(CLIENT, f"http://{name}"),
        )

    ordinal = {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
    return Exercise(
        title="The dice in the rules",
        asks=f"Service `{name}` has {replicas} endpoints, and kube-proxy is in iptables mode: its chain "
        "`KUBE-SVC-…` has a rule for each. "
        f"Which `--probability` does the **{ordinal}** of them have? Answer with two digits after the point, cut "
        "off: `0.25`.",
        setup=f"{_deployment(name, replicas)}\nkubectl expose deployment {name} --port=80 --target-port={LISTENS}",
        experiment=read,
        wrong={f"{int(100 / replicas) / 100:.2f}": "That is the share of all packets. The rule sees only what is left."}
        if number > 1
        else {},
        hints=(
            "The first rule sees all packets. What does the second see?",
            f"When the {ordinal} rule is asked, how many endpoints are still to be chosen from?",
        ),
    )


def mend(dice: random.Random) -> Exercise:
    """A Service with one or two fields that are wrong."""
    name, port, replicas = dice.choice(NAMES), dice.choice((80, 8000, 9000)), dice.randint(2, 4)
    faults = dice.sample(("selector", "target", "port"), dice.randint(1, 2))
    selector = f"{name[:-1]}" if "selector" in faults else name
    target = dice.choice((80, 8081, 8888)) if "target" in faults else LISTENS
    given = port + 1 if "port" in faults else port

    return Exercise(
        title="A Service to mend",
        asks=f"Clients call `http://{name}:{port}`, and all {replicas} pods of Deployment `{name}`, whose program "
        f"listens on {LISTENS}, "
        "should take part. They do not. Mend the Service; leave the Deployment as it is.",
        setup=f"""{_deployment(name, replicas)}
kubectl create service clusterip {name} --tcp={given}:{target}
kubectl patch service {name} -p '{{"spec":{{"selector":{{"app":"{selector}"}}}}}}'""",
        checks=(
            checks.reaches(CLIENT, f"http://{name}:{port}"),
            checks.spreads(CLIENT, f"http://{name}:{port}", over=replicas),
            checks.required(
                checks.state(
                    "Deployment",
                    name,
                    {"spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": name}}}}},
                    failure="The Deployment was to stay as it is.",
                )
            ),
        ),
        hints=(
            f'Where does the packet end? x.trace("pod/client", "http://{name}:{port}")',
            "A trace that leaves the cluster found no rule for this port; one that is rejected found no endpoints; "
            "one that is refused "
            "found a pod where nothing listens.",
            f"kubectl get service {name} -o yaml: three fields of spec matter, selector, ports[0].port and "
            "ports[0].targetPort.",
        ),
        solve=f"kubectl delete service {name}\nkubectl expose deployment {name} --port={port} --target-port={LISTENS}",
    )


EXERCISES = (how_it_ends, which_chance, mend)
