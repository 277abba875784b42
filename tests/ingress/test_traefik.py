"""Traefik in its pod, as clients and pods see it."""

from __future__ import annotations

import json

import pytest
from ingresslab import apply

from kubesim.cluster import Cluster
from kubesim.programs import traefik, traefik_static

ARGS = ["--api.insecure", "--providers.kubernetesingress", "--entrypoints.web.address=:80", "--log.level=INFO", "--ping",
        "--entrypoints.websecure.address=:443", "--entrypoints.websecure.http.tls"]  # fmt: skip


def deploy(args: list[str], image: str = "traefik:v3.6") -> str:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "traefik", "namespace": "kube-system"},
        "spec": {"containers": [{"name": "traefik", "image": image, "args": args}]},
    }
    return apply(json.dumps(pod))


def ingress(name: str, host: str, service: str, path: str = "/", path_type: str = "Prefix") -> str:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": path, "pathType": path_type, "backend": backend}]}}
    spec = {"rules": [rule], "tls": [{"hosts": [host], "secretName": "web-tls"}]}
    obj = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec}
    return apply(json.dumps(obj))


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """kind with Traefik 3, two echoing pods behind a Service, and an Ingress for them."""
    found = Cluster("kind")
    found.shell(
        "kubectl create deployment web --image=registry.k8s.io/e2e-test-images/agnhost:2.53 --replicas=2 -- /agnhost netexec\n"
        "kubectl expose deployment web --port=80 --target-port=8080\n"
        + deploy(ARGS)
        + ingress("web", "web.example", "web")
        + ingress("gone", "gone.example", "gone")
        + "sleep 20"
    )
    return found


def node(cluster: Cluster, script: str) -> str:
    """What a script on a node prints; $T is Traefik's address."""
    address = cluster.shell("kubectl get pod -n kube-system traefik -o jsonpath='{.status.podIP}'").stdout
    terminal = cluster.terminal("node/kind-worker")
    result = cluster.run(terminal.run(f"T={address}\n{script}"))
    return str(result.stdout)


def test_requests_go_round_the_pods(cluster: Cluster) -> None:
    out = node(
        cluster, "for i in 1 2 3 4; do curl -s -H 'Host: web.example' http://$T/hostname; echo; done | sort | uniq -c"
    )
    assert [line.split()[0] for line in out.splitlines()] == ["2", "2"]


def test_the_pod_sees_traefik_and_who_asked(cluster: Cluster) -> None:
    script = """curl -s -H 'Host: web.example' -H 'X-Forwarded-For: 6.6.6.6' "http://$T/header?key=X-Forwarded-For" """
    seen = node(cluster, script)
    # The client's own claim is dropped; what stands there is the address that the connection came from.
    assert seen.count(".") == 3
    assert "6.6.6.6" not in seen


@pytest.mark.parametrize("host", ["other.example", "gone.example"])
def test_an_unknown_host_and_a_missing_service_are_404(cluster: Cluster, host: str) -> None:
    out = node(cluster, f"curl -s -w '%{{http_code}}' -H 'Host: {host}' http://$T/")
    assert out == "404 page not found\n404"


def test_the_api_tells_routers_and_pods(cluster: Cluster) -> None:
    routers = json.loads(node(cluster, "curl -s http://$T:8080/api/http/routers"))
    assert [(each["name"], each["rule"], each["priority"], each["status"]) for each in routers] == [
        ("default-web-web-example@kubernetes", 'Host("web.example") && PathPrefix("/")', 38, "enabled")
    ]
    service = json.loads(node(cluster, "curl -s http://$T:8080/api/http/services/default-web-80@kubernetes"))
    pods = cluster.shell("kubectl get pods -l app=web -o jsonpath='{.items[*].status.podIP}'").stdout.split()
    assert sorted(each["url"] for each in service["loadBalancer"]["servers"]) == sorted(
        f"http://{pod}:8080" for pod in pods
    )
    assert node(cluster, "curl -s http://$T:8080/ping") == "OK"


def test_a_name_without_certificate_gets_the_default_one(cluster: Cluster) -> None:
    out = node(
        cluster,
        "curl -skv --resolve web.example:443:$T https://web.example/ 2>&1 | grep -o 'CN=TRAEFIK DEFAULT CERT' | head -1",
    )
    assert out == "CN=TRAEFIK DEFAULT CERT\n"


