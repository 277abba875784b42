"""What lab 15 looks at: ten complaints, where each one's packet dies, and whether it still does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from kubelab import checks, words
from kubelab.checks.behaviour import in_pod
from kubelab.checks.state import read
from kubelab.port import Port
from kubesim.errors import LearnerError
from kubesim.net.trace import Trace, Verdict

CLIENT, CASHIER = "pod/client", "pod/cashier"
DNS = "udp://10.96.0.10:53"
PORTAL = "portal.example.com"

# What a trace's end means in the words of the question.
ENDS = {
    Verdict.REJECTED: "rule",
    Verdict.REFUSED: "pod",
    Verdict.DROPPED: "dropped",
    Verdict.NO_ROUTE: "dropped",
    Verdict.DELIVERED: "fine",
}
# What each place is called when it was guessed wrongly.
WRONG = {
    "no-name": "A name that does not exist is said to be so, at once. Was it?",
    "lookup": "Then a question would be on its way and nobody would answer. Trace the question itself: udp://10.96.0.10:53.",
    "rule": "A rule refuses for a Service that has no endpoints. Has it none?",
    "pod": "For that the packet must come to a pod. Does it?",
    "dropped": "Silence takes its time. How long did it take?",
    "some": "Try more than once, and look at all the ways.",
    "router": "Somebody would have to answer something. Does anybody?",
}


# -- where a packet dies -------------------------------------------------------------------------------------


def where(port: Port, source: str, target: str) -> checks.Outcome:
    """Where the packets of a request die, in the words of the question."""
    try:
        traces = port.traces(source, target)
    except LearnerError as error:
        question = port.trace(source, DNS)
        if question.verdict is not Verdict.DELIVERED:
            return checks.Outcome(answer="lookup", because=words.explain(question), trace=question)
        return checks.Outcome(answer="no-name", because=error.message + ".")
    ends = {ENDS.get(each.verdict, str(each.verdict)) for each in traces}
    lost = next((each for each in traces if each.verdict is not Verdict.DELIVERED), traces[0])
    answer = ends.pop() if len(ends) == 1 else "some"
    return checks.Outcome(answer=answer, because=words.explain(lost), trace=lost)


def of_invoices(port: Port) -> checks.Outcome:
    host = port.run_outside("kubectl exec deploy/invoices -- sh -c 'echo $DB_HOST'").stdout.strip()
    return where(port, f"pod/{_pod(port, 'invoices')}", f"http://{host}")


def of_atlas(port: Port) -> checks.Outcome:
    """Both workers, together: one end well, the other not."""
    found = [where(port, "outside", f"http://{address}:30090") for address in workers(port)]
    if {each.answer for each in found} == {"fine", "dropped"}:
        silent = next(each for each in found if each.answer == "dropped")
        return dataclasses.replace(silent, answer="some")
    return found[0]


def of_portal(port: Port) -> checks.Outcome:
    """Somebody answers; the question is who."""
    node = workers(port)[0]
    status, said = ask_portal(port, node)
    trace = port.trace("outside", f"http://{node}:30080")
    if status == "200" or trace.verdict is not Verdict.DELIVERED:
        return checks.Outcome(answer=ENDS.get(trace.verdict, "fine"), because=words.explain(trace), trace=trace)
    return checks.Outcome(
        answer="router",
        because=f"The packet came to {trace.hops[-1].host}, the router, and that said “{said.strip()}”: it knows no "
        f"rule for this request. No pod of the "
        "portal ever heard of it.",
        trace=trace,
    )


WHERE: dict[str, Callable[[Port], checks.Outcome]] = {
    "shop": lambda port: where(port, CLIENT, "http://shop"),
    "invoices": of_invoices,
    "reports": lambda port: where(port, CLIENT, "http://reports"),
    "api": lambda port: where(port, CLIENT, "http://api"),
    "stock": lambda port: where(port, CLIENT, "http://stock"),
    "prices": lambda port: where(port, CLIENT, "http://prices"),
    "chat": lambda port: where(port, CLIENT, "http://chat"),
    "cashier": lambda port: where(port, CASHIER, "http://till"),
    "atlas": of_atlas,
    "portal": of_portal,
}


def workers(port: Port) -> list[str]:
    """The addresses of the two nodes that run the portal's and the atlas' pods."""
    path = '{.items[*].status.addresses[?(@.type=="InternalIP")].address}'
    return port.run_outside(f"kubectl get nodes kind-worker kind-worker2 -o jsonpath='{path}'").stdout.split()


def _pod(port: Port, app: str) -> str:
    done = port.run_outside(f"kubectl get pods -l app={app} -o jsonpath='{{.items[0].metadata.name}}'")
    return done.stdout.strip()


# -- whether it still does -----------------------------------------------------------------------------------


def answered_by(name: str, count: int) -> list[checks.Check]:
    """Every way to http://NAME ends in one of `count` pods, and one real request is answered."""
    return [checks.spreads(CLIENT, f"http://{name}", over=count), checks.reaches(CLIENT, f"http://{name}")]


