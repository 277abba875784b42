"""Traefik 3's custom resources: from IngressRoutes to what clients and pods see."""

from __future__ import annotations

import json
import re

import pytest
from ingresslab import CODE, apply, ask, certificate, service_of, start, whoami

from kubesim.cluster import Cluster
from kubesim.errors import LearnerError
from kubesim.ingress import crd, routing
from kubesim.ingress.configuration import Server, Service, Share
from kubesim.presets import bundles
from kubesim.programs import htpasswd

PODS = (
    whoami("web", replicas=2, ports="{name: http, port: 80}"),
    whoami("canary", "--name=canary"),
    service_of("empty", "nobody"),
)
OBJECTS = r"""
apiVersion: v1
kind: Service
metadata: {name: beyond}
spec: {type: ExternalName, externalName: example.com, ports: [{port: 80}]}
---
apiVersion: v1
kind: Secret
metadata: {name: users}
stringData: {users: "jane:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: strip}
spec: {stripPrefix: {prefixes: [/api]}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: add}
spec: {addPrefix: {prefix: /v1}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: secure}
spec: {redirectScheme: {scheme: https, port: "30443", permanent: true}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: away}
spec: {redirectRegex: {regex: '^http://([^/]+)/old/(.*)', replacement: 'http://$1/new/${2}'}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: headers}
spec:
  headers:
    customRequestHeaders: {X-Team: blue, User-Agent: ""}
    customResponseHeaders: {X-Powered-By: coffee}
    frameDeny: true
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: near}
spec: {ipAllowList: {sourceRange: [203.0.113.0/24]}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: auth}
spec: {basicAuth: {secret: users, headerField: X-User, removeHeader: true}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: both}
spec: {chain: {middlewares: [{name: strip}, {name: add}]}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: limit}
spec: {rateLimit: {average: 5}}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: mix}
spec:
  weighted:
    services: [{name: web, port: 80, weight: 3}, {name: canary, port: 80}]
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop}
spec:
  entryPoints: [web]
  routes:
  - {kind: Rule, match: Host(`a.example`) && Path(`/exact`), services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`a.example`) && PathPrefix(`/api`), middlewares: [{name: strip}], services: [{name: web}]}
  - {kind: Rule, match: Host(`a.example`) && PathPrefix(`/both`), middlewares: [{name: both}], services: [{name: web}]}
  - {kind: Rule, match: Host(`a.example`) && PathPrefix(`/add`), middlewares: [{name: add}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: 'Host(`a.example`) && PathRegexp(`^/n[0-9]+$`)', services: [{name: web, port: 80}]}
  - {kind: Rule, match: 'HostRegexp(`^[a-z]+\.b\.example$`) && !Method(`POST`)', services: [{name: web, port: 80}]}
  - {kind: Rule, match: 'Host(`c.example`) && (Header(`X-Canary`, `yes`) || Query(`canary`, `1`))', services: [{name: canary}]}
  - {kind: Rule, match: Host(`c.example`), priority: 1, services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`old.example`), middlewares: [{name: away}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`plain.example`), middlewares: [{name: secure}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`headers.example`), middlewares: [{name: headers}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`near.example`), middlewares: [{name: near}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`auth.example`), middlewares: [{name: auth}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`limit.example`), middlewares: [{name: limit}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`nowhere.example`), middlewares: [{name: nobody}], services: [{name: web, port: 80}]}
  - {kind: Rule, match: Hostname(`wrong.example`), services: [{name: web, port: 80}]}
  - {kind: Rule, match: Host(`mix.example`), services: [{name: mix, kind: TraefikService}]}
  - {kind: Rule, match: Host(`empty.example`), services: [{name: empty, port: 80}]}
  - {kind: Rule, match: Host(`beyond.example`), services: [{name: beyond, port: 80}]}
  - {kind: Rule, match: Host(`gone.example`), services: [{name: gone, port: 80}]}
  - {kind: Rule, match: Host(`native.example`), services: [{name: web, port: 80, nativeLB: true}]}
  - {kind: Rule, match: Host(`own.example`), services: [{name: web, port: 80, passHostHeader: false}]}
  - kind: Rule
    match: Host(`sticky.example`)
    services: [{name: web, port: 80, sticky: {cookie: {name: lb, httpOnly: true, sameSite: lax}}}]
---
apiVersion: traefik.io/v1alpha1
kind: TLSOption
metadata: {name: modern}
spec: {minVersion: VersionTLS13}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: plain
  annotations: {traefik.ingress.kubernetes.io/router.middlewares: "default-strip@kubernetescrd,default-headers@kubernetescrd"}
spec:
  rules:
  - host: ing.example
    http: {paths: [{path: /api, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: safe}
spec:
  entryPoints: [websecure]
  routes:
  - {kind: Rule, match: Host(`safe.example`), services: [{name: web, port: 80}]}
  tls: {secretName: safe}
"""


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return start("kind+traefik", certificate("safe") + apply(OBJECTS, *PODS) + "sleep 10\n")


