"""The Gateway API as Traefik 3 serves it: where requests go, and what statuses say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ingresslab import CODE, apply, ask, certificate, service_of, start, whoami

from kubesim.cluster import Cluster
from kubesim.ingress import gateway_rules

PODS = (
    whoami("web", "--name=web"),
    whoami("canary", "--name=canary", namespace="other"),
    service_of("secret", "canary", namespace="other"),
)
OBJECTS = r"""
apiVersion: v1
kind: Namespace
metadata: {name: team, labels: {shop: "yes"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: canary, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: "", kind: Service, name: canary}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: web, port: 8000, protocol: HTTP}
  - name: team
    port: 8000
    protocol: HTTP
    hostname: "*.team.example"
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {shop: "yes"}}}}
  - {name: safe, port: 8443, protocol: HTTPS, hostname: safe.example, tls: {certificateRefs: [{name: safe}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: broken}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: port, port: 81, protocol: HTTP}
  - {name: cert, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: gone}]}}
  - {name: theirs, port: 8443, protocol: HTTPS, hostname: t.example, tls: {certificateRefs: [{name: safe, namespace: other}]}}
  - {name: tcp, port: 8000, protocol: TCP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: shop, sectionName: web}]
  hostnames: [a.example]
  rules:
  - matches: [{path: {type: Exact, value: /exact}}]
    backendRefs: [{name: web, port: 80}]
  - matches: [{path: {value: /cart}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
    backendRefs: [{name: web, port: 80}]
  - matches: [{path: {value: /full}}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: inner.example, path: {type: ReplaceFullPath, replaceFullPath: /one}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Team, value: blue}], remove: [User-Agent]}}
    backendRefs: [{name: web, port: 80}]
  - matches: [{path: {value: /old}}]
    filters:
    - type: RequestRedirect
      requestRedirect:
        {scheme: https, port: 30443, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}
  - matches: [{headers: [{name: X-Canary, value: "yes"}]}, {queryParams: [{name: canary, value: "1"}], method: GET}]
    backendRefs: [{name: canary, namespace: other, port: 80}]
  - matches: [{path: {value: /mirror}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}]
    backendRefs: [{name: web, port: 80}]
  - backendRefs: [{name: web, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split}
spec:
  parentRefs: [{name: shop, sectionName: web}]
  hostnames: [split.example]
  rules:
  - backendRefs:
    - {name: web, port: 80, weight: 9}
    - {name: canary, namespace: other, port: 80, weight: 1}
    - {name: web, port: 80, weight: 0}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: gone}