def stays(kind: str, name: str, expected: dict, why: str) -> checks.Check:
    """What a mended thing must not have cost."""
    return checks.required(checks.state(kind, name, expected, failure=why))


def invoices_call(subject: checks.Subject) -> checks.Finding:
    """The program's own call, with the name that it has been given."""
    pod = _pod(subject.port, "invoices")
    done = in_pod(subject, f"pod/{pod}", "sh -c 'curl -sS -m 5 -o /dev/null http://$DB_HOST'")
    if done.exit_code == 0:
        return checks.Finding(passed=True, message="The database answers the invoices.")
    host = in_pod(subject, f"pod/{pod}", "sh -c 'echo $DB_HOST'").stdout.strip()
    return checks.Finding(
        passed=False,
        message="The invoices' program still gets no answer.",
        explanation=f"It calls http://{host}, and curl says: {done.stderr.strip().partition(chr(10))[0]}",
    )


def by_name(subject: checks.Subject) -> checks.Finding:
    """No address in the ConfigMap."""
    found = read(subject, "ConfigMap", "invoices")
    host = ((found or {}).get("data") or {}).get("DB_HOST", "")
    if host.replace(".", "").isdigit():
        return checks.Finding(
            passed=False,
            message="An address is written down where a name belongs.",
            explanation="It is right until the pod or the Service is made anew. Then somebody will complain again.",
        )
    return checks.Finding(passed=True, message="It is a name.")


def probe_kept(subject: checks.Subject) -> checks.Finding:
    """Stock still says when it is ready."""
    found = read(subject, "Deployment", "stock")
    container = found["spec"]["template"]["spec"]["containers"][0] if found is not None else {}
    if "readinessProbe" in container:
        return checks.Finding(passed=True, message="The probe is there.")
    return checks.Finding(
        passed=False,
        message="The probe is gone.",
        explanation="Now every pod gets traffic the moment it starts, up or not. The probe asked for the wrong "
        "page; that was all.",
    )


def not_published(subject: checks.Subject) -> checks.Finding:
    """Nobody has told the Service to take pods that are not ready."""
    found = read(subject, "Service", "stock")
    if found is not None and found["spec"].get("publishNotReadyAddresses"):
        return checks.Finding(
            passed=False,
            message="Stock takes pods that are not ready.",
            explanation="Then why should they have a probe?",
        )
    return checks.Finding(passed=True, message="Only ready pods count.")


def cashier_calls(subject: checks.Subject) -> checks.Finding:
    """The cashier's request, by name."""
    found = checks.reaches(CASHIER, "http://till")(subject)
    if found.passed:
        return found
    outcome = where(subject.port, CASHIER, "http://till")
    return dataclasses.replace(
        found,
        message="The cashier still cannot call the till by name.",
        explanation=outcome.because,
        trace=outcome.trace,
    )


def cashier_alone(subject: checks.Subject) -> checks.Finding:
    """What the cashier does not need is still forbidden: the database of somebody else, by its address."""
    done = subject.port.run_outside("kubectl -n data get service ledger -o jsonpath='{.spec.clusterIP}'")
    target = f"http://{done.stdout.strip()}"
    code = in_pod(subject, CASHIER, f"curl -sS -m 3 -o /dev/null {target}").exit_code
    if code == 0:
        return checks.Finding(
            passed=False,
            message="The cashier can call the ledger now.",
            explanation="The policy passes, and what it was for is lost.",
            trace=subject.port.trace(CASHIER, target),
        )
    return checks.Finding(passed=True, message="The rest stays forbidden.")


