"""Pods behind an ingress, and a client outside of the cluster who asks a node for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kubesim.cluster import Cluster

NODE = "172.18.0.3"
# Where a node answers, by the URL's scheme: Traefik at its Service's node ports, a router on the host's network at the usual.
NODE_PORTS = {"http": 30080, "https": 30443}
HOST_PORTS = {"http": 80, "https": 443}
# For curl: status and Location.
CODE = r"-o /dev/null -w '%{http_code} %{redirect_url}'"


def start(preset: str, script: str) -> Cluster:
    """A cluster in which the script ran and complained of nothing."""
    found = Cluster(preset)
    result = found.shell(script)
    assert result.stderr == "", result.stderr
    return found


def apply(*documents: str, options: str = "") -> str:
    stream = "\n---\n".join(documents)
    return f"kubectl apply {options} -f - <<'EOF'\n{stream}\nEOF\n"


def certificate(name: str) -> str:
    """NAME.crt and NAME.key for NAME.example, and a Secret of both."""
    return (
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name}.example 2>/dev/null\n"
        f"kubectl create secret tls {name} --cert={name}.crt --key={name}.key\n"
    )


def whoami(name: str, args: str = "", replicas: int = 1, namespace: str = "default", ports: str = "{port: 80}") -> str:
    """Pods that answer with what they were asked, and their Service."""
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: traefik/whoami, args: [{args}]}}]}}
---
{service_of(name, name, namespace, ports)}"""


def service_of(name: str, app: str, namespace: str = "default", ports: str = "{port: 80}") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {app}}}, ports: [{ports}]}}
"""


def ask(cluster: Cluster, url: str, options: str = "", ports: Mapping[str, int] = NODE_PORTS) -> str:
    """What curl prints; the URL says neither the port nor the node."""
    scheme, host = re.findall(r"^(https?)://([^/]+)", url)[0]
    place = f"{host}:{ports[scheme]}"
    address = url.replace(host, place, 1)
    return str(cluster.run_outside(f"curl -s {options} --resolve {place}:{NODE} '{address}'").stdout)
