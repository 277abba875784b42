"""Manifests for exercises: the Deployment and the Service that most of them need, and the command that applies them.

Each is a YAML document as text; what an exercise adds to one is YAML in flow style.
"""

from __future__ import annotations

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"


def netexec(listens: int, more: str = "") -> str:
    """A container that says its pod's name on a port, and listens nowhere else; `more` of its fields."""
    args = f"[netexec, --http-port={listens}, --udp-port=-1]"
    return f"{{name: main, image: {AGNHOST}, args: {args}{', ' if more else ''}{more}}}"


def deployment(name: str, container: str, *, replicas: int = 1, labels: str = "", spec: str = "") -> str:
    """A Deployment that selects `app: NAME`; `labels` are more labels of its pods, `spec` more fields of their spec."""
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}{", " if labels else ""}{labels}}}}}
    spec: {{{spec}{", " if spec else ""}containers: [{container}]}}
"""


def service(name: str, ports: str, *, selector: str = "", spec: str = "") -> str:
    """A Service of those pods, or of what `selector` says ("team: red"); `ports` is a list, `spec` more fields."""
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{{selector or f"app: {name}"}}}, ports: {ports}{", " if spec else ""}{spec}}}
"""


def applied(*documents: str) -> str:
    """The command that applies the documents."""
    return f"kubectl apply -f - <<'EOF'\n{''.join(documents)}EOF\n"


def behind(
    name: str, ports: str, *, spec: str, replicas: int = 1, home: str = "", listens: int = 8080, selects: str = ""
) -> str:
    """The command that makes a program and its Service, and waits for it; its pods run on `home`, if there is one.  `spec` are
    more fields of the Service; it selects `app: NAME`, or what `selects` says in the name's place."""
    return (
        applied(
            deployment(name, netexec(listens), replicas=replicas, spec=f"nodeName: {home}" if home else ""),
            service(name, ports, selector=f"app: {selects or name}", spec=spec),
        )
        + f"kubectl rollout status deployment {name}\n"
    )
