"""Probes by gRPC: a health service answers over HTTP/2, and the kubelet listens."""

from __future__ import annotations

import pytest

from kubesim.cluster import Cluster
from kubesim.programs import grpc

POD = """\
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Pod
metadata: {name: health, labels: {app: health}}
spec:
  containers:
  - name: agnhost
    image: registry.k8s.io/e2e-test-images/agnhost:2.53
    args: [ARGS]
    readinessProbe: {periodSeconds: 1, failureThreshold: 1, grpc: {port: 5000SERVICE}}
EOF
kubectl expose pod health --port 80 --target-port 8080
sleep 8
"""
READY = "kubectl get pod health -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'"
LAST = "kubectl get events --field-selector reason=Unhealthy -o jsonpath='{.items[-1:].message}'"


@pytest.fixture
def start(cluster: Cluster):
    def run(args: str, service: str = "") -> str:
        done = cluster.shell(POD.replace("ARGS", args).replace("SERVICE", f", service: {service}" if service else ""))
        assert done.exit_code == 0, done.stderr
        return cluster.shell(READY).stdout

    return run


def test_a_service_that_serves_is_ready_until_it_says_otherwise(cluster: Cluster, start) -> None:
    assert start("grpc-health-checking") == "True"
    address = cluster.shell("kubectl get pod health -o jsonpath='{.status.podIP}'").stdout
    cluster.shell(f"curl -s {address}:8080/make-not-serving; sleep 3")
    assert cluster.shell(READY).stdout == "False"
    assert cluster.shell(LAST).stdout == 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'
    path = '{.items[?(@.metadata.generateName=="health-")].endpoints[0].conditions.ready}'
    slices = f"kubectl get endpointslices -o jsonpath='{path}'"
    assert cluster.shell(slices).stdout == "false"
    cluster.shell(f"curl -s {address}:8080/make-serving; sleep 3")
    assert cluster.shell(READY).stdout == "True"


@pytest.mark.parametrize(
    ("args", "service", "says"),
    [
        ("grpc-health-checking", "orders", "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"),
        ("netexec, --http-port=5000", "", "error: health rpc probe failed: rpc error: code = Unavailable desc = "),
        ("pause", "", 'error: failed to connect service at "ADDRESS:5000": connection error: desc = "transport: Error while '
                      'dialing: dial tcp ADDRESS:5000: connect: connection refused"'),
    ],
)  # fmt: skip
def test_what_the_kubelet_says(cluster: Cluster, start, args: str, service: str, says: str) -> None:
    assert start(args, service) == "False"
    address = cluster.shell("kubectl get pod health -o jsonpath='{.status.podIP}'").stdout
    assert cluster.shell(LAST).stdout.startswith("Readiness probe failed: " + says.replace("ADDRESS", address))


def test_headers_go_there_and_back() -> None:
    pairs = [(":path", grpc.PATH), ("content-type", "application/grpc")]
    assert grpc.parse_headers(grpc.headers(pairs)) == pairs
    # RFC 7541, C.2.4: an indexed field; 6.2.1: a literal with the static table's name.
    assert grpc.parse_headers(b"\x82\x83") == [(":method", "GET"), (":method", "POST")]
    assert grpc.parse_headers(b"\x44\x0c/sample/path") == [(":path", "/sample/path")]
    with pytest.raises(grpc.GrpcError, match="Huffman"):
        grpc.parse_headers(b"\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff")
