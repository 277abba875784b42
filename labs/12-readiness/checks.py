"""What lab 12 looks at."""

from __future__ import annotations

import re

from kubelab import checks
from kubelab.checks.state import listed, read
from kubelab.port import Port

CLIENT = "pod/client"
# The client of the rolling update: this many requests, so far apart (seconds), and so patient with each.
REQUESTS, APART, PATIENCE = 80, 0.075, 0.2


def never_ready(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: a minute of failing readiness probes."""
    port.run_outside("sleep 60")
    port.settle()
    path = "{range .items[*]}{.status.containerStatuses[0].restartCount}{' '}{end}"
    restarts = port.run_outside(f'kubectl get pods -l app=kubia -o jsonpath="{path}"').stdout.split()
    slices = "kubectl get endpointslices -l kubernetes.io/service-name=kubia"
    addresses = port.run_outside(f"{slices} -o jsonpath='{{.items[*].endpoints[*].addresses[0]}}'").stdout.split()
    done = port.run_outside("kubectl exec client -- curl -sS -m 5 -o /dev/null http://kubia")
    if done.exit_code == 0:
        word = "served"
    elif any(each != "0" for each in restarts):
        word = "restarted"
    else:
        word = "listed" if addresses else "unlisted"
    return checks.Outcome(
        answer=word,
        because=f"Restarts: {', '.join(restarts)}. The slice lists {len(addresses)} addresses, each with ready: false, and "
        "kube-proxy "
        "makes rules for ready ones only. With none it writes the rule that refuses.",
        trace=port.trace(CLIENT, "http://kubia"),
    )


def last_is_leaving(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: the only pod is terminating, and its program still works."""
    port.run_outside("kubectl scale deployment last --replicas=0")
    done = port.run_outside("sleep 2; kubectl exec client -- curl -sS -m 5 -o /dev/null http://last")
    return checks.Outcome(
        answer={0: "answer", 7: "refused", 28: "silence"}.get(done.exit_code, str(done.exit_code)),
        because="The slice says of it ready: false, serving: true, terminating: true. kube-proxy prefers ready endpoints; "
        "where there "
        "are none, it falls back to those that are leaving and still serve.",
        trace=port.trace(CLIENT, "http://last"),
    )


def takes_part(pod: dict) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def two_doors(subject: checks.Subject) -> checks.Finding:
    """Two pods of "kubia" are ready, and one runs that is not."""
    # A probe has its period: let the next one pass.
    subject.port.run_outside("sleep 6")
    pods = listed(subject, "Pod", "app=kubia")
    ready = [each["metadata"]["name"] for each in pods if takes_part(each)]
    if len(ready) != 2:
        many = {0: "No pod of “kubia” takes", 1: "1 pod of “kubia” takes"}.get(
            len(ready), f"{len(ready)} pods of “kubia” take"
        )
        return checks.Finding(
            passed=False,
            message=f"{many} traffic; it should be exactly two.",
            explanation=f"Ready are: {', '.join(ready)}." if ready else "None of them is ready: READY 0/1.",
        )
    if len(pods) != 3:
        return checks.Finding(passed=False, message=f"There should be three pods of “kubia”; there are {len(pods)}.")
    return checks.Finding(passed=True, message=f"Open: {' and '.join(ready)}.")


def api_is_ready(subject: checks.Subject) -> checks.Finding:
    """Those of "api" that are not ready void the task, with what their probe says."""
    lazy = [each["metadata"]["name"] for each in listed(subject, "Pod", "app=api") if not takes_part(each)]
    if not lazy:
        return checks.Finding(passed=True, message="Its pods are ready.")
    events = subject.port.run_outside(
        "kubectl get events --field-selector reason=Unhealthy -o jsonpath='{range .items[*]}{.involvedObject.name}: "
        '{.message}{"\\n"}{end}\''
    ).stdout.splitlines()
    said = next((line for line in events if line.partition(":")[0] in lazy), "")
    return checks.Finding(
        passed=False, message=f"The pods of “api” are not ready: {', '.join(lazy)}.", explanation=said.strip()
    )


def api_is_probed(subject: checks.Subject) -> checks.Finding:
    """The Deployment "api" has a readiness probe by HTTP."""
    deployment = read(subject, "Deployment", "api")
    container = deployment["spec"]["template"]["spec"]["containers"][0] if deployment else {}
    kept = "httpGet" in container.get("readinessProbe", {})
    return checks.Finding(
        passed=kept,
        message="They have a probe." if kept else "They were to keep a readiness probe by HTTP.",
        explanation=""
        if kept
        else "Without one a pod counts as ready as soon as it runs, whether its program listens or not.",
    )


def nothing_lost(subject: checks.Subject) -> checks.Finding:
    """The client calls on while the Deployment is rolled out anew; every request is answered."""
    # Quoted for the pod's shell; one line for each request: its status and curl's exit code.
    loop = (
        f"for i in $(seq {REQUESTS}); do curl -s -o /dev/null -m {PATIENCE} -w '%{{http_code}} %{{exitcode}}\\n' http://shop; "
        f"sleep {APART}; done"
    )
    said = subject.port.run_outside(
        f'kubectl exec client -- sh -c "{loop.replace("$", chr(92) + "$")}" > calls.txt & sleep 0.5; '
        "kubectl rollout restart deployment shop >/dev/null; wait; cat calls.txt; rm calls.txt"
    ).stdout
    subject.port.settle()
    ends = re.findall(r"^(\d{3}) (\d+)$", said, re.MULTILINE)
    lost = [code for status, code in ends if status != "200"]
    if ends and not lost:
        return checks.Finding(passed=True, message=f"All {len(ends)} requests were answered.", weight=1)
    refused, silent = lost.count("7"), lost.count("28")
    why = []
    if refused:
        why.append(f"{refused} were refused (7): they came to a new pod whose program did not listen yet.")
    if silent:
        why.append(f"{silent} heard nothing (28): they came to an old pod whose program had ended already.")
    return checks.Finding(
        passed=False,
        message=f"{len(lost)} of {len(ends)} requests were lost during the rollout.",
        explanation=" ".join(why),
        weight=1,
    )


def outlives_the_news(subject: checks.Subject) -> checks.Finding:
    """A pod that is told to end answers for a while longer: the nodes hear of it later than it does itself."""
    pods = [each for each in listed(subject, "Pod", "app=shop") if takes_part(each)]
    if not pods:
        return checks.Finding(passed=False, message="No pod of “shop” is ready.")
    name, address = pods[0]["metadata"]["name"], pods[0]["status"]["podIP"]
    subject.port.run_outside(f"kubectl delete pod {name} --wait=false")
    done = subject.port.run_outside(f"sleep 1; kubectl exec client -- curl -sS -o /dev/null -m 1 http://{address}:8080")
    subject.port.run_outside("sleep 10")
    subject.port.settle()
    if done.exit_code == 0:
        return checks.Finding(passed=True, message="A pod that is leaving answers while the rules follow.")
    return checks.Finding(
        passed=False,
        message="A pod that is told to end is gone a second later; a node that has not heard of it yet still sends to it.",
        explanation="SIGTERM and the news for the nodes set out at the same time, and the program is faster.",
    )


CHECKS = {
    "running": [
        checks.predicts(
            "running",
            never_ready,
            wrong={
                "restarted": "A readiness probe never restarts anything; that is what a liveness probe does.",
                "served": "Running means that the process is there. Traffic is for those that say they are ready.",
                "unlisted": "The slice lists every pod that matches, and says of each whether it is ready.",
            },
        )
    ],
    "doors": [two_doors],
    "api": [
        checks.spreads(CLIENT, "http://api", over=2),
        checks.required(api_is_probed),
        checks.required(api_is_ready),
    ],
    "ending": [
        checks.predicts(
            "ending",
            last_is_leaving,
            wrong={
                "refused": "Better one that is leaving than none: it still serves, and the rules know that.",
                "silence": "Its program still runs, for its preStop hook has not ended, and SIGTERM has not come.",
            },
        )
    ],
    "rollout": [
        nothing_lost,
        outlives_the_news,
        checks.required(
            checks.state(
                "Deployment",
                "shop",
                {
                    "spec": {
                        "replicas": 4,
                        "template": {
                            "spec": {
                                "containers": [
                                    {"command": ["sh", "-c", "sleep 1.5; exec /agnhost netexec --udp-port=-1"]}
                                ]
                            }
                        },
                    }
                },
                failure="The program, its command and the number of replicas were to stay as they are.",
            )
        ),
    ],
}
