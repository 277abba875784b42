"""What lab 13 looks at."""

from __future__ import annotations

from kubelab import checks, words
from kubelab.port import Port

DOOR = 30080
SHOP = """kubectl create ingress shop --class=traefik --rule='shop.example/*=shop:80'
sleep 5
"""


def door(port: Port) -> str:
    """A node's address: Traefik's node port is at each of them."""
    said = port.run_outside("kubectl get nodes -o jsonpath='{.items[1].status.addresses[0].address}'")
    return said.stdout.strip()


def ask(port: Port, host: str, path: str = "/") -> tuple[str, str]:
    """What the laptop gets at the door: the HTTP status ("" for none, then curl's words), and the page."""
    done = port.run_outside(
        f"curl -sS -m 5 -H 'Host: {host}' -w '\\n%{{http_code}}' 'http://{door(port)}:{DOOR}{path}'"
    )
    if done.exit_code:
        return "", done.stderr.strip()
    page, _, code = done.stdout.rpartition("\n")
    return code, page


def felt(port: Port, host: str) -> str:
    """One word for what the laptop gets: a status, "refused" or "silence"."""
    code, said = ask(port, host)
    return code or ("refused" if said.startswith("curl: (7)") else "silence")


def said_by(code: str, page: str) -> str:
    """Who it was that gave this answer, and why."""
    if not code:
        return f"Nobody spoke HTTP: {page}."
    if code == "404" and page.startswith("404 page not found"):
        return "These are Traefik's own words for a request that no router is for: host, path or class is not right."
    if code == "404" and "nginx" in page:
        return (
            "The page comes from the program: Traefik found a router and a pod, and the pod knows nothing of that path."
        )
    if code == "503":
        return "These are Traefik's own words for a router whose Service has no pod that is ready."
    if code in ("502", "504"):
        return "Traefik dialled a pod, and had no good answer from it: look at the Service's targetPort."
    return ""


def answers(host: str, path: str, by: str) -> checks.Check:
    """http://HOST/PATH is answered, and the page has these words in it."""

    def check(subject: checks.Subject) -> checks.Finding:
        code, page = ask(subject.port, host, path)
        trace = subject.port.trace("outside", f"http://{door(subject.port)}:{DOOR}")
        well = code == "200" and by in page
        if well:
            told = f"{host}{path} is answered by “{by.removeprefix('Name: ')}”."
        elif code == "200":
            told = f"{host}{path} is answered, and not by “{by.removeprefix('Name: ')}”."
        elif code == "404" and "nginx" in page:
            told = f"{host}{path}: the handbook itself says 404."
        else:
            told = f"{host}{path} is not answered: {code or 'no HTTP answer'}."
        why = said_by(code, page) or words.explain(trace)
        return checks.Finding(passed=well, message=told, explanation=why, trace=trace)

    return check


def closed(host: str, path: str) -> checks.Check:
    """No router is for that path."""

    def check(subject: checks.Subject) -> checks.Finding:
        code, page = ask(subject.port, host, path)
        well = code == "404"
        told = f"{host}{path} is nobody's." if well else f"{host}{path} should not be answered, and it says {code}."
        return checks.Finding(passed=well, message=told, explanation=said_by(code, page))

    return check


def without_traefik(port: Port) -> checks.Outcome:
    """An Ingress, and nobody who reads it."""
    port.run_outside(f"kubectl -n traefik scale deployment traefik --replicas=0; {SHOP}")
    port.settle()
    answer = felt(port, "shop.example")
    trace = port.trace("outside", f"http://{door(port)}:{DOOR}")
    port.run_outside("kubectl -n traefik scale deployment traefik --replicas=1")
    return checks.Outcome(
        answer=answer,
        because="An Ingress is a note, and opens no port. The node port 30080 belongs to Traefik's Service, which has no "
        "endpoint now: the node refuses in its name. 404 and 503 are words of HTTP, and nobody is there to say them.",
        trace=trace,
    )


