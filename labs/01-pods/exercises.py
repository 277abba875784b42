"""Exercises of lab 01: who shares a localhost, who matches a selector, who owns a pod."""

from __future__ import annotations

import random

from kubelab import checks
from kubelab.exercises import Exercise
from kubelab.manifests import AGNHOST, applied, deployment, netexec, service
from kubelab.port import Port

HELLO = "gcr.io/google-samples/hello-app:1.0"
VALUES = {"app": ("shop", "cart"), "tier": ("front", "back"), "env": ("prod", "test")}
NAMES = ("anna", "bruno", "carla", "dario", "elena", "fabio", "gina", "hugo", "irma", "julio")


def written(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def who_matches(dice: random.Random) -> Exercise:
    """A selector of two pairs, and pods of many labels."""
    pods = {}
    for name in dice.sample(NAMES, dice.randint(4, 6)):
        keys = [key for key in VALUES if dice.random() < 0.85] or ["app"]
        pods[name] = {key: dice.choice(VALUES[key]) for key in keys}
    # As one of the guests is, mostly: else nobody would be, most of the time.
    like = pods[dice.choice(list(pods))]
    asked = {
        key: like.get(key, VALUES[key][0]) if dice.random() < 0.8 else dice.choice(VALUES[key])
        for key in sorted(dice.sample(list(VALUES), 2))
    }
    either = sum(any(labels.get(key) == value for key, value in asked.items()) for labels in pods.values())
    both = sum(all(labels.get(key) == value for key, value in asked.items()) for labels in pods.values())
    runs = "\n".join(f"kubectl run {name} --image={HELLO} --labels={written(labels)}" for name, labels in pods.items())
    selector = "{" + ", ".join(f"{key}: {value}" for key, value in asked.items()) + "}"
    setup = f"""
{runs}
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Service
metadata: {{name: party}}
spec:
  selector: {selector}
  ports: [{{port: 80, targetPort: 8080}}]
EOF
kubectl wait --for=condition=Ready pod --all --timeout=60s
"""

    def experiment(port: Port) -> checks.Outcome:
        listed = port.run_outside(
            "kubectl get endpointslices -l kubernetes.io/service-name=party -o jsonpath='{.items[*].endpoints[*].targetRef.name}'"
        ).stdout.split()
        names = ", ".join(sorted(listed)) or "nobody"
        return checks.Outcome(
            answer=str(len(listed)),
            because=f"In the slice: {names}. Every pair must hold; what else a pod carries does not matter.",
            trace=port.trace("pod/client", "http://party"),
        )

    table = "\n".join(f"| `{name}` | `{written(labels)}` |" for name, labels in pods.items())
    wrong = (
        {}
        if either == both
        else {str(either): "These match one pair or the other. A selector is an AND: each pair must hold."}
    )
    return Exercise(
        title="Who is invited?",
        asks=f"Service `party` has `selector: {selector}`. These pods run:\n\n| pod | labels |\n|---|---|\n{table}\n\n"
        "How many endpoints does the Service have?",
        setup=setup,
        experiment=experiment,
        wrong=wrong,
        hints=("Take pod by pod, and ask for the first pair. Who is left?", "Of these, ask for the second pair."),
    )


def how_many_pods(dice: random.Random) -> Exercise:
    """Labels are changed on some pods of a Deployment: by its selector, or beside it."""
    name = dice.choice(NAMES)
    replicas = dice.randint(2, 5)
    changed = dice.randint(1, replicas)
    change, owned = dice.choice((("app-", True), ("app=away", True), ("tier-", False), ("mood=good", False)))
    container = f'{{name: hello-app, image: "{HELLO}"}}'
    setup = (
        applied(deployment(name, container, replicas=replicas, labels="tier: front"))
        + f"kubectl rollout status deployment {name}\n"
    )

    def experiment(port: Port) -> checks.Outcome:
        port.run_outside(
            f"kubectl get pods -o name | grep {name}- | head -n {changed} | xargs -I % kubectl label % {change} --overwrite"
        )
        port.settle()
        port.run_outside("sleep 60")
        port.settle()
        there = port.run_outside(f"kubectl get pods -o name | grep -c {name}-").stdout.strip()
        why = "so the Deployment counts fewer than it wants, and makes new ones; the others live on" if owned else ""
        return checks.Outcome(
            answer=there,
            because=f"The selector asks for app={name}. "
            + (
                f"The change takes pods out of it, {why}."
                if owned
                else "The change does not touch that: nobody notices."
            ),
        )

    wrong = {str(replicas): "Those that left are not stopped: nobody owns them now."} if owned else {}
    if not owned:
        wrong = {
            str(replicas + changed): "Look which label the Deployment's selector asks for: the change leaves it alone."
        }
    return Exercise(
        title="How many pods?",
        asks=f"Deployment `{name}` keeps {replicas} pods of `selector: {{app: {name}}}`; its template has the labels "
        f"`app={name},tier=front`. You run `kubectl label POD {change} --overwrite` on **{changed}** of them. How many pods "
        f"whose names begin with `{name}-` are there a minute later?",
        setup=setup,
        experiment=experiment,
        wrong=wrong,
        hints=("Does the change touch what the selector asks for?", "A pod that is nobody's is not stopped."),
    )


def whose_localhost(dice: random.Random) -> Exercise:
    """localhost, from a container of the same pod or of another one."""
    first, second = dice.sample(range(2000, 9999), 2)
    guest = dice.choice(NAMES)
    inside = dice.random() < 0.6
    asked = dice.choice((first, second, second, second + 1))
    setup = f"""
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Pod
metadata: {{name: {guest}}}
spec:
  containers:
  - {{name: one, image: "{AGNHOST}", args: [netexec, --http-port={first}, --udp-port=-1]}}
  - {{name: two, image: "{AGNHOST}", args: [netexec, --http-port={second}, --udp-port=-1]}}
EOF
kubectl wait --for=condition=Ready pod/{guest} --timeout=60s
"""
    source, words = (f"{guest} -c one", f"container `one` of pod `{guest}`") if inside else ("client", "pod `client`")

    def experiment(port: Port) -> checks.Outcome:
        done = port.run_outside(f"kubectl exec {source} -- curl -sS -m 5 -o /dev/null http://127.0.0.1:{asked}")
        return checks.Outcome(
            answer={0: "answer", 7: "refused"}.get(done.exit_code, "silence"),
            because="127.0.0.1 is the pod that one is in: all its containers, and nobody else.",
            trace=port.trace(f"pod/{guest if inside else 'client'}", f"http://127.0.0.1:{asked}"),
        )

    return Exercise(
        title="Whose localhost?",
        asks=f"Pod `{guest}` has two containers: `one` listens on {first}, `two` on {second}. In {words} you run "
        f"`curl http://127.0.0.1:{asked}`. What happens?",
        setup=setup,
        choices={"answer": "a program answers", "refused": "connection refused", "silence": "curl times out"},
        experiment=experiment,
        wrong={
            "silence": "127.0.0.1 is always at home: if nobody listens, its kernel says so at once.",
            "refused": "The containers of a pod share one localhost: what one of them listens on, all can reach there.",
            "answer": "Which pod does the packet stay in, and who listens there on just this port?",
        },
    )


def too_many(dice: random.Random) -> Exercise:
    """Doing: a Service that takes part of its calls to somebody else's pods."""
    mine, other = dice.sample(NAMES, 2)
    own, foreign = dice.randint(1, 3), dice.randint(1, 2)
    team = dice.choice(("red", "blue", "green"))
    number = dice.randint(2000, 9999)
    setup = (
        applied(
            deployment(mine, netexec(number), replicas=own, labels=f"team: {team}"),
            deployment(
                other, f"{{name: main, image: {AGNHOST}, args: [pause]}}", replicas=foreign, labels=f"team: {team}"
            ),
            service(mine, f"[{{port: 80, targetPort: {number}}}]", selector=f"team: {team}"),
        )
        + f"kubectl rollout status deployment {mine}; kubectl rollout status deployment {other}\n"
    )

    def kept(name: str, count: int) -> checks.Check:
        return checks.required(
            checks.state(
                "Deployment",
                name,
                {"spec": {"replicas": count, "template": {"metadata": {"labels": {"app": name, "team": team}}}}},
                failure=f"Deployment “{name}” was to stay as it is.",
            )
        )

    return Exercise(
        title="One too many",
        asks=f"Some calls to `http://{mine}` are refused. Only the pods of Deployment `{mine}` listen; `{other}` is another "
        "team-mate. Mend the Service; both Deployments stay as they are.",
        setup=setup,
        checks=[
            checks.spreads(
                "pod/client", f"http://{mine}", over=own, failure=f"Not every connection to http://{mine} is taken."
            ),
            kept(mine, own),
            kept(other, foreign),
        ],
        hints=(
            f'x.ways("pod/client", "http://{mine}") shows where the calls go.',
            "kubectl get pods --show-labels: which label do only the right ones carry?",
        ),
        solve=f"""kubectl patch service {mine} -p '{{"spec":{{"selector":{{"app":"{mine}"}}}}}}'""",
    )


EXERCISES = (who_matches, how_many_pods, whose_localhost, too_many)
