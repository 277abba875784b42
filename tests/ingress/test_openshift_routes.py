"""OpenShift's Routes, through HAProxy on the nodes, as clients and pods see them."""

from __future__ import annotations

import re
from functools import partial

import ingresslab
import pytest
from ingresslab import CODE, apply, certificate, service_of, start, whoami

from kubesim.cluster import Cluster

PODS = (
    whoami("web", replicas=2, ports="{name: http, port: 8000, targetPort: 80}"),
    whoami("canary", "--name=canary"),
    service_of("safe", "safe", ports="{port: 443, targetPort: 8443}"),
    service_of("empty", "nobody"),
)
OBJECTS = r"""
apiVersion: apps/v1
kind: Deployment
metadata: {name: safe}
spec:
  selector: {matchLabels: {app: safe}}
  template:
    metadata: {labels: {app: safe}}
    spec:
      containers:
      - name: web
        image: traefik/whoami
        args: [--name=safe, --port=8443, --cert=/tls/tls.crt, --key=/tls/tls.key]
        volumeMounts: [{name: tls, mountPath: /tls}]
      volumes: [{name: tls, secret: {secretName: pod}}]
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
"""
ROUTES = [
    # name, spec, annotations
    ("plain", "{host: plain.example, to: {kind: Service, name: web}}", ""),
    ("shop", "{host: plain.example, path: /shop, port: {targetPort: 80}, to: {kind: Service, name: canary}}", ""),
    ("named", "{to: {kind: Service, name: web}}", ""),
    ("edge", "{host: edge.example, to: {kind: Service, name: web}, tls: {termination: edge}}", ""),
    (
        "moved",
        "{host: moved.example, to: {kind: Service, name: web}, "
        "tls: {termination: edge, insecureEdgeTerminationPolicy: Redirect}}",
        "",
    ),
    (
        "both",
        "{host: both.example, to: {kind: Service, name: web}, tls: {termination: edge, insecureEdgeTerminationPolicy: Allow}}",
        "haproxy.router.openshift.io/hsts_header: max-age=60",
    ),
    ("through", "{host: through.example, to: {kind: Service, name: safe}, tls: {termination: passthrough}}", ""),
    ("blind", "{host: blind.example, to: {kind: Service, name: safe}, tls: {termination: reencrypt}}", ""),
    (
        "split",
        "{host: split.example, to: {kind: Service, name: web, weight: 30}, "
        "alternateBackends: [{kind: Service, name: canary, weight: 10}]}",
        "haproxy.router.openshift.io/disable_cookies: 'true'",
    ),
    (
        "round",
        "{host: round.example, to: {kind: Service, name: web}}",
        "haproxy.router.openshift.io/balance: roundrobin",
    ),
    (
        "least",
        "{host: least.example, to: {kind: Service, name: web}}",
        "haproxy.router.openshift.io/balance: leastconn",
    ),
    ("cookie", "{host: cookie.example, to: {kind: Service, name: web}}", "router.openshift.io/cookie_name: lb"),
    ("wild", "{host: www.wild.example, wildcardPolicy: Subdomain, to: {kind: Service, name: web}}", ""),
    ("empty", "{host: empty.example, to: {kind: Service, name: empty}}", ""),
    (
        "near",
        "{host: near.example, to: {kind: Service, name: web}}",
        "haproxy.router.openshift.io/ip_whitelist: 203.0.113.0/24",
    ),
]


def route(name: str, spec: str, note: str) -> str:
    metadata = f"{{name: {name}, annotations: {{{note}}}}}"
    return f"apiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {metadata}\nspec: {spec}\n"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    objects = apply(OBJECTS, *PODS, *(route(*each) for each in ROUTES))
    return start("kind+openshift-router", f"{certificate('own')}{certificate('pod')}{objects}sleep 10\n{SIGNED}")


# Routes with certificates of their own: PEM in JSON patches.
SIGNED = r"""
pem() { awk '{printf "%s\\n", $0}' $1; }
cat <<EOF | kubectl apply -f -
{"apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": {"name": "own"}, "spec": {"host": "own.example",
 "to": {"kind": "Service", "name": "web"}, "tls": {"termination": "edge", "certificate": "$(pem own.crt)"}}}
EOF
cat <<EOF | kubectl apply -f -
{"apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": {"name": "again"}, "spec": {"host": "pod.example",
 "to": {"kind": "Service", "name": "safe"}, "tls": {"termination": "reencrypt", "destinationCACertificate": "$(pem pod.crt)"}}}
EOF
sleep 10
"""


ask = partial(ingresslab.ask, ports=ingresslab.HOST_PORTS)
SEEN = [
    ("http://plain.example/x", "", "GET /x HTTP/1.1"),
    ("http://plain.example/", "", "X-Forwarded-Proto: http"),
    ("http://plain.example/", "", "Forwarded: for=172.18.0.1;host=plain.example;proto=http"),
    ("http://plain.example/shop/x", "", "Name: canary"),
    ("http://plain.example/shop", "", "Name: canary"),
    ("http://named-default.apps.example.com/", "", "Host: named-default.apps.example.com"),
    ("https://edge.example/", "-k", "X-Forwarded-Proto: https"),
    ("https://both.example/", "-k", "X-Forwarded-Port: 443"),
    ("http://both.example/", "", "X-Forwarded-Port: 80"),
    ("https://own.example/", "-k", "Host: own.example"),
    ("https://through.example/", "-k", "Name: safe"),
    ("https://pod.example/", "-k", "Name: safe"),
    ("http://any.wild.example/", "", "Host: any.wild.example"),
]


