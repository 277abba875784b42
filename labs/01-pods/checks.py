"""What lab 01 looks at."""

from __future__ import annotations

from kubelab import checks
from kubelab.checks.state import read
from kubelab.port import Port

CLIENT = "pod/client"


def two_containers(subject: checks.Subject) -> checks.Finding:
    """Pod "pair" is one pod of two containers, and both run."""
    pod = read(subject, "Pod", "pair")
    if pod is None:
        return checks.Finding(passed=False, message="There is no Pod “pair” in your namespace yet.")
    count = len(pod["spec"]["containers"])
    if count != 2:
        return checks.Finding(
            passed=False,
            message=f"Pod “pair” has {'one container' if count == 1 else f'{count} containers'}; two should share it.",
            explanation="What shares an address is in one pod: a pod is not a container, it holds them.",
        )
    stopped = [each["name"] for each in pod["status"]["containerStatuses"] if "running" not in each["state"]]
    if stopped:
        said = subject.port.run_outside(f"kubectl logs pair -c {stopped[0]}").stdout.strip()
        return checks.Finding(
            passed=False,
            message=f"Not every container of pod “pair” runs: look at “{stopped[0]}”.",
            explanation=f"Its log says: {said}" if said else "See kubectl describe pod pair.",
        )
    return checks.Finding(passed=True, message="One pod, and two containers that run in it.")


def answers_on(number: int) -> checks.Check:
    """Pod "pair" answers the client at its own address, on that port."""

    def check(subject: checks.Subject) -> checks.Finding:
        pod = read(subject, "Pod", "pair")
        address = pod["status"].get("podIP") if pod else None
        if not address:
            return checks.Finding(passed=False, message="Pod “pair” has no address yet.")
        return checks.reaches(CLIENT, f"http://{address}:{number}")(subject)

    return check


def loses_its_label(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: one of three pods is no longer app=web; a minute goes by."""
    pod = port.run_outside("kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}'").stdout
    address = port.run_outside(f"kubectl get pod {pod} -o jsonpath='{{.status.podIP}}'").stdout
    port.run_outside(f"kubectl label pod {pod} app- && sleep 60")
    port.settle()
    names = port.run_outside("kubectl get pods -l tier=front -o name").stdout.split()
    owned = port.run_outside("kubectl get pods -l app=web -o name").stdout.split()
    done = port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null http://{address}:8080")
    if len(names) == 4:
        word = "four-answers" if done.exit_code == 0 else "four-silent"
    else:
        word = "two-and-one" if len(owned) == 2 else "three"
    return checks.Outcome(
        answer=word,
        because=f"{len(owned)} pods match the Deployment's selector again, for it made a new one; the old pod belongs to nobody "
        "now, and nobody has a reason to stop it or to take its address away.",
        trace=port.trace(CLIENT, f"http://{address}:8080"),
    )


def labels_the_deployment(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: the Deployment's own label changes; who is in the Service's slice?"""

    def addresses() -> list[str]:
        path = "{.items[*].endpoints[*].addresses[0]}"
        listed = port.run_outside(f"kubectl get endpointslices -l kubernetes.io/service-name=web -o jsonpath='{path}'")
        return sorted(listed.stdout.split())

    port.run_outside("kubectl expose deployment web --port=80 --target-port=8080")
    port.settle()
    before = addresses()
    port.run_outside("kubectl label deployment web app=shop --overwrite")
    port.settle()
    after = addresses()
    word = "three" if after == before else "rollout" if after else "none"
    return checks.Outcome(
        answer=word,
        because="The Service's selector is asked of pods. The Deployment's own labels are a note on the Deployment; those of its "
        "pods stand in its template, and did not change.",
        trace=port.trace(CLIENT, "http://web"),
    )


def stays(name: str, replicas: int) -> checks.Check:
    """The Deployment is as it was brought in."""
    return checks.required(
        checks.state(
            "Deployment",
            name,
            {
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name, "tier": "back"}}},
                }
            },
            failure=f"Deployment “{name}” was to stay as it is: the fault is in the Service.",
        )
    )


CHECKS = {
    "pair": [two_containers, answers_on(1234), answers_on(4321)],
    "leave": [
        checks.predicts(
            "leave",
            loses_its_label,
            wrong={
                "three": "Nobody stops a pod for a label that it does not have any more: whom would that be?",
                "two-and-one": "The Deployment wants three that match, and counts two.",
                "four-silent": "The address comes from the pod's sandbox on its node, and knows nothing of labels.",
            },
        )
    ],
    "whose": [
        checks.predicts(
            "whose",
            labels_the_deployment,
            wrong={
                "none": "The Service never looks at the Deployment, neither at its name nor at its labels.",
                "rollout": "New pods come when the template changes. A label on the Deployment itself is none of its template.",
            },
        )
    ],
    "stranger": [
        # Every way is looked at: a single request might be lucky.
        checks.spreads(
            CLIENT,
            "http://api",
            over=2,
            failure="Not every connection to http://api ends in a pod of Deployment “api”.",
        ),
        stays("api", 2),
        stays("worker", 1),
    ],
}
