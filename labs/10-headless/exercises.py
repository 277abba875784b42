"""Exercises of lab 10: how many answers, which port, which names, and names that must be there early."""

from __future__ import annotations

import random

from kubelab import checks
from kubelab.exercises import Exercise
from kubelab.port import Port

CLIENT = "pod/client"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"
NAMES = ("store", "ring", "shard", "vault", "index", "raft", "pool")


def workload(
    name: str, replicas: int, headless: bool, port: int = 80, target: int = 8080, extra: str = "", service: str = ""
) -> str:
    """A StatefulSet and its Service; a pod is ready while /tmp/broken is not there."""
    cluster_ip = "clusterIP: None, " if headless else ""
    return f"""kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Service
metadata: {{name: {service or name}}}
spec: {{{cluster_ip}{extra}selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: {target}}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {name}}}
spec:
  serviceName: {name}
  replicas: {replicas}
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: {AGNHOST}
        args: [netexec, --http-port={target}, --udp-port=-1]
        readinessProbe: {{periodSeconds: 1, failureThreshold: 1, exec: {{command: [sh, -c, 'test ! -e /tmp/broken']}}}}
EOF
kubectl rollout status statefulset {name}
"""


def spoil(name: str, numbers: list[int]) -> str:
    """Some of the pods are not ready any more."""
    return "".join(f"kubectl exec {name}-{number} -- touch /tmp/broken\n" for number in numbers) + "sleep 4\n"


def how_many_answers(dice: random.Random) -> Exercise:
    """Ready pods, and whether there is an address."""
    name = dice.choice(NAMES)
    replicas = dice.randint(2, 6)
    broken = sorted(dice.sample(range(replicas), dice.randint(0, replicas - 1)))
    headless = dice.random() < 0.7
    early = headless and dice.random() < 0.3
    extra = "publishNotReadyAddresses: true, " if early else ""
    kind = (
        "is headless" + (" and says `publishNotReadyAddresses: true`" if early else "")
        if headless
        else "has a ClusterIP"
    )
    state = f"; {len(broken)} of them {'is' if len(broken) == 1 else 'are'} not ready" if broken else ", all ready"

    def experiment(port: Port) -> checks.Outcome:
        found = port.run_outside(f"kubectl exec client -- dig +short +search {name}").stdout.split()
        return checks.Outcome(answer=str(len(found)), because=f"DNS gave {', '.join(sorted(found)) or 'nothing'}.")

    return Exercise(
        title="How many addresses?",
        asks=f"Service `{name}` {kind}. It selects {replicas} pods{state}. How many addresses does DNS give for the "
        f"name `{name}`?",
        setup=workload(name, replicas, headless, extra=extra) + (spoil(name, broken) if broken else ""),
        experiment=experiment,
        wrong={str(replicas): "Not every pod that runs is ready. And has the Service an address of its own?"},
        hints=(
            "With a ClusterIP the name stands for that, whoever is behind it.",
            "Headless: one address for each pod that is ready.",
        ),
    )


def which_port(dice: random.Random) -> Exercise:
    """Who rewrites a port?"""
    name = dice.choice(NAMES)
    headless = dice.random() < 0.6
    port, target = dice.choice(((80, 8080), (5432, 6000), (9000, 9090), (443, 8443)))
    asked = dice.choice((port, target))
    url = f"http://{name}:{asked}"

    def experiment(at: Port) -> checks.Outcome:
        done = at.run_outside(f"kubectl exec client -- curl -sS -m 4 -o /dev/null {url}")
        return checks.Outcome(
            answer={0: "answer", 7: "refused", 28: "silence"}.get(done.exit_code, f"exit {done.exit_code}"),
            because="With a ClusterIP a rule rewrites address and port, for the Service's port and no other. "
            "Headless: what the client dials is what the pod gets.",
            trace=at.trace(CLIENT, url),
        )

    return Exercise(
        title="Which port?",
        asks=f"Service `{name}` {'is headless' if headless else 'has a ClusterIP'}, with port {port} and targetPort "
        f"{target}, where its pods listen. "
        f"What does `curl {url}` see?",
        setup=workload(name, 2, headless, port, target) + "sleep 2\n",
        choices={"answer": "a pod answers", "refused": "(7) connection refused", "silence": "(28) timed out"},
        experiment=experiment,
        wrong={
            "answer": "Is there anybody on the way who could make the one port the other?",
            "refused": "Who would refuse? Follow the packet: where does it go?",
            "silence": "Silence means that nobody has the address. Whose address does the packet carry here?",
        },
        hints=(
            "Headless or not: is anything rewritten?",
            "The program listens on the targetPort, and on nothing else.",
        ),
    )


