"""What lab 11 looks at."""

from __future__ import annotations

from kubelab import checks, words
from kubelab.port import Port
from kubesim.net.trace import Trace, Verdict

CLIENT, EDGE = "pod/client", "pod/edge"
AFFINITY = """kubectl patch service web -p '{"spec":{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":
{"timeoutSeconds":%d}}}}'"""


def names(port: Port, script: str) -> set[str]:
    """The different lines that a script in the lab's terminal prints."""
    return set(port.run_outside(script).stdout.split())


def one_call_a_second(port: Port) -> checks.Outcome:
    """Affinity of ten seconds, and a call every second for half a minute."""
    port.run_outside(AFFINITY % 10)
    port.settle()
    call = "kubectl exec client -- curl -s -m 3 http://web/hostname; echo"
    answered = names(port, f"for i in $(seq 30); do {call}; sleep 1; done")
    return checks.Outcome(
        answer={1: "one", 3: "all"}.get(len(answered), "some"),
        because="Each new connection writes the caller's time down anew, so the ten seconds run from the last "
        "call, not from the first. Whoever comes back in time is never forgotten.",
        trace=port.trace(CLIENT, "http://web"),
    )


def twenty_users(port: Port) -> checks.Outcome:
    """Affinity, and twenty calls that one proxy makes."""
    port.run_outside(AFFINITY % 10800)
    port.settle()
    address = port.run_outside("kubectl get service web -o jsonpath='{.spec.clusterIP}'").stdout
    gate = port.run_outside("kubectl get pod gate -o jsonpath='{.status.podIP}'").stdout
    dial = f"http://{gate}:8080/dial?host={address}&port=80&protocol=http&request=hostname"
    answered = names(port, f"for i in $(seq 20); do kubectl exec client -- curl -s '{dial}'; echo; done")
    return checks.Outcome(
        answer={1: "one", 3: "all"}.get(len(answered), "twenty"),
        because="The proxy makes a connection of its own for each user. All of them come from its address, and "
        "that is all that the rules compare. They know no users, no cookies and no headers.",
        trace=port.trace("pod/gate", "http://web"),
    )


def only_here(port: Port) -> checks.Outcome:
    """internalTrafficPolicy Local, called from a node without a pod of the Service."""
    port.run_outside("""kubectl patch service web -p '{"spec":{"internalTrafficPolicy":"Local"}}'""")
    port.settle()
    done = port.run_outside("kubectl exec edge -- curl -s -m 5 http://web/hostname")
    return checks.Outcome(
        answer={0: "far", 6: "no-name", 7: "refused", 28: "timeout"}.get(done.exit_code, f"curl's {done.exit_code}"),
        because="There are endpoints, but none on this node, and the policy allows no other. kube-proxy writes a "
        "rule that drops such packets without a word.",
        trace=port.trace(EDGE, "http://web"),
    )


def comes_back(subject: checks.Subject) -> checks.Finding:
    """Ten calls of one client come to one pod, and the other pods are there to be chosen."""
    call = "kubectl exec client -- curl -s -m 3 http://cart/hostname; echo"
    answered = names(subject.port, f"for i in $(seq 10); do {call}; done")
    trace = subject.port.trace(CLIENT, "http://cart")
    if len(answered) == 1:
        return checks.Finding(passed=True, message="Ten calls came to one pod.", trace=trace)
    told = (
        f"Ten calls of one client came to {len(answered)} pods."
        if answered
        else "http://cart does not answer pod “client”."
    )
    return checks.Finding(passed=False, message=told, explanation=words.explain(trace), trace=trace)


def homes(port: Port) -> dict[str, str]:
    """The node of each pod, by the pod's address; and that of pod “client”, by its name."""
    pods = [each for each in port.objects("Pod") if "podIP" in each["status"]]
    found = {each["status"]["podIP"]: each["spec"]["nodeName"] for each in pods}
    return found | {each["metadata"]["name"]: each["spec"]["nodeName"] for each in pods}


def lost(traces: list[Trace]) -> Trace | None:
    return next((each for each in traces if each.verdict is not Verdict.DELIVERED), None)


def answers_everywhere(subject: checks.Subject) -> checks.Finding:
    """Both callers get an answer, whichever way the dice fall."""
    for source in (CLIENT, EDGE):
        gone = lost(subject.port.traces(source, "http://cache"))
        if gone is not None:
            name = source.removeprefix("pod/")
            return checks.Finding(
                passed=False,
                message=f"Pod “{name}” asked http://cache and got no answer.",
                explanation=words.explain(gone),
                trace=gone,
            )
    return checks.Finding(passed=True, message="Both callers get an answer.")


def stays_near(subject: checks.Subject) -> checks.Finding:
    """The client's calls stay on its node, and nobody is left without an answer."""
    everywhere = answers_everywhere(subject)
    if not everywhere.passed:
        return everywhere
    where = homes(subject.port)
    traces = subject.port.traces(CLIENT, "http://cache")
    away = [each for each in traces if where.get(each.final.dst) != where["client"]]
    if away:
        share = sum(each.probability for each in away)
        return checks.Finding(
            passed=False,
            message=f"{share * 100:.0f} % of the calls of pod “client” leave its node, though a cache runs there.",
            explanation=words.explain(away[0]),
            trace=away[0],
        )
    return checks.Finding(passed=True, message="Calls stay on their node where they can.", trace=traces[0])


CHECKS = {
    "renew": [
        checks.predicts(
            "renew",
            one_call_a_second,
            wrong={
                "some": "The time does not run from the first call: each call winds it up again.",
                "all": "Nothing takes turns here, and with affinity not even the dice fall.",
            },
        )
    ],
    "users": [
        checks.predicts(
            "users",
            twenty_users,
            wrong={
                "all": "Users are spread only if their packets differ in the source address. Behind a proxy they do not.",
                "twenty": "The rules keep a list of addresses, and the proxy has one address.",
            },
        )
    ],
    "only": [
        checks.predicts(
            "only",
            only_here,
            wrong={
                "far": "That would be “prefer local”. The policy says only.",
                "refused": "Refused is for a Service without any endpoint. This one has endpoints, elsewhere, so "
                "the rule is DROP.",
                "no-name": "DNS knows nothing of traffic policies: the name gives the ClusterIP as always.",
            },
        )
    ],
    "cart": [
        checks.state(
            "Service",
            "cart",
            {"spec": {"sessionAffinity": "ClientIP"}},
            failure="Service “cart” draws a pod for each connection.",
        ),
        checks.state(
            "Service",
            "cart",
            {"spec": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}},
            failure="Ten minutes is not what the Service says.",
        ),
        comes_back,
    ],
    "cache": [
        answers_everywhere,
        stays_near,
        checks.required(
            checks.matches(
                "DaemonSet",
                "cache",
                lambda found: (
                    not found["spec"]["template"]["spec"].get("tolerations")
                    and not found["spec"]["template"]["spec"].get("hostNetwork")
                ),
                success="The DaemonSet is as it was.",
                failure="The DaemonSet was to stay as it is: more pods would hide what the Service does.",
            )
        ),
    ],
}
