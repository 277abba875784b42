"""Exercises of lab 14: whose certificate is shown, whose route is permitted, what survives a plug, and a lock to be mended."""

from __future__ import annotations

import json
import random

from kubelab import checks, words
from kubelab.exercises import Exercise
from kubelab.port import Port

DOOR = "172.18.0.3"
NAMES = ("bank", "clinic", "school", "museum", "library", "harbour", "station")
SPACES = ("blue", "green", "red", "treasury", "research")
NODES = {"kind-worker": "172.18.0.3", "kind-worker2": "172.18.0.2"}

# A key, a certificate and their Secret.
SECRET = """openssl req -x509 -newkey rsa:2048 -nodes -keyout %(name)s.key -out %(name)s.crt -subj /CN=%(face)s
kubectl create secret tls %(secret)s --namespace %(space)s --cert=%(name)s.crt --key=%(name)s.key
"""
INGRESS = """kubectl apply -f - <<'END'
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %(name)s}
spec:
  ingressClassName: traefik
  tls: [{hosts: [%(name)s.example], secretName: %(secret)s}]
  rules:
  - host: %(name)s.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
END
sleep 5
"""
# A namespace with a program, and a route from the namespace default to it.
ROUTE = """kubectl create namespace %(space)s
sleep 2
kubectl apply -f - <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: %(name)s, namespace: %(space)s}
spec:
  selector: {matchLabels: {app: %(name)s}}
  template:
    metadata: {labels: {app: %(name)s}}
    spec: {containers: [{name: whoami, image: "traefik/whoami:v1.11.0"}]}
---
apiVersion: v1
kind: Service
metadata: {name: %(name)s, namespace: %(space)s}
spec: {selector: {app: %(name)s}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %(name)s}
spec:
  parentRefs: [{name: front}]
  hostnames: [%(name)s.example]
  rules: [{backendRefs: [{name: %(name)s, namespace: %(space)s, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: %(name)s, namespace: %(where)s}
spec:
  from: [{group: gateway.networking.k8s.io, kind: %(kind)s, namespace: %(whose)s}]
  to: [{group: "", kind: Service%(to)s}]
END
kubectl -n %(space)s rollout status deployment %(name)s
sleep 5
"""
# So many pods of Traefik where they are said to be, and a virtual server before the node ports.
FRONT = """kubectl -n traefik patch deployment traefik -p '%(spec)s'
kubectl -n traefik rollout status deployment traefik
ssh bigip-1 tmsh create ltm pool web members add { %(members)s } monitor %(monitor)s
ssh bigip-1 tmsh create ltm virtual web destination 172.18.0.100:80 pool web source-address-translation { type automap }
sleep 12
"""
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "traefik"}},
}


def face(port: Port, name: str) -> str:
    """The certificate's subject that a client is shown who asks for that name; "" asks for none."""
    asked = f"-servername {name}" if name else "-noservername"
    done = port.run_outside(f"openssl s_client -connect {DOOR}:30443 {asked} </dev/null 2>/dev/null | grep ^subject=")
    return done.stdout.strip().removeprefix("subject=CN = ")


def whose_face(dice: random.Random) -> Exercise:
    """A certificate for some name, in some namespace, and a client who asks for some name."""
    name = dice.choice(NAMES)
    host = f"{name}.example"
    made_for = dice.choice((host, host, "*.example", f"*.{host}", f"www.{host}"))
    space = dice.choice(("default", "default", "default", "traefik", "kube-system"))
    asked = dice.choice((host, host, f"www.{host}", "shop.example", ""))

    def experiment(port: Port) -> checks.Outcome:
        shown = face(port, asked)
        return checks.Outcome(
            answer="own" if shown == made_for else "default",
            because=f"The subject of what was shown: {shown}. A Secret is found in the Ingress' own namespace only, and it is "
            "shown to who asks for a name that the certificate is for (a star stands for one label).",
        )

    said = f"asks for `{asked}`" if asked else "says no name at all"
    return Exercise(
        title="Whose face?",
        asks=f"The Ingress `{name}` (namespace `default`, host `{host}`) names the Secret `{name}-tls`. That Secret is in the "
        f"namespace **`{space}`**, and its certificate is made for **`{made_for}`**. A client opens TLS to Traefik and {said}. "
        "Which certificate is it shown?",
        setup=SECRET % {"name": name, "face": made_for, "secret": f"{name}-tls", "space": space}
        + INGRESS % {"name": name, "secret": f"{name}-tls"},
        choices={"own": f"the one that is made for {made_for}", "default": "Traefik's own: TRAEFIK DEFAULT CERT"},
        experiment=experiment,
        wrong={
            "own": "Three things must fit: the Secret's namespace, the certificate's name, and the name that the client says.",
            "default": "The Secret could be loaded, and its certificate is for the name that is asked for.",
        },
        hints=(
            "In which namespace is the Ingress?",
            "*.example covers a.example, and neither a.b.example nor example.",
        ),
    )