def which_name(dice: random.Random) -> Exercise:
    """Names of pods, right and nearly right."""
    name = dice.choice(NAMES)
    replicas = dice.randint(2, 4)
    number = dice.randrange(replicas + 1)
    form = dice.choice(
        (
            f"{name}-{number}.{name}",
            f"{name}-{number}.{name}.default.svc.cluster.local",
            f"{name}-{number}",
            f"{name}.{name}-{number}",
            f"{name}-{number}.{name}.svc",
            f"{name}-{number}.{name}.default",
        )
    )

    def experiment(port: Port) -> checks.Outcome:
        found = port.run_outside(f"kubectl exec client -- dig +short +search {form}").stdout.split()
        return checks.Outcome(
            answer="yes" if found else "no",
            because=f"The whole name is POD.SERVICE.NAMESPACE.svc.cluster.local; the search list adds "
            f"default.svc.cluster.local, svc.cluster.local or cluster.local. "
            f"The pods are {', '.join(f'{name}-{each}' for each in range(replicas))}.",
        )

    return Exercise(
        title="Is it a name?",
        asks=f"StatefulSet `{name}` has {replicas} ready pods and the headless Service `{name}` as its own, in "
        f"namespace `default`. A pod of that namespace asks DNS for "
        f"`{form}`. Does it get an address?",
        setup=workload(name, replicas, headless=True),
        choices={"yes": "yes", "no": "no"},
        experiment=experiment,
        wrong={
            "yes": "Write the name out with each ending of the search list. And which numbers do the pods have?",
            "no": "Write the name out with each ending of the search list.",
        },
        hints=("Numbers begin at 0.", "First the pod, then its Service, then the namespace."),
    )


def names_early(dice: random.Random) -> Exercise:
    """Doing: members that must find each other before any of them is ready."""
    name = dice.choice(NAMES)
    replicas = dice.randint(2, 4)
    pods = " ".join(f"{name}-{number}" for number in range(replicas))
    everyone = list(range(replicas))
    return Exercise(
        title="Names before readiness",
        asks=f"The members of `{name}` ({pods}) become ready only when they have found each other - by name. None "
        f"is ready, and no name resolves. "
        f"Change the Service `{name}` so that `{name}-0.{name}` resolves all the same. The pods stay as they are.",
        setup=workload(name, replicas, headless=True) + spoil(name, everyone),
        checks=[
            checks.matches(
                "Service",
                name,
                lambda service: bool(service["spec"].get("publishNotReadyAddresses")),
                success="The Service publishes members that are not ready.",
                failure="A Service's name leaves out who is not ready, unless the Service says otherwise.",
            ),
            found(f"{name}-0", name),
        ],
        hints=(
            "Who is in the EndpointSlice, and with which condition?",
            "`kubectl explain service.spec.publishNotReadyAddresses`",
        ),
        solve=f'kubectl patch service {name} -p \'{{"spec":{{"publishNotReadyAddresses":true}}}}\'',
    )


def found(pod: str, service: str) -> checks.Check:
    """A member's name stands for its address, ready or not."""

    def check(subject: checks.Subject) -> checks.Finding:
        own = subject.port.run_outside(f"kubectl get pod {pod} -o jsonpath='{{.status.podIP}}'").stdout.strip()
        given = subject.port.run_outside(f"kubectl exec client -- dig +short +search {pod}.{service}").stdout.split()
        if given == [own]:
            return checks.Finding(passed=True, message=f"{pod}.{service} is {own}.")
        return checks.Finding(passed=False, message=f"{pod}.{service} does not resolve to {own}.")

    return check


EXERCISES = (how_many_answers, which_port, which_name, names_early)
