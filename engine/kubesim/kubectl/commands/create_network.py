"""kubectl create service, ingress.

Source: kubectl `pkg/cmd/create/create_service.go`, `create_ingress.go`.
"""

from __future__ import annotations

import re
from typing import Any

from kubesim.kubectl import creating, fail, flags, making, session
from kubesim.kubectl.command import Command

Object = dict[str, Any]


def _ports(of: session.Session) -> list[Object]:
    """--tcp=PORT[:TARGET]: named "80" or "80-8080"."""
    ports = []
    for text in of.flags["tcp"]:
        first, colon, second = text.partition(":")
        number = making.port_number(first)
        target: int | str = number
        if colon:
            if second.isdigit():
                target = making.port_number(second)
            else:
                from kubesim.machinery import names

                errors = names.port_name(second)
                if errors:
                    raise fail.Failed(f"error: {','.join(errors)}")
                target = second
        ports.append(
            {
                "name": text.replace(":", "-"),
                "protocol": "TCP",
                "port": number,
                "targetPort": target,
            }
        )
    return ports


def _service(of: session.Session, kind: str, ports_needed: bool = True) -> None:
    name = creating.one_name(of)
    ports = _ports(of)
    if ports_needed and not ports:
        raise fail.Failed("error: at least one tcp port specifier must be provided")
    labels = {"app": name}
    made = making.obj(of, "v1", "Service", name, labels)
    spec: Object = {}
    if ports:
        node_port = of.flags.get("node-port") or 0
        spec["ports"] = [{**port, "nodePort": node_port} if node_port else port for port in ports]
    spec["selector"] = labels
    if of.flags.get("clusterip"):
        spec["clusterIP"] = of.flags["clusterip"]
    spec["type"] = kind
    if kind == "ExternalName":
        spec["externalName"] = of.flags["external-name"]
    made["spec"] = spec
    made["status"] = {"loadBalancer": {}}
    creating.finish(of, made, "services", f"failed to create {kind} service: ")


async def cluster_ip(of: session.Session) -> None:
    if of.flags["clusterip"] == "None" and of.flags["tcp"]:
        raise fail.Failed("error: can not map ports with clusterip=None")
    _service(of, "ClusterIP", ports_needed=of.flags["clusterip"] != "None")


async def node_port(of: session.Session) -> None:
    _service(of, "NodePort")


async def load_balancer(of: session.Session) -> None:
    _service(of, "LoadBalancer")


async def external_name(of: session.Session) -> None:
    from kubesim.machinery import names

    errors = names.dns1123_subdomain(of.flags["external-name"])
    if errors:
        raise fail.Failed(f"error: invalid service external name {of.flags['external-name']}")
    _service(of, "ExternalName", ports_needed=False)


_TCP = flags.define("tcp:list")
_SERVICE = Command(
    "service",
    "Create a service using a specified subcommand.",
    None,
    aliases=("svc",),
    subcommands=(
        Command(
            "clusterip",
            "Create a ClusterIP service",
            cluster_ip,
            (*creating.FLAGS, *_TCP, *flags.define("clusterip")),
            "NAME [--tcp=<port>:<targetPort>] [--dry-run=server|client|none] [options]",
        ),
        Command(
            "externalname",
            "Create an ExternalName service",
            external_name,
            (*creating.FLAGS, *_TCP, *flags.define("external-name")),
            "NAME --external-name external.name [--dry-run=server|client|none] [options]",
            required=("external-name",),
        ),
        Command(
            "loadbalancer",
            "Create a LoadBalancer service",
            load_balancer,
            (*creating.FLAGS, *_TCP),
            "NAME [--tcp=port:targetPort] [--dry-run=server|client|none] [options]",
        ),
        Command(
            "nodeport",
            "Create a NodePort service",
            node_port,
            (*creating.FLAGS, *_TCP, *flags.define("node-port:int")),
            "NAME [--tcp=port:targetPort] [--dry-run=server|client|none] [options]",
        ),
    ),
)

_RULE = re.compile(r"(?P<host>[^/]*)(?P<path>/[^=]*)=(?P<service>[^:]+):(?P<port>[^,]+)(?:,tls(?P<tls>=[^,]*)?)?")


async def ingress(of: session.Session) -> None:
    name = creating.one_name(of)
    if not of.flags["rule"] and not of.flags["default-backend"]:
        raise fail.Failed(
            "error: not enough information provided: every ingress has to either specify a default-backend (which catches "
            "all traffic) or a list of rules (which catch specific paths)"
        )
    made = making.obj(of, "networking.k8s.io/v1", "Ingress", name)
    if of.flags["annotation"]:
        made["metadata"]["annotations"] = making.key_values(of.flags["annotation"], "annotation")
    spec: Object = {}
    if of.flags["class"]:
        spec["ingressClassName"] = of.flags["class"]
    if of.flags["default-backend"]:
        service, _, port = of.flags["default-backend"].partition(":")
        spec["defaultBackend"] = {"service": _backend(service, port)}
    rules: dict[str, list[Object]] = {}
    tls: dict[str, list[str]] = {}
    for text in of.flags["rule"]:
        match = _RULE.fullmatch(text)
        if match is None:
            raise fail.Failed(
                f"error: rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            )
        path, kind = match["path"], "Exact"
        if path.endswith("*"):
            path, kind = path[:-1], "Prefix"
        entry = {"path": path, "pathType": kind, "backend": {"service": _backend(match["service"], match["port"])}}
        rules.setdefault(match["host"], []).append(entry)
        if ",tls" in text:
            hosts = tls.setdefault((match["tls"] or "=")[1:], [])
            if match["host"] and match["host"] not in hosts:
                hosts.append(match["host"])
    if tls:
        spec["tls"] = [
            {**({"hosts": hosts} if hosts else {}), **({"secretName": secret} if secret else {})}
            for secret, hosts in tls.items()
        ]
    if rules:
        spec["rules"] = [
            {**({"host": host} if host else {}), "http": {"paths": paths}} for host, paths in rules.items()
        ]
    made["spec"] = spec
    made["status"] = {"loadBalancer": {}}
    creating.finish(of, made, "ingresses.networking.k8s.io", "failed to create ingress: ")


def _backend(service: str, port: str) -> Object:
    return {"name": service, "port": {"number": int(port)} if port.isdigit() else {"name": port}}


COMMANDS = (
    _SERVICE,
    Command(
        "ingress",
        "Create an ingress with the specified name.",
        ingress,
        (*creating.FLAGS, *flags.define("rule:array", "class", "annotation:array", "default-backend")),
        "NAME --rule=host/path=service:port[,tls[=secret]] [options]",
        aliases=("ing",),
    ),
)