def is_it_permitted(dice: random.Random) -> Exercise:
    """A route into another namespace, and a grant that fits or not."""
    name, (space, other) = dice.choice(NAMES), dice.sample(SPACES, 2)
    fault = dice.choice(("none", "none", "all", "where", "whose", "kind", "name"))
    given = {"where": space, "kind": "HTTPRoute", "whose": "default", "to": f", name: {name}"}
    given |= {
        "where": {"where": "default"},
        "whose": {"whose": other},
        "kind": {"kind": "GRPCRoute"},
        "name": {"to": f", name: {name}-v2"},
        "all": {"to": ""},
    }.get(fault, {})
    named = f"the Service `{given['to'][8:]}`" if given["to"] else "any Service"

    def experiment(port: Port) -> checks.Outcome:
        done = port.run_outside(
            f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' -H 'Host: {name}.example' http://{DOOR}:30080/"
        )
        route = port.run_outside(f"kubectl describe httproute {name} | grep Message: | tail -1").stdout
        told = route.partition("Message:")[2].strip()
        return checks.Outcome(
            answer=done.stdout,
            because=f"The route's status says: “{told}”." if told else "The route's status has no complaint.",
        )

    return Exercise(
        title="Is it permitted?",
        asks=f"An HTTPRoute in the namespace `default` has the backend Service `{name}` of the namespace `{space}`. There is one "
        f"ReferenceGrant, in the namespace **`{given['where']}`**: from the kind **{given['kind']}** of the namespace "
        f"**`{given['whose']}`**, to **{named}**. What does a request for `{name}.example` get?",
        setup=ROUTE % {"name": name, "space": space, **given},
        choices={"200": "200, from the program", "404": "404", "500": "500"},
        experiment=experiment,
        wrong={
            "404": "The route is there and its name is known: a router exists. It is the backend that counts here.",
            "200": "Who must say yes (where does the grant lie), to whom (from), and for what (to)? One of them does not fit.",
            "500": "All three fit: the grant lies where the Service is, and names the route's kind, its namespace, the Service.",
        },
        hints=(
            "A grant lies in the namespace of what is referred to: the owner says yes.",
            "Without a name in `to` all Services of the namespace are meant.",
        ),
    )


