"""What lab 05 looks at."""

from __future__ import annotations

from kubelab import checks, words
from kubelab.port import Port
from kubesim.net.trace import Verdict

CLIENT = "pod/client"
ENDS = {0: "answer", 7: "refused", 28: "silence"}


def three_calls(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: the Service on its port, the Service on another, the pod on the Service's port."""
    pod = port.run_outside("kubectl get pods -l app=web -o jsonpath='{.items[0].status.podIP}'").stdout
    ends = []
    for target in ("http://web:80", "http://web:8080", f"http://{pod}:80"):
        done = port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null {target}")
        ends.append(ENDS.get(done.exit_code, str(done.exit_code)))
    return checks.Outcome(
        answer="-".join(ends),
        because="The rules are for port 80 of the ClusterIP. On 8080 no rule rewrites the destination, and the packet gets "
        "lost with an "
        "address that nobody has. At the pod's address somebody is at home, and nobody listens on 80.",
        trace=port.trace(CLIENT, "http://web:8080"),
    )


def without_ports(port: Port) -> checks.Outcome:
    """The experiment behind the prediction: the template's list of ports goes; one Service has a number, one a name."""
    remove = '[{"op":"remove","path":"/spec/template/spec/containers/0/ports"}]'
    port.run_outside(
        f"kubectl patch deployment web --type=json -p '{remove}' && kubectl rollout status deployment web && sleep 2"
    )
    port.settle()
    by_number, by_name = (
        port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null http://{name}").exit_code == 0
        for name in ("web", "web-by-name")
    )
    found = {(True, True): "both", (True, False): "number", (False, True): "name", (False, False): "neither"}
    return checks.Outcome(
        answer=found[by_number, by_name],
        because="The program opens its port, whatever the YAML says, so a number finds it. A name is looked up in the pod's "
        "list of "
        "ports; it is gone, so no endpoint has that port.",
        trace=port.trace(CLIENT, "http://web-by-name"),
    )


def port_of_the_morning(subject: checks.Subject) -> checks.Finding:
    """Service "greet" has the port that this learner was told."""
    number = int(subject.variant["morning"])
    listed = {"spec": {"ports": [{"port": number}]}}
    return checks.state("Service", "greet", listed, failure=f"Clients want to call port {number}.")(subject)


def says(greeting: str) -> checks.Check:
    """Service "greet" is answered on the port of that greeting, by the right one of the two programs."""

    def check(subject: checks.Subject) -> checks.Finding:
        number = int(subject.variant[greeting])
        target = f"http://greet:{number}"
        found = checks.reaches(CLIENT, target)(subject)
        if not found.passed:
            return found
        said = subject.port.run_outside(f"kubectl exec client -- curl -s -m 5 {target}").stdout
        if greeting not in said:
            return checks.Finding(
                passed=False,
                message=f"Port {number} is answered, by the wrong program.",
                explanation=f"It says “{said.strip()}”, and was to say good {greeting}.",
                trace=found.trace,
            )
        return found

    return check


def both_protocols(subject: checks.Subject) -> checks.Finding:
    """Service "talk" brings TCP and UDP on 5000 to a program."""
    for protocol in ("tcp", "udp"):
        trace = subject.port.trace(CLIENT, f"{protocol}://talk:5000")
        if trace.verdict is not Verdict.DELIVERED:
            return checks.Finding(
                passed=False,
                message=f"{protocol.upper()} does not arrive through port 5000.",
                explanation=words.explain(trace),
                trace=trace,
            )
    return checks.Finding(passed=True, message="TCP and UDP arrive, on one number.", trace=trace)


CHECKS = {
    "three": [
        checks.predicts(
            "three",
            three_calls,
            wrong={
                "answer-answer-answer": "Each of the three numbers is somebody else's: the Service's, nobody's, the pod's.",
                "answer-answer-refused": "A Service passes only the ports that it lists; where its pods listen is another "
                "matter.",
                "answer-refused-refused": "To refuse, somebody must be there. No rule is for port 8080 of the ClusterIP, and "
                "no machine has it.",
            },
        )
    ],
    "paper": [
        checks.predicts(
            "paper",
            without_ports,
            wrong={
                "both": "A name must be written down somewhere: it stood in the list that is gone.",
                "name": "It is the other way round: which of the two must be looked up?",
                "neither": "No YAML opens a port. The program does, and it still listens.",
            },
        )
    ],
    "greet": [
        port_of_the_morning,
        says("morning"),
        says("afternoon"),
    ],
    "talk": [both_protocols],
    "shy": [
        checks.reaches(CLIENT, "http://shy"),
        checks.required(
            checks.state(
                "Service",
                "shy",
                {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}},
                failure="The Service was to stay as it is: the packet reaches the pod on the right port already.",
            )
        ),
    ],
}
