"""What lab 00 looks at."""

from __future__ import annotations

from kubelab import checks
from kubelab.checks.state import listed, read
from kubelab.port import Port

CLIENT = "pod/client"
HELLO = "gcr.io/google-samples/hello-app:"


def runs_hello(subject: checks.Subject) -> checks.Finding:
    """Pod "hello" is there, of the right image, and its program runs."""
    pod = read(subject, "Pod", "hello")
    if pod is None:
        return checks.Finding(
            passed=False,
            message="There is no Pod “hello” in your namespace yet.",
            explanation="kubectl get pods lists those that there are.",
        )
    image = pod["spec"]["containers"][0]["image"]
    if not image.startswith(HELLO):
        return checks.Finding(
            passed=False, message="Pod “hello” runs another image.", explanation=f"It was told to run {image}."
        )
    status = pod["status"]["containerStatuses"][0]
    if "running" not in status["state"]:
        reason = status["state"].get("waiting", {}).get("reason", "not running")
        return checks.Finding(passed=False, message=f"Pod “hello” is there, but nothing runs in it: {reason}.")
    return checks.Finding(
        passed=True,
        message="Your first pod runs.",
        explanation=f"It has the address {pod['status']['podIP']}, and every pod can call it there.",
    )


def greeter_answers(subject: checks.Subject) -> checks.Finding:
    """The newest pod of Deployment "greeter" answers the client at its own address, port 80."""
    pods = [each for each in listed(subject, "Pod", "app=greeter") if each["status"].get("podIP")]
    if not pods:
        return checks.Finding(
            passed=False,
            message="There is no pod of Deployment “greeter” that has an address.",
            explanation="A Deployment can be applied again: lab.apply('broken').",
        )
    newest = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
    return checks.reaches(CLIENT, f"http://{newest['status']['podIP']}")(subject)


def wrong_door(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: the server's address, on a port where nobody listens."""
    address = port.run_outside("kubectl get pod server -o jsonpath='{.status.podIP}'").stdout
    done = port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null http://{address}:80")
    answers = {0: "answer", 7: "refused", 28: "silence"}
    return checks.Outcome(
        answer=answers.get(done.exit_code, f"curl's exit code {done.exit_code}"),
        because="An address is a machine's or a pod's, and a port is a program's. The packet came to the right pod; no program "
        "has asked its kernel for port 80, so the kernel itself answers, and says no.",
        trace=port.trace(CLIENT, f"http://{address}:80"),
    )


CHECKS = {
    "hello": [runs_hello],
    "door": [
        checks.predicts(
            "door",
            wrong_door,
            wrong={
                "silence": "The packet does arrive, and a kernel that gets a packet for a port without a program says so.",
                "answer": "A program hears only what comes to the port that it has asked for.",
            },
        )
    ],
    "greeter": [greeter_answers],
}
