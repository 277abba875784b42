"""What `kubeadm init` and the network plug-in put into kube-system: one function an add-on, giving its objects.

The shapes follow kubeadm's addon manifests (`cmd/kubeadm/app/phases/addons`), kind's kindnetd and local-path manifests, and
Calico's own; resources and volumes that nothing here looks at are left out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from kubesim.presets import bundles
from kubesim.presets.preset import Preset

Object = dict[str, Any]

# Image tags by Kubernetes minor version, as kubeadm's constants of that release name them.
COREDNS = {
    16: "1.6.2",
    18: "1.6.7",
    20: "1.7.0",
    21: "v1.8.0",
    22: "v1.8.4",
    24: "v1.8.6",
    28: "v1.10.1",
    36: "v1.13.1",
}
CALICO = {16: "v3.10.2", 22: "v3.20.0", 36: "v3.31.0"}


def objects(preset: Preset) -> list[Object]:
    """The objects of all the preset's add-ons, in the order in which they are applied."""
    return [obj for name in preset.addons for obj in ADDONS[name](preset)]


def by_version(table: dict[int, str], preset: Preset) -> str:
    """The newest entry that is not newer than the preset."""
    return table[max(minor for minor in table if minor <= preset.minor or minor == min(table))]


def _metadata(name: str, **labels: str) -> Object:
    return {"name": name, "namespace": "kube-system", **({"labels": labels} if labels else {})}


def _account(name: str, namespace: str = "kube-system") -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def _daemonset(name: str, labels: dict[str, str], spec: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _configmap_volume(name: str, configmap: str) -> Object:
    return {"name": name, "configMap": {"name": configmap}}


def kube_proxy_config(preset: Preset) -> str:
    """The KubeProxyConfiguration in the ConfigMap, as kubeadm marshals it: keys in order of the alphabet."""
    settings = {
        "bindAddress": "0.0.0.0",
        "clusterCIDR": preset.pod_cidr,
        "configSyncPeriod": "0s",
        "iptables.masqueradeAll": False,
        "iptables.masqueradeBit": None,
        "iptables.minSyncPeriod": "0s" if preset.minor < 22 else "1s",
        "iptables.syncPeriod": "30s" if preset.minor < 22 else "0s",
        "mode": "" if preset.minor < 22 else "iptables",
        **preset.proxy,
    }
    lines = ["apiVersion: kubeproxy.config.k8s.io/v1alpha1"]
    groups: dict[str, list[str]] = {}
    for key, value in settings.items():
        text = _scalar(value)
        group, dot, leaf = key.partition(".")
        if dot:
            groups.setdefault(group, []).append(f"  {leaf}: {text}")
        else:
            groups[key] = [f"{key}: {text}"]
    for key in sorted(groups):
        lines += ([f"{key}:"] if groups[key][0].startswith("  ") else []) + groups[key]
    lines.append("kind: KubeProxyConfiguration")
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return '""' if value == "" else str(value)


def kube_proxy(preset: Preset) -> list[Object]:
    labels = {"k8s-app": "kube-proxy"}
    return [
        _account("kube-proxy"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata("kube-proxy", app="kube-proxy"),
            "data": {"config.conf": kube_proxy_config(preset)},
        },
        _daemonset(
            "kube-proxy",
            labels,
            {
                "priorityClassName": "system-node-critical",
                "containers": [
                    {
                        "name": "kube-proxy",
                        "image": f"{preset.registry}/kube-proxy:{preset.version}",
                        "command": [
                            "/usr/local/bin/kube-proxy",
                            "--config=/var/lib/kube-proxy/config.conf",
                            "--hostname-override=$(NODE_NAME)",
                        ],
                        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                        "securityContext": {"privileged": True},
                        "volumeMounts": [{"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"}],
                    }
                ],
                "hostNetwork": True,
                "serviceAccountName": "kube-proxy",
                "nodeSelector": {_os_label(preset): "linux"},
                "tolerations": [{"operator": "Exists"}],
                "volumes": [_configmap_volume("kube-proxy", "kube-proxy")],
            },
        ),
    ]


def _os_label(preset: Preset) -> str:
    return "beta.kubernetes.io/os" if preset.minor < 18 else "kubernetes.io/os"


COREFILE = """\
.:53 {{
    errors
    health{lameduck}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa{ttl}
    }}
    prometheus :9153
    forward . /etc/resolv.conf{concurrent}
    cache 30{cache}
    loop
    reload
    loadbalance
}}
"""


def corefile(preset: Preset) -> str:
    """As `CoreDNSConfigMap` of that release's kubeadm has it.

    `ttl 30` came with 1.15 (kubernetes #76238); a cluster that was made before and upgraded since keeps its Corefile without
    it, and with that the plug-in's own five seconds.
    """
    domain = preset.cluster_domain
    return COREFILE.format(
        domain=domain,
        ttl=f"\n       ttl {preset.dns_ttl}" if preset.dns_ttl else "",
        lameduck=_block("lameduck 5s") if preset.minor >= 18 else "",
        concurrent=_block("max_concurrent 1000") if preset.minor >= 19 else "",
        cache=_block(f"disable success {domain}", f"disable denial {domain}") if preset.minor >= 34 else "",
    )


def _block(*lines: str) -> str:
    inner = "\n".join(f"       {line}" for line in lines)
    return f" {{\n{inner}\n    }}"


def coredns(preset: Preset) -> list[Object]:
    labels = {"k8s-app": "kube-dns"}
    return [
        _account("coredns"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata("coredns"),
            "data": {"Corefile": corefile(preset)},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                **_metadata(
                    "kube-dns",
                    **{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
                ),
                "annotations": {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
            },
            "spec": {
                "selector": labels,
                "clusterIP": preset.dns_address,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                    {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _metadata("coredns", **labels),
            "spec": {
                "replicas": preset.dns_replicas,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _coredns_spec(preset)},
            },
        },
    ]


def _coredns_spec(preset: Preset) -> Object:
    repository = "coredns" if preset.minor < 21 else "coredns/coredns"
    return {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        "nodeSelector": {_os_label(preset): "linux"},
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"},
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
        ],
        "containers": [
            {
                "name": "coredns",
                "image": f"{preset.registry}/{repository}:{by_version(COREDNS, preset)}",
                "imagePullPolicy": "IfNotPresent",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
                "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
                "ports": [
                    {"containerPort": 53, "name": "dns", "protocol": "UDP"},
                    {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
                    {"containerPort": 9153, "name": "metrics", "protocol": "TCP"},
                ],
                "livenessProbe": {
                    "httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"},
                    "initialDelaySeconds": 60,
                    "timeoutSeconds": 5,
                    "successThreshold": 1,
                    "failureThreshold": 5,
                },
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"}},
            }
        ],
        "dnsPolicy": "Default",
        "volumes": [
            {
                "name": "config-volume",
                "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]},
            }
        ],
    }


def kindnet(preset: Preset) -> list[Object]:
    labels = {"app": "kindnet", "k8s-app": "kindnet", "tier": "node"}
    return [
        _account("kindnet"),
        _daemonset(
            "kindnet",
            labels,
            {
                "hostNetwork": True,
                "serviceAccountName": "kindnet",
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "kindnet-cni",
                        "image": "docker.io/kindest/kindnetd:v20260528-1b0b7b9b",
                        "env": [
                            {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                            {"name": "POD_SUBNET", "value": preset.pod_cidr},
                        ],
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "50Mi"},
                            "limits": {"cpu": "100m", "memory": "50Mi"},
                        },
                    }
                ],
            },
        ),
    ]


