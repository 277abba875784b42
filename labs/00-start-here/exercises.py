"""Exercises of lab 00: addresses and ports, the hosts on the way, a pod of one's own."""

from __future__ import annotations

import random

from kubelab import checks
from kubelab.checks.state import read
from kubelab.exercises import Exercise
from kubelab.port import Port

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"
NAMES = ("apple", "birch", "cedar", "daisy", "elder", "fern", "ginkgo", "hazel", "iris", "juniper")
CURL = {0: "answer", 7: "refused", 28: "silence"}
# In the pods' range, and too high up to be given to one of a few pods.
UNUSED = 200


def address(port: Port, pod: str) -> str:
    return port.run_outside(f"kubectl get pod {pod} -o jsonpath='{{.status.podIP}}'").stdout.strip()


def netexec(name: str, number: int) -> str:
    """A script that runs a pod whose program listens on that port, and waits for it."""
    return (
        f"kubectl run {name} --image={AGNHOST} -- netexec --http-port={number} --udp-port=-1\n"
        f"kubectl wait --for=condition=Ready pod/{name} --timeout=60s"
    )


def how_does_it_end(dice: random.Random) -> Exercise:
    """A port that is right or wrong, at an address that is somebody's or nobody's."""
    name = dice.choice(NAMES)
    listens = dice.randint(2000, 9999)
    asked = listens if dice.random() < 0.5 else listens + dice.choice((-80, -1, 1, 80, 443))
    nobody = dice.random() < 0.25
    where = (
        f"the address of pod `{name}` with its last number changed to {UNUSED}, which no pod has,"
        if nobody
        else f"the address of pod `{name}`"
    )

    def experiment(port: Port) -> checks.Outcome:
        asked_at = address(port, name)
        if nobody:
            asked_at = f"{asked_at.rpartition('.')[0]}.{UNUSED}"
        done = port.run_outside(f"kubectl exec client -- curl -sS -m 5 -o /dev/null http://{asked_at}:{asked}")
        trace = port.trace("pod/client", f"http://{asked_at}:{asked}")
        return checks.Outcome(
            answer=CURL.get(done.exit_code, str(done.exit_code)),
            because="Nobody has that address, so there is nobody to say anything, whatever the port."
            if nobody
            else f"The address is the pod's, so its kernel gets the packet; the program there listens on {listens}.",
            trace=trace,
        )

    return Exercise(
        title="How does it end?",
        asks=f"The program in pod `{name}` listens on port {listens}. In pod `client` you run "
        f"`curl` on {where} port **{asked}**. What happens?",
        setup=netexec(name, listens),
        choices={
            "answer": "the program answers",
            "refused": "connection refused, at once",
            "silence": "nobody answers, curl times out",
        },
        experiment=experiment,
        wrong={
            "answer": "Compare both numbers with what the pod has: its address, and the port its program asked for.",
            "refused": "To refuse, somebody must be there and have no program on that port.",
            "silence": "Silence needs an address that nobody has. A pod that gets a packet always says something.",
        },
        hints=("First the address: is it somebody's?", "Then the port: does a program listen on just this one?"),
    )


def how_many_hosts(dice: random.Random) -> Exercise:
    """On one node or on two: which hosts does a packet pass?"""
    caller, callee = dice.sample(NAMES, 2)
    together = dice.random() < 0.5
    listens = dice.randint(2000, 9999)
    rule = "podAffinity" if together else "podAntiAffinity"
    setup = f"""
{netexec(caller, 2000)}
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Pod
metadata:
  name: {callee}
spec:
  affinity:
    {rule}:
      requiredDuringSchedulingIgnoredDuringExecution:
      - labelSelector:
          matchLabels: {{run: {caller}}}
        topologyKey: kubernetes.io/hostname
  containers:
  - name: {callee}
    image: {AGNHOST}
    args: [netexec, --http-port={listens}, --udp-port=-1]
EOF
kubectl wait --for=condition=Ready pod/{callee} --timeout=60s
"""

    def experiment(port: Port) -> checks.Outcome:
        trace = port.trace(f"pod/{caller}", f"http://{address(port, callee)}:{listens}")
        hosts = [hop.host.rpartition("/")[2] for hop in trace.hops]
        return checks.Outcome(answer=str(len(hosts)), because=f"It passes {' → '.join(hosts)}.", trace=trace)

    place = "on the same node" if together else "on two different nodes"
    return Exercise(
        title="How many hosts?",
        asks=f"Pods `{caller}` and `{callee}` run {place}. `{caller}` calls `{callee}` at its address, port {listens}. On how "
        "many hosts is the packet, from the first to the last, both pods included?",
        setup=setup,
        experiment=experiment,
        wrong={
            "2": "A pod is plugged into its node, not into another pod: the node looks at each packet.",
            "1": "Each pod has a network stack of its own, so it counts as a host.",
        },
        hints=("A pod counts as one host, and so does a node.", "A pod's only cable goes to its own node."),
    )


def run_one(dice: random.Random) -> Exercise:
    """Run a program so that it answers on a port."""
    name = dice.choice(NAMES)
    number = dice.randint(2000, 9999)

    def answers(subject: checks.Subject) -> checks.Finding:
        pod = read(subject, "Pod", name)
        if pod is None:
            return checks.Finding(passed=False, message=f"There is no Pod “{name}” yet.")
        if "podIP" not in pod["status"]:
            return checks.Finding(passed=False, message=f"Pod “{name}” has no address yet.")
        return checks.reaches("pod/client", f"http://{pod['status']['podIP']}:{number}")(subject)

    return Exercise(
        title="One that answers",
        asks=f"Run a pod `{name}` that answers pod `client` at its own address, port **{number}**. The image `{AGNHOST}` can: "
        "what stands after `--` on the line of `kubectl run` is what its program is told, and `netexec --http-port=NUMBER` makes "
        "it listen there.",
        checks=[answers],
        hints=(
            f"kubectl run {name} --image={AGNHOST} -- netexec --http-port=...",
            "Two dashes, standing alone, divide what is for kubectl from what is for the program.",
            "A pod's command cannot be changed later: delete the pod, and run it anew.",
        ),
        solve=netexec(name, number),
    )


EXERCISES = (how_does_it_end, how_many_hosts, run_one)
