"""Exercises of lab 05: which number is met, which name is found, who listens where."""

from __future__ import annotations

import random

from kubelab import checks, manifests
from kubelab.exercises import Exercise
from kubelab.manifests import AGNHOST, netexec, service
from kubelab.port import Port

NAMES = ("oak", "pine", "maple", "willow", "aspen", "larch", "cherry", "walnut")
PORT_NAMES = ("http", "web", "api", "metrics", "admin", "grpc")
ENDS = {"answer": "a program answers", "refused": "(7) connection refused", "silence": "(28) timed out"}
CURL = {0: "answer", 7: "refused", 28: "silence"}


def call(port: Port, target: str) -> str:
    done = port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null {target}")
    return CURL.get(done.exit_code, str(done.exit_code))


def pod(name: str, listens: int, ports: str = "[]") -> str:
    return f"""---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  containers: [{netexec(listens, f"ports: {ports}")}]
"""


def applied(text: str, name: str) -> str:
    return manifests.applied(text) + f"kubectl wait --for=condition=Ready pod/{name} --timeout=60s && sleep 2"


def which_number(dice: random.Random) -> Exercise:
    """Four numbers, and a call."""
    name = dice.choice(NAMES)
    listens, number, note = dice.sample(range(1000, 9999), 3)
    target = dice.choice((listens, listens, listens, number, note))
    asked = dice.choice((number, number, listens, target))
    where = dice.choice(("service", "service", "pod"))
    setup = applied(
        pod(name, listens, f"[{{containerPort: {note}}}]")
        + service(name, f"[{{port: {number}, targetPort: {target}}}]"),
        name,
    )

    def experiment(port: Port) -> checks.Outcome:
        host = name
        if where == "pod":
            host = port.run_outside(f"kubectl get pod {name} -o jsonpath='{{.status.podIP}}'").stdout
        trace = port.trace("pod/client", f"http://{host}:{asked}")
        return checks.Outcome(
            answer=call(port, f"http://{host}:{asked}"),
            because=f"The program listens on {listens}. The Service's rules are for port {number}, and rewrite it to {target}. "
            f"containerPort {note} is a note.",
            trace=trace,
        )

    place = f"the Service `{name}`" if where == "service" else f"the pod `{name}` at its own address"
    return Exercise(
        title="Which number?",
        asks=f"The program in pod `{name}` listens on **{listens}**; its spec says `containerPort: {note}`. The Service "
        f"`{name}` has "
        f"`port: {number}`, `targetPort: {target}`. In pod `client` you run `curl` on {place}, port **{asked}**. What happens?",
        setup=setup,
        choices=ENDS,
        experiment=experiment,
        wrong={
            "answer": "Follow the number: which one is called, what do the rules make of it, and does the program listen there?",
            "refused": "Is there a rule for this port, and does the packet then arrive where somebody listens?",
            "silence": "Silence is a packet without a rule, at an address that nobody has. Is it so here?",
        },
        hints=(
            "At the Service, only `port` counts. At the pod, only what the program listens on.",
            "containerPort never counts.",
        ),
    )


def which_name(dice: random.Random) -> Exercise:
    """A port's name in the pod and in the Service, and the protocol beside it."""
    name = dice.choice(NAMES)
    listens = dice.randint(1000, 9999)
    there, other = dice.sample(PORT_NAMES, 2)
    wanted = dice.choice((there, there, there, other))
    protocol = dice.choice(("TCP", "TCP", "TCP", "TCP", "UDP"))
    called = dice.choice((there, wanted, other))
    setup = applied(
        pod(name, listens, f"[{{name: {there}, containerPort: {listens}, protocol: {protocol}}}]")
        + service(name, f"[{{name: {called}, port: 80, targetPort: {wanted}}}]"),
        name,
    )

    def experiment(port: Port) -> checks.Outcome:
        slices = "kubectl get endpointslices -l kubernetes.io/service-name=" + name + " --no-headers"
        listed = port.run_outside(slices).stdout.split()
        return checks.Outcome(
            answer=call(port, f"http://{name}"),
            because=f"The slice says ports {listed[2]}, endpoints {listed[3]}. A targetPort's name is looked up among the "
            "pod's ports, with "
            "its protocol; the name of the Service's own port has no part in that.",
            trace=port.trace("pod/client", f"http://{name}"),
        )

    return Exercise(
        title="Which name?",
        asks=f"The program in pod `{name}` listens on TCP {listens}. The pod's spec has `ports: "
        f"[{{name: {there}, containerPort: {listens}, "
        f"protocol: {protocol}}}]`, the Service `{name}` has `ports: [{{name: {called}, port: 80, targetPort: {wanted}, "
        "protocol: TCP}}]`. "
        f"What does `curl http://{name}` see?",
        setup=setup,
        choices=ENDS,
        experiment=experiment,
        wrong={
            "answer": "A name counts only where the pod has it, for the same protocol.",
            "refused": "The pod has that name, for that protocol: the Service's own port may be called as it likes.",
            "silence": "Without an endpoint for this port there is a rule that refuses.",
        },
        hints=(
            "targetPort's name must be in the pod's list.",
            "And the protocol beside it must be the Service port's.",
        ),
    )


