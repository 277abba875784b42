"""Exercises of lab 11: who comes back to which pod, and how near it is."""

from __future__ import annotations

import random

from kubelab import checks, words
from kubelab.exercises import Exercise
from kubelab.port import Port
from kubesim.net.trace import Verdict

WORKERS = ("kind-worker", "kind-worker2")

# One pod of a program, on a node of one's choice.
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %(name)s-%(number)s, labels: {app: %(name)s}}
spec:
  nodeName: %(node)s
  containers:
  - name: agnhost
    image: registry.k8s.io/e2e-test-images/agnhost:2.53
    args: [netexec, --http-port=8080]
---"""
# The Service before them; `spec` are more lines of it.
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %(name)s}
spec:
  %(spec)s
  selector: {app: %(name)s}
  ports: [{port: 80, targetPort: 8080}]
"""
# A pod to ask from, on a node of one's choice.
CALLER = """---
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec:
  nodeName: %s
  containers:
  - name: agnhost
    image: registry.k8s.io/e2e-test-images/agnhost:2.53
    args: [pause]
"""


def apply(documents: str) -> str:
    return f"kubectl apply -f - <<'END'\n{documents.strip()}\nEND\n"


def behind(name: str, nodes: list[str], spec: str) -> str:
    """A Service with a pod on each of these nodes."""
    pods = "".join(POD % {"name": name, "number": number, "node": node} for number, node in enumerate(nodes))
    return pods + SERVICE % {"name": name, "spec": spec}


def how_often(dice: random.Random) -> Exercise:
    """Affinity or not, a time-out, an interval, and who calls: one pod or more?"""
    name, pods, calls = dice.choice(("quiz", "basket", "wizard", "desk")), dice.randint(3, 5), 24
    affinity = dice.random() < 0.75
    timeout = dice.choice((3, 5, 10, 15, 30, 60))
    interval = dice.choice((1, 2, 4, 8, 12, 20, 40))
    if affinity and interval == timeout:
        interval += 1
    spec = (
        f"sessionAffinity: ClientIP\n  sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {timeout}}}}}"
        if affinity
        else ""
    )
    said = f"`sessionAffinity: ClientIP` with `timeoutSeconds: {timeout}`" if affinity else "`sessionAffinity: None`"
    nodes = [dice.choice(WORKERS) for _ in range(pods)]
    proxied = dice.random() < 0.4
    who = f"{calls} different users, all through the proxy `gate`," if proxied else "Pod `client`"
    verb = "call" if proxied else "calls"

    def experiment(port: Port) -> checks.Outcome:
        target = f"http://{name}/hostname"
        if proxied:
            gate = port.run_outside("kubectl get pod gate -o jsonpath='{.status.podIP}'").stdout
            address = port.run_outside(f"kubectl get service {name} -o jsonpath='{{.spec.clusterIP}}'").stdout
            target = f"http://{gate}:8080/dial?host={address}&port=80&protocol=http&request=hostname"
        script = f"for i in $(seq {calls}); do kubectl exec client -- curl -s '{target}'; echo; sleep {interval}; done"
        answered = set(port.run_outside(script).stdout.split())
        if not affinity:
            why = "Without affinity each connection draws a pod anew."
        elif interval < timeout:
            why = f"Each call winds the {timeout} s up again, and all come from one address."
        else:
            why = f"A pause of {interval} s is longer than {timeout} s, so the address is forgotten and a pod is drawn anew."
        return checks.Outcome(
            answer="one" if len(answered) == 1 else "more",
            because=f"{why} {len(answered)} of {pods} pods answered.",
            trace=port.trace("pod/gate" if proxied else "pod/client", f"http://{name}"),
        )

    return Exercise(
        title="One pod, or more?",
        asks=f"Service `{name}` has {pods} pods and {said}. {who} {verb} it {calls} times, one call every "
        f"**{interval} s**. How many pods answer?",
        setup=apply(behind(name, nodes, spec)),
        choices={"one": "one", "more": "more than one"},
        experiment=experiment,
        wrong={
            "one": "The rules had forgotten the caller, or never wrote it down.",
            "more": "To the rules there is one client, and it came back in time.",
        },
        hints=[
            "Is there affinity at all? Compare the pause between two calls with the time-out.",
            "Users are no addresses.",
        ],
    )


