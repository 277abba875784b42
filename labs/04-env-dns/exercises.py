"""Exercises of lab 04: which names are asked, which are found, what a container is told, and a policy."""

from __future__ import annotations

import random
from itertools import pairwise

from kubelab import checks
from kubelab.exercises import Exercise
from kubelab.port import Port

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"
HELLO = "gcr.io/google-samples/hello-app:1.0"
WORDS = ("shop", "cart", "books", "orders", "mail", "search", "users", "images")
SPACES = ("blue", "green", "red", "stage", "team-a", "team-b")


def meta(name: str, namespace: str) -> str:
    """In a namespace, or ("") in the one that the lab works in."""
    where = f"namespace: {namespace}, " if namespace else ""
    return f"{{name: {name}, {where}labels: {{app: {name}}}}}"


def pod(name: str, namespace: str = "", image: str = AGNHOST, more: str = "") -> str:
    return f"""---
apiVersion: v1
kind: Pod
metadata: {meta(name, namespace)}
spec:
  {more}
  containers: [{{name: main, image: "{image}"}}]
"""


def service(name: str, namespace: str = "", port: int = 80, target: int = 8080) -> str:
    return f"""---
apiVersion: v1
kind: Service
metadata: {meta(name, namespace)}
spec:
  selector: {{app: {name}}}
  ports: [{{port: {port}, targetPort: {target}}}]
"""


def namespace(name: str) -> str:
    return f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


def applied(text: str) -> str:
    return f"kubectl apply -f - <<'EOF'\n{text}EOF\n"


def how_many_names(dice: random.Random) -> Exercise:
    """Dots, ndots and the search list."""
    name, space = dice.choice(WORDS), dice.choice(SPACES)
    ndots = dice.choice((5, 5, 5, 2, 3))
    asked = dice.choice(
        (
            f"{name}.{space}",
            f"{name}.{space}.svc",
            f"{name}.{space}.svc.cluster.local",
            f"{name}.{space}.svc.cluster.local.",
            "example.com",
            "www.example.com",
            "example.com.",
        )
    )
    more = f"dnsConfig: {{options: [{{name: ndots, value: '{ndots}'}}]}}" if ndots != 5 else ""
    setup = (
        applied(namespace(space))
        + applied(service(name, space) + pod(name, space, HELLO) + pod("asker", more=more))
        + "kubectl wait --for=condition=Ready pod/asker --timeout=60s"
    )

    def experiment(port: Port) -> checks.Outcome:
        shown = port.run_outside(f"kubectl exec asker -- dig +search +showsearch {asked}").stdout.splitlines()
        names = [line.split()[0][1:].rstrip(".") for before, line in pairwise(shown) if "QUESTION" in before]
        return checks.Outcome(answer=str(len(names)), because=f"In order: {', '.join(names)}.")

    return Exercise(
        title="How many names?",
        asks=f"In namespace `{space}` there is a Service `{name}`. A pod in **another** namespace has `ndots:{ndots}` and "
        "the usual "
        "search list: the ending of its own namespace, then `svc.cluster.local`, then `cluster.local`. It resolves "
        f"`{asked}`, and stops at the first name that exists. How many names does it ask DNS for? (An A and an AAAA "
        "question for one name count once.)",
        setup=setup,
        experiment=experiment,
        hints=(
            "A dot at the end: one name, no search. Else count the dots: as many as ndots says, or fewer?",
            "Fewer: suffix by suffix, then the name itself. Enough: the name itself first. It stops where something is found.",
        ),
    )


def is_it_found(dice: random.Random) -> Exercise:
    """A name in some form, asked from some namespace."""
    name = dice.choice(WORDS)
    home, other = dice.sample(SPACES, 2)
    caller = dice.choice((home, other))
    form = dice.choice(
        (
            name,
            f"{name}.{home}",
            f"{name}.{other}",
            f"{name}.{home}.svc",
            f"{name}.{home}.svc.cluster.local",
            f"{name}.{home}.cluster.local",
            f"{home}.{name}",
        )
    )
    setup = (
        applied(namespace(home) + namespace(other))
        + applied(service(name, home) + pod(name, home, HELLO) + pod("caller", caller))
        + f"kubectl -n {caller} wait --for=condition=Ready pod/caller --timeout=60s\n"
        f"kubectl -n {home} wait --for=condition=Ready pod/{name} --timeout=60s"
    )

    def experiment(port: Port) -> checks.Outcome:
        done = port.run_outside(f"kubectl -n {caller} exec caller -- curl -sS -m 5 -o /dev/null http://{form}")
        found = done.exit_code == 0
        return checks.Outcome(
            answer={0: "answer", 6: "no-name"}.get(done.exit_code, "silence"),
            because=f"With the first suffix that is {form}.{caller}.svc.cluster.local, with the second "
            f"{form}.svc.cluster.local; the "
            f"Service's own name is {name}.{home}.svc.cluster.local.",
            trace=port.trace(f"pod/{caller}/caller", f"http://{form}") if found else None,
        )

    return Exercise(
        title="Is it found?",
        asks=f"Service `{name}` and its pod are in namespace `{home}`. A pod in namespace **`{caller}`** runs `curl "
        f"http://{form}`. What "
        "happens?",
        setup=setup,
        choices={
            "answer": "the pod answers",
            "no-name": "(6) could not resolve host",
            "silence": "(28) timed out",
        },
        experiment=experiment,
        wrong={
            "silence": "A name that does not exist is answered at once: NXDOMAIN. No packet for a Service is sent then.",
            "no-name": "Write the name out with each suffix of the search list. One of them is the Service's own.",
            "answer": "Write the name out with each suffix of the search list. None of them is the Service's own.",
        },
        hints=(
            "The first suffix is the *caller's* namespace.",
            "NAME.NAMESPACE.svc.cluster.local is the only whole name.",
        ),
    )


