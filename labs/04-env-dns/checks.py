"""What lab 04 looks at."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

from kubelab import checks, words
from kubelab.checks.behaviour import request
from kubelab.checks.state import read
from kubelab.port import Port
from kubesim.net.trace import Verdict

CLIENT, CASHIER = "pod/client", "pod/cashier"
HELLO = "http://ms-hello-svc:17"


def born_before(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: a Service is made while the pod runs."""
    port.run_outside("kubectl expose deployment ms-hello --name=ms-hello-svc --port=17 --target-port=7777")
    port.settle()
    env = port.run_outside("kubectl exec deploy/ms-bye -- env").stdout
    knows = "MS_HELLO_SVC_SERVICE_HOST" in env
    found = port.run_outside("kubectl exec deploy/ms-bye -- nslookup ms-hello-svc").exit_code == 0
    words = {(True, True): "both", (True, False): "env-only", (False, True): "dns-only", (False, False): "neither"}
    pod = port.run_outside("kubectl get pods -l app=ms-bye -o jsonpath='{.items[0].metadata.name}'").stdout
    return checks.Outcome(
        answer=words[knows, found],
        because="The kubelet writes the variables once, as a container starts, for the Services that are there by then. DNS is "
        "asked when the name is used, and answers with what is true now.",
        trace=port.trace(f"pod/{pod}", HELLO),
    )


def names_asked(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: every name that the resolver tries, as dig shows them."""
    name = "web.prod.svc.cluster.local"
    shown = port.run_outside(f"kubectl exec client -- dig +search +showsearch {name}").stdout.splitlines()
    asked = [line.split()[0][1:].rstrip(".") for before, line in pairwise(shown) if "QUESTION" in before]
    return checks.Outcome(
        answer={1: "one", 2: "two", 4: "four"}.get(len(asked), str(len(asked))),
        because=f"ndots:5 - a name with fewer than five dots goes through the search list first. In order: {', '.join(asked)}.",
    )


def calls_by_name(subject: checks.Subject) -> checks.Finding:
    """The cashier's request, by name; where it fails for want of DNS, the question's own way is what explains it."""
    found = checks.reaches(CASHIER, HELLO)(subject)
    if found.passed:
        return found
    config = subject.port.run_outside("kubectl exec cashier -- cat /etc/resolv.conf").stdout
    server = next(line.split()[1] for line in config.splitlines() if line.startswith("nameserver"))
    trace = subject.port.trace(CASHIER, f"udp://{server}:53")
    if trace.verdict is Verdict.DELIVERED:
        return found
    return dataclasses.replace(
        found, message="Pod “cashier” cannot even ask for the name.", explanation=words.explain(trace), trace=trace
    )


def is_alone(subject: checks.Subject) -> checks.Finding:
    """The cashier cannot reach what it does not need: another Service, by its address, so that DNS has no say in it."""
    service = subject.port.run_outside("kubectl -n prod get service web -o jsonpath='{.spec.clusterIP}'").stdout.strip()
    code, _said = request(subject, CASHIER, f"http://{service}")
    if code == 0:
        return checks.Finding(
            passed=False,
            message="Pod “cashier” can call more than it needs: web in namespace prod answered it.",
            explanation="A policy that is gone, or that allows everything, makes the name work and gives up what it was for.",
            trace=subject.port.trace(CASHIER, f"http://{service}"),
        )
    return checks.Finding(passed=True, message="What it does not need stays forbidden.")


def on_the_node(subject: checks.Subject) -> checks.Finding:
    """Pod "agent" shares its node's network."""
    pod = read(subject, "Pod", "agent")
    if pod is None:
        return checks.Finding(passed=False, message="There is no Pod “agent” in your namespace yet.")
    if not pod["spec"].get("hostNetwork"):
        return checks.Finding(
            passed=False,
            message="Pod “agent” has an address of its own: it is not on the node's network.",
            explanation="The pod's spec wants hostNetwork: true.",
        )
    return checks.Finding(passed=True, message="Pod “agent” has its node's address.", weight=1)


def resolves(subject: checks.Subject) -> checks.Finding:
    """Pod "agent" resolves a name of the cluster, by whatever server it has been given."""
    if read(subject, "Pod", "agent") is None:
        return checks.Finding(passed=False, message="There is no Pod “agent” in your namespace yet.", weight=2)
    done = subject.port.run_outside("kubectl exec agent -- nslookup kubernetes.default")
    if done.exit_code == 0:
        return checks.Finding(passed=True, message="It resolves the cluster's names.", weight=2)
    config = subject.port.run_outside("kubectl exec agent -- cat /etc/resolv.conf").stdout
    asked = ", ".join(line.split()[1] for line in config.splitlines() if line.startswith("nameserver"))
    return checks.Finding(
        passed=False,
        message="Pod “agent” cannot resolve kubernetes.default.",
        explanation=f"It does not ask the cluster's DNS but {asked}, which knows nothing of Services.",
        weight=2,
    )


def agent_works(subject: checks.Subject) -> checks.Finding:
    """Both of it: a name that resolves counts only for a pod that is on the node's network."""
    found = resolves(subject)
    place = on_the_node(subject)
    return found if place.passed or not found.passed else checks.Finding(passed=False, message=place.message, weight=2)


CHECKS = {
    "born": [
        checks.predicts(
            "born",
            born_before,
            wrong={
                "both": "A process gets its environment when it starts, and nobody can write into it from outside later.",
                "env-only": "It is the other way round: which of the two is written once, and which is asked anew?",
                "neither": "Variables wait for a restart. A name does not: it is asked when it is used.",
            },
        )
    ],
    "queries": [
        checks.predicts(
            "queries",
            names_asked,
            wrong={
                "one": "Four dots are fewer than five, so the name does not count as whole. Only a dot at its end says that.",
                "two": "The search list has three suffixes, and each is tried before the name itself.",
            },
        )
    ],
    "worker": [
        checks.reaches(CLIENT, "http://worker"),
        checks.required(
            checks.state(
                "Service",
                "worker",
                {"spec": {"ports": [{"port": 80}]}},
                failure="The Service was to keep its name and its port: other clients call it.",
            )
        ),
    ],
    "agent": [on_the_node, agent_works],
    "cashier": [calls_by_name, checks.required(is_alone)],
}