SEEN = [
    # What is asked -> the line that the pod saw.
    ("http://a.example/exact", "", "GET /exact HTTP/1.1"),
    ("http://a.example/api/x?y=1", "", "GET /x?y=1 HTTP/1.1"),
    ("http://a.example/api", "", "GET / HTTP/1.1"),
    ("http://a.example/api/x", "", "X-Forwarded-Prefix: /api"),
    ("http://a.example/both/x", "", "GET /v1/both/x HTTP/1.1"),
    ("http://a.example/add/x", "", "GET /v1/add/x HTTP/1.1"),
    ("http://a.example/n12", "", "GET /n12 HTTP/1.1"),
    ("http://xyz.b.example/", "", "Host: xyz.b.example:30080"),
    ("http://c.example/?canary=1", "", "Name: canary"),
    ("http://c.example/", "-H 'X-Canary: yes'", "Name: canary"),
    ("http://old.example/here", "", "GET /here HTTP/1.1"),
    ("http://headers.example/", "", "X-Team: blue"),
    ("http://ing.example/api/x", "", "GET /x HTTP/1.1"),
    ("http://ing.example/api/x", "", "X-Team: blue"),
    ("http://auth.example/", "-u jane:secret", "X-User: jane"),
    ("http://a.example/exact", "", "X-Forwarded-Host: a.example:30080"),
    ("http://a.example/exact", "-H 'X-Forwarded-For: 6.6.6.6'", "X-Forwarded-Proto: http"),
    ("https://safe.example/", "-k", "X-Forwarded-Proto: https"),
]


@pytest.mark.parametrize(("url", "options", "line"), SEEN)
def test_what_the_pod_sees(cluster: Cluster, url: str, options: str, line: str) -> None:
    assert line in ask(cluster, url, options).splitlines()


ANSWERED = [
    # What is asked -> status and Location
    ("http://a.example/exact/more", "", "404 "),
    ("http://a.example/n12x", "", "404 "),
    ("http://xyz.b.example/", "-X POST", "404 "),
    ("http://old.example/old/x?y=1", "", "302 http://old.example:30080/new/x?y=1"),
    ("http://plain.example/x", "", "301 https://plain.example:30443/x"),
    ("http://plain.example/x", "-X POST", "308 https://plain.example:30443/x"),
    ("http://near.example/", "", "403 "),
    ("http://auth.example/", "", "401 "),
    ("http://auth.example/", "-u jane:guess", "401 "),
    ("http://limit.example/", "", "404 "),
    ("http://nowhere.example/", "", "404 "),
    ("http://wrong.example/", "", "404 "),
    ("http://empty.example/", "", "503 "),
    ("http://beyond.example/", "", "404 "),
    ("http://gone.example/", "", "404 "),
    ("http://native.example/", "", "200 "),
    # A router of the entry point with TLS, asked without.
    ("http://safe.example/", "", "404 "),
    ("https://a.example/exact", "-k", "404 "),
]


