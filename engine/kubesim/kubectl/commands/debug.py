"""kubectl debug: an ephemeral container in a pod, a changed copy of a pod, or a pod on a node.

Source: kubectl `pkg/cmd/debug/{debug,profiles}.go`; KEP-277, KEP-1441.
"""

from __future__ import annotations

from typing import Any

from kubesim import ids
from kubesim.kubectl import builder, fail, flags, session, watching
from kubesim.kubectl.command import Command
from kubesim.kubectl.commands import execute
from kubesim.machinery import objects

Object = dict[str, Any]

LEGACY = "legacy"
# What a profile asks for the debugging container's securityContext.
SECURITY: dict[str, Object] = {
    LEGACY: {},
    "general": {"capabilities": {"add": ["SYS_PTRACE"]}},
    "baseline": {},
    "restricted": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "netadmin": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
    "sysadmin": {"privileged": True},
}
# The same on a node, where a profile asks for something else there.
ON_NODE: dict[str, Object] = {"general": {}}
# Profiles whose pod on a node is in the node's namespaces, and those that see its disk.
HOST, DISK = (LEGACY, "general", "netadmin", "sysadmin"), (LEGACY, "general", "sysadmin")
# The default until 1.35, with a warning since 1.32 (kubernetes/kubernetes#127230, #135874).
WARNED, CHANGED = 32, 36
COPIED = ("labels", "annotations", "livenessProbe", "readinessProbe", "startupProbe")


async def run(of: session.Session) -> int:
    given = of.flags
    targets = of.args[: of.dash] if of.dash >= 0 else of.args
    command = of.args[of.dash :] if of.dash >= 0 else []
    if not targets:
        raise fail.Failed("error: NAME or TYPE/NAME is required for debug")
    if not given["copy-to"] and not given["image"]:
        raise fail.Failed("error: you must specify --image when not using --copy-to.")
    if given["target"] and given["copy-to"]:
        raise fail.Failed("error: --target is incompatible with --copy-to. Use --share-processes instead.")
    if given["tty"] and not given["stdin"]:
        raise fail.Failed("error: -i/--stdin is required for containers with -t/--tty=true")
    profile = given["profile"] or ("general" if of.minor >= CHANGED else LEGACY)
    if profile not in SECURITY:
        raise fail.Failed(f"error: unknown profile: {profile}")
    if profile == LEGACY and of.minor >= WARNED:
        of.io.complain(
            "--profile=legacy is deprecated and will be removed in the future. It is recommended to explicitly specify a "
            'profile, for example "--profile=general".'
        )
    code = 0
    for word in targets:
        if "/" in word:
            request = builder.resolve(of, [word]).requests[0]
            mapping, name = request.mapping, request.names[0]
        else:
            mapping, name = of.discovery.find("pods"), word
        obj = of.get(mapping, name, of.namespace if mapping.namespaced else "")
        match mapping.kind:
            case "Node":
                pod, container = _on_node(of, name, command, profile)
            case "Pod" if given["copy-to"]:
                pod, container = _copy(of, obj, command, profile)
            case "Pod":
                pod, container = _ephemeral(of, obj, command, profile)
            case kind:
                raise fail.Failed(f'error: "{mapping.api_version}, Kind={kind}" not supported by debug')
        if given["attach"] or (given["stdin"] and "attach" not in given.changed):
            code = await _attached(of, pod, container)
    return code


def _name(of: session.Session, seed: str) -> str:
    """A suffix of five: what is random elsewhere follows from what it is for and when."""
    return ids.safe_encode(f"{ids.fnv32a(f'{seed}/{of.io.now()}'.encode()):010d}"[-5:])


def _container(of: session.Session, name: str, command: list[str], security: Object) -> Object:
    given = of.flags
    made: Object = {"name": name}
    if given["image"]:
        made["image"] = given["image"]
    if command:
        made["args" if given["arguments-only"] else "command"] = command
    env = [each.partition("=") for each in given["env"]]
    if any(not equals for _, equals, _ in env):
        raise fail.Failed(f"error: invalid env: {next(key for key, equals, _ in env if not equals)}")
    if env:
        made["env"] = [{"name": key, "value": value} for key, _, value in env]
    if given["image-pull-policy"]:
        made["imagePullPolicy"] = given["image-pull-policy"]
    made["resources"] = {}
    if security:
        made["securityContext"] = security
    for flag in ("stdin", "tty"):
        if given[flag]:
            made[flag] = True
    made["terminationMessagePolicy"] = "File"
    return made


def _ephemeral(of: session.Session, pod: Object, command: list[str], profile: str) -> tuple[Object, str]:
    given = of.flags
    if given["target"] and not given["quiet"]:
        of.io.print(
            f'Targeting container "{given["target"]}". If you don\'t see processes from this container it may be because the '
            "container runtime doesn't support this feature."
        )
    name = given["container"]
    if not name:
        there = pod["spec"].get("ephemeralContainers") or ()
        name = f"debugger-{_name(of, f'{objects.uid(pod)}/{len(there)}')}"
        if not given["quiet"]:
            of.io.print(f"Defaulting debug container name to {name}.")
    made = _container(of, name, command, SECURITY[profile])
    if given["target"]:
        made["targetContainerName"] = given["target"]
    path = of.discovery.find("pods").path(objects.namespace(pod), objects.name(pod), "ephemeralcontainers")
    body = {"spec": {"ephemeralContainers": [made]}}
    kind = "application/strategic-merge-patch+json"
    return of.rest.ask("PATCH", path, body=body, content_type=kind), name


