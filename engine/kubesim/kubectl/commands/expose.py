"""kubectl expose: a Service for what runs already.

Source: kubectl `pkg/cmd/expose/expose.go`, `pkg/polymorphichelpers`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, making, printers, session
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

_EXPOSABLE = ("ReplicationController", "Service", "Pod", "Deployment", "ReplicaSet")


async def run(of: session.Session) -> None:
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    infos = await builder.infos(of, of.args)
    if len(infos) > 1:
        raise fail.Failed(f"error: multiple resources provided: {', '.join(info.label for info in infos)}")
    for info in infos:
        service = _service(of, info)
        if of.flags["overrides"]:
            service = _overridden(of, service)
        if dry_run == "client":
            deeds.done(service, "exposed", dry_run, served=False)
            continue
        query = [("dryRun", "All")] if dry_run == "server" else []
        query.append(("fieldManager", of.flags["field-manager"]))
        mapping = of.discovery.find("services")
        after = of.rest.ask("POST", mapping.path(of.namespace), body=service, query=query)
        deeds.done(after, "exposed", dry_run)


def _service(of: session.Session, info: builder.Info) -> Object:
    obj = info.obj or {}
    if info.mapping.kind not in _EXPOSABLE:
        group = f".{info.mapping.group}" if info.mapping.group else ""
        raise fail.Failed(f"error: cannot expose a {info.mapping.kind}{group}")
    selector = _selector(of, info, obj)
    headless = of.flags["cluster-ip"] == "None"
    ports = of.flags["port"] or ",".join(_ports(info, obj))
    if not ports and not headless:
        raise of.hint("couldn't find port via --port flag or introspection")
    labels = making.labels_of(of.flags["labels"]) if of.flags["labels"] else objects.labels(obj)
    name = of.flags["name"] or info.name[:63]
    made: Object = {"kind": "Service", "apiVersion": "v1", "metadata": making.metadata(of, name)}
    if labels:
        made["metadata"]["labels"] = labels
    spec: Object = {}
    if ports:
        spec["ports"] = _service_ports(of, ports.split(","), _protocols(info, obj))
    spec["selector"] = selector
    if of.flags["cluster-ip"]:
        spec["clusterIP"] = of.flags["cluster-ip"]
    if of.flags["type"]:
        spec["type"] = of.flags["type"]
    if of.flags["external-ip"]:
        spec["externalIPs"] = [of.flags["external-ip"]]
    affinity = of.flags["session-affinity"]
    if affinity:
        if affinity not in ("None", "ClientIP"):
            raise fail.Failed(f"error: unknown session affinity: {affinity}")
        spec["sessionAffinity"] = affinity
    if of.flags["load-balancer-ip"]:
        spec["loadBalancerIP"] = of.flags["load-balancer-ip"]
    made["spec"] = spec
    made["status"] = {"loadBalancer": {}}
    return made


def _selector(of: session.Session, info: builder.Info, obj: Object) -> dict[str, str]:
    if of.flags["selector"]:
        return making.labels_of(of.flags["selector"])
    kind = info.mapping.kind
    if kind == "Pod":
        labels = dict(objects.labels(obj))
        if not labels:
            raise _no_selector(of, "the pod has no labels and cannot be exposed")
        return labels
    selector = objects.get(obj, "spec.selector") or {}
    if kind in ("Service", "ReplicationController"):
        if not selector:
            raise _no_selector(
                of, f"the {'service' if kind == 'Service' else 'replication controller'} has no selector set"
            )
        return dict(selector)
    if selector.get("matchExpressions"):
        expressions = _go_expressions(selector["matchExpressions"])
        raise _no_selector(of, f'couldn\'t convert expressions - "[{expressions}]" to map-based selector format')
    labels = selector.get("matchLabels") or {}
    if not labels:
        raise _no_selector(
            of, "the deployment has no selector set" if kind == "Deployment" else "invalid replicaset: no selector"
        )
    return dict(labels)


def _go_expressions(expressions: list[Object]) -> str:
    return " ".join(
        f"{{{each.get('key')} {each.get('operator')} [{' '.join(each.get('values') or [])}]}}" for each in expressions
    )


def _no_selector(of: session.Session, why: str) -> fail.Failed:
    return fail.Failed(f"error: couldn't retrieve selectors via --selector flag or introspection: {why}")


def _pod_spec(info: builder.Info, obj: Object) -> Object:
    return objects.get(obj, "spec" if info.mapping.kind == "Pod" else "spec.template.spec", {})


def _all_ports(info: builder.Info, obj: Object) -> list[Object]:
    if info.mapping.kind == "Service":
        return objects.get(obj, "spec.ports", [])
    containers = _pod_spec(info, obj).get("containers") or []
    return [port for container in containers for port in container.get("ports") or ()]


def _number(port: Object) -> str:
    return str(port.get("containerPort") or port.get("port"))


def _ports(info: builder.Info, obj: Object) -> list[str]:
    return list(dict.fromkeys(_number(port) for port in _all_ports(info, obj)))


def _protocols(info: builder.Info, obj: Object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for port in _all_ports(info, obj):
        found.setdefault(_number(port), []).append(port.get("protocol") or "TCP")
    return found


def _service_ports(of: session.Session, ports: list[str], protocols: dict[str, list[str]]) -> list[Object]:
    made: list[Object] = []
    for index, text in enumerate(ports, 1):
        number = _port(text)
        given = [of.flags["protocol"]] if of.flags["protocol"] else protocols.get(text, ["TCP"])
        for protocol in given:
            entry: Object = {}
            if len(ports) > 1 or len(given) > 1:
                entry["name"] = f"port-{index}" + (f"-{protocol.lower()}" if len(given) > 1 else "")
            entry["protocol"] = protocol
            entry["port"] = number
            entry["targetPort"] = _target(of, number)
            made.append(entry)
    return made


def _port(text: str) -> int:
    if not text.isdigit():
        raise fail.Failed(f'error: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _target(of: session.Session, number: int) -> int | str:
    target = of.flags["target-port"] or of.flags["container-port"]
    if not target:
        return number
    return int(target) if target.isdigit() else str(target)


def _overridden(of: session.Session, service: Object) -> Object:
    import json

    from kubesim.machinery import patches

    try:
        merged: Object = patches.merge_patch(service, json.loads(of.flags["overrides"]))
    except ValueError as error:
        raise fail.Failed(f"error: invalid --overrides: {error}") from None
    return merged


COMMANDS = {
    "expose": Command(
        "expose",
        "Expose a resource as a new Kubernetes service.",
        run,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *flags.define(
                "port",
                "target-port",
                "container-port",
                "type",
                "name",
                "protocol",
                "selector",
                "labels,l",
                "external-ip",
                "load-balancer-ip",
                "cluster-ip",
                "session-affinity",
                "overrides",
                "override-type:=merge",
                "save-config:bool",
                "generator",
                "field-manager:=kubectl-expose",
            ),
        ),
        "(-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] "
        "[--external-ip=external-ip-of-service] [--type=type] [options]",
    )
}
