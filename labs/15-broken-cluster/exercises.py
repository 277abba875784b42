"""Exercises of lab 15: one fault at a time, drawn by dice, on a cluster of its own.  First where, then mend."""

from __future__ import annotations

import random
from collections.abc import Callable

from kubelab import checks, manifests, words
from kubelab.exercises import Exercise
from kubelab.manifests import AGNHOST, deployment, netexec, service
from kubelab.port import Port
from kubesim.net.trace import Verdict

CLIENT = "pod/client"
NAMES = ("books", "mail", "maps", "music", "news", "photos", "radio", "sport", "trains", "weather")


def program(name: str, replicas: int, listens: int, *, labels: str = "", port_name: str = "", probe: str = "") -> str:
    ports = f"ports: [{{name: {port_name}, containerPort: {listens}}}]" if port_name else ""
    ready = f"readinessProbe: {{periodSeconds: 1, failureThreshold: 1, {probe}}}" if probe else ""
    more = ", ".join(filter(None, (ports, ready)))
    return deployment(
        name, netexec(listens, more), replicas=replicas, labels=labels, spec="terminationGracePeriodSeconds: 1"
    )


def called(name: str, target: int | str, selector: str = "", spec: str = "") -> str:
    return service(name, f"[{{port: 80, targetPort: {target}}}]", selector=selector, spec=spec)


def applied(*documents: str) -> str:
    return manifests.applied(*documents) + "sleep 8\n"


# A fault: what is there, and what mends it.  Each is drawn with a name, a number of pods and the port that they listen on.
Fault = Callable[[random.Random, str, int, int], tuple[str, str]]


