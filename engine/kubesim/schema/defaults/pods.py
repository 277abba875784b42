"""Defaults of pods and of pod templates (`pkg/apis/core/v1/defaults.go`, SetDefaults_PodSpec and its kin)."""

from __future__ import annotations

import re
from typing import Any

Object = dict[str, Any]

GRACE = 30  # seconds: DefaultTerminationGracePeriodSeconds
MODE = 420  # 0644: VolumeSourceDefaultMode and its kin
TOKEN_SECONDS = 3600  # a projected service account token lives an hour


def pod(obj: Object, minor: int) -> None:
    spec = obj["spec"]
    if minor >= 13:
        spec.setdefault("enableServiceLinks", True)
    for container in (*(spec.get("containers") or ()), *spec.get("initContainers", ())):
        _requests_of_limits(container)
    pod_spec(spec)


def pod_template(obj: Object, minor: int) -> None:
    pod_spec(obj["template"]["spec"])


def template(obj: Object) -> None:
    """The template of a workload's spec."""
    spec = obj.setdefault("template", {"metadata": {}, "spec": {"containers": None}}).get("spec")
    if spec:
        pod_spec(spec)


def pod_spec(spec: Object) -> None:
    for volume in spec.get("volumes", ()):
        _volume(volume)
    host_network = spec.get("hostNetwork", False)
    for container in spec.get("initContainers", ()):
        _container(container, host_network)
    for container in spec.get("containers") or ():
        _container(container, host_network)
    for container in spec.get("ephemeralContainers", ()):
        _container(container, False)
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", GRACE)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        # The old field and the new one are kept alike (Convert_core_PodSpec_To_v1_PodSpec).
        name = spec.get("serviceAccountName") or spec["serviceAccount"]
        spec["serviceAccountName"] = spec["serviceAccount"] = name
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")


def _requests_of_limits(container: Object) -> None:
    resources = container["resources"]
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def pull_policy(image: str) -> str:
    """Always for the tag `latest` or none, unless a digest fixes the image."""
    if "@" in image:
        return "IfNotPresent"
    tag = re.search(r":([^/:]+)$", image)
    return "Always" if tag is None or tag[1] == "latest" else "IfNotPresent"


def _container(container: Object, host_network: bool) -> None:
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if host_network and not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]
    for variable in container.get("env", ()):
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _http_get(handler)
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    capabilities = container.get("securityContext")
    if capabilities and "procMount" in capabilities:
        capabilities["procMount"] = capabilities["procMount"] or "Default"


def _http_get(handler: Object) -> None:
    get = handler.get("httpGet")
    if get is not None:
        get.setdefault("path", "/")
        get.setdefault("scheme", "HTTP")


def _probe(probe: Object) -> None:
    _http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)


def _volume(volume: Object) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI"):
        if source in volume:
            volume[source].setdefault("defaultMode", MODE)
    for item in (volume.get("downwardAPI") or {}).get("items", ()):
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if "projected" in volume:
        projected = volume["projected"]
        for source in projected.get("sources") or ():
            if "serviceAccountToken" in source:
                source["serviceAccountToken"].setdefault("expirationSeconds", TOKEN_SECONDS)
            for item in (source.get("downwardAPI") or {}).get("items", ()):
                if "fieldRef" in item:
                    item["fieldRef"].setdefault("apiVersion", "v1")
        projected.setdefault("defaultMode", MODE)
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim:
        claim["spec"].setdefault("volumeMode", "Filesystem")
