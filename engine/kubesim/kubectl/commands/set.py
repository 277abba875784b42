"""kubectl set: image, env, resources, selector, serviceaccount.

Source: kubectl `pkg/cmd/set`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, making, printers, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import names, objects

Object = dict[str, Any]


def _split(of: session.Session) -> tuple[list[str], list[str]]:
    """Resources, and what is to be set (k=v, k-)."""
    resources = [arg for arg in of.args if "=" not in arg and not arg.endswith("-")]
    return resources, [arg for arg in of.args if arg not in resources]


def _pod_spec(info: builder.Info) -> Object:
    obj = info.obj or {}
    path = {"Pod": "spec", "CronJob": "spec.jobTemplate.spec.template.spec"}.get(
        info.mapping.kind, "spec.template.spec"
    )
    found = objects.get(obj, path)
    if not isinstance(found, dict):
        raise fail.Failed(
            f"error: {info.mapping.plural}/{info.name} the object is not a pod or does not have a pod template: "
            f"{info.mapping.kind}"
        )
    return found


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


async def _change(of: session.Session, resources: list[str], change: Any, deed: str, manager: str) -> None:
    """Change copies of the objects; what differs is patched."""
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    if not resources and not builder.filenames(of):
        raise fail.Failed("error: one or more resources must be specified as <resource> <name> or <resource>/<name>")

    def one(info: builder.Info) -> None:
        before = info.obj or {}
        info.obj = objects.copy(before)
        change(info)
        if info.obj == before:
            return
        after = info.obj
        if dry_run != "client" and not of.flags["local"]:
            query = [("dryRun", "All")] if dry_run == "server" else []
            query.append(("fieldManager", manager))
            path = info.mapping.path(info.namespace, info.name)
            after = of.rest.ask(
                "PATCH", path, body=_difference(info, before), query=query, content_type=rest.PATCH_TYPES["strategic"]
            )
        deeds.done(after, deed, dry_run)

    builder.visit(await builder.infos(of, resources), one)


def _difference(info: builder.Info, before: Object) -> Object:
    from kubesim import schema
    from kubesim.machinery import patches

    found = schema.resource_for_kind(info.mapping.api_version, info.mapping.kind)
    return patches.two_way_strategic(before, info.obj or {}, found.type() if found else "")


async def image(of: session.Session) -> None:
    resources, changes = _split(of)
    if not changes:
        raise fail.Failed("error: at least one image update is required")
    wanted = dict(change.split("=", 1) for change in changes if "=" in change)

    def change(info: builder.Info) -> None:
        containers = _containers(_pod_spec(info))
        for name, value in wanted.items():
            chosen = [each for each in containers if name in ("*", each["name"])]
            if not chosen:
                raise fail.Failed(f'error: unable to find container named "{name}"')
            for each in chosen:
                each["image"] = value

    await _change(of, resources, change, "image updated", "kubectl-set")


async def env(of: session.Session) -> None:
    resources, changes = _split(of)
    added, removed = (
        making.key_values([each for each in changes if "=" in each], "env"),
        [each[:-1] for each in changes if "=" not in each],
    )
    added.update(making.key_values(of.flags["env"], "env"))
    for name in added:
        if names.env_name(name):
            raise fail.Failed(f'error: "{name}" is not a valid key name: {"; ".join(names.env_name(name))}')
    if of.flags["list"]:
        for info in await builder.infos(of, resources):
            for each in _containers(_pod_spec(info)):
                of.io.print(f"# {info.mapping.kind} {info.name}, container {each['name']}")
                for variable in each.get("env") or ():
                    of.io.print(f"{variable['name']}={variable.get('value', '')}")
        return
    source = of.flags["from"]
    if source:
        kind, _, name = source.partition("/")
        mapping = of.discovery.find(kind)
        reference = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}.get(mapping.kind)
        if reference is None:
            raise fail.Failed(f"error: unsupported resource specified in --from: {mapping.kind}")
        keys = sorted(of.get(mapping, name, of.namespace).get("data") or {})

    def change(info: builder.Info) -> None:
        for each in _containers(_pod_spec(info)):
            if of.flags["containers"] not in ("*", each["name"]):
                continue
            variables = [variable for variable in each.get("env") or () if variable["name"] not in removed]
            if source:
                for key in keys:
                    variable = of.flags["prefix"] + "".join(c if c.isalnum() else "_" for c in key).upper()
                    _put(variables, {"name": variable, "valueFrom": {reference: {"key": key, "name": name}}})
            for key, value in added.items():
                _put(variables, {"name": key, "value": value})
            if variables:
                each["env"] = variables
            else:
                each.pop("env", None)

    await _change(of, resources, change, "env updated", "kubectl-set")


def _put(variables: list[Object], variable: Object) -> None:
    for index, there in enumerate(variables):
        if there["name"] == variable["name"]:
            variables[index] = variable
            return
    variables.append(variable)


async def resources(of: session.Session) -> None:
    limits = making.key_values(of.flags["limits"].split(",") if of.flags["limits"] else [], "argument")
    requests = making.key_values(of.flags["requests"].split(",") if of.flags["requests"] else [], "argument")
    if not limits and not requests:
        raise fail.Failed(
            "error: you must specify an update to requests or limits (in the form of --requests/--limits)"
        )

    def change(info: builder.Info) -> None:
        for each in _containers(_pod_spec(info)):
            if of.flags["containers"] in ("*", each["name"]):
                there = each.setdefault("resources", {})
                for key, amounts in (("limits", limits), ("requests", requests)):
                    if amounts:
                        there[key] = {**(there.get(key) or {}), **amounts}

    await _change(of, of.args, change, "resource requirements updated", "kubectl-set")


async def selector(of: session.Session) -> None:
    names_, changes = _split(of)

    def change(info: builder.Info) -> None:
        if info.mapping.kind != "Service":
            raise fail.Failed("error: setting a selector is only supported for Services")
        info.obj["spec"]["selector"] = making.labels_of(",".join(changes))  # type: ignore[index]

    await _change(of, names_, change, "selector updated", "kubectl-set")


async def service_account(of: session.Session) -> None:
    if not of.args:
        raise fail.Failed("error: serviceaccount is required")

    def change(info: builder.Info) -> None:
        _pod_spec(info)["serviceAccountName"] = of.args[-1]

    await _change(of, of.args[:-1], change, "serviceaccount updated", "kubectl-set")


_FLAGS = (
    *builder.FILES,
    *builder.SELECT,
    *printers.OUTPUT,
    *session.DRY_RUN,
    *flags.define("local:bool", "field-manager:=kubectl-set"),
)
_CONTAINERS = flags.define("containers,c:=*")
COMMANDS = {
    "set": Command(
        "set",
        "Configure application resources.\n\n These commands help you make changes to existing application resources.",
        None,
        subcommands=(
            Command(
                "env",
                "Update environment variables on a pod template",
                env,
                (
                    *_FLAGS,
                    *_CONTAINERS,
                    *flags.define("env,e:array", "list:bool", "from", "prefix", "overwrite:bool=true"),
                ),
            ),
            Command("image", "Update the image of a pod template", image, _FLAGS),
            Command(
                "resources",
                "Update resource requests/limits on objects with pod templates",
                resources,
                (*_FLAGS, *_CONTAINERS, *flags.define("limits", "requests")),
            ),
            Command("selector", "Set the selector on a resource", selector, _FLAGS),
            Command(
                "serviceaccount", "Update the service account of a resource", service_account, _FLAGS, aliases=("sa",)
            ),
        ),
        must_choose=True,
    )
}
