"""Exercises of lab 12: who is ready, who is listed, who is leaving, and a probe to mend."""

from __future__ import annotations

import random

from kubelab import checks
from kubelab.exercises import Exercise
from kubelab.manifests import applied, deployment, netexec, service
from kubelab.port import Port

NAMES = ("heron", "swift", "robin", "finch", "egret", "raven", "lark", "wren")


def who_takes_part(dice: random.Random) -> Exercise:
    """Some of the pods are ready: how many are listed, and how many take traffic?"""
    name = dice.choice(NAMES)
    replicas = dice.randint(3, 6)
    ready = dice.randint(0, replicas)
    question = dice.choice(("listed", "traffic", "traffic"))
    probe = "{exec: {command: [ls, /tmp/ready]}, periodSeconds: 2}"
    setup = (
        applied(
            deployment(name, netexec(8080, f"readinessProbe: {probe}"), replicas=replicas),
            service(name, "[{port: 80, targetPort: 8080}]"),
        )
        + "sleep 5\n"
        f"for pod in $(kubectl get pods -l app={name} -o name | head -n {ready}); do kubectl exec $pod -- touch /tmp/ready; "
        "done\n"
        "sleep 5"
    )
    asks = {
        "listed": "How many addresses does the EndpointSlice **list**?",
        "traffic": "Among how many pods do the rules **choose** for a new connection?",
    }

    def experiment(port: Port) -> checks.Outcome:
        rows = port.run_outside(
            f"kubectl get endpointslices -l kubernetes.io/service-name={name} "
            "-o jsonpath='{range .items[*].endpoints[*]}{.conditions.ready}{\"\\n\"}{end}'"
        ).stdout.split()
        trace = port.trace("pod/client", f"http://{name}")
        return checks.Outcome(
            answer=str(len(rows) if question == "listed" else rows.count("true")),
            because=f"The slice lists {len(rows)}, of which {rows.count('true')} say ready: true. Rules are for these.",
            trace=trace,
        )

    return Exercise(
        title="Who takes part?",
        asks=f"Deployment `{name}` keeps {replicas} pods, and all of them run. The readiness probe passes in **{ready}** of "
        "them. A "
        f"Service `{name}` selects them all. {asks[question]}",
        setup=setup,
        experiment=experiment,
        wrong={str(ready): "The slice lists those that are not ready, too."}
        if question == "listed" and ready != replicas
        else {str(replicas): "Listed is not chosen: rules are for the ready ones."},
        hints=("The slice tells who is there, with conditions.", "kube-proxy makes a rule for each that is ready."),
    )


def what_does_it_say(dice: random.Random) -> Exercise:
    """A probe of some kind, right or wrong, as readiness or as liveness."""
    name = dice.choice(NAMES)
    kind = dice.choice(("readinessProbe", "livenessProbe"))
    probe, words = dice.choice(
        (
            ("httpGet: {path: /, port: 80}", "`httpGet` of `/` on port 80"),
            ("httpGet: {path: /health, port: 80}", "`httpGet` of `/health` on port 80"),
            ("httpGet: {path: /, port: 8080}", "`httpGet` of `/` on port 8080"),
            ("tcpSocket: {port: 80}", "`tcpSocket` on port 80"),
            ("tcpSocket: {port: 443}", "`tcpSocket` on port 443"),
            ("exec: {command: [ls, /etc/nginx]}", "`exec` of `ls /etc/nginx`"),
            ("exec: {command: [ls, /nowhere]}", "`exec` of `ls /nowhere`"),
        )
    )
    period, threshold = dice.randint(1, 3), dice.randint(1, 3)
    setup = applied(
        deployment(
            name,
            f"{{name: nginx, image: 'nginx:1.27', {kind}: {{{probe}, periodSeconds: {period}, failureThreshold: {threshold}}}}}",
        ),
        service(name, "[{port: 80}]"),
    )

    def experiment(port: Port) -> checks.Outcome:
        port.run_outside("sleep 40")
        row = port.run_outside(f"kubectl get pods -l app={name} --no-headers").stdout.split()
        ready, restarts = row[1] == "1/1", int(row[3])
        events = port.run_outside(
            "kubectl get events --field-selector reason=Unhealthy "
            "-o jsonpath='{range .items[*]}{.involvedObject.name} {.message}{\"\\n\"}{end}'"
        ).stdout.splitlines()
        said = next((line.partition(" ")[2] for line in events if line.startswith(f"{name}-")), "")
        word = "restarts" if restarts else "ready" if ready else "not-ready"
        return checks.Outcome(
            answer=word,
            because=f"The kubelet says: {said}" if said else "The probe passes.",
            trace=port.trace("pod/client", f"http://{name}") if word != "restarts" else None,
        )

    return Exercise(
        title="What does the probe say?",
        asks=f"nginx serves `/` on port 80 and has no other page. Its pod has a **`{kind}`**: {words}, every {period} s, "
        f"`failureThreshold: {threshold}`. How does the pod stand after 40 seconds?",
        setup=setup,
        choices={
            "ready": "READY 1/1, and never restarted",
            "not-ready": "READY 0/1, and never restarted",
            "restarts": "its container has been restarted",
        },
        experiment=experiment,
        wrong={
            "ready": "The probe fails: does nginx have what it asks for?",
            "not-ready": "Does the probe pass? And if it fails: which kind of probe takes a pod out of traffic, and which "
            "restarts it?",
            "restarts": "Only a liveness (or startup) probe restarts, and only when it fails.",
        },
        hints=("First: does it pass?", "Readiness decides on traffic, liveness on restarts."),
    )