@pytest.mark.parametrize(("url", "options", "expected"), ANSWERED)
def test_how_it_is_answered(cluster: Cluster, url: str, options: str, expected: str) -> None:
    assert ask(cluster, url, f"{CODE} {options}") == expected


def test_headers_on_the_way_out(cluster: Cluster) -> None:
    out = ask(cluster, "http://headers.example/", "-D -").replace("\r", "")
    assert "X-Powered-By: coffee\n" in out
    assert "X-Frame-Options: DENY\n" in out
    assert "User-Agent" not in out


def test_an_own_host_header(cluster: Cluster) -> None:
    assert re.search(r"^Host: 10\.244\.\d+\.\d+:80$", ask(cluster, "http://own.example/"), re.MULTILINE)


def test_why_not_is_in_the_log_and_in_the_api(cluster: Cluster) -> None:
    log = cluster.shell("kubectl logs -n traefik deploy/traefik").stdout
    told = re.findall(r"^\S+ ERR (.*)$", log, re.MULTILINE)
    mark = {each["rule"]: each["name"] for each in routers(cluster)}
    assert sorted(told) == sorted(
        [
            'error="externalName services not allowed: default/beyond" ingress=shop namespace=default '
            "providerName=kubernetescrd",
            "not simulated: TLSOption name=modern namespace=default providerName=kubernetescrd",
            'error="kubernetes service not found: default/gone" ingress=shop namespace=default '
            "providerName=kubernetescrd",
            'error="not simulated: middleware rateLimit" entryPointName=web '
            f"routerName={mark['Host(`limit.example`)']}",
            'error="middleware \\"default-nobody@kubernetescrd\\" does not exist" entryPointName=web '.replace("\\", "")
            + f"routerName={mark['Host(`nowhere.example`)']}",
            'error="error while parsing rule Hostname(`wrong.example`): unsupported function: Hostname" '
            f"entryPointName=web routerName={mark['Hostname(`wrong.example`)']}",
        ]
    )
    broken = {each["rule"]: each["error"] for each in routers(cluster) if each["status"] == "disabled"}
    assert broken == {
        "Host(`limit.example`)": ["not simulated: middleware rateLimit"],
        "Host(`nowhere.example`)": ['middleware "default-nobody@kubernetescrd" does not exist'],
        "Hostname(`wrong.example`)": [
            "error while parsing rule Hostname(`wrong.example`): unsupported function: Hostname"
        ],
    }


def api(cluster: Cluster, path: str) -> object:
    raw = f"/api/v1/namespaces/traefik/services/traefik-api:8080/proxy/api/{path}"
    return json.loads(cluster.shell(f"kubectl get --raw {raw}").stdout)


def routers(cluster: Cluster) -> list[dict[str, object]]:
    found = api(cluster, "http/routers")
    assert isinstance(found, list)
    return found


def test_the_api_tells_of_weights_and_middlewares(cluster: Cluster) -> None:
    assert api(cluster, "http/services/default-mix@kubernetescrd") == {
        "weighted": {"services": [{"name": "default-web-80", "weight": 3}, {"name": "default-canary-80", "weight": 1}]},
        "status": "enabled",
        "usedBy": [each["name"] for each in routers(cluster) if each["rule"] == "Host(`mix.example`)"],
        "name": "default-mix@kubernetescrd",
        "provider": "kubernetescrd",
        "type": "weighted",
    }
    strip = api(cluster, "http/middlewares/default-strip@kubernetescrd")
    assert isinstance(strip, dict)
    assert (strip["type"], strip["stripPrefix"], len(strip["usedBy"])) == ("stripprefix", {"prefixes": ["/api"]}, 2)
    overview = api(cluster, "overview")
    assert isinstance(overview, dict)
    assert overview["providers"] == ["KubernetesIngress", "KubernetesCRD"]
    assert overview["http"]["routers"]["errors"] == 3