@pytest.mark.parametrize(("url", "options", "line"), SEEN)
def test_what_the_pod_sees(cluster: Cluster, url: str, options: str, line: str) -> None:
    assert line in ask(cluster, url, options).splitlines()


def test_a_path_ends_at_a_slash(cluster: Cluster) -> None:
    assert "Name: canary" not in ask(cluster, "http://plain.example/shopping")


ANSWERED = [
    ("http://nobody.example/", "", "503 "),
    ("http://empty.example/", "", "503 "),
    ("http://edge.example/", "", "503 "),
    ("https://plain.example/", "-k", "503 "),
    ("http://moved.example/x?y=1", "", "302 https://moved.example/x?y=1"),
    ("http://near.example/", "", "503 "),
    ("http://wild.example/", "", "503 "),
    ("http://a.b.wild.example/", "", "503 "),
    # The pod's certificate is signed by nobody that the router believes.
    ("https://blind.example/", "-k", "503 "),
]


@pytest.mark.parametrize(("url", "options", "expected"), ANSWERED)
def test_how_it_is_answered(cluster: Cluster, url: str, options: str, expected: str) -> None:
    assert ask(cluster, url, f"{CODE} {options}") == expected


CERTIFICATE = [
    ("edge.example", "CN=*.apps.example.com"),
    ("own.example", "CN=own.example"),
    ("through.example", "CN=pod.example"),
    ("pod.example", "CN=*.apps.example.com"),
]


@pytest.mark.parametrize(("host", "subject"), CERTIFICATE)
def test_whose_certificate_the_client_gets(cluster: Cluster, host: str, subject: str) -> None:
    assert f"subject: {subject}" in ask(cluster, f"https://{host}/", "-kv 2>&1")


def test_the_page_of_what_is_not_there(cluster: Cluster) -> None:
    page = ask(cluster, "http://nobody.example/", "-D -").replace("\r", "")
    assert page.startswith("HTTP/1.1 503 Service Unavailable\npragma: no-cache\ncache-control: private, max-age=0")
    assert "<h1>Application is not available</h1>" in page


def hostnames(cluster: Cluster, host: str, times: int, options: str = "") -> list[str]:
    out = cluster.run_outside(
        f"for i in $(seq {times}); do curl -s {options} --resolve {host}:80:172.18.0.3 http://{host}/; done | grep Hostname"
    )
    return str(out.stdout).splitlines()


@pytest.mark.parametrize("host", ["round.example", "least.example"])
def test_each_pod_in_turn(cluster: Cluster, host: str) -> None:
    seen = hostnames(cluster, host, 4)
    assert len(set(seen)) == (2 if host == "round.example" else 1)
    if host == "round.example":
        assert seen[:2] == seen[2:]


def test_weights(cluster: Cluster) -> None:
    seen = hostnames(cluster, "split.example", 8)
    assert sum("canary" in each for each in seen) == 2


def test_a_cookie_keeps_to_one_pod(cluster: Cluster) -> None:
    head = ask(cluster, "http://cookie.example/", "-D - -o /dev/null").replace("\r", "")
    found = re.search(r"^set-cookie: lb=([0-9a-f]{32}); path=/; HttpOnly$", head, re.MULTILINE)
    assert found is not None
    assert "cache-control: private" in head
    seen = hostnames(cluster, "cookie.example", 5, f"-H 'Cookie: lb={found[1]}'")
    assert len(set(seen)) == 1
    # The pod does not see it.
    assert "Cookie" not in ask(cluster, "http://cookie.example/", f"-H 'Cookie: lb={found[1]}'")


def test_strict_transport(cluster: Cluster) -> None:
    assert "strict-transport-security: max-age=60" in ask(cluster, "https://both.example/", "-k -D -")
    assert "set-cookie" in ask(cluster, "https://both.example/", "-k -D -")


def test_routes_are_listed_and_admitted(cluster: Cluster) -> None:
    listed = cluster.shell("kubectl get routes plain shop edge wild").stdout
    assert [line.split() for line in listed.splitlines()] == [
        ["NAME", "HOST/PORT", "PATH", "SERVICES", "PORT", "TERMINATION", "WILDCARD"],
        ["plain", "plain.example", "web", "None"],
        ["shop", "plain.example", "/shop", "canary", "80", "None"],
        ["edge", "edge.example", "web", "edge", "None"],
        ["wild", "www.wild.example", "web", "Subdomain"],
    ]
    status = "jsonpath='{.status.ingress[0].routerName} {.status.ingress[0].conditions[0].status}'"
    assert cluster.shell(f"kubectl get route plain -o {status}").stdout == "default True"


def test_a_host_is_its_oldest_namespace_s(cluster: Cluster) -> None:
    text = route("thief", "{host: plain.example, to: {kind: Service, name: web}}", "")
    cluster.shell(apply(text, options="-n other") + "sleep 6")
    condition = "{.status.ingress[0].conditions[0]"
    out = cluster.shell(
        f"kubectl get route thief -n other -o jsonpath='{condition}.status}} {condition}.reason}}: {condition}.message}}'"
    )
    assert out.stdout == "False HostAlreadyClaimed: route plain already exposes plain.example and is older"
    assert ask(cluster, "http://plain.example/", CODE) == "200 "


def test_it_bypasses_kube_proxy_and_follows_the_pods(cluster: Cluster) -> None:
    cluster.shell("kubectl scale deployment web --replicas=0; sleep 45")
    assert ask(cluster, "http://plain.example/", CODE) == "503 "
    cluster.shell("kubectl scale deployment web --replicas=2; sleep 15")
    assert ask(cluster, "http://plain.example/", CODE) == "200 "
