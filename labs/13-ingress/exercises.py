"""Exercises of lab 13: which path is meant, who says which number, what the program sees, and a door to be mended."""

from __future__ import annotations

import random

from kubelab import checks, words
from kubelab.exercises import Exercise
from kubelab.port import Port

DOOR = 30080
WHOAMI = "traefik/whoami:v1.11.0"
NAMES = ("books", "music", "films", "games", "maps", "plants", "tools")
SEGMENTS = ("api", "app", "new", "old", "blog", "admin", "v1", "shop")

# A program that says what it was asked, and its Service.
PROGRAM = """---
apiVersion: v1
kind: Pod
metadata: {name: %(name)s, labels: {app: %(name)s}}
spec: {containers: [{name: whoami, image: "%(image)s", args: [--name=%(name)s]}]}
---
apiVersion: v1
kind: Service
metadata: {name: %(name)s}
spec: {selector: {app: %(selects)s}, ports: [{name: web, port: %(port)s, targetPort: %(target)s}]}
"""
INGRESS = """---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %(name)s}
spec:
  ingressClassName: %(class)s
  rules:
  - host: %(host)s
    http:
      paths:
      - {path: %(path)s, pathType: %(type)s, backend: {service: {name: %(backend)s, port: {number: %(number)s}}}}
"""


OUTSIDE = """---
apiVersion: v1
kind: Service
metadata: {name: %(name)s}
spec: {type: ExternalName, externalName: example.com, ports: [{port: 80}]}
"""
MIDDLEWARE = """---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: %(name)s}
spec: {%(does)s}
"""
ROUTE = """---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: %(name)s}
spec:
  entryPoints: [web]
  routes:
  - kind: Rule
    match: Host(`%(name)s.example`) && PathPrefix(`/%(first)s`)
    middlewares: [%(through)s]
    services: [{name: %(name)s, port: 80}]
"""


def program(name: str, **given: object) -> str:
    """The YAML; what is not said is as it should be."""
    return PROGRAM % {"name": name, "image": WHOAMI, "selects": name, "port": 80, "target": 80, **given}


def ingress(name: str, **given: object) -> str:
    usual = {
        "class": "traefik",
        "host": f"{name}.example",
        "path": "/",
        "type": "Prefix",
        "backend": name,
        "number": 80,
    }
    return INGRESS % {"name": name, **usual, **given}


def applied(text: str, after: str = "") -> str:
    return f"kubectl apply -f - <<'END'\n{text}END\n{after}sleep 6\n"


def door(port: Port) -> str:
    return port.run_outside("kubectl get nodes -o jsonpath='{.items[1].status.addresses[0].address}'").stdout.strip()


def ask(port: Port, host: str, path: str) -> tuple[str, str]:
    """The HTTP status, "" for none, and the page."""
    url = f"http://{door(port)}:{DOOR}{path}"
    done = port.run_outside(f"curl -s -m 5 -H 'Host: {host}' -w '\\n%{{http_code}}' '{url}'")
    page, _, code = done.stdout.rpartition("\n")
    return ("", "") if done.exit_code else (code, page)


def is_it_meant(dice: random.Random) -> Exercise:
    """A path type, a path, and a request."""
    name = dice.choice(NAMES)
    first, second = dice.sample(SEGMENTS, 2)
    kind = dice.choice(("Exact", "Prefix", "Prefix", "ImplementationSpecific"))
    path = dice.choice((f"/{first}", f"/{first}", f"/{first}/{second}", f"/{first}/"))
    bare = path.rstrip("/")
    asked = dice.choice(
        (bare, f"{bare}/", f"{bare}/{dice.randint(1, 9)}", f"{bare}{second}", f"/{second}", f"/x{bare}", bare.upper())
    )

    def experiment(port: Port) -> checks.Outcome:
        code, _ = ask(port, f"{name}.example", asked)
        rule = f"Path(`{path}`)" if kind == "Exact" else f"PathPrefix(`{path}`)"
        return checks.Outcome(
            answer="yes" if code == "200" else "no",
            because=f"Traefik made the rule {rule} of it: "
            + ("the very same text, or nothing." if kind == "Exact" else "a path that begins with these letters."),
        )

    return Exercise(
        title="Is it meant?",
        asks=f"An Ingress for `{name}.example` has one path: `{path}`, of type `{kind}`. Traefik serves it, started as in this "
        f"lab. Is `{name}.example{asked}` answered by the program?",
        setup=applied(program(name) + ingress(name, path=path, type=kind)),
        choices={"yes": "yes, by the program", "no": "no: 404 from Traefik"},
        experiment=experiment,
        wrong={
            "no": "Traefik compares letters, and the request begins with the path's. (By the specification, Prefix goes element "
            "by element; Traefik keeps to that with strictPrefixMatching.)",
            "yes": "Read both letter by letter: a trailing slash counts, and so do capitals.",
        },
        hints=(
            "Exact: the same letters, to the last. Prefix, as Traefik reads it: begins with these letters.",
            "Does the path end in a slash? Does the request?",
        ),
    )