spec:
  parentRefs: [{name: shop, sectionName: web}]
  hostnames: [gone.example]
  rules: [{backendRefs: [{name: gone, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: forbidden}
spec:
  parentRefs: [{name: shop, sectionName: web}]
  hostnames: [forbidden.example]
  rules: [{backendRefs: [{name: secret, namespace: other, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inner, namespace: team}
spec:
  parentRefs: [{name: shop, namespace: default, sectionName: team}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: elsewhere.example}}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: stranger, namespace: other}
spec:
  parentRefs: [{name: shop, namespace: default, sectionName: web}]
  rules: [{backendRefs: [{name: canary, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: names}
spec:
  parentRefs: [{name: shop, sectionName: safe}]
  hostnames: [unsafe.example]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: nobody}
spec:
  parentRefs: [{name: shop, sectionName: nosuch}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: safe}
spec:
  parentRefs: [{name: shop, sectionName: safe}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
"""


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return start("kind+traefik+gateway-api", certificate("safe") + apply(OBJECTS, *PODS) + "sleep 10\n")


SEEN = [
    ("http://a.example/exact", "", "GET /exact HTTP/1.1"),
    ("http://a.example/cart/x?y=1", "", "GET /x?y=1 HTTP/1.1"),
    ("http://a.example/cart", "", "GET / HTTP/1.1"),
    # A prefix ends at a slash.
    ("http://a.example/cartoon", "", "GET /cartoon HTTP/1.1"),
    ("http://a.example/full/x", "", "GET /one HTTP/1.1"),
    ("http://a.example/full/x", "", "Host: inner.example"),
    ("http://a.example/full/x", "", "X-Team: blue"),
    ("http://a.example/", "-H 'X-Canary: yes'", "Name: canary"),
    ("http://a.example/?canary=1", "", "Name: canary"),
    ("http://a.example/?canary=1", "-X POST", "Name: web"),
    ("http://a.example/", "", "Name: web"),
    ("https://safe.example/", "-k", "X-Forwarded-Proto: https"),
]


@pytest.mark.parametrize(("url", "options", "line"), SEEN)
def test_what_the_pod_sees(cluster: Cluster, url: str, options: str, line: str) -> None:
    assert line in ask(cluster, url, options).splitlines()


ANSWERED = [
    ("http://a.example/old/x?y=1", "", "301 https://a.example:30443/new/x?y=1"),
    ("http://a.example/mirror", "", "500 "),
    ("http://gone.example/", "", "500 "),
    ("http://forbidden.example/", "", "500 "),
    ("http://x.team.example/p", "", "302 http://elsewhere.example:30080/p"),
    ("http://team.example/", "", "404 "),
    ("http://stranger.example/", "", "404 "),
    ("https://unsafe.example/", "-k", "404 "),
]


@pytest.mark.parametrize(("url", "options", "expected"), ANSWERED)
def test_how_it_is_answered(cluster: Cluster, url: str, options: str, expected: str) -> None:
    assert ask(cluster, url, f"{CODE} {options}") == expected


def test_weights(cluster: Cluster) -> None:
    out = cluster.run_outside(
        "for i in $(seq 20); do curl -s --resolve split.example:30080:172.18.0.3 http://split.example:30080/; done "
        "| grep '^Name' | sort | uniq -c"
    )
    assert [line.split() for line in out.stdout.splitlines()] == [["2", "Name:", "canary"], ["18", "Name:", "web"]]


def conditions(obj: dict[str, Any]) -> list[str]:
    return [f"{each['type']}={each['status']} {each['reason']}: {each['message']}" for each in obj["conditions"]]


def get(cluster: Cluster, what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.shell(f"kubectl get {what} -o json").stdout)
    return found


ACCEPTED = "Accepted=True Accepted: "
RESOLVED = "ResolvedRefs=True ResolvedRefs: "
BACKEND = "Cannot load HTTPBackendRef core/Service"
ROUTES = [
    ("web", [ACCEPTED, RESOLVED]),
    ("safe", [ACCEPTED, RESOLVED]),
    ("inner -n team", [ACCEPTED, RESOLVED]),
    ("gone", [ACCEPTED, f"ResolvedRefs=False BackendNotFound: {BACKEND}/default/gone: service not found"]),
    (
        "forbidden",
        [ACCEPTED, f"ResolvedRefs=False RefNotPermitted: {BACKEND}/other/secret: missing ReferenceGrant"],
    ),
    ("stranger -n other", ["Accepted=False NotAllowedByListeners: ", RESOLVED]),
    ("names", ["Accepted=False NoMatchingListenerHostname: ", RESOLVED]),
    ("nobody", ["Accepted=False NoMatchingParent: "]),
]


@pytest.mark.parametrize(("name", "expected"), ROUTES)
def test_statuses_of_routes(cluster: Cluster, name: str, expected: list[str]) -> None:
    (parent,) = get(cluster, f"httproute {name}")["status"]["parents"]
    assert parent["controllerName"] == "traefik.io/gateway-controller"
    assert conditions(parent) == expected


def test_statuses_of_gateways_and_classes(cluster: Cluster) -> None:
    status = get(cluster, "gateway shop")["status"]
    assert conditions(status) == [
        "Accepted=True Accepted: Gateway successfully scheduled",
        "Programmed=True Programmed: Gateway successfully scheduled",
    ]
    assert {each["name"]: each["attachedRoutes"] for each in status["listeners"]} == {"web": 4, "team": 1, "safe": 1}
    fine = [f"{kind}=True {kind}: No error found" for kind in ("Accepted", "ResolvedRefs", "Programmed")]
    assert [conditions(each) for each in status["listeners"]] == [fine] * 3
    assert cluster.shell("kubectl get gtw shop --no-headers").stdout.split()[:4] == [
        "shop",
        "traefik",
        "localhost",
        "True",
    ]
    assert cluster.shell("kubectl get gatewayclass --no-headers").stdout.split()[:3] == [
        "traefik",
        "traefik.io/gateway-controller",
        "True",
    ]


def test_listeners_that_cannot_be_used(cluster: Cluster) -> None:
    status = get(cluster, "gateway broken")["status"]
    assert conditions(status) == ["Accepted=False ListenersNotValid: All Listeners must be valid"]
    assert {each["name"]: conditions(each) for each in status["listeners"]} == {
        "port": [
            "Accepted=False PortUnavailable: Cannot find entryPoint for Gateway: no matching entryPoint for port 81 and "
            'protocol "HTTP"'
        ],
        "cert": [
            "ResolvedRefs=False InvalidCertificateRef: Cannot load CertificateRef default/gone: secret default/gone not found",
            "Programmed=False Invalid: Invalid CertificateRefs",
        ],
        "theirs": [
            "ResolvedRefs=False RefNotPermitted: Cannot reference CertificateRef other/safe: missing ReferenceGrant",
            "Programmed=False Invalid: Invalid CertificateRefs",
        ],
        "tcp": ['Accepted=False UnsupportedProtocol: not simulated: protocol "TCP"'],
    }


def test_a_backend_that_comes_and_goes(cluster: Cluster) -> None:
    cluster.shell("kubectl create service clusterip late --tcp=80; kubectl set selector service late app=web")
    cluster.shell(
        "kubectl patch httproute gone --type=json -p "
        """'[{"op":"replace","path":"/spec/rules/0/backendRefs/0/name","value":"late"}]'; sleep 5"""
    )
    assert ask(cluster, "http://gone.example/", CODE) == "200 "
    assert conditions(get(cluster, "httproute gone")["status"]["parents"][0]) == [ACCEPTED, RESOLVED]
    cluster.shell("kubectl delete service late; sleep 5")
    assert ask(cluster, "http://gone.example/", CODE) == "500 "


def test_a_grant_that_is_withdrawn(cluster: Cluster) -> None:
    cluster.shell("kubectl get refgrant canary -n other -o yaml > grant; kubectl delete -f grant; sleep 5")
    assert ask(cluster, "http://a.example/?canary=1", CODE) == "500 "
    assert cluster.shell("kubectl describe httproute web | grep -c 'missing ReferenceGrant'").stdout == "1\n"
    cluster.shell("kubectl create -f grant; sleep 5")


HOSTNAMES = [
    # listener, route -> what both mean
    ("", [], []),
    ("", ["a.example"], ["a.example"]),
    ("a.example", [], ["a.example"]),
    ("a.example", ["a.example", "b.example"], ["a.example"]),
    ("*.example", ["a.example", "a.b.example"], ["a.example", "a.b.example"]),
    ("*.example", ["example"], None),
    ("a.example", ["*.example"], ["a.example"]),
    ("*.example", ["*.b.example"], ["*.b.example"]),
    ("*.b.example", ["*.example"], ["*.b.example"]),
    ("a.example", ["b.example"], None),
]


@pytest.mark.parametrize(("listener", "route", "expected"), HOSTNAMES)
def test_hostnames_in_common(listener: str, route: list[str], expected: list[str] | None) -> None:
    assert gateway_rules.matching_hostnames(listener, route) == expected


RULES: list[tuple[list[str], dict[str, Any], str, int]] = [
    ([], {}, "PathPrefix(`/`)", 1),
    (["a.example"], {"path": {"type": "Exact", "value": "/x"}}, "Host(`a.example`) && Path(`/x`)", 100_009),
    ([], {"path": {"type": "PathPrefix", "value": "/x/"}}, "(Path(`/x`) || PathPrefix(`/x/`))", 10_300),
    (
        ["a.example", "*.b.example"],
        {"method": "GET", "headers": [{"name": "A", "value": "1"}], "queryParams": [{"name": "q", "value": "2"}]},
        r"(Host(`a.example`) || HostRegexp(`^[a-z0-9-\.]+\.b\.example$`)) && PathPrefix(`/`) && Method(`GET`) && "
        "Header(`A`,`1`) && Query(`q`,`2`)",
        1 + 1000 + 100 + 10 + 11,
    ),
]


@pytest.mark.parametrize(("hostnames", "match", "rule", "priority"), RULES)
def test_rules_and_how_strong_they_are(hostnames: list[str], match: dict[str, Any], rule: str, priority: int) -> None:
    assert gateway_rules.match_rule(hostnames, match) == (rule, priority)
