"""Exercises of lab 08: what an alias does to a request, and what it does not."""

from __future__ import annotations

import random

from kubelab import checks
from kubelab.exercises import Exercise
from kubelab.port import Port

SITES = ("www.mozilla.org", "github.com", "kubernetes.io", "example.com")
WORDS = ("partner", "search", "docs", "billing", "news", "maps", "tickets")
CLIENT = "pod/client"


def how_it_ends(dice: random.Random) -> Exercise:
    """A site, a scheme, a name and perhaps a header: what does curl say?"""
    alias, site = dice.choice(WORDS), dice.choice(SITES)
    scheme = dice.choice(("http", "https"))
    host, header = dice.choice(((alias, ""), (alias, ""), (site, ""), (alias, f"-H 'Host: {site}' ")))
    command = f"curl --silent --output /dev/null --write-out '%{{http_code}}' --max-time 5 {header}{scheme}://{host}"

    def experiment(port: Port) -> checks.Outcome:
        done = port.run_outside(f"kubectl exec client -- {command}")
        if done.exit_code:
            answer = {60: "certificate", 6: "no-name"}.get(done.exit_code, f"exit {done.exit_code}")
        else:
            answer = "page" if done.stdout.startswith(("2", "301")) else "other"
        said = f"curl's exit code is {done.exit_code}" + (f", the status {done.stdout}" if not done.exit_code else "")
        return checks.Outcome(
            answer=answer,
            because=f"{said[0].upper()}{said[1:]}. The alias gives the address, and no more: the Host header is what -H or "
            "the URL says, and over TLS the certificate must be for the name in the URL.",
            trace=port.trace(CLIENT, f"{scheme}://{host}"),
        )

    return Exercise(
        title="How does it end?",
        asks=f"Service `{alias}` is an alias (ExternalName) of `{site}`. A pod runs\n\n    {command}\n\nHow does it end? (A "
        "site answers with its page, or sends you on to its own address, if it is asked by its own name.)",
        setup=f"kubectl create service externalname {alias} --external-name={site}",
        choices={
            "page": "the site answers with its page, or sends you on to it (2xx, 301)",
            "other": "the site answers that it knows no such host (403, 404)",
            "certificate": "(60): the certificate is for another name",
            "no-name": "(6): could not resolve host",
        },
        experiment=experiment,
        wrong={
            "no-name": "Both names resolve: the alias is a CNAME in the cluster's DNS, the site's name is known outside.",
            "certificate": "The certificate is looked at over https only, and against the name in the URL.",
        },
        hints=(
            "http or https? Over https the name in the URL is held against the certificate, before any header is sent.",
            "Over http: which Host header does the site get?",
        ),
    )


def which_port(dice: random.Random) -> Exercise:
    """Ports in an ExternalName are words."""
    alias, site = dice.choice(WORDS), dice.choice(SITES)
    port_of_service, target = dice.randint(20, 999), dice.randint(2000, 9999)
    asked = dice.choice((port_of_service, target, 443, 80))

    def experiment(port: Port) -> checks.Outcome:
        trace = port.trace(CLIENT, f"http://{alias}:{asked}")
        rules = sum(alias in port.node_rules(node) for node in _nodes(port))
        return checks.Outcome(
            answer=str(trace.final.dport),
            because=f"The packet leaves for {trace.final.dst}:{trace.final.dport}. On {rules or 'no'} node is there a rule for "
            f"{alias}, so nothing rewrites its port.",
            trace=trace,
        )

    return Exercise(
        title="Which port?",
        asks=f"Service `{alias}` is an alias of `{site}`, and has `ports: [{{port: {port_of_service}, targetPort: {target}}}]`. "
        f"A pod runs `curl http://{alias}:{asked}`. To which **port** does its packet come at the site?",
        setup=f"kubectl create service externalname {alias} --external-name={site} --tcp={port_of_service}:{target}",
        experiment=experiment,
        wrong={str(target): "A targetPort is what a rule rewrites to. An ExternalName has no rule."},
        hints=("Who would change the port, and where?",),
    )


def _nodes(port: Port) -> list[str]:
    return port.run_outside("kubectl get nodes -o jsonpath='{.items[*].metadata.name}'").stdout.split()


def move_in(dice: random.Random) -> Exercise:
    """Doing: a program moves into the cluster, and its clients keep the name."""
    name, site = dice.choice(WORDS), dice.choice(SITES)
    count, number = dice.randint(2, 4), dice.choice((80, 8000, 8888))
    label = dice.choice(("app", "run", "name"))
    setup = f"""kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: ExternalName, externalName: {site}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}-v2}}
spec:
  replicas: {count}
  selector: {{matchLabels: {{{label}: {name}-v2}}}}
  template:
    metadata: {{labels: {{{label}: {name}-v2}}}}
    spec:
      containers:
      - {{name: hello-app, image: "gcr.io/google-samples/hello-app:2.0"}}
EOF
kubectl rollout status deployment {name}-v2
"""
    patch = (
        f'{{"spec":{{"type":"ClusterIP","externalName":null,"selector":{{"{label}":"{name}-v2"}},'
        f'"ports":[{{"port":{number},"targetPort":8080}}]}}}}'
    )
    return Exercise(
        title="Move it in",
        asks=f"Clients call `http://{name}:{number}`, an alias of `{site}` until now. The {count} pods of Deployment `{name}-v2` "
        "are to take over under that name; they listen on 8080.",
        setup=setup,
        checks=[checks.spreads(CLIENT, f"http://{name}:{number}", over=count)],
        hints=(
            f'x.trace("pod/client", "http://{name}:{number}"): who has that address?',
            f"The Service `{name}` must become one with an address, a selector and a port.",
            "Which labels do the pods carry? `kubectl get pods --show-labels`. And externalName must go: null in a merge patch.",
        ),
        solve=f"kubectl patch service {name} --type=merge -p '{patch}'",
    )


EXERCISES = (how_it_ends, which_port, move_in)
