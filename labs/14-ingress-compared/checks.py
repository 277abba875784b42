"""What lab 14 looks at."""

from __future__ import annotations

from kubelab import checks, words
from kubelab.port import Port

HTTP, HTTPS = 30080, 30443
VIRTUAL = "172.18.0.100"
SHOP = "http://shop.example"
WORKERS = ("kind-worker", "kind-worker2")
# A pair of boxes with one virtual server, and both workers behind it.
POOL = """ssh bigip-1 tmsh create ltm pool web members add { 172.18.0.2:30080 172.18.0.3:30080 } monitor tcp
ssh bigip-1 tmsh create ltm virtual web destination 172.18.0.100:80 pool web source-address-translation { type automap }
sleep 6
"""
# Seconds until the other box has taken over; until a node that keeps silent is written off, and its pods' endpoints with it.
TAKEN_OVER, WRITTEN_OFF, BACK = 6, 55, 8


def door(port: Port) -> str:
    """A node's address: Traefik's node ports are at each of them."""
    said = port.run_outside("kubectl get nodes -o jsonpath='{.items[1].status.addresses[0].address}'")
    return said.stdout.strip()


def ask(port: Port, host: str, path: str = "/") -> tuple[str, str]:
    """What the laptop gets at the door: the HTTP status ("" for none, then curl's words), and the page."""
    url = f"http://{door(port)}:{HTTP}{path}"
    done = port.run_outside(f"curl -sS -m 5 -H 'Host: {host}' -w '\\n%{{http_code}}' '{url}'")
    if done.exit_code:
        return "", done.stderr.strip()
    page, _, code = done.stdout.rpartition("\n")
    return code, page


def shown(port: Port, host: str) -> str:
    """The subject of the certificate that a client of that name is shown, "" for none."""
    where = f"{door(port)}:{HTTPS}"
    done = port.run_outside(
        f"openssl s_client -connect {where} -servername {host} </dev/null 2>/dev/null | grep ^subject="
    )
    return done.stdout.strip().removeprefix("subject=")


def shop_answers(port: Port, times: int = 3) -> bool:
    """Whether the shop answers at its name, so many times in a row."""
    return all(port.run_outside(f"curl -s -m 3 -o /dev/null {SHOP}").exit_code == 0 for _ in range(times))


# -- experiments ----------------------------------------------------------------------------------------------


def wrong_drawer(port: Port) -> checks.Outcome:
    """A Secret beside the router, and an Ingress elsewhere."""
    port.run_outside("""openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=shop.example
kubectl create secret tls shop-tls --namespace traefik --cert=c --key=k
kubectl patch ingress shop --type=merge -p '{"spec":{"tls":[{"hosts":["shop.example"],"secretName":"shop-tls"}]}}'
sleep 5""")
    subject = shown(port, "shop.example")
    answer = "own" if "shop.example" in subject else "default" if subject else "none"
    return checks.Outcome(
        answer=answer,
        because=f"The certificate's subject is {subject}. The Secret is looked for in the Ingress' own "
        "namespace, default, and there is none of that name. Traefik writes a line into its log and shows what "
        "it has: a certificate of its own making.",
        trace=port.trace("outside", f"http://{door(port)}:{HTTPS}"),
    )


def one_plug(port: Port) -> checks.Outcome:
    """The node of the only router goes."""
    port.run_outside(f"""{POOL}
kubectl expose deployment shop --name=direct --type=NodePort --port=80
sleep 3""")
    home = port.run_outside("kubectl -n traefik get pods -o jsonpath='{.items[0].spec.nodeName}'").stdout.strip()
    other = next(each for each in WORKERS if each != home)
    number = port.run_outside("kubectl get service direct -o jsonpath='{.spec.ports[0].nodePort}'").stdout.strip()
    address = port.run_outside(
        f"kubectl get node {other} -o jsonpath='{{.status.addresses[0].address}}'"
    ).stdout.strip()
    port.run_outside(f"docker stop {home}; sleep {WRITTEN_OFF}")
    direct = port.run_outside(f"curl -s -m 3 -o /dev/null http://{address}:{number}").exit_code == 0
    named = shop_answers(port, 1)
    answers = {(True, True): "both", (True, False): "node-port", (False, True): "url", (False, False): "neither"}
    return checks.Outcome(
        answer=answers[direct, named],
        because=f"{home} had the only pod of the router, so the node port of {other} leads to none any more: the boxes find no "
        "member that answers. The shop's own node port needs no router: a "
        "pod of the shop is left. "
        "(The router's pod is made anew elsewhere, after five minutes.)",
        trace=port.trace("outside", SHOP),
    )


# -- checks ---------------------------------------------------------------------------------------------------


