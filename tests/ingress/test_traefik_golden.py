"""Traefik's own tests of its Ingress provider, recorded as objects and the configuration that comes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kubesim.ingress import routing, rules
from kubesim.ingress.configuration import LOWEST, Configuration, Cookie, Router, Service

FLAGS = {
    "ingressClass": "ingress_class",
    "allowEmptyServices": "allow_empty_services",
    "allowExternalNameServices": "allow_external_name_services",
    "strictPrefixMatching": "strict_prefix_matching",
    "disableIngressClassLookup": "disable_ingress_class_lookup",
    "disableClusterScopeResources": "disable_cluster_scope_resources",
    "clusterScopeDisabled": "disable_cluster_scope_resources",
    "defaultRuleSyntax": "default_rule_syntax",
}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "golden" / "ingress" / "traefik.json").read_text())
    return found


def test_every_case(golden: dict[str, Any]) -> None:
    wrong = []
    for case in golden["cases"]:
        found = routing.configuration(_objects(case["objects"]), _options(case))
        if _as_go(found) != _expected(case["expected"]):
            wrong.append(f"{case['id']}\n  {_as_go(found)}\n  {_expected(case['expected'])}")
    assert not wrong, f"{len(wrong)} of {len(golden['cases'])} differ:\n" + "\n".join(wrong)


def test_strict_prefixes(golden: dict[str, Any]) -> None:
    for row in golden["strict_prefix_matching"]:
        rule = routing.path_rule("PathPrefix", row["path"], strict=True)
        assert rules.parse(rule)(rules.Facts(path=row["requestPath"])) == row["match"], (rule, row["requestPath"])


def _options(case: dict[str, Any]) -> routing.Options:
    given: dict[str, Any] = {FLAGS[key]: value for key, value in case["options"].items()}
    # The functions of upstream's test file set these for all their cases.
    if "NativeLBByDefault" in case["id"]:
        given["native_lb_by_default"] = True
    return routing.Options(**given)


def _objects(objects: list[dict[str, Any]]) -> routing.Objects:
    def key(obj: dict[str, Any]) -> tuple[str, str]:
        return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]

    def of(kind: str) -> list[dict[str, Any]]:
        return [each for each in objects if each["kind"] == kind]

    def slices(namespace: str, name: str) -> list[dict[str, Any]]:
        label = "kubernetes.io/service-name"
        return [
            each
            for each in of("EndpointSlice")
            if (key(each)[0], each["metadata"]["labels"][label]) == (namespace, name)
        ]

    return routing.Objects(
        ingresses=of("Ingress"),
        classes=of("IngressClass"),
        services={key(each): each for each in of("Service")},
        slices=slices,
        secrets={key(each): each for each in of("Secret")},
        nodes=of("Node"),
    )


def _as_go(found: Configuration) -> dict[str, Any]:
    return {
        "routers": {name: _router(each) for name, each in found.routers.items()},
        "services": {name: _service(each) for name, each in found.services.items()},
        "certificates": [list(pair) for pair in found.certificates],
    }


def _router(router: Router) -> dict[str, Any]:
    origin = router.origin
    assert origin is not None
    go: dict[str, Any] = {
        "Rule": router.rule,
        "Service": router.service,
        "EntryPoints": list(router.entry_points),
        "Middlewares": list(router.middlewares),
        "RuleSyntax": router.syntax,
        "Priority": {"$ident": "math.MinInt32"} if router.priority == LOWEST else router.priority,
        "Origin": _filled(
            {
                "Namespace": origin.namespace,
                "IngressName": origin.ingress,
                "ServiceName": origin.service,
                "ServicePort": origin.port,
            }
        ),
        "Observability": dict(router.observability),
    }
    if router.tls is not None:
        domains = [{"Main": main, "SANs": list(sans)} for main, sans in router.tls.domains]
        tls = {"Options": router.tls.options, "CertResolver": router.tls.cert_resolver, "Domains": domains}
        go["TLS"] = _filled(tls)
    return {**_filled(go), **({"TLS": go["TLS"]} if "TLS" in go else {})}


def _service(service: Service) -> dict[str, Any]:
    go: dict[str, Any] = {
        "PassHostHeader": service.pass_host_header,
        "ResponseForwarding": {"FlushInterval": "100ms"},
        "Servers": [{"URL": each.url, **({"Fenced": True} if each.fenced else {})} for each in service.servers],
        "Strategy": "wrr",
        "ServersTransport": service.transport,
    }
    if service.cookie is not None:
        go["Sticky"] = {"Cookie": _cookie(service.cookie)}
    return {"LoadBalancer": _filled(go)}


def _cookie(cookie: Cookie) -> dict[str, Any]:
    return _filled({"Name": cookie.name, "Path": cookie.path, "HTTPOnly": cookie.http_only, "Secure": cookie.secure})


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in ("", [], {}, None, 0, False)}


def _expected(expected: dict[str, Any]) -> dict[str, Any]:
    http = expected.get("HTTP") or {}
    routers = {}
    for name, each in (http.get("Routers") or {}).items():
        go = dict(each)
        seen = go.pop("Observability")
        go["Origin"] = _filled(seen["Metadata"]["Ingress"])
        names = {"AccessLogs": "accesslogs", "Metrics": "metrics", "Tracing": "tracing"}
        go["Observability"] = {lower: seen[key] for key, lower in names.items() if key in seen}
        tls = {"TLS": go["TLS"]} if "TLS" in go else {}
        routers[name] = {**_filled(go), **tls}
    services = {}
    for name, each in (http.get("Services") or {}).items():
        balancer = dict(each["LoadBalancer"])
        balancer["Servers"] = [_filled(server) for server in balancer.get("Servers", [])]
        services[name] = {"LoadBalancer": _filled(balancer)}
    certificates = []
    for each in (expected.get("TLS") or {}).get("Certificates") or ():
        pair = each["Certificate"]
        certificates.append([pair[name]["args"][0] for name in ("CertFile", "KeyFile")])
    return {"routers": routers, "services": services, "certificates": certificates}


def test_a_rule_is_asked() -> None:
    rule = rules.parse("Host(`a.example`) && (Path(`/x`) || !PathPrefix(`/y`))")
    asked = {path: rule(rules.Facts(host="A.example", path=path)) for path in ("/x", "/y/1", "/z")}
    assert asked == {"/x": True, "/y/1": False, "/z": True}
    assert not rule(rules.Facts(host="b.example", path="/x"))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("Hots(`a`)", "unsupported function: Hots"),
        ("Host(`a`", "unexpected the end"),
        ("Path(`x`)", "does not start with a '/'"),
        ("Host(`a`) &&", "unexpected the end"),
        ("Host(`a`, `b`)", "unexpected number of parameters; got 2"),
    ],
)
def test_a_wrong_rule_is_refused(rule: str, words: str) -> None:
    with pytest.raises(rules.RuleError, match=re.escape(words)):
        rules.parse(rule)