def which_number(dice: random.Random) -> Exercise:
    """Something is wrong, or nothing: what does the client read?"""
    name = dice.choice(NAMES)
    other = dice.choice([each for each in NAMES if each != name])
    replaced, asked, after = {}, f"{name}.example", ""
    fault = dice.choice(("none", "class", "host", "empty", "target", "number", "external", "gone", "traefik"))
    listens = dice.choice((81, 8080, 3000))
    told = {
        "none": "Nothing else is special about it.",
        "class": "Its `ingressClassName` is `nginx`.",
        "host": f"The client asks for `www.{name}.example`.",
        "empty": f"The Service's selector is `app={other}`, and no pod has that label.",
        "target": f"The Service's targetPort is {listens}; the program listens on 80.",
        "number": f"The Ingress' backend is port {listens} of the Service, which has port 80 only.",
        "external": "The Service is of type ExternalName, for `example.com`, with port 80.",
        "gone": f"The backend is the Service `{other}`, which does not exist.",
        "traefik": "Traefik's Deployment is scaled to zero.",
    }[fault]
    text = program(name, selects=other if fault == "empty" else name, target=listens if fault == "target" else 80)
    replaced = {"class": {"class": "nginx"}, "number": {"number": listens}, "gone": {"backend": other}}.get(fault, {})
    if fault == "host":
        asked = f"www.{name}.example"
    if fault == "external":
        text = OUTSIDE % {"name": name}
    if fault == "traefik":
        after = "kubectl -n traefik scale deployment traefik --replicas=0\n"
    because = {
        "none": "Class, host, path and port are right, and a pod is there.",
        "class": "No controller here answers to that class, so Traefik has no router: 404.",
        "host": "A host is meant to the letter; Traefik has no router for this one: 404.",
        "empty": "The router is there, and nobody behind it: 503.",
        "target": "The endpoint's port is the targetPort. Traefik dialled it, the pod's kernel refused: 502.",
        "number": "Traefik could not make the backend, so it left the router out: 404. Its log has a line for it.",
        "external": "Traefik refuses ExternalName backends unless it is told otherwise, and leaves the router out: 404.",
        "gone": "Without its Service the router is left out: 404.",
        "traefik": "Nobody is there to speak HTTP: the node refuses in the name of Traefik's Service.",
    }[fault]

    def experiment(port: Port) -> checks.Outcome:
        code, _ = ask(port, asked, "/")
        return checks.Outcome(
            answer=code or "none", because=because, trace=port.trace("outside", f"http://{door(port)}:{DOOR}")
        )

    return Exercise(
        title="Which number?",
        asks=f"Service `{name}` (port 80), a pod with the label `app={name}` and an Ingress of class `traefik` for "
        f"`{name}.example`, path `/`. "
        f"**{told}** What does the client get at the door?",
        setup=applied(text + ingress(name, **replaced), after),
        choices={
            "200": "200, from the program",
            "404": "404",
            "502": "502",
            "503": "503",
            "none": "no HTTP at all",
        },
        experiment=experiment,
        wrong={
            "200": "Follow the chain: class, host, Service, port, pod. One link is missing.",
            "none": "Traefik is there, and speaks HTTP whatever is missing behind it.",
            "502": "502 needs a pod that was dialled, and failed.",
        },
        hints=(
            "No router: 404. A router without a pod: 503. A pod that does not take the call: 502.",
            "What Traefik cannot make, it leaves out: as if the rule were not there.",
        ),
    )