def without_kube_proxy(port: Port) -> checks.Outcome:
    """New pods, and nobody who writes rules for them."""
    none = '{"spec":{"template":{"spec":{"nodeSelector":{"kubewalk":"nowhere"}}}}}'
    back = '{"spec":{"template":{"spec":{"nodeSelector":{"kubewalk":null}}}}}'
    port.run_outside(SHOP)
    port.run_outside(f"kubectl -n kube-system patch daemonset kube-proxy -p '{none}'; sleep 5")
    port.run_outside("kubectl rollout restart deployment shop && kubectl rollout status deployment shop; sleep 5")
    address = port.run_outside("kubectl get service shop -o jsonpath='{.spec.clusterIP}'").stdout.strip()
    inside = port.run_outside(f"kubectl exec client -- curl -s -m 3 -o /dev/null http://{address}").exit_code == 0
    outside = ask(port, "shop.example")[0] == "200"
    trace = port.trace("pod/client", f"http://{address}")
    port.run_outside(f"kubectl -n kube-system patch daemonset kube-proxy -p '{back}'")
    names = {(True, True): "both", (True, False): "cluster-ip", (False, True): "traefik", (False, False): "neither"}
    return checks.Outcome(
        answer=names[inside, outside],
        because="Traefik watches EndpointSlices itself and dials the new pods. The ClusterIP is only rules, and these still "
        "name the pods that are gone.",
        trace=trace,
    )


def without_pods(port: Port) -> checks.Outcome:
    """A router whose Service is empty."""
    port.run_outside(f"{SHOP}kubectl scale deployment shop --replicas=0; sleep 6")
    answer = felt(port, "shop.example")
    return checks.Outcome(
        answer=answer,
        because="Traefik was told to keep routers of empty Services (allowEmptyServices, as its Helm chart does), so it knows "
        "the request and has nobody for it. Without that flag, as the bare program starts, the router is left out: 404.",
        trace=port.trace("outside", f"http://{door(port)}:{DOOR}"),
    )


RULES = {
    "spec": {
        "rules": [
            {
                "host": "cafe.example",
                "http": {
                    "paths": [
                        {"path": "/menu", "backend": {"service": {"name": "menu"}}},
                        {"backend": {"service": {"name": "cafe"}}},
                    ]
                },
            }
        ]
    }
}

CHECKS = {
    "nobody": [
        checks.predicts(
            "nobody",
            without_traefik,
            wrong={
                "404": "404 is Traefik's word for “no such router”. It takes a Traefik to say it.",
                "503": "503 is Traefik's word for “nobody behind this router”. It takes a Traefik to say it.",
                "silence": "A Service without endpoints is refused by a rule, at once. Traefik's own is such a Service now.",
            },
        )
    ],
    "bypass": [
        checks.predicts(
            "bypass",
            without_kube_proxy,
            wrong={
                "both": "The rules for the ClusterIP still name pods that are gone. Nobody is there to write new ones.",
                "cluster-ip": "It is the ClusterIP that is made of kube-proxy's rules. Traefik asks the API server for pods.",
                "neither": "Traefik's pod has not moved, and it dials the shop's pods without any rule of kube-proxy's.",
            },
        )
    ],
    "empty": [
        checks.predicts(
            "empty",
            without_pods,
            wrong={
                "404": "So it is with the bare program. This Traefik was started with allowEmptyServices, as by its chart.",
                "502": "502 is for a pod that was dialled and failed. Here is nobody to dial.",
                "refused": "Traefik is there, and it speaks HTTP. It answers, though nobody stands behind it.",
            },
        )
    ],
    "cafe": [
        checks.state("Ingress", "cafe", RULES, failure="Ingress “cafe” does not have these rules yet."),
        answers("cafe.example", "/menu/today", "Name: menu"),
        answers("cafe.example", "/table/4", "Name: cafe"),
    ],
    "library": [
        answers("library.example", "/books/7", "Name: library"),
        checks.required(closed("library.example", "/")),
        checks.required(
            checks.state(
                "Service",
                "library",
                {"spec": {"ports": [{"port": 80}]}},
                failure="Leave the Service “library” as it was.",
            )
        ),
    ],
    "docs": [
        answers("shop.example", "/docs/", "The handbook"),
        checks.required(answers("shop.example", "/cart", "Name: shop")),
        checks.required(
            checks.state(
                "Pod",
                "handbook",
                {"metadata": {"labels": {"app": "handbook"}}},
                failure="Leave the handbook as it was.",
            )
        ),
    ],
}
