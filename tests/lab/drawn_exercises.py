"""Two exercises on lab 02's cluster: one that asks, one to be done.  What the machinery is tested with."""

from __future__ import annotations

from kubelab import checks
from kubelab.exercises import Exercise


def how_many(dice):
    replicas, port = dice.randint(2, 6), dice.choice((80, 8000, 9090))

    def count(port_):
        port_.settle()
        ways = port_.traces("pod/client", f"http://cart:{port}")
        return checks.Outcome(answer=str(len(ways)), because="Each endpoint has a rule of its own.", trace=ways[0])

    return Exercise(
        title="How many ways",
        asks=f"Deployment `cart` has {replicas} pods behind Service `cart`, port **{port}**. How many ways are there?",
        setup=f"""
kubectl create deployment cart --image=gcr.io/google-samples/hello-app:1.0 --replicas={replicas}
kubectl expose deployment cart --port={port} --target-port=8080
""",
        experiment=count,
        wrong={"1": "The address is one; the pods behind it are more."},
        hints=("Look at the slice.", "kubectl get endpointslices"),
    )


def what_is_seen(dice):
    port = dice.choice((81, 8080, 4711))

    def ask(port_):
        done = port_.run_outside(
            f"kubectl expose deployment web --port=80 --target-port=8080; kubectl exec client -- curl -sSm3 http://web:{port}"
        )
        return checks.Outcome(answer={28: "silence"}.get(done.exit_code, "answer"), because="No rule is for that port.")

    return Exercise(
        title="Another port",
        asks=f"Service `web` has port 80 only. What does `curl http://web:{port}` see?",
        choices={"answer": "an answer", "silence": "nothing, until it gives up"},
        experiment=ask,
        wrong={"answer": "A Service has the ports that it names."},
    )


def mend(dice):
    wrong = dice.choice(("wbe", "webb", "Web"))
    return Exercise(
        title="Nobody home",
        asks="`http://web` does not answer pod `client`. Mend the Service.",
        setup=f"""
kubectl expose deployment web --port=80 --target-port=8080
kubectl patch service web -p '{{"spec":{{"selector":{{"app":"{wrong}"}}}}}}'
""",
        checks=(checks.reaches("pod/client", "http://web"),),
        hints=("Compare the labels.",),
        solve="""kubectl patch service web -p '{"spec":{"selector":{"app":"web"}}}'""",
    )


EXERCISES = (how_many, what_is_seen, mend)