def own_face(subject: checks.Subject) -> checks.Finding:
    """cafe.example is shown a certificate for its name."""
    found = shown(subject.port, "cafe.example")
    well = "CN = cafe.example" in found
    told = (
        "cafe.example is shown its own certificate."
        if well
        else f"cafe.example is shown the certificate of “{found or 'nobody'}”."
    )
    why = (
        ""
        if well
        else "Traefik shows this where no certificate that it could load fits the name. "
        "`kubectl -n traefik logs deployment/traefik` says why."
    )
    return checks.Finding(passed=well, message=told, explanation=why)


def answers(host: str, path: str, by: str) -> checks.Check:
    """http://HOST/PATH is answered at the door by the program of that name."""

    def check(subject: checks.Subject) -> checks.Finding:
        code, page = ask(subject.port, host, path)
        trace = subject.port.trace("outside", f"http://{door(subject.port)}:{HTTP}")
        well = code == "200" and f"Name: {by}" in page
        told = (
            f"{host}{path} is answered by “{by}”."
            if well
            else f"{host}{path} is not answered: {code or 'no HTTP answer'}."
        )
        why = {
            "404": "These are Traefik's own words: no router that it could make is for this request.",
            "500": "Traefik says 500 for a route of the Gateway API whose backend it must not, or cannot, use: "
            "see the route's conditions.",
        }.get(code, words.explain(trace))
        return checks.Finding(passed=well, message=told, explanation=why, trace=trace)

    return check


def closed(host: str, path: str, code: str, failure: str) -> checks.Check:
    """A request is answered by that status, and no program."""

    def check(subject: checks.Subject) -> checks.Finding:
        found, _ = ask(subject.port, host, path)
        well = found == code
        return checks.Finding(
            passed=well, message=f"{host}{path} stays closed." if well else f"{failure} ({found or 'no answer'})"
        )

    return check


def without(name: str) -> checks.Check:
    """The shop answers while that machine is switched off.  It is switched on again."""

    def check(subject: checks.Subject) -> checks.Finding:
        port = subject.port
        if not shop_answers(port, 1):
            trace = port.trace("outside", f"http://{VIRTUAL}")
            return checks.Finding(
                passed=False,
                message=f"{SHOP} does not answer, and no plug is pulled yet.",
                explanation=words.explain(trace),
                trace=trace,
            )
        port.run_outside(f"docker stop {name}; sleep {WRITTEN_OFF if name in WORKERS else TAKEN_OVER}")
        well = shop_answers(port)
        trace = next(
            (each for each in port.traces("outside", SHOP) if words.felt_as(each)), port.trace("outside", SHOP)
        )
        port.run_outside(f"docker start {name}; sleep {BACK}")
        told = (
            f"Without {name} the shop answers." if well else f"Without {name} the shop does not answer, or not always."
        )
        return checks.Finding(passed=well, message=told, explanation=words.explain(trace), trace=trace)

    return check


CHECKS = {
    "cert": [
        checks.predicts(
            "cert",
            wrong_drawer,
            wrong={
                "own": "An Ingress can name Secrets of its own namespace only, wherever the router runs.",
                "none": "Traefik always has something to show. That is why this fault is so quiet.",
            },
        )
    ],
    "node": [
        checks.predicts(
            "node",
            one_plug,
            wrong={
                "both": "The way through the name passes the router, and there was one pod of it.",
                "url": "The node port of the shop passes no router; it leads to the pod that is left.",
                "neither": "A pod of the shop is left on the other node, and the node port there leads to it.",
            },
        )
    ],
    "safe": [
        checks.state(
            "Secret",
            "cafe-tls",
            {"type": "kubernetes.io/tls"},
            failure="The Secret “cafe-tls” is not of the type kubernetes.io/tls.",
        ),
        checks.state(
            "Ingress",
            "cafe",
            {"spec": {"tls": [{"secretName": "cafe-tls"}]}},
            failure="The Ingress “cafe” does not name the Secret yet.",
        ),
        own_face,
    ],
    "grant": [
        answers("reports.example", "/", "reports"),
        checks.required(
            closed("salaries.example", "/", "500", "salaries.example should stay closed, and the grant opens it.")
        ),
    ],
    "museum": [
        answers("museum.example", "/rooms/7", "museum"),
        answers("www.museum.example", "/rooms/12", "museum"),
        checks.required(
            closed("museum.example", "/rooms/kitchen", "404", "museum.example/rooms/kitchen should be nobody's.")
        ),
    ],
    "spof": [
        *(checks.required(without(name)) for name in ("bigip-1", "bigip-2")),
        *(without(name) for name in WORKERS),
    ],
}