def which_variable(dice: random.Random) -> Exercise:
    """The names of a Service's variables, and whether they are there."""
    name = "-".join(dice.sample(WORDS, dice.randint(1, 3)))
    number = dice.randint(20, 9999)
    what, key = dice.choice((("address", "SERVICE_HOST"), ("port", "SERVICE_PORT")))
    setup = applied(service(name, port=number)) + applied(pod("late")) + "kubectl wait --for=condition=Ready pod/late"

    def experiment(port: Port) -> checks.Outcome:
        env = port.run_outside("kubectl exec late -- env").stdout.splitlines()
        prefix = name.upper().replace("-", "_")
        mine = sorted(each for each in env if each.startswith(f"{prefix}_"))
        found = next(each.partition("=")[0] for each in mine if each.partition("=")[0] == f"{prefix}_{key}")
        return checks.Outcome(answer=found, because=f"The container got: {', '.join(mine)}.")

    return Exercise(
        title="What is it called?",
        asks=f"A Service `{name}` with port {number} was there before the pod `late` started. In which variable does the "
        "pod's program find "
        f"the Service's **{what}** (the number alone, not the `tcp://` form)?",
        setup=setup,
        experiment=experiment,
        wrong={
            name.upper().replace("-", "_")
            + "_PORT": "That one holds a whole URL, tcp://ADDRESS:PORT: it is Docker's old form."
        },
        hints=("Capitals, and `_` for each `-`.", "NAME_SERVICE_HOST and NAME_SERVICE_PORT."),
    )


def let_it_ask(dice: random.Random) -> Exercise:
    """Doing: a policy that allows the program's port, and forgot DNS."""
    caller, callee = dice.sample(WORDS, 2)
    number, target = dice.randint(20, 999), dice.randint(2000, 9999)
    setup = applied(
        service(callee, port=number, target=target)
        + pod(caller)
        + f"""---
apiVersion: v1
kind: Pod
metadata: {{name: {callee}, labels: {{app: {callee}}}}}
spec:
  containers: [{{name: main, image: "{AGNHOST}", args: [netexec, --http-port={target}, --udp-port=-1]}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {caller}}}
spec:
  podSelector: {{matchLabels: {{app: {caller}}}}}
  policyTypes: [Egress]
  egress:
  - to: [{{podSelector: {{matchLabels: {{app: {callee}}}}}}}]
    ports: [{{protocol: TCP, port: {target}}}]
"""
    ) + (f"kubectl wait --for=condition=Ready pod/{caller} pod/{callee} --timeout=60s")

    def closed(subject: checks.Subject) -> checks.Finding:
        other = subject.port.run_outside(
            "kubectl -n prod get service web -o jsonpath='{.spec.clusterIP}'"
        ).stdout.strip()
        return checks.times_out(
            f"pod/{caller}", f"http://{other}", failure=f"Pod “{caller}” can call more than it needs"
        )(subject)

    patch = (
        '[{"op":"add","path":"/spec/egress/-","value":{"to":[{"namespaceSelector":{"matchLabels":'
        '{"kubernetes.io/metadata.name":"kube-system"}},"podSelector":{"matchLabels":{"k8s-app":"kube-dns"}}}],'
        '"ports":[{"protocol":"UDP","port":53},{"protocol":"TCP","port":53}]}}]'
    )
    return Exercise(
        title="Let it ask",
        asks=f"Pod `{caller}` should call `http://{callee}:{number}`, and cannot. Mend the NetworkPolicy `{caller}`, so that "
        "the call works "
        "by name; what it does not need stays forbidden.",
        setup=setup,
        checks=[
            checks.reaches(f"pod/{caller}", f"http://{callee}:{number}"),
            checks.required(closed),
        ],
        hints=(
            "(6) is DNS's number: does the question reach the DNS server?",
            f'x.trace("pod/{caller}", "udp://10.96.0.10:53") ends at a policy.',
            "Allow 53, UDP and TCP, to the pods k8s-app=kube-dns in namespace kube-system.",
        ),
        solve=f"kubectl patch networkpolicy {caller} --type=json -p '{patch}'",
    )


EXERCISES = (how_many_names, is_it_found, which_variable, let_it_ask)