def calico(preset: Preset) -> list[Object]:
    tag = by_version(CALICO, preset)
    node = {"k8s-app": "calico-node"}
    controllers = {"k8s-app": "calico-kube-controllers"}
    return [
        _account("calico-node"),
        _account("calico-kube-controllers"),
        _daemonset(
            "calico-node",
            node,
            {
                "priorityClassName": "system-node-critical",
                "hostNetwork": True,
                "serviceAccountName": "calico-node",
                "nodeSelector": {_os_label(preset): "linux"},
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "calico-node",
                        "image": f"calico/node:{tag}",
                        "env": [{"name": "CALICO_IPV4POOL_CIDR", "value": preset.pod_cidr}],
                    }
                ],
            },
        ),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _metadata("calico-kube-controllers", **controllers),
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": controllers},
                "template": {
                    "metadata": {"labels": controllers},
                    "spec": {
                        "serviceAccountName": "calico-kube-controllers",
                        "tolerations": [
                            {"key": "CriticalAddonsOnly", "operator": "Exists"},
                            {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"},
                        ],
                        "containers": [{"name": "calico-kube-controllers", "image": f"calico/kube-controllers:{tag}"}],
                    },
                },
            },
        },
    ]


def local_path_storage(preset: Preset) -> list[Object]:
    """kind's default storage provisioner, in a namespace of its own."""
    namespace = "local-path-storage"
    labels = {"app": "local-path-provisioner"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        _account("local-path-provisioner-service-account", namespace),
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "rancher.io/local-path",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "local-path-provisioner", "namespace": namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": "local-path-provisioner-service-account",
                        "nodeSelector": {"kubernetes.io/os": "linux"},
                        "tolerations": [
                            {
                                "key": "node-role.kubernetes.io/control-plane",
                                "operator": "Equal",
                                "effect": "NoSchedule",
                            },
                        ],
                        "containers": [
                            {
                                "name": "local-path-provisioner",
                                "image": "docker.io/kindest/local-path-provisioner:v20260131-7181c60a",
                            }
                        ],
                    },
                },
            },
        },
    ]


