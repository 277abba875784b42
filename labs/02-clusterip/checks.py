"""What lab 02 looks at."""

from __future__ import annotations

from kubelab import checks
from kubelab.port import Port

CLIENT = "pod/client"


def scaled_to_zero(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: a Service whose last pod goes away, and one request to it."""
    port.run_outside(
        "kubectl expose deployment web --port=80 --target-port=8080 && kubectl scale deployment web --replicas=0"
    )
    port.settle()
    done = port.run_outside("kubectl exec client -- curl -sS -m 20 -o /dev/null http://web")
    answers = {7: "refused", 28: "timeout", 6: "no-name", 0: "waits"}
    return checks.Outcome(
        answer=answers.get(done.exit_code, f"curl's exit code {done.exit_code}"),
        because="The name still resolves, for the Service is still there. With no endpoint left, kube-proxy writes a rule that "
        "rejects every new connection to the address: somebody answers, and says no. Silence would be a dropped packet.",
        trace=port.trace(CLIENT, "http://web"),
    )


CHECKS = {
    "service": [
        checks.state(
            "Service",
            "shop",
            {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]}},
            failure="Clients want to call port 80 of a ClusterIP Service.",
        ),
        checks.matches(
            "Service",
            "shop",
            lambda service: service["spec"].get("clusterIP") not in (None, "", "None"),
            success="It has a cluster IP.",
            failure="A Service with clusterIP None is headless: it has no address of its own, only a list of the pods'.",
        ),
        checks.spreads(
            CLIENT,
            "http://shop",
            over=2,
            success="A packet to it reaches either pod, on the port where hello-app listens.",
        ),
    ],
    "repair": [
        checks.reaches(CLIENT, "http://orders"),
        checks.spreads(CLIENT, "http://orders", over=2),
        checks.required(
            checks.state(
                "Deployment",
                "orders",
                {"spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "orders"}}}}},
                failure="The Deployment was to stay as it is: the fault is in the Service.",
            )
        ),
    ],
    "zero": [
        checks.predicts(
            "zero",
            scaled_to_zero,
            wrong={
                "timeout": "A time-out is silence: nobody answers at all. Here somebody does.",
                "no-name": "The name belongs to the Service, and the Service is still there.",
                "waits": "No queue stands behind a Service: a connection is decided the moment its first packet comes.",
            },
        )
    ],
}