def what_survives(dice: random.Random) -> Exercise:
    """Routers, members, a monitor, and a plug."""
    both = list(NODES)
    routers = dice.choice((["kind-worker"], ["kind-worker2"], both))
    members = dice.choice((["kind-worker"], ["kind-worker2"], both, both))
    monitor = dice.choice(("tcp", "none"))
    plug = dice.choice(("bigip-1", "bigip-2", *both, *both))
    alone = {"nodeSelector": {"kubernetes.io/hostname": routers[0]}}
    spec = {
        "replicas": len(routers),
        "strategy": {"type": "Recreate", "rollingUpdate": None},
        "template": {"spec": {"topologySpreadConstraints": [SPREAD]} if len(routers) == 2 else alone},
    }

    def experiment(port: Port) -> checks.Outcome:
        port.run_outside(f"docker stop {plug}; sleep {6 if plug.startswith('bigip') else 60}")
        codes = [port.run_outside("curl -s -m 4 -o /dev/null http://shop.example/").exit_code for _ in range(4)]
        well = codes.count(0)
        return checks.Outcome(
            answer="always" if well == 4 else "sometimes" if well else "never",
            because=f"Of four calls {well} got an answer. Members with a monitor leave the pool when they keep silent; a "
            "router's endpoints leave its Service when their node is written off.",
            trace=port.trace("outside", "http://shop.example"),
        )

    on = " and ".join(f"`{each}`" for each in routers)
    to = " and ".join(f"`{each}`" for each in members)
    return Exercise(
        title="What survives?",
        asks=f"A pair of BIG-IPs (bigip-1 is active) with a pool of the node ports of {to}, **monitor: {monitor}**. Traefik runs "
        f"on {on}, the shop on both workers. The plug of **`{plug}`** is pulled, and a minute goes by. Is `http://shop.example` "
        "answered?",
        setup=FRONT
        % {
            "spec": json.dumps({"spec": spec}),
            "members": " ".join(f"{NODES[each]}:30080" for each in members),
            "monitor": monitor,
        },
        choices={"always": "always", "sometimes": "sometimes, and sometimes not", "never": "never"},
        experiment=experiment,
        wrong={
            "always": "Follow the way through what is left: box, member, router. One is missing, or is chosen though it is dead.",
            "sometimes": "Sometimes needs a choice between one that works and one that does not, and somebody who does not ask.",
            "never": "There is still a way: any node's port leads to a router on any other node.",
        },
        hints=(
            "The pair: the other box takes over within seconds. A node: who notices that it is gone?",
            "A node port leads to Traefik's pods on all nodes, and after a minute to those only that live.",
        ),
    )


def mend_the_lock(dice: random.Random) -> Exercise:
    """A certificate that is not shown: one of four faults."""
    name = dice.choice(NAMES)
    host, secret = f"{name}.example", f"{name}-tls"
    fault = dice.choice(("drawer", "typo", "face", "absent"))
    wrong = {"name": name, "face": host, "secret": secret, "space": "default"}
    other = dice.choice((f"www.{host}", f"{name}.com"))
    wrong |= {"drawer": {"space": "traefik"}, "face": {"face": other}}.get(fault, {})
    setup = SECRET % wrong + INGRESS % {"name": name, "secret": f"{name}-cert" if fault == "typo" else secret}
    if fault == "absent":
        setup += f"kubectl delete secret {secret}\nsleep 3\n"
    right = SECRET % {**wrong, "face": host, "space": "default"}
    named = json.dumps({"spec": {"tls": [{"secretName": secret}]}})
    solve = {
        "typo": f"kubectl patch ingress {name} --type=merge -p '{named}'\n",
        "face": f"kubectl delete secret {secret}\n{right}",
    }.get(fault, right)

    def shown(subject: checks.Subject) -> checks.Finding:
        found = face(subject.port, host)
        well = found == host
        told = f"{host} is shown " + ("its own certificate." if well else f"the certificate of “{found or 'nobody'}”.")
        trace = subject.port.trace("outside", f"http://{DOOR}:30443")
        return checks.Finding(passed=well, message=told, explanation=words.explain(trace), trace=trace)

    return Exercise(
        title="A stranger at the door",
        asks=f"The Ingress `{name}` (namespace `default`) should show a certificate for `{host}`, and Traefik shows another "
        "one. Mend it; you may make a certificate of your own: `openssl req -x509 -newkey rsa:2048 -nodes "
        "-keyout KEY -out CERT -subj /CN=NAME`.",
        setup=setup,
        checks=[shown],
        hints=(
            "Traefik's log says which Secret it looks for, and where: kubectl -n traefik logs deployment/traefik",
            f"kubectl get secrets --all-namespaces | grep tls; and: kubectl get ingress {name} -o yaml",
            "If the Secret is found: for whom is the certificate in it? openssl x509 -noout -subject -in CERT",
        ),
        solve=f"{solve}sleep 5",
    )


EXERCISES = (whose_face, mend_the_lock, is_it_permitted, what_survives)