def who_hears(dice: random.Random) -> Exercise:
    """Where a program listens, and the way that a call takes."""
    name = dice.choice(NAMES)
    listens = dice.randint(1000, 9999)
    bind = dice.choice(("127.0.0.1", "127.0.0.1", "0.0.0.0"))
    way = dice.choice(("localhost in the pod", "the pod's own address", "the Service", "kubectl port-forward"))
    conf = f"server {{ listen {bind}:{listens}; location / {{ return 200 hello; }} }}"
    setup = applied(
        f"""---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  containers:
  - name: nginx
    image: nginx:1.27
    command: [sh, -c, "echo '{conf}' > /etc/nginx/conf.d/default.conf; exec nginx -g 'daemon off;'"]
"""
        + service(name, f"[{{port: 80, targetPort: {listens}}}]"),
        name,
    )

    def experiment(port: Port) -> checks.Outcome:
        address = port.run_outside(f"kubectl get pod {name} -o jsonpath='{{.status.podIP}}'").stdout
        curl = "curl -sS -m 5 -o /dev/null"
        script, source, target = {
            "localhost in the pod": (
                f"kubectl exec {name} -- {curl} http://127.0.0.1:{listens}",
                name,
                f"127.0.0.1:{listens}",
            ),
            "the pod's own address": (
                f"kubectl exec client -- {curl} http://{address}:{listens}",
                "client",
                f"{address}:{listens}",
            ),
            "the Service": (f"kubectl exec client -- {curl} http://{name}", "client", name),
            # The forwarding ends in the pod, on its localhost.
            "kubectl port-forward": (
                f"kubectl port-forward pod/{name} 9000:{listens} >/dev/null 2>&1 & sleep 2; "
                f"{curl} http://127.0.0.1:9000; code=$?; kill %1; exit $code",
                name,
                f"127.0.0.1:{listens}",
            ),
        }[way]
        done = port.run_outside(f"( {script} )")
        return checks.Outcome(
            answer="answer" if done.exit_code == 0 else "no-answer",
            because=f"The program listens on {bind}: "
            + (
                "only its own pod reaches it there, and port-forward, which dials localhost inside of the pod."
                if bind == "127.0.0.1"
                else "on every address that its pod has."
            ),
            trace=port.trace(f"pod/{source}", f"http://{target}"),
        )

    return Exercise(
        title="Who hears it?",
        asks=f"The program in pod `{name}` listens on `{bind}:{listens}`. A Service `{name}` has `port: 80`, `targetPort: "
        f"{listens}`. You call "
        f"it by **{way}**. Does the program answer?",
        setup=setup,
        choices={"answer": "yes", "no-answer": "no: refused, or an empty answer"},
        experiment=experiment,
        wrong={
            "answer": "127.0.0.1 is reached from within the pod only.",
            "no-answer": "Where does this way end: on the pod's address, or inside, on its localhost?",
        },
        hints=("0.0.0.0 means every address.", "port-forward dials localhost inside of the pod."),
    )


def two_ports(dice: random.Random) -> Exercise:
    """Doing: a Service with two ports for one program's pod."""
    name = dice.choice(NAMES)
    listens, also, first, second = dice.sample(range(1000, 9999), 4)
    setup = f"""kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  containers:
  - {{name: one, image: "{AGNHOST}", args: [netexec, --http-port={listens}, --udp-port=-1]}}
  - {{name: two, image: "{AGNHOST}", args: [netexec, --http-port={also}, --udp-port=-1]}}
EOF
kubectl wait --for=condition=Ready pod/{name} --timeout=60s"""

    def arrives(number: int, wanted: int) -> checks.Check:
        def check(subject: checks.Subject) -> checks.Finding:
            found = checks.reaches("pod/client", f"http://{name}:{number}")(subject)
            if found.passed and found.trace is not None and found.trace.final.dport != wanted:
                return checks.Finding(
                    passed=False,
                    message=f"Port {number} leads to {found.trace.final.dport}, and should lead to {wanted}.",
                    trace=found.trace,
                )
            return found

        return check

    return Exercise(
        title="Two ports",
        asks=f"Two programs share pod `{name}`: one listens on {listens}, the other on {also}. Make **one** Service `{name}` "
        "whose port "
        f"{first} leads to {listens} and whose port {second} leads to {also}.",
        setup=setup,
        checks=[arrives(first, listens), arrives(second, also)],
        hints=(
            "kubectl create service clusterip NAME --tcp=PORT:TARGET --tcp=PORT:TARGET",
            f"Its selector is app={name}, which is also the pod's label.",
        ),
        solve=f"kubectl create service clusterip {name} --tcp={first}:{listens} --tcp={second}:{also} && sleep 2",
    )


EXERCISES = (which_number, which_name, two_ports, who_hears)