def test_weights(cluster: Cluster) -> None:
    out = cluster.run_outside(
        "for i in $(seq 8); do curl -s --resolve mix.example:30080:172.18.0.3 http://mix.example:30080/; done | grep -c '^Name'"
    )
    assert out.stdout == "2\n"


def test_a_cookie_keeps_to_one_pod(cluster: Cluster) -> None:
    out = cluster.run_outside(
        "U='--resolve sticky.example:30080:172.18.0.3 http://sticky.example:30080/'\n"
        "curl -s -D - -o /dev/null $U | grep -i set-cookie\n"
        "C=$(curl -s -D - -o /dev/null $U | grep -i set-cookie | grep -o 'lb=[^;]*')\n"
        'for i in 1 2 3 4; do curl -s -H "Cookie: $C" $U | grep Hostname; done | sort -u | wc -l'
    ).stdout
    first, count = out.replace("\r", "").splitlines()
    assert re.fullmatch(r"Set-Cookie: lb=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax", first)
    assert count.strip() == "1"


def test_the_certificate_is_the_secret_s(cluster: Cluster) -> None:
    assert "subject: CN=safe.example" in ask(cluster, "https://safe.example/", "-kv 2>&1")
    assert "subject: CN=TRAEFIK DEFAULT CERT" in ask(cluster, "https://other.example/", "-kv 2>&1")


def test_the_access_log_says_which_pod_or_which_address(cluster: Cluster) -> None:
    ask(cluster, "http://native.example/mark")
    ask(cluster, "http://a.example/api/mark")
    lines = [
        line for line in cluster.shell("kubectl logs -n traefik deploy/traefik").stdout.splitlines() if "/mark " in line
    ]
    service = cluster.shell("kubectl get svc web -o jsonpath='{.spec.clusterIP}'").stdout
    pods = cluster.shell("kubectl get pods -l app=web -o jsonpath='{.items[*].status.podIP}'").stdout.split()
    assert f'"http://{service}:80"' in lines[0]
    assert re.findall(r'"http://([0-9.]+):80"', lines[1])[0] in pods


def test_it_follows_changes(cluster: Cluster) -> None:
    cluster.shell(
        "kubectl patch ingressroute safe --type=json -p "
        """'[{"op":"replace","path":"/spec/routes/0/match","value":"Host(`new.example`)"}]'; sleep 5"""
    )
    assert ask(cluster, "https://new.example/", f"-k {CODE}") == "200 "
    assert ask(cluster, "https://safe.example/", f"-k {CODE}") == "404 "


# -- what the provider makes of objects ---------------------------------------------------------------------------