def _on_node(of: session.Session, node: str, command: list[str], profile: str) -> tuple[Object, str]:
    name = of.flags["container"] or "debugger"
    container = _container(of, name, command, ON_NODE.get(profile, SECURITY[profile]))
    pod_name = f"node-debugger-{node}-{_name(of, node)}"
    spec: Object = {
        "containers": [container],
        "nodeName": node,
        "restartPolicy": "Never",
        "tolerations": [{"operator": "Exists"}],
    }
    if profile in HOST:
        spec |= {"hostIPC": True, "hostNetwork": True, "hostPID": True}
    if profile in DISK:
        container["volumeMounts"] = [{"mountPath": "/host", "name": "host-root"}]
        spec["volumes"] = [{"name": "host-root", "hostPath": {"path": "/"}}]
    if not of.flags["quiet"]:
        of.io.print(f"Creating debugging pod {pod_name} with container {name} on node {node}.")
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod_name, "namespace": of.namespace}, "spec": spec}
    return of.rest.ask("POST", of.discovery.find("pods").path(of.namespace), body=made), name


def _copy(of: session.Session, pod: Object, command: list[str], profile: str) -> tuple[Object, str]:
    """The pod once more under another name, with one more container, or with other images or another command."""
    given = of.flags
    spec = objects.copy(pod["spec"])
    spec.pop("ephemeralContainers", None)
    if not given["same-node"]:
        spec.pop("nodeName", None)
    metadata: Object = {"name": given["copy-to"], "namespace": objects.namespace(pod)}
    if profile == LEGACY and not given["image"]:
        metadata |= {key: pod["metadata"][key] for key in ("labels", "annotations") if key in pod["metadata"]}
    images = dict(_image(each) for each in given["set-image"])
    for each in spec["containers"]:
        each["image"] = images.get(each["name"], images.get("*", each["image"]))
        if profile != LEGACY:
            for probe in COPIED[2:]:
                each.pop(probe, None)
    name = given["container"]
    chosen = next((each for each in spec["containers"] if each["name"] == name), None)
    if chosen is None and given["image"]:
        if not name:
            name = f"debugger-{_name(of, objects.uid(pod))}"
            if not given["quiet"]:
                of.io.print(f"Defaulting debug container name to {name}.")
        chosen = {"name": name}
        spec["containers"].append(chosen)
    if chosen is not None:
        chosen.update(_container(of, name, command, SECURITY[profile]))
    if given["share-processes"] or profile == "general":
        spec["shareProcessNamespace"] = True
    path = of.discovery.find("pods").path(objects.namespace(pod))
    made = of.rest.ask("POST", path, body={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    if given["replace"]:
        of.rest.ask("DELETE", of.discovery.find("pods").path(objects.namespace(pod), objects.name(pod)))
    return made, name or str(spec["containers"][0]["name"])


def _image(text: str) -> tuple[str, str]:
    name, equals, image = text.partition("=")
    if not equals or not name or not image:
        raise fail.Failed(f"error: invalid --set-image: {text}")
    return name, image


async def _attached(of: session.Session, pod: Object, container: str) -> int:
    """Wait until the container runs, and attach; or show what it logged, when it has already ended."""
    mapping = of.discovery.find("pods")

    def state_of(one: Object | None) -> Object:
        status = (one or {}).get("status") or {}
        every = [*(status.get("ephemeralContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        return next((each.get("state") or {} for each in every if each["name"] == container), {})

    def begun(one: Object | None) -> bool:
        return one is None or bool({"running", "terminated"} & state_of(one).keys())

    found = await watching.until(of, mapping, objects.namespace(pod), objects.name(pod), begun, None)
    if found is None:
        raise fail.Failed(f'error: pods "{objects.name(pod)}" not found')
    if "running" in state_of(found):
        return await execute.attach_to(of, found, container, of.flags["stdin"], of.flags["tty"])
    path = mapping.path(objects.namespace(pod), objects.name(pod), "log")
    of.io.out(of.rest.text(f"{path}?container={container}"))
    return 0


COMMANDS = {
    "debug": Command(
        "debug",
        "Debug cluster resources using interactive debugging containers.",
        run,
        flags.define(
            "image", "target", "stdin,i:bool", "tty,t:bool", "attach:bool", "copy-to", "container,c", "profile",
            "share-processes:bool", "env:array", "quiet,q:bool", "arguments-only:bool", "image-pull-policy",
            "set-image:list", "same-node:bool", "replace:bool",
        ),
        "(POD | TYPE[[.VERSION].GROUP]/NAME) [ -- COMMAND [args...] ]",
    )
}  # fmt: skip