def misspelt(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F1: the selector's value has two letters changed over."""
    at = dice.randrange(len(name) - 1)
    wrong = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    wrong = wrong if wrong != name else f"{name}s"
    setup = applied(program(name, count, listens), called(name, listens, f"app: {wrong}"))
    return setup, f"""kubectl patch service {name} -p '{{"spec":{{"selector":{{"app":"{name}"}}}}}}'"""


def wrong_target(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F3: port and targetPort taken for one number."""
    target = dice.choice((80, listens + 1))
    setup = applied(program(name, count, listens), called(name, target))
    return setup, _target(name, listens)


def drifted_name(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F6: a named targetPort that no pod has."""
    setup = applied(
        program(name, count, listens, port_name=dice.choice(("web", "main", "http-alt"))),
        called(name, "http"),
    )
    return setup, _target(name, listens)


def too_broad(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F4: the selector is true of somebody else's pods, who listen elsewhere."""
    tier = dice.choice(("front", "back", "edge"))
    setup = applied(
        program(name, count, listens, labels=f"tier: {tier}"),
        program(f"{name}-jobs", dice.randint(1, 2), listens + 7, labels=f"tier: {tier}"),
        called(name, listens, f"tier: {tier}"),
    )
    return setup, f"""kubectl patch service {name} -p '{{"spec":{{"selector":{{"app":"{name}"}}}}}}'"""


def wrong_probe(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F5: the probe asks where nobody listens."""
    probe = f"tcpSocket: {{port: {listens + dice.randint(1, 9)}}}"
    setup = applied(program(name, count, listens, probe=probe), called(name, listens))
    path = "/spec/template/spec/containers/0/readinessProbe/tcpSocket/port"
    return setup, (
        f"""kubectl patch deployment {name} --type=json -p '[{{"op":"replace","path":"{path}","value":{listens}}}]'"""
        f"\nkubectl rollout status deployment {name}"
    )


def no_address(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F13: a headless Service whose clients call the port."""
    setup = applied(
        program(name, count, listens),
        called(name, listens, spec="clusterIP: None"),
    )
    return setup, f"kubectl delete service {name}\nkubectl expose deployment {name} --port=80 --target-port={listens}"


def shut_off(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """A policy in front of the pods that lets in somebody, and not the client."""
    who = dice.choice(("monitor", "admin", "gateway"))
    policy = f"""---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}}}
spec:
  podSelector: {{matchLabels: {{app: {name}}}}}
  policyTypes: [Ingress]
  ingress: [{{from: [{{podSelector: {{matchLabels: {{role: {who}}}}}}}]}}]
"""
    setup = applied(program(name, count, listens), called(name, listens), policy)
    return setup, (
        f"""kubectl patch networkpolicy {name} --type=json -p '[{{"op":"add","path":"/spec/ingress/0/from/-","value":"""
        """{"podSelector":{"matchLabels":{"app":"client"}}}}]'"""
    )


def two_at_once(dice: random.Random, name: str, count: int, listens: int) -> tuple[str, str]:
    """F1 over F3: the second fault shows itself when the first is mended."""
    setup = applied(
        program(name, count, listens),
        called(name, dice.choice((80, listens + 1)), f"app: {name}-web"),
    )
    return (
        setup,
        f"""kubectl patch service {name} -p '{{"spec":{{"selector":{{"app":"{name}"}}}}}}'\n{_target(name, listens)}""",
    )


def _target(name: str, listens: int) -> str:
    patch = f'[{{"op":"replace","path":"/spec/ports/0/targetPort","value":{listens}}}]'
    return f"kubectl patch service {name} --type=json -p '{patch}'"


FAULTS: tuple[Fault, ...] = (
    misspelt, wrong_target, drifted_name, too_broad, wrong_probe, no_address, shut_off, two_at_once,
)  # fmt: skip

ENDS = {Verdict.REJECTED: "rule", Verdict.REFUSED: "pod", Verdict.DROPPED: "dropped", Verdict.NO_ROUTE: "dropped"}


def _drawn(dice: random.Random) -> tuple[str, int, int, Fault]:
    return dice.choice(NAMES), dice.randint(2, 3), dice.randint(3000, 9000), dice.choice(FAULTS)


def where(dice: random.Random) -> Exercise:
    """Only the diagnosis."""
    name, count, listens, fault = _drawn(dice)
    setup, _mended = fault(dice, name, count, listens)

    def experiment(port: Port) -> checks.Outcome:
        traces = port.traces(CLIENT, f"http://{name}")
        ends = {ENDS.get(each.verdict, "fine") for each in traces}
        lost = next((each for each in traces if each.verdict is not Verdict.DELIVERED), traces[0])
        return checks.Outcome(answer=ends.pop() if len(ends) == 1 else "some", because=words.explain(lost), trace=lost)

    return Exercise(
        title="Where does it die?",
        asks=f"“Pods can't call `http://{name}`, or not always.” Pod `client` asks; Deployment `{name}` has {count} "
        f"pods that listen on {listens}. "
        "Look as much as you like, and touch nothing: where do the packets die?",
        setup=setup,
        choices={
            "rule": "a rule on the client's node refuses them: no endpoints",
            "pod": "they come to a pod, and its own kernel refuses them",
            "dropped": "they are dropped on the way, and nobody answers",
            "some": "some ways end well and others do not",
        },
        experiment=experiment,
        hints=(f'x.ways("pod/client", "http://{name}")', "Fast or slow? Always or sometimes?"),
    )


def mend(dice: random.Random) -> Exercise:
    """Find it and mend it."""
    name, count, listens, fault = _drawn(dice)
    setup, mended = fault(dice, name, count, listens)
    return Exercise(
        title="Find it and mend it",
        asks=f"“`http://{name}` does not work, or not always.” The {count} pods of Deployment `{name}` listen on "
        f"{listens}, and their number and labels are right. "
        f"In the end every call of pod `client` to `http://{name}`, port 80, is answered by one of them.",
        setup=setup,
        checks=[
            checks.spreads(CLIENT, f"http://{name}", over=count),
            checks.required(checks.state("Deployment", name, {"spec": {"replicas": count}})),
        ],
        hints=(
            f'x.ways("pod/client", "http://{name}"): where do the packets end?',
            "Which object owns that place: the Service, its slices, the pods, a policy?",
            f"kubectl get service {name} -o yaml; kubectl get endpointslices,networkpolicies; kubectl get pods "
            f"--show-labels",
        ),
        solve=mended + "\nsleep 3",
    )


def stale_rules(dice: random.Random) -> Exercise:
    """F15: kube-proxy is gone from one node, and then the pods are replaced."""
    name, count, listens = dice.choice(NAMES), dice.randint(2, 3), dice.randint(3000, 9000)
    away = dice.choice(("kind-worker", "kind-worker2"))
    callers = "".join(
        f"""---
apiVersion: v1
kind: Pod
metadata: {{name: caller-{number}}}
spec: {{nodeName: {node}, containers: [{{name: main, image: "{AGNHOST}", args: [pause]}}]}}
"""
        for number, node in enumerate(("kind-worker", "kind-worker2"), 1)
    )
    affinity = (
        '{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":'
        f'[{{"matchExpressions":[{{"key":"kubernetes.io/hostname","operator":"NotIn","values":["{away}"]}}]}}]}}}}}}}}}}}}}}'
    )
    setup = (
        applied(program(name, count, listens), called(name, listens), callers)
        + f"kubectl -n kube-system patch daemonset kube-proxy -p '{affinity}'\nsleep 20\n"
        + f"kubectl rollout restart deployment {name}\nkubectl rollout status deployment {name}\nsleep 5\n"
    )
    return Exercise(
        title="It depends on who asks",
        asks=f"“`http://{name}` works from `caller-1` and not from `caller-2`, or the other way round. Its pods "
        f"were rolled out anew this morning; they and "
        "their endpoints look perfect.” Make it work from both.",
        setup=setup,
        checks=[
            checks.spreads("pod/caller-1", f"http://{name}", over=count),
            checks.spreads("pod/caller-2", f"http://{name}", over=count),
        ],
        hints=(
            "Ask from which node: kubectl get pods -o wide. Trace from both callers, and compare where the packets go.",
            "One node's rules still know the pods of yesterday. Who writes rules? kubectl -n kube-system get pods -o wide",
            "kubectl -n kube-system get daemonset kube-proxy -o yaml: something keeps it away from a node.",
        ),
        solve="kubectl -n kube-system patch daemonset kube-proxy --type=json "
        """-p '[{"op":"remove","path":"/spec/template/spec/affinity"}]'\nsleep 20""",
    )


EXERCISES = (where, mend, stale_rules)