def service(name: str, **spec: object) -> dict[str, object]:
    metadata = {"name": name, "namespace": "shop"}
    return {"metadata": metadata, "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}], **spec}}


def load(route: dict[str, object], **options: bool) -> crd.Configuration:
    obj = {"metadata": {"name": "r", "namespace": "shop"}, "spec": {"routes": [{"match": "Host(`x`)", **route}]}}
    services = [
        service("web"),
        service("none", clusterIP="None"),
        service("named", ports=[{"port": 80, "name": "a"}, {"port": 443}]),
    ]
    slices = [
        {
            "ports": [{"name": "", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": True}}],
        }
    ]
    return crd.configuration(
        crd.Objects(
            routes=[obj],
            services={("shop", each["metadata"]["name"]): each for each in services},  # type: ignore[index]
            slices=lambda _namespace, name: slices if name == "web" else [],
        ),
        crd.Options(**options),
    )


NAME = f"shop-r-{routing.rule_mark('Host(`x`)')}"
REFUSED = [
    ({"services": [{"name": "gone", "port": 80}]}, "kubernetes service not found: shop/gone"),
    ({"services": [{"name": "web", "port": 81}]}, "service port not found: shop/web"),
    ({"services": [{"name": "named"}]}, "service port not found: shop/named"),
    ({"services": [{"name": "none", "port": 80}]}, "no endpoints found for shop/none"),
    (
        {"services": [{"name": "web", "namespace": "other"}]},
        "service other/web not in the parent resource namespace shop",
    ),
    (
        {"services": [{"name": "none", "port": 80, "nativeLB": True}]},
        "getting native Kubernetes Service address: no clusterIP found for service: shop/none",
    ),
]


@pytest.mark.parametrize(("route", "words"), REFUSED)
def test_routes_that_come_to_nothing(route: dict[str, object], words: str) -> None:
    found = load(route)
    assert found.problems == [f'error="{words}" ingress=r namespace=shop']
    assert found.routers == {}


MADE = [
    ({"services": [{"name": "web", "port": 80}]}, {NAME: Service(servers=(Server(url="http://10.244.0.5:8080"),))}),
    (
        {"services": [{"name": "web", "port": 80, "nativeLB": True, "scheme": "https"}]},
        {NAME: Service(servers=(Server(url="https://10.96.0.9:80"),))},
    ),
    (
        {"services": [{"name": "web", "port": 80, "weight": 2}, {"name": "mine", "kind": "TraefikService"}]},
        {
            "shop-web-80": Service(servers=(Server(url="http://10.244.0.5:8080"),)),
            NAME: Service(shares=(Share(name="shop-web-80", weight=2), Share(name="shop-mine"))),
        },
    ),
]


@pytest.mark.parametrize(("route", "services"), MADE)
def test_services_of_routes(route: dict[str, object], services: dict[str, Service]) -> None:
    found = load(route)
    assert found.problems == []
    assert found.services == services
    assert found.routers[NAME].service == NAME


@pytest.mark.parametrize(
    ("password", "digest"),
    [
        # `openssl passwd -apr1 -salt abcdefgh secret`, and of a long one; `htpasswd -nbs`
        ("secret", "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
        ("a password of more than sixteen letters", "$apr1$xyz$4GAo4ALPYHBei651z2NH6."),
        ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    ],
)
def test_htpasswd(password: str, digest: str) -> None:
    assert htpasswd.matches(password, digest)
    assert not htpasswd.matches(password + "x", digest)


def test_an_ingress_says_where_it_is_reached(cluster: Cluster) -> None:
    assert cluster.shell("kubectl get ingress plain --no-headers").stdout.split()[:5] == [
        "plain", "traefik", "ing.example", "localhost", "80",
    ]  # fmt: skip


def test_behind_a_cloud_s_balancer_it_is_the_service_s_address() -> None:
    cloud = Cluster("cloud+traefik")
    cloud.shell("kubectl create ingress web --rule='web.example/*=web:80'; sleep 90")
    address = cloud.shell(
        "kubectl get svc traefik -n traefik -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"
    ).stdout
    assert address.count(".") == 3
    assert cloud.shell("kubectl get ingress web -o jsonpath='{.status.loadBalancer.ingress[0].ip}'").stdout == address


def test_an_add_on_that_is_not_there_is_named() -> None:
    with pytest.raises(LearnerError, match="no add-on 'traffic'") as caught:
        Cluster("kind+traffic")
    assert "traefik" in caught.value.remedy


@pytest.mark.parametrize("name", ["traefik", "traefik-gateway", "gateway-api", "openshift-router"])
def test_manifests_can_be_applied_by_hand(name: str) -> None:
    """In an empty cluster; what needs definitions that are not there is told by kubectl."""
    result = Cluster("bare").shell(apply(bundles.text(name)))
    missing = 'no matches for kind "GatewayClass"' in result.stderr
    assert (result.exit_code, missing) == ((1, True) if name == "traefik-gateway" else (0, False))
