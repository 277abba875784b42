"""Nodes, and what their pods ask of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kubesim.kubectl import fail
from kubesim.kubectl.describe.page import Page, date
from kubesim.machinery import objects, quantities

Object = dict[str, Any]

_INFO = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
    ("Kube-Proxy Version", "kubeProxyVersion"),
)


def node(page: Page, obj: Object) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    page.field("Name", objects.name(obj))
    page.field("Roles", ",".join(roles(obj)) or "<none>")
    page.labels("Labels", objects.labels(obj))
    page.annotations("Annotations", objects.annotations(obj))
    page.field("CreationTimestamp", date(obj["metadata"].get("creationTimestamp")))
    page.taints(spec.get("taints") or [])
    page.field("Unschedulable", "true" if spec.get("unschedulable") else "false")
    if page.of.minor >= 17:
        _lease(page, objects.name(obj))
    if status.get("conditions"):
        page.line(0, "Conditions:")
        page.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
        page.line(1, "----\t------\t-----------------\t------------------\t------\t-------")
        for each in status["conditions"]:
            page.line(
                1,
                f"{each['type']} \t{each['status']} \t{date(each.get('lastHeartbeatTime'))} \t"
                f"{date(each.get('lastTransitionTime'))} \t{each.get('reason', '')} \t{each.get('message', '')}",
            )
    page.line(0, "Addresses:")
    for each in status.get("addresses") or ():
        page.field(each["type"], each["address"], 1)
    for title in ("Capacity", "Allocatable"):
        amounts = status.get(title.lower())
        if amounts:
            page.line(0, f"{title}:")
            for name, amount in sorted(amounts.items()):
                page.field(name, quantities.canonical(amount), 1)
    info = status.get("nodeInfo") or {}
    page.line(0, "System Info:")
    for title, key in _INFO:
        if key != "kubeProxyVersion" or page.of.minor < 34:
            page.field(title, info.get(key, ""), 1)
    if spec.get("podCIDR"):
        page.field("PodCIDR", spec["podCIDR"])
    if spec.get("podCIDRs"):
        page.field("PodCIDRs", ",".join(spec["podCIDRs"]))
    if spec.get("providerID"):
        page.field("ProviderID", spec["providerID"])
    _resources(page, obj)
    page.events(obj)


def roles(obj: Object) -> list[str]:
    """Of the labels node-role.kubernetes.io/ROLE and kubernetes.io/role."""
    found = set()
    for key, value in objects.labels(obj).items():
        if key.startswith("node-role.kubernetes.io/"):
            role = key.removeprefix("node-role.kubernetes.io/")
            if role:
                found.add(role)
        elif key == "kubernetes.io/role" and value:
            found.add(value)
    return sorted(found)


def _lease(page: Page, name: str) -> None:
    try:
        lease = page.of.get(page.of.discovery.find("leases.coordination.k8s.io"), name, "kube-node-lease")
    except (fail.StatusError, fail.NoResource) as error:
        page.field("Lease", f"Failed to get lease: {error.message}")
        return
    spec = lease.get("spec") or {}
    page.line(0, "Lease:")
    page.field("HolderIdentity", spec.get("holderIdentity") or "<unset>", 1)
    page.field("AcquireTime", date(spec["acquireTime"]) if spec.get("acquireTime") else "<unset>", 1)
    page.field("RenewTime", date(spec["renewTime"]) if spec.get("renewTime") else "<unset>", 1)


def _requests(pod: Object, section: str, resource: str) -> quantities.Quantity:
    """What a pod asks: its containers together, or one init container if that is more (resource.PodRequestsAndLimits)."""
    spec = pod["spec"]

    def amount(container: Object) -> quantities.Quantity:
        value = ((container.get("resources") or {}).get(section) or {}).get(resource)
        return quantities.parse(value) if value is not None else quantities.ZERO

    total = quantities.ZERO
    for container in spec.get("containers") or ():
        total = total + amount(container)
    for container in spec.get("initContainers") or ():
        if total < amount(container):
            total = amount(container)
    overhead = (spec.get("overhead") or {}).get(resource)
    return total + quantities.parse(overhead) if overhead else total


def _share(amount: quantities.Quantity, of: quantities.Quantity) -> int:
    return int(Fraction(amount.value) / of.value * 100) if of.value else 0


def _resources(page: Page, obj: Object) -> None:
    status = obj.get("status") or {}
    fields = f"spec.nodeName={objects.name(obj)},status.phase!=Failed,status.phase!=Succeeded"
    found = page.list("pods", fields=fields)
    page.field("Non-terminated Pods", f"({len(found)} in total)")
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
    page.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---")
    there = {
        name: quantities.parse(value)
        for name, value in (status.get("allocatable") or status.get("capacity") or {}).items()
    }

    def cell(amount: quantities.Quantity, resource: str) -> str:
        return f"{amount} ({_share(amount, there.get(resource, quantities.ZERO))}%)"

    for pod in found:
        cells = [
            cell(_requests(pod, section, resource), resource)
            for resource in ("cpu", "memory")
            for section in ("requests", "limits")
        ]
        age = page.of.age(pod["metadata"].get("creationTimestamp"))
        page.line(1, f"{objects.namespace(pod)}\t{objects.name(pod)}\t\t" + "\t".join([*cells, age]))
    page.line(0, "Allocated resources:")
    page.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    page.line(1, "Resource\tRequests\tLimits")
    page.line(1, "--------\t--------\t------")
    standard = ["cpu", "memory", "ephemeral-storage"]
    huge = sorted(name for name in there if name.startswith("hugepages-"))
    others = sorted(name for name in there if "/" in name)
    for resource in (*standard, *huge, *others):
        totals = []
        for section in ("requests", "limits"):
            total = quantities.ZERO
            for pod in found:
                total = total + _requests(pod, section, resource)
            totals.append(cell(total, resource) if resource not in others else str(total))
        page.line(1, f"{resource}\t{totals[0]}\t{totals[1]}")