def flannel(preset: Preset) -> list[Object]:
    """Flannel, in the namespace of its own that it has since v0.19; by plain routes (its host-gw backend), as no tunnel is
    simulated."""
    import json

    namespace = "kube-flannel"
    labels = {"app": "flannel", "tier": "node"}
    backend = {"Network": preset.pod_cidr, "Backend": {"Type": "host-gw"}}
    daemonset = _daemonset(
        "kube-flannel-ds",
        labels,
        {
            "priorityClassName": "system-node-critical",
            "hostNetwork": True,
            "serviceAccountName": "flannel",
            "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
            "containers": [
                {
                    "name": "kube-flannel",
                    "image": "rancher/mirrored-flannelcni-flannel:v0.19.1",
                    "command": ["/opt/bin/flanneld"],
                    "args": ["--ip-masq", "--kube-subnet-mgr"],
                    "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}},
                    "volumeMounts": [{"name": "flannel-cfg", "mountPath": "/etc/kube-flannel/"}],
                }
            ],
            "volumes": [_configmap_volume("flannel-cfg", "kube-flannel-cfg")],
        },
    )
    daemonset["metadata"]["namespace"] = namespace
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        _account("flannel", namespace),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kube-flannel-cfg", "namespace": namespace, "labels": labels},
            "data": {"net-conf.json": json.dumps(backend, indent=2) + "\n"},
        },
        daemonset,
    ]


def traefik(preset: Preset) -> list[Object]:
    """Traefik 3 by the manifests that come along; behind a load balancer where something gives one."""
    found = bundles.objects("traefik")
    for obj in found:
        if obj["kind"] == "Deployment":
            args = obj["spec"]["template"]["spec"]["containers"][0]["args"]
            if "gateway-api" in preset.addons:
                args += bundles.GATEWAY_FLAGS
            if preset.cloud or "metallb" in preset.addons:
                args[:] = [word for arg in args for word in _behind_a_cloud(arg)]
        if (
            obj["kind"] == "Service"
            and obj["spec"].get("type") == "NodePort"
            and (preset.cloud or "metallb" in preset.addons)
        ):
            obj["spec"]["type"] = "LoadBalancer"
    return found


def _behind_a_cloud(arg: str) -> list[str]:
    """Where there is a load balancer its address is shown, instead of the machine's own name."""
    name, _, value = arg.partition("=")
    if value != "localhost":
        return [arg]
    start = name.removesuffix("hostname")
    if "gateway" in name:
        return [f"{start}service.name=traefik", f"{start}service.namespace=traefik"]
    return [f"{start}publishedservice=traefik/traefik"]


def gateway_api(preset: Preset) -> list[Object]:
    """The Gateway API's definitions, and Traefik's class where Traefik is."""
    return bundles.objects("gateway-api") + (bundles.file_objects("gateway-class") if "traefik" in preset.addons else [])


def openshift_router(preset: Preset) -> list[Object]:
    """OpenShift's Routes and its HAProxy router on the nodes' own ports."""
    return bundles.objects("openshift-router")


def metallb(preset: Preset) -> list[Object]:
    """MetalLB with a pool near the end of the nodes' network, as kind's own guide takes it, announced in layer 2."""
    last = ipaddress.ip_network(preset.lan).broadcast_address
    pool = f"{last - 55}-{last - 5}"

    def made(kind: str, spec: Object) -> Object:
        metadata = {"name": "default", "namespace": "metallb-system"}
        return {"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}

    announced = {"ipAddressPools": ["default"]}
    return [
        *bundles.objects("metallb"),
        made("IPAddressPool", {"addresses": [pool]}),
        made("L2Advertisement", announced),
    ]


ADDONS: dict[str, Callable[[Preset], list[Object]]] = {
    "kube-proxy": kube_proxy,
    "coredns": coredns,
    "kindnet": kindnet,
    "calico": calico,
    "flannel": flannel,
    "local-path-storage": local_path_storage,
    "traefik": traefik,
    "gateway-api": gateway_api,
    "openshift-router": openshift_router,
    "metallb": metallb,
}
