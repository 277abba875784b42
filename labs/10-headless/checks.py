"""What lab 10 looks at."""

from __future__ import annotations

from kubelab import checks
from kubelab.checks.state import read
from kubelab.port import Port

CLIENT = "pod/client"


def addresses(port: Port, name: str) -> list[str]:
    """What DNS gives pod “client” for a name."""
    done = port.run_outside(f"kubectl exec client -- dig +short +search {name}")
    return sorted(done.stdout.split())


def answers(port: Port) -> checks.Outcome:
    """The experiment behind the first prediction: both names are asked."""
    front, db = addresses(port, "front"), addresses(port, "db")
    return checks.Outcome(
        answer=f"{len(front)}-{len(db)}",
        because=f"front is {', '.join(front)}, an address of the Service itself, from which a rule leads on to a "
        f"pod. db has none, so its name stands "
        f"for the pods that are ready: {', '.join(db)}. Who asks chooses one.",
        trace=port.trace(CLIENT, "http://db:8080"),
    )


def unready(port: Port) -> checks.Outcome:
    """The experiment behind the second: one pod's readiness is taken away."""
    port.run_outside("kubectl exec db-1 -- touch /tmp/broken; sleep 5")
    port.settle()
    found = addresses(port, "db-1.db")
    own = port.run_outside("kubectl get pod db-1 -o jsonpath='{.status.podIP}'").stdout.strip()
    answer = "no-name" if not found else "address" if found == [own] else "others"
    return checks.Outcome(
        answer=answer,
        because="The DNS server reads the Service's EndpointSlices. A pod that is not ready has no record, neither "
        "under the Service's name nor under its "
        "own - unless the Service says publishNotReadyAddresses.",
    )


def workload_unchanged(kind: str, name: str, expected: dict) -> checks.Check:
    return checks.required(
        checks.state(kind, name, expected, failure=f"The {kind} was to stay as it is: the fault is in the Service.")
    )


def governing(subject: checks.Subject) -> checks.Finding:
    """Service “queue” is headless, as a governing Service is."""
    found = read(subject, "Service", "queue")
    if found is None:
        return checks.Finding(
            passed=False,
            message="There is no Service “queue”.",
            explanation="StatefulSet “queue” names it as its own (spec.serviceName); the pods' names belong to it.",
        )
    if found["spec"].get("clusterIP") != "None":
        return checks.Finding(
            passed=False,
            message="Service “queue” has an address of its own.",
            explanation="Its name then stands for that address. With clusterIP None it stands for the pods, and "
            "each has a name below it.",
        )
    return checks.Finding(passed=True, message="The governing Service is headless.")


def pod_name(number: int) -> checks.Check:
    name = f"queue-{number}"
    return checks.resolves_to(CLIENT, f"{name}.queue", pods=f"statefulset.kubernetes.io/pod-name={name}")


CHECKS = {
    "answers": [
        checks.predicts(
            "answers",
            answers,
            wrong={
                "1-1": "One address for db - whose should it be? The Service has none.",
                "3-3": "front has an address of its own, and its name stands for that; the three pods are behind "
                "it, in the rules.",
                "1-0": "Without an address the name is not empty: it stands for the pods themselves.",
            },
        )
    ],
    "cache": [
        checks.spreads(CLIENT, "http://cache", over=2, weight=2),
        checks.reaches(CLIENT, "http://cache"),
        workload_unchanged(
            "Deployment", "cache", {"spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "cache"}}}}}
        ),
    ],
    "queue": [
        governing,
        pod_name(0),
        pod_name(1),
        workload_unchanged("StatefulSet", "queue", {"spec": {"serviceName": "queue", "replicas": 2}}),
    ],
    "unready": [
        checks.predicts(
            "unready",
            unready,
            wrong={
                "address": "The pod has an address, and you could call it by that. Its name is published for ready "
                "pods only.",
                "others": "A name of one pod never stands for another.",
            },
        )
    ],
}