def test_a_secret_of_tls_is_shown_to_those_who_name_its_host(cluster: Cluster) -> None:
    cluster.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=web.example\n"
        "kubectl create secret tls web-tls --cert=c --key=k; sleep 5"
    )
    script = "curl -skv --resolve {0}:443:$T https://{0}/hostname 2>&1 | grep -o 'CN=.*' | head -1"
    assert node(cluster, script.format("web.example")).startswith("CN=web.example")
    assert node(cluster, script.format("other.example")).startswith("CN=TRAEFIK DEFAULT CERT")


def test_it_bypasses_kube_proxy_unless_told_otherwise(cluster: Cluster) -> None:
    cluster.shell("kubectl annotate service web traefik.ingress.kubernetes.io/service.nativelb=true; sleep 5")
    address = cluster.shell("kubectl get service web -o jsonpath='{.spec.clusterIP}'").stdout
    service = json.loads(node(cluster, "curl -s http://$T:8080/api/http/services/default-web-80@kubernetes"))
    assert service["loadBalancer"]["servers"] == [{"url": f"http://{address}:80"}]
    assert node(cluster, "curl -s -o /dev/null -w '%{http_code}' -H 'Host: web.example' http://$T/hostname") == "200"
    cluster.shell("kubectl annotate service web traefik.ingress.kubernetes.io/service.nativelb-; sleep 5")


def test_a_sticky_cookie_keeps_to_one_pod(cluster: Cluster) -> None:
    cluster.shell("kubectl annotate service web traefik.ingress.kubernetes.io/service.sticky.cookie.name=lb; sleep 5")
    out = node(
        cluster,
        "C=$(curl -s -D - -o /dev/null -H 'Host: web.example' http://$T/hostname | grep -i set-cookie | grep -o 'lb=[^;]*')\n"
        'for i in 1 2 3 4; do curl -s -H "Cookie: $C" -H "Host: web.example" http://$T/hostname; echo; done | sort -u | wc -l',
    )
    assert out.strip() == "1"
    cluster.shell("kubectl annotate service web traefik.ingress.kubernetes.io/service.sticky.cookie.name-; sleep 5")


def test_no_pods_no_router(cluster: Cluster) -> None:
    cluster.shell("kubectl scale deployment web --replicas=0; sleep 45")
    assert node(cluster, "curl -s -H 'Host: web.example' http://$T/") == "404 page not found\n"
    cluster.shell("kubectl scale deployment web --replicas=2; sleep 10")
    assert node(cluster, "curl -s -o /dev/null -w '%{http_code}' -H 'Host: web.example' http://$T/hostname") == "200"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["--api", "--kubernetes", "--logLevel=INFO"],
            "failed to decode configuration from flags: field not found, node: kubernetes",
        ),
        (
            ["--providers.kubernetesingress.clas=x"],
            "failed to decode configuration from flags: field not found, node: clas",
        ),
    ],
)
def test_flags_that_it_does_not_know(args: list[str], words: str) -> None:
    with pytest.raises(traefik_static.ConfigurationError) as caught:
        traefik_static.read(args)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("tag", "release"), [("latest", "3.6.2"), ("1.7.13", "1.7.13"), ("v3.1", "3.1.0"), ("1.7-alpine", "1.7.34")]
)
def test_a_tag_means_a_release(tag: str, release: str) -> None:
    assert traefik.version(tag) == release


def test_openssl_shows_the_certificate_of_the_name_that_is_asked_for() -> None:
    cluster = Cluster("kind+traefik")
    done = cluster.shell(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=a.example\n"
        "kubectl create secret tls a --cert=c --key=k\n"
        "kubectl create ingress a --rule='a.example/*=a:80,tls=a'; kubectl create service clusterip a --tcp=80; sleep 5\n"
        "for name in a.example b.example; do openssl s_client -connect 172.18.0.3:30443 -servername $name </dev/null 2>/dev/null "
        "| openssl x509 -noout -subject; done\n"
        "openssl s_client -connect 172.18.0.3:30443 -noservername </dev/null 2>&1 | grep -e verify -e '^subject'\n"
        "openssl s_client -connect 172.18.0.3:30443 -servername a.example -CAfile c </dev/null | grep return\n"
        "openssl s_client -connect 172.18.0.3:1 </dev/null"
    )
    assert done.stdout.splitlines()[-6:] == [
        "subject=CN = a.example",
        "subject=CN = TRAEFIK DEFAULT CERT",
        "verify error:num=18:self-signed certificate",
        "verify return:1",
        "subject=CN = TRAEFIK DEFAULT CERT",
        "Verify return code: 0 (ok)",
    ]
    assert done.exit_code == 1
    assert "Connection refused" in done.stderr