def what_does_it_see(dice: random.Random) -> Exercise:
    """A middleware, and the path that the program is asked for."""
    name = dice.choice(NAMES)
    first, second, third = dice.sample(SEGMENTS, 3)
    kind = dice.choice(("none", "strip", "strip", "add", "both", "replace"))
    asked = f"/{first}" + dice.choice(("", "/", f"/{second}", f"/{second}/{dice.randint(1, 99)}"))
    strip, add = f"stripPrefix: {{prefixes: [/{first}]}}", f"addPrefix: {{prefix: /{third}}}"
    does = {
        "none": [add],
        "strip": [strip],
        "add": [add],
        "both": [strip, add],
        "replace": [f"replacePath: {{path: /{third}}}"],
    }[kind]
    text = "".join(MIDDLEWARE % {"name": f"m{number}", "does": each} for number, each in enumerate(does))
    named = [] if kind == "none" else [f"{{name: m{number}}}" for number in range(len(does))]
    text += ROUTE % {"name": name, "first": first, "through": ", ".join(named)}
    used = "a Middleware is there, and the route names none" if kind == "none" else "the route names, in this order"
    listed = ", ".join(f"`{rule}`" for rule in does)

    def experiment(port: Port) -> checks.Outcome:
        _, page = ask(port, f"{name}.example", asked)
        line = next((each for each in page.splitlines() if each.startswith("GET ")), "GET ? ")
        return checks.Outcome(answer=line.split()[1], because=f"The program says what it was asked: {line.strip()}.")

    return Exercise(
        title="What does the program see?",
        asks=f"An IngressRoute for `{name}.example` and everything that begins with `/{first}`; {used}: {listed}. A client asks "
        f"for **`{name}.example{asked}`**. Which path does the program see?",
        setup=applied(program(name) + text),
        experiment=experiment,
        wrong={asked: "Some middleware stands on the way: do what each of them says, one after the other."}
        if named
        else {},
        hints=(
            "Without a middleware that is named by the route, the path arrives as it was sent.",
            "What is stripped leaves at least a slash.",
        ),
    )


def mend_the_door(dice: random.Random) -> Exercise:
    """One of five faults between the door and a program that is well."""
    name = dice.choice(NAMES)
    path = dice.choice(("/news", "/list", "/today"))
    listens = dice.choice((8080, 8000, 3000))
    fault = dice.choice(("class", "exact", "number", "selector", "target"))
    replaced = {"class": {"class": "nginx"}, "exact": {"type": "Exact"}, "number": {"number": listens}}.get(fault, {})
    text = program(
        name, selects=f"the-{name}" if fault == "selector" else name, target=listens if fault == "target" else 80
    )
    ingress_at = "/spec/rules/0/http/paths/0"
    patches = {
        "class": f'ingress {name} --type=merge -p \'{{"spec":{{"ingressClassName":"traefik"}}}}\'',
        "exact": f'ingress {name} --type=json -p \'[{{"op":"replace","path":"{ingress_at}/pathType","value":"Prefix"}}]\'',
        "number": f"ingress {name} --type=json -p "
        f'\'[{{"op":"replace","path":"{ingress_at}/backend/service/port/number","value":80}}]\'',
        "selector": f'service {name} -p \'{{"spec":{{"selector":{{"app":"{name}"}}}}}}\'',
        "target": f'service {name} -p \'{{"spec":{{"ports":[{{"port":80,"targetPort":80}}]}}}}\'',
    }

    def answers(subject: checks.Subject) -> checks.Finding:
        code, page = ask(subject.port, f"{name}.example", f"{path}/1")
        well = code == "200" and f"Name: {name}" in page
        trace = subject.port.trace("outside", f"http://{door(subject.port)}:{DOOR}")
        told = (
            f"{name}.example{path}/1 is answered." if well else f"{name}.example{path}/1: {code or 'no HTTP at all'}."
        )
        return checks.Finding(passed=well, message=told, explanation=words.explain(trace), trace=trace)

    return Exercise(
        title="Closed today",
        asks=f"The program `{name}` is well and listens on port 80. The laptop should get an answer at the door for "
        f"`{name}.example{path}` and "
        "everything below it. It does not. Mend the Ingress or the Service; the pod stays.",
        setup=applied(text + ingress(name, path=path, **replaced)),
        checks=[answers],
        hints=(
            f"Which number does it say? x.shell(\"curl -s -H 'Host: {name}.example' http://172.18.0.3:30080{path}/1\")",
            "404: class, host, path or the backend's port. 503: kubectl get endpointslices. 502: the targetPort.",
            "Traefik's log names what it could not use: kubectl -n traefik logs deployment/traefik",
        ),
        solve=f"kubectl patch {patches[fault]}\nsleep 5",
    )


EXERCISES = (is_it_meant, mend_the_door, which_number, what_does_it_see)
