"""The control plane's static pods, as `kubeadm init` writes them to /etc/kubernetes/manifests.

They are text, because learners edit them there (`sed -i`, a flag more for kube-apiserver) and the kubelet reads them again.
"""

from __future__ import annotations

from kubesim.presets.addons import by_version
from kubesim.presets.preset import NodeSpec, Preset

# kube-apiserver's default.
NODE_PORTS = "30000-32767"
ETCD = {16: "3.3.15-0", 21: "3.4.13-0", 22: "3.5.0-0", 24: "3.5.3-0", 28: "3.5.9-0", 36: "3.6.6-0"}

POD = """\
apiVersion: v1
kind: Pod
metadata:
{annotations}  labels:
    component: {component}
    tier: control-plane
  name: {component}
  namespace: kube-system
spec:
  containers:
  - command:
{command}
    image: {image}
    imagePullPolicy: IfNotPresent
    livenessProbe:
      failureThreshold: 8
      httpGet:
        host: {host}
        path: {path}
        port: {port}
        scheme: {scheme}
      initialDelaySeconds: 15
      periodSeconds: 10
      timeoutSeconds: 15
    name: {component}
    resources:
      requests:
        cpu: {cpu}
  hostNetwork: true
  priorityClassName: {priority}
"""


def static_pods(preset: Preset, node: NodeSpec) -> dict[str, str]:
    """File name -> YAML, for a control plane node."""
    return {f"{component}.yaml": _pod(preset, node, component) for component in COMPONENTS}


def _pod(preset: Preset, node: NodeSpec, component: str) -> str:
    flags, port, cpu = COMPONENTS[component]
    values = {
        "address": node.address,
        "name": node.name,
        "pods": preset.pod_cidr,
        "services": preset.service_cidr,
        "domain": preset.cluster_domain,
        "api_port": preset.api_port,
    }
    if component == "kube-apiserver" and preset.node_port_range != NODE_PORTS:
        flags = (*flags, f"--service-node-port-range={preset.node_port_range}")
    command = "\n".join(f"    - {each.format(**values)}" for each in (component, *flags))
    tag = by_version(ETCD, preset) if component == "etcd" else preset.version
    annotations = ""
    if component == "kube-apiserver":
        endpoint = f"{node.address}:{preset.api_port}"
        annotations = (
            f"  annotations:\n    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: {endpoint}\n"
        )
    return POD.format(
        component=component,
        annotations=annotations,
        command=command,
        image=f"{preset.registry}/{component}:{tag}",
        host=node.address if component == "kube-apiserver" else "127.0.0.1",
        path={"kube-apiserver": "/livez", "etcd": "/health"}.get(component, "/healthz"),
        port=port or preset.api_port,
        scheme="HTTP" if component == "etcd" else "HTTPS",
        cpu=cpu,
        priority="system-node-critical" if preset.minor >= 18 else "system-cluster-critical",
    )


# component: flags, the port of its health check (0: the API server's), its CPU request
COMPONENTS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "etcd": (
        (
            "--advertise-client-urls=https://{address}:2379",
            "--data-dir=/var/lib/etcd",
            "--initial-cluster={name}=https://{address}:2380",
            "--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--listen-peer-urls=https://{address}:2380",
            "--name={name}",
        ),
        2381,
        "100m",
    ),
    "kube-apiserver": (
        (
            "--advertise-address={address}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--etcd-servers=https://127.0.0.1:2379",
            "--secure-port={api_port}",
            "--service-cluster-ip-range={services}",
        ),
        0,
        "250m",
    ),
    "kube-controller-manager": (
        (
            "--allocate-node-cidrs=true",
            "--bind-address=127.0.0.1",
            "--cluster-cidr={pods}",
            "--kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--leader-elect=true",
            "--service-cluster-ip-range={services}",
            "--use-service-account-credentials=true",
        ),
        10257,
        "200m",
    ),
    "kube-scheduler": (
        (
            "--bind-address=127.0.0.1",
            "--kubeconfig=/etc/kubernetes/scheduler.conf",
            "--leader-elect=true",
        ),
        10259,
        "100m",
    ),
}