def still_there(dice: random.Random) -> Exercise:
    """A pod that is told to end, its preStop hook, and a call some seconds later."""
    name = dice.choice(NAMES)
    hook = dice.choice((0, 5, 10, 15, 20))
    grace = dice.choice((30, 30, 8))
    asked = dice.choice((3, 6, 12, 18, 24))
    lifecycle = f"lifecycle: {{preStop: {{exec: {{command: [sleep, '{hook}']}}}}}}" if hook else ""
    setup = (
        applied(
            deployment(name, netexec(8080, lifecycle), spec=f"terminationGracePeriodSeconds: {grace}"),
            service(name, "[{port: 80, targetPort: 8080}]"),
        )
        + f"kubectl rollout status deployment {name}"
    )

    def experiment(port: Port) -> checks.Outcome:
        port.run_outside(f"kubectl scale deployment {name} --replicas=0")
        done = port.run_outside(f"sleep {asked}; kubectl exec client -- curl -sS -m 5 -o /dev/null http://{name}")
        return checks.Outcome(
            answer={0: "answer", 7: "refused"}.get(done.exit_code, "silence"),
            because=f"The hook keeps SIGTERM away for {hook} s, but no longer than the grace period of {grace} s; the program "
            "ends at "
            "SIGTERM. An endpoint that is leaving is used as long as it serves and no other is ready.",
            trace=port.trace("pod/client", f"http://{name}"),
        )

    told = f"a `preStop` hook that sleeps for {hook} s" if hook else "no `preStop` hook"
    return Exercise(
        title="Is it still there?",
        asks=f"The only pod of `{name}` has {told} and `terminationGracePeriodSeconds: {grace}`. You scale the Deployment to "
        f"zero. **{asked} "
        f"seconds** later a new connection comes to `http://{name}`. What does curl see?",
        setup=setup,
        choices={"answer": "the pod answers", "refused": "(7) connection refused", "silence": "(28) timed out"},
        experiment=experiment,
        wrong={
            "answer": "How long does the hook keep the program alive, and when does the grace period end?",
            "refused": "The program still works then, and is the only one there is: kube-proxy falls back to it.",
            "silence": "Where a Service has no endpoint, a rule refuses: somebody speaks.",
        },
        hints=(
            "The hook runs first; SIGTERM comes when it is done.",
            "The grace period counts from the beginning, hook and all.",
        ),
    )


def mend_the_probe(dice: random.Random) -> Exercise:
    """Doing: a readiness probe that asks for something that is not there."""
    name = dice.choice(NAMES)
    number, replicas = dice.randint(2000, 9999), dice.randint(1, 3)
    wrong = dice.choice(
        (
            f"tcpSocket: {{port: {number + 1}}}",
            f"httpGet: {{path: /, port: {number - 1}}}",
            "exec: {command: [ls, /var/up]}",
        )
    )
    setup = applied(
        deployment(name, netexec(number, f"readinessProbe: {{{wrong}, periodSeconds: 2}}"), replicas=replicas),
        service(name, f"[{{port: 80, targetPort: {number}}}]"),
    )

    def probed(subject: checks.Subject) -> checks.Finding:
        given = subject.port.run_outside(
            f"kubectl get deployment {name} -o jsonpath='{{.spec.template.spec.containers[0].readinessProbe}}'"
        ).stdout
        return checks.Finding(
            passed=bool(given), message="It has a probe." if given else "It was to keep a readiness probe."
        )

    patch = (
        '[{"op":"replace","path":"/spec/template/spec/containers/0/readinessProbe","value":{"tcpSocket":{"port":'
        + str(number)
        + '},"periodSeconds":1}}]'
    )
    return Exercise(
        title="The wrong question",
        asks=f"The pods of `{name}` run, listen on {number}, and take no traffic from `http://{name}`. Find out why, and "
        "mend the "
        f"Deployment: all {replicas} should take part, and keep a readiness probe.",
        setup=setup,
        checks=[checks.spreads("pod/client", f"http://{name}", over=replicas), checks.required(probed)],
        hints=(
            "kubectl get pods: the column READY. Then kubectl get events --field-selector reason=Unhealthy.",
            f"The program listens on {number}, and makes no files.",
        ),
        solve=f"kubectl patch deployment {name} --type=json -p '{patch}' && kubectl rollout status deployment {name} && sleep 3",
    )


EXERCISES = (who_takes_part, what_does_it_say, still_there, mend_the_probe)
