"""kubectl run: one pod.  (Until 1.17 it made a Deployment unless told --restart=Never.)

Source: kubectl `pkg/cmd/run/run.go`, `pkg/generate/versioned/run.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import fail, flags, making, printers, session, watching
from kubesim.kubectl.command import Command
from kubesim.machinery import names, objects

Object = dict[str, Any]

_DEPRECATED = (
    "kubectl run --generator=deployment/apps.v1 is DEPRECATED and will be removed in a future version. Use kubectl run "
    "--generator=run-pod/v1 or kubectl create instead."
)


async def run(of: session.Session) -> int:
    if not of.args or of.dash == 0:
        raise of.hint("NAME is required for run")
    name = of.args[0]
    restart = of.flags["restart"] or "Always"
    if restart not in ("Always", "OnFailure", "Never"):
        raise fail.Failed(f"error: invalid restart policy: {restart}\nSee 'kubectl run -h' for help and examples")
    interactive = of.flags["stdin"] or of.flags["tty"]
    attach = of.flags["attach"] or (of.flags["stdin"] and "attach" not in of.flags.changed)
    dry_run = of.dry_run()
    if of.flags["tty"] and not of.flags["stdin"]:
        raise fail.Failed("error: -i/--stdin is required for containers with -t/--tty=true")
    if of.flags["rm"] and not attach:
        raise fail.Failed("error: --rm should only be used for attached containers")
    if attach and dry_run != "none":
        raise fail.Failed(
            "error: --dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"
        )
    if of.flags["expose"] and not of.flags["port"]:
        raise of.hint("--port must be set when exposing a service")
    pod = _pod(of, name, restart, bool(interactive))
    deeds = printers.Deeds(of)
    if of.minor and of.minor < 18 and restart == "Always" and not of.flags["generator"].startswith("run-pod"):
        of.io.complain(_DEPRECATED)
        _create(of, _deployment(of, name, pod), "deployments.apps", dry_run, deeds)
        return 0
    made = _create(of, pod, "pods", dry_run, deeds, quiet=bool(attach))
    if of.flags["expose"]:
        _create(of, _service(of, name), "services", dry_run, deeds)
    if not attach:
        return 0
    return await _attached(of, made)


def _pod(of: session.Session, name: str, restart: str, interactive: bool) -> Object:
    labels = making.labels_of(of.flags["labels"]) if of.flags["labels"] else {"run": name}
    made = making.obj(of, "v1", "Pod", name, labels)
    notes = making.key_values(of.flags["annotations"], "annotation")
    if notes:
        made["metadata"]["annotations"] = notes
    container: Object = {"name": name, "image": of.flags["image"]}
    words = of.args[1:]
    if words:
        container["command" if of.flags["command"] else "args"] = words
    if of.flags["port"]:
        container["ports"] = [{"containerPort": making.port_number(of.flags["port"])}]
    variables = []
    for pair in of.flags["env"]:
        key, equals, value = pair.partition("=")
        if not equals or names.env_name(key):
            raise fail.Failed(f"error: invalid env: {pair}")
        variables.append({"name": key, "value": value})
    if variables:
        container["env"] = variables
    container["resources"] = {}
    if of.flags["image-pull-policy"]:
        container["imagePullPolicy"] = of.flags["image-pull-policy"]
    if of.flags["privileged"]:
        container["securityContext"] = {"privileged": True}
    if interactive and of.flags["stdin"]:
        container["stdin"] = True
        if not of.flags["leave-stdin-open"]:
            container["stdinOnce"] = True
    if of.flags["tty"]:
        container["tty"] = True
    made["spec"] = {"containers": [container], "restartPolicy": restart, "dnsPolicy": "ClusterFirst"}
    made["status"] = {}
    return _overridden(of, made)


def _overridden(of: session.Session, made: Object) -> Object:
    if not of.flags["overrides"]:
        return made
    import json

    from kubesim.machinery import patches

    try:
        overrides = json.loads(of.flags["overrides"])
    except ValueError as error:
        raise fail.Failed(f"error: Invalid JSON Patch: {error}") from None
    match of.flags["override-type"]:
        case "merge":
            merged: Object = patches.merge_patch(made, overrides)
        case "strategic":
            merged = patches.strategic(made, overrides, "Pod")
        case "json":
            merged = patches.json_patch(made, overrides)
        case other:
            raise fail.Failed(f'error: invalid --override-type "{other}"')
    return merged


def _deployment(of: session.Session, name: str, pod: Object) -> Object:
    labels = pod["metadata"]["labels"]
    made = making.obj(of, "apps/v1", "Deployment", name, labels)
    spec = {key: value for key, value in pod["spec"].items() if key not in ("restartPolicy", "dnsPolicy")}
    made["spec"] = {
        "replicas": of.flags["replicas"],
        "selector": {"matchLabels": labels},
        "template": making.template(of, labels, spec),
        "strategy": {},
    }
    made["status"] = {}
    return made


def _service(of: session.Session, name: str) -> Object:
    port = making.port_number(of.flags["port"])
    made = making.obj(of, "v1", "Service", name)
    labels = making.labels_of(of.flags["labels"]) if of.flags["labels"] else {"run": name}
    made["spec"] = {
        "ports": [{"protocol": "TCP", "port": port, "targetPort": port}],
        "selector": labels,
    }
    made["status"] = {"loadBalancer": {}}
    return made


def _create(
    of: session.Session, obj: Object, resource: str, dry_run: str, deeds: printers.Deeds, quiet: bool = False
) -> Object:
    served = dry_run != "client"
    if served:
        query = [("dryRun", "All")] if dry_run == "server" else []
        query.append(("fieldManager", of.flags["field-manager"]))
        obj = of.rest.ask("POST", of.discovery.find(resource).path(of.namespace), body=obj, query=query)
    if not quiet and not of.flags["quiet"]:
        deeds.done(obj, "created", dry_run, served)
    return obj


async def _attached(of: session.Session, pod: Object) -> int:
    """Wait until it runs, attach; or show what it logged, when it has already ended."""
    from kubesim.kubectl.commands import execute

    mapping = of.discovery.find("pods")
    space, name = objects.namespace(pod), objects.name(pod)

    def started(state: Object | None) -> bool:
        return state is None or (state.get("status") or {}).get("phase") in ("Running", "Succeeded", "Failed")

    try:
        state = await watching.until(of, mapping, space, name, started, of.flags["pod-running-timeout"])
    except watching.TimedOut:
        raise fail.Failed("error: timed out waiting for the condition") from None
    code = 0
    try:
        if state is not None and state["status"]["phase"] == "Running":
            await execute.attach_to(of, state, "", of.flags["stdin"], of.flags["tty"])
        elif state is not None:
            of.io.out(of.rest.text(mapping.path(space, name, "log")))
        if of.flags["restart"] in ("Never", "OnFailure"):
            code = await _exit_code(of, mapping, space, name)
    finally:
        if of.flags["rm"]:
            of.rest.ask("DELETE", mapping.path(space, name), body={"kind": "DeleteOptions", "apiVersion": "v1"})
            if not of.flags["quiet"]:
                where = f" from {space} namespace" if of.minor >= 34 else ""
                of.io.print(f'pod "{name}" deleted{where}')
    return code


async def _exit_code(of: session.Session, mapping: Any, space: str, name: str) -> int:
    def ended(state: Object | None) -> bool:
        return state is None or (state.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    try:
        state = await watching.until(of, mapping, space, name, ended, of.flags["pod-running-timeout"])
    except watching.TimedOut:
        raise fail.Failed("error: timed out waiting for the condition") from None
    for each in ((state or {}).get("status") or {}).get("containerStatuses") or ():
        code = objects.get(each, "state.terminated.exitCode", 0)
        if code:
            of.io.complain(f"pod {space}/{name} terminated ({objects.get(each, 'state.terminated.reason', 'Error')})")
            return int(code)
    return 0


COMMANDS = {
    "run": Command(
        "run",
        "Create and run a particular image in a pod.",
        run,
        (
            *printers.OUTPUT,
            *session.DRY_RUN,
            *flags.define(
                "image",
                "port",
                "env:array",
                "labels,l",
                "annotations:array",
                "restart:=Always",
                "command:bool",
                "rm:bool",
                "stdin,i:bool",
                "tty,t:bool",
                "attach:bool",
                "expose:bool",
                "quiet,q:bool",
                "leave-stdin-open:bool",
                "image-pull-policy",
                "overrides",
                "override-type:=merge",
                "privileged:bool",
                "save-config:bool",
                "pod-running-timeout:duration=1m0s",
                "replicas,r:int=1",
                "generator",
                "grace-period:int=-1",
                "wait:bool",
                "timeout:duration",
                "force:bool",
                "field-manager:=kubectl-run",
            ),
        ),
        'NAME --image=image [--env="key=value"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- '
        "[COMMAND] [args...] [options]",
        required=("image",),
    )
}