def who_can_answer(dice: random.Random) -> Exercise:
    """Pods on two workers, a policy, a preference, a caller somewhere: how many pods can answer?"""
    name = dice.choice(("dictionary", "clock", "atlas", "almanac"))
    here, there = dice.randint(0, 3), dice.randint(0, 3)
    policy = dice.choice(("Cluster", "Cluster", "Local"))
    prefer = dice.choice(("", "PreferSameNode"))
    caller = dice.choice(WORKERS)
    nodes = [caller] * here + [each for each in WORKERS if each != caller] * there
    spec = f"internalTrafficPolicy: {policy}" + (f"\n  trafficDistribution: {prefer}" if prefer else "")
    said = f"`internalTrafficPolicy: {policy}`" + (f" and `trafficDistribution: {prefer}`" if prefer else "")

    if policy == "Local":
        why = "Local: the pods on the caller's own node, and no others; a preference has nothing to add."
    elif prefer:
        why = "PreferSameNode: the pods on the caller's own node; if there are none, all."
    else:
        why = "Cluster, and no preference: all."

    def experiment(port: Port) -> checks.Outcome:
        ways = port.traces("pod/caller", f"http://{name}")
        taken = {each.final.dst for each in ways if each.verdict is Verdict.DELIVERED}
        return checks.Outcome(
            answer=str(len(taken)),
            because=why,
            trace=ways[0],
        )

    return Exercise(
        title="How many can answer?",
        asks=f"Pod `caller` runs on `{caller}`. Of Service `{name}`, {here} pod{'' if here == 1 else 's'} "
        f"run{'s' if here == 1 else ''} on the same node and {there} on another. The Service has {said}. How "
        f"many pods can answer the caller at the ClusterIP?",
        setup=apply(behind(name, nodes, spec) + CALLER % caller),
        experiment=experiment,
        wrong={"0": "Somebody answers. Only Local leaves a caller alone, and only where no pod is on its node."},
        hints=["First the policy: which pods may answer at all? Then the preference, among those."],
    )


def mend_the_way(dice: random.Random) -> Exercise:
    """A wish, and a Service with another field set: one of three."""
    name = dice.choice(("search", "mail", "maps", "news"))
    wish = dice.choice(("spread", "everywhere", "return"))
    seconds = dice.choice((60, 120, 300, 900, 1800, 3600))
    nodes = [*WORKERS, dice.choice(WORKERS)]
    caller = "kind-control-plane"
    spec = {
        "spread": f"sessionAffinity: ClientIP\n  sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}",
        "everywhere": "internalTrafficPolicy: Local",
        "return": "trafficDistribution: PreferSameNode",
    }[wish]
    asks = {
        "spread": "A load test calls it from one pod, and one pod does all the work. Let **all three pods** take part.",
        "everywhere": "Pod `caller` gets no answer. Let **every** node's pods get one.",
        "return": f"Clients should come back to the same pod as long as they pause less than **{seconds} s**.",
    }[wish]
    clock = f'{{"clientIP":{{"timeoutSeconds":{seconds}}}}}'
    patch = {
        "spread": '{"spec":{"sessionAffinity":"None"}}',
        "everywhere": '{"spec":{"internalTrafficPolicy":"Cluster"}}',
        "return": f'{{"spec":{{"sessionAffinity":"ClientIP","sessionAffinityConfig":{clock}}}}}',
    }[wish]

    def spread(subject: checks.Subject) -> checks.Finding:
        # The affinity is seen only by those who have called before.
        subject.port.run_outside(f"kubectl exec caller -- curl -s -m 3 http://{name}/hostname")
        ways = subject.port.traces("pod/caller", f"http://{name}")
        taken = {each.final.dst for each in ways if each.verdict is Verdict.DELIVERED}
        told = f"{len(taken)} of 3 pods can take a call of pod “caller”."
        return checks.Finding(passed=len(taken) == 3, message=told, explanation=words.explain(ways[0]), trace=ways[0])

    returns = checks.state(
        "Service",
        name,
        {"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}},
        failure="Clients would not come back to the same pod for that long.",
    )
    return Exercise(
        title="Not what was meant",
        asks=f"Service `{name}` has three pods, and a pod `caller` on the control plane calls it. {asks}",
        setup=apply(behind(name, nodes, spec) + CALLER % caller),
        checks=[returns] if wish == "return" else [spread],
        hints=[
            f"Look at the fields: kubectl get service {name} -o yaml. Which of them bind a caller to certain pods?",
            "sessionAffinity binds to the pod of last time; internalTrafficPolicy Local to the own node; "
            "trafficDistribution only prefers.",
        ],
        solve=f"kubectl patch service {name} -p '{patch}'",
    )


EXERCISES = (how_often, mend_the_way, who_can_answer)