def atlas_everywhere(subject: checks.Subject) -> checks.Finding:
    """From outside, the port of either worker is answered."""
    for address in workers(subject.port):
        target = f"http://{address}:30090"
        done = subject.port.run_outside(f"curl -sS -m 5 -o /dev/null {target}")
        trace = subject.port.trace("outside", target)
        if done.exit_code:
            return checks.Finding(
                passed=False, message=f"{address}:30090 does not answer.", explanation=words.explain(trace), trace=trace
            )
    return checks.Finding(passed=True, message="Either worker's port answers.", trace=trace)


def ask_portal(port: Port, node: str, host: str = PORTAL) -> tuple[str, str]:
    """Status and text of a request for /portal/ by port 30080 of a node."""
    done = port.run_outside(f"curl -s -m 5 -w '\\n%{{http_code}}' -H 'Host: {host}' http://{node}:30080/portal/")
    text, _, status = done.stdout.rpartition("\n")
    return status, text


def portal_answers(subject: checks.Subject) -> checks.Finding:
    """The page, from a pod of the portal."""
    node = workers(subject.port)[0]
    status, said = ask_portal(subject.port, node)
    trace: Trace = subject.port.trace("outside", f"http://{node}:30080")
    if status == "200":
        return checks.Finding(passed=True, message="The portal answers.", trace=trace)
    found = read(subject, "Ingress", "portal") or {"spec": {}}
    kind = found["spec"].get("ingressClassName", "none")
    paths = [
        f"{path.get('path')} ({path.get('pathType')})"
        for rule in found["spec"].get("rules") or ()
        for path in (rule.get("http") or {}).get("paths") or ()
    ]
    return checks.Finding(
        passed=False,
        message=f"The portal is answered with {status or 'nothing'}: {said.strip()[:60]}",
        explanation=f"The router has no rule for portal.example.com/portal/. The Ingress is of class {kind}, for "
        f"{', '.join(paths) or 'no path'}.",
        trace=trace,
    )


def others_get_404(subject: checks.Subject) -> checks.Finding:
    """A name that nobody serves is still nobody's."""
    status, _said = ask_portal(subject.port, workers(subject.port)[0], "nobody.example.com")
    if status == "404":
        return checks.Finding(passed=True, message="Other names are not caught.")
    return checks.Finding(
        passed=False,
        message="Now every name leads to the portal.",
        explanation="A rule without a host hides all others that will come.",
    )


def diagnosed(name: str) -> list[checks.Check]:
    return [checks.predicts(f"{name}-where", WHERE[name], wrong=WRONG, looks=True)]


PODS_STAY = "The pods were to stay as they are: the fault is in front of them."

CHECKS = {
    **{f"{name}-where": diagnosed(name) for name in WHERE},
    "shop": [
        *answered_by("shop", 2),
        stays(
            "Deployment",
            "shop",
            {"spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "shop"}}}}},
            PODS_STAY,
        ),
    ],
    "invoices": [invoices_call, checks.required(by_name)],
    "reports": [
        *answered_by("reports", 2),
        stays(
            "Service", "reports", {"spec": {"ports": [{"port": 80}]}}, "Every client calls port 80, and would break."
        ),
    ],
    "api": [
        checks.spreads(CLIENT, "http://api", over=2),
        stays(
            "Deployment",
            "worker",
            {"spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": "worker", "tier": "backend"}}}}},
            "The worker was to stay as it is: it does its work, and others find it by its labels.",
        ),
    ],
    "stock": [*answered_by("stock", 2), checks.required(probe_kept), checks.required(not_published)],
    "prices": [*answered_by("prices", 2)],
    "chat": [checks.reaches(CLIENT, "http://chat")],
    "cashier": [cashier_calls, checks.required(cashier_alone)],
    "atlas": [atlas_everywhere],
    "portal": [portal_answers, checks.required(others_get_404)],
}
