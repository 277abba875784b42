"""What lab 12 looks at."""

from __future__ import annotations

import re
from typing import Any

from kubelab import checks
from kubelab.checks.state import listed, read
from kubelab.port import Port

CLIENT = "pod/client"
# The rolling update, and a client that calls for as long as it lasts, however fast this cluster is: so far apart (seconds), so
# patient with each, and at most so often.
APART, PATIENCE, MOST = 0.05, 0.2, 600
ROLL = f"""kubectl exec client -- rm -f /tmp/enough
kubectl exec client -- sh -c 'for i in $(seq {MOST}); do
  [ -e /tmp/enough ] && break
  curl -s -o /dev/null -m {PATIENCE} -w "%{{http_code}} %{{exitcode}}\\n" http://shop
  sleep {APART}
done' > calls.txt &
sleep 1
kubectl rollout restart deployment shop >/dev/null
kubectl rollout status deployment shop --timeout=60s >/dev/null 2>&1 && echo rolled
sleep 3
kubectl exec client -- touch /tmp/enough
wait
cat calls.txt
rm calls.txt
"""
# The news of a pod's end reaches the rules of every node in a second or so.
NEWS = 2


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


def shop(subject: checks.Subject) -> dict[str, Any]:
    """The spec of the pods of "shop"; {} if there is no such Deployment."""
    deployment = read(subject, "Deployment", "shop")
    return deployment["spec"]["template"]["spec"] if deployment else {}


def says_when_it_listens(subject: checks.Subject) -> checks.Finding:
    """The pods of "shop" have a probe that keeps traffic away until their program listens."""
    container = shop(subject).get("containers", [{}])[0]
    if "readinessProbe" in container or "startupProbe" in container:
        return checks.Finding(passed=True, message="A new pod says when its program listens.")
    return checks.Finding(
        passed=False,
        message="Nothing says when the program of a new pod listens.",
        explanation="Without a probe it gets traffic as soon as it runs.",
    )


def outlives_the_news(subject: checks.Subject) -> checks.Finding:
    """A preStop hook keeps SIGTERM from the pods of "shop" for long enough."""
    pod = shop(subject)
    hook = pod.get("containers", [{}])[0].get("lifecycle", {}).get("preStop")
    if not hook:
        return checks.Finding(
            passed=False,
            message="A pod that is told to end is gone before every node has heard of it.",
            explanation="SIGTERM and the news for the nodes set out at the same time, and the program is faster.",
        )
    # How long another kind of hook takes, its command knows.
    seconds = min(hook.get("sleep", {}).get("seconds", NEWS), pod.get("terminationGracePeriodSeconds", 30))
    if seconds < NEWS:
        return checks.Finding(
            passed=False,
            message=f"A pod that is told to end goes on for {seconds} s; the news takes longer.",
            explanation="kube-proxy writes its rules no more often than once a second, on each node. The hook counts towards "
            "terminationGracePeriodSeconds.",
        )
    return checks.Finding(passed=True, message="A pod that is told to end goes on while the rules follow.")


def nothing_lost(subject: checks.Subject) -> checks.Finding:
    """The client calls on while the Deployment is rolled out anew; every request is answered.

    How many are lost without probe or hook is chance, and might be none: so this asks for both.
    """
    said = subject.port.run_outside(ROLL).stdout
    subject.port.settle()
    ends = re.findall(r"^(\d{3}) (\d+)$", said, re.MULTILINE)
    lost = [code for status, code in ends if status != "200"]
    safe = says_when_it_listens(subject).passed and outlives_the_news(subject).passed
    if "rolled" not in said.splitlines():
        return checks.Finding(
            passed=False,
            message="The rollout of “shop” does not come to its end.",
            explanation="A rollout goes on when new pods are ready. kubectl get pods -l app=shop shows which are not, and their "
            "events say why.",
            weight=2,
        )
    if ends and not lost and safe:
        return checks.Finding(passed=True, message="All requests were answered during a rollout.", weight=2)
    why = [f"Of {len(ends)} requests {len(lost) or 'none'} {'was' if len(lost) == 1 else 'were'} lost this time."]
    refused, silent = lost.count("7"), lost.count("28")
    if refused:
        why.append(f"Refused (7): {refused}. They came to a new pod whose program did not listen yet.")
    if silent:
        why.append(f"No answer (28): {silent}. They came to an old pod whose program had ended already.")
    return checks.Finding(
        passed=False, message="A rollout of “shop” loses requests.", explanation=" ".join(why), weight=2
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
        checks.required(says_when_it_listens),
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
