"""What lab 08 looks at."""

from __future__ import annotations

from kubelab import checks
from kubelab.checks import names
from kubelab.checks.behaviour import in_pod
from kubelab.checks.state import read
from kubelab.port import Port

CLIENT = "pod/client"
PROBE = ["sh", "-c", "curl --fail --silent --show-error https://$PARTNER_HOST/"]


def over_tls(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: an alias, and one request to it over TLS."""
    port.run_outside("kubectl create service externalname partner --external-name=www.mozilla.org")
    port.settle()
    done = port.run_outside("kubectl exec client -- curl -sS -m 10 -o /dev/null https://partner")
    answers = {0: "page", 60: "certificate", 7: "refused", 6: "no-name"}
    return checks.Outcome(
        answer=answers.get(done.exit_code, f"curl's exit code {done.exit_code}"),
        because="DNS turned the alias into the site's address, and there its part ended. The connection stands; but curl "
        "asked for “partner”, and the site's certificate is for www.mozilla.org. The name that you call is the name that must be "
        "proved.",
        trace=port.trace(CLIENT, "https://partner"),
    )


def partner_answers(subject: checks.Subject) -> checks.Finding:
    """The reporter's pod is ready; if not, what its probe last said."""
    found = read(subject, "Deployment", "reporter")
    if found is None:
        return checks.Finding(
            passed=False,
            message="There is no Deployment “reporter” yet.",
            explanation='Bring it in: lab.apply("broken")',
        )
    if (found.get("status") or {}).get("readyReplicas", 0) >= 1 and _all_new(found):
        return checks.Finding(passed=True, message="The reporter's pod is ready.")
    said = subject.port.run_outside(
        "kubectl exec deploy/reporter -- sh -c 'curl --fail --silent --show-error https://$PARTNER_HOST/'"
    )
    host = subject.port.run_outside("kubectl exec deploy/reporter -- sh -c 'echo $PARTNER_HOST'").stdout.strip()
    line = (said.stderr or said.stdout).strip().partition("\n")[0]
    return checks.Finding(
        passed=False,
        message="The reporter's pod is not ready.",
        explanation=f"It calls https://{host}/, and this is what it sees: {line}",
        trace=subject.port.trace(CLIENT, f"https://{host}") if host else None,
    )


def _all_new(deployment: dict) -> bool:
    status = deployment["status"]
    return status.get("updatedReplicas", 0) == status.get("replicas", 0)


def probe_unchanged(subject: checks.Subject) -> checks.Finding:
    """The probe still asks over TLS, and still checks who answers."""
    found = read(subject, "Deployment", "reporter")
    if found is None:
        return checks.Finding(passed=True, message="")
    probe = found["spec"]["template"]["spec"]["containers"][0].get("readinessProbe") or {}
    command = (probe.get("exec") or {}).get("command")
    if command == PROBE:
        return checks.Finding(passed=True, message="The probe is as it was.")
    weak = command is not None and any("-k" in word or "insecure" in word for word in command)
    why = "It is what says that the partner answers."
    if weak:
        why = "Unless the certificate is checked, anybody between the pod and the partner may answer in the partner's name."
    return checks.Finding(passed=False, message="The probe was to stay as it is.", explanation=why)


def answers_as_google(subject: checks.Subject) -> checks.Finding:
    """Both names give the same addresses."""
    own, given = (names.lookup(subject, CLIENT, name) for name in ("www.google.com", "search"))
    if given and given == own:
        return checks.Finding(passed=True, message=f"search is {', '.join(given)}, as www.google.com is.")
    said = f"it is {', '.join(given)}" if given else "pod “client” cannot resolve it"
    message = "The name “search” does not lead where www.google.com does."
    return checks.Finding(passed=False, message=message, explanation=f"Asked from a pod, {said}.")


def answered_inside(subject: checks.Subject) -> checks.Finding:
    """One request by the old name, and who answered it."""
    done = in_pod(subject, CLIENT, "curl -sS -m 5 http://mail")
    _, told, pod = done.stdout.rpartition("Hostname: ")
    if told and pod.startswith("mail-"):
        return checks.Finding(passed=True, message=f"http://mail was answered by {pod.strip()}.")
    return checks.Finding(
        passed=False,
        message="http://mail is not answered by a pod of Deployment “mail”.",
        explanation="The alias's name answers, somewhere outside." if done.exit_code == 0 else "Nobody answers.",
        trace=subject.port.trace(CLIENT, "http://mail"),
    )


CHECKS = {
    "tls": [
        checks.predicts(
            "tls",
            over_tls,
            wrong={
                "page": "The page would come if you asked for it by the site's own name. TLS proves the name that was typed.",
                "refused": "An alias has no ports at all: the connection goes to the site's address, to whatever port you name.",
                "no-name": "The alias resolves: that is the one thing it does.",
            },
        )
    ],
    "alias": [
        checks.state(
            "Service",
            "search",
            {"spec": {"type": "ExternalName", "externalName": "www.google.com"}},
            failure="The Service “search” is to stand for the name www.google.com.",
        ),
        answers_as_google,
    ],
    "migrate": [
        checks.spreads(
            CLIENT,
            "http://mail",
            over=2,
            success="A packet to http://mail reaches either pod.",
            weight=2,
        ),
        answered_inside,
    ],
    "reporter": [partner_answers, checks.required(probe_unchanged)],
}
