"""kubectl cordon, uncordon, drain, taint.

Source: kubectl `pkg/drain`, `pkg/cmd/drain`, `pkg/cmd/taint`.
"""

from __future__ import annotations

import re
from typing import Any

from kubesim.kubectl import builder, fail, flags, printers, rest, session, watching
from kubesim.kubectl.command import Command
from kubesim.machinery import names, objects

Object = dict[str, Any]

_MIRROR = "kubernetes.io/config.mirror"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


async def _nodes(of: session.Session, usage: str) -> list[builder.Info]:
    if not of.args and not of.flags["selector"]:
        raise of.hint(f"USAGE: {usage} [flags]")
    mapping = of.discovery.find("nodes")
    if of.flags["selector"]:
        return [
            builder.Info(mapping, "", objects.name(obj), obj) for obj in of.list(mapping, labels=of.flags["selector"])
        ]
    found = [builder.Info(mapping, "", name.removeprefix("node/").removeprefix("nodes/")) for name in of.args]
    for info in found:
        info.fetch(of)
    return found


async def cordon(of: session.Session) -> None:
    dry_run = of.dry_run()
    for info in await _nodes(of, "cordon NODE"):
        _set_schedulable(of, info, True, dry_run)


async def uncordon(of: session.Session) -> None:
    dry_run = of.dry_run()
    for info in await _nodes(of, "uncordon NODE"):
        _set_schedulable(of, info, False, dry_run)


def _set_schedulable(of: session.Session, info: builder.Info, unschedulable: bool, dry_run: str) -> None:
    deed = "cordoned" if unschedulable else "uncordoned"
    if bool(objects.get(info.obj, "spec.unschedulable", False)) == unschedulable:
        of.io.print(f"{info.label} already {deed}{session.suffix(dry_run)}")
        return
    if dry_run != "client":
        query = [("dryRun", "All")] if dry_run == "server" else []
        patch = {"spec": {"unschedulable": unschedulable or None}}
        path = info.mapping.path(name=info.name)
        of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES["strategic"])
    of.io.print(f"{info.label} {deed}{session.suffix(dry_run)}")


# -- drain --------------------------------------------------------------------------------------------------------


async def drain(of: session.Session) -> None:
    dry_run = of.dry_run()
    infos = await _nodes(of, "drain NODE")
    for info in infos:
        _set_schedulable(of, info, True, dry_run)
    for index, info in enumerate(infos):
        try:
            await _drain(of, info, dry_run)
        except fail.Failed as error:
            pending = "".join(f" {each.name}\n" for each in infos[index:])
            text = error.message.removeprefix("error: ")
            raise fail.Failed(
                f'error: unable to drain node "{info.name}" due to error: {text}, continuing command...\n'
                f"There are pending nodes to be drained:\n{pending}{text if text.startswith('[') else 'error: ' + text}"
            ) from None


async def _drain(of: session.Session, info: builder.Info, dry_run: str) -> None:
    pods, daemons, errors = _to_evict(of, info)
    if errors:
        raise fail.Failed("error: " + (f"[{', '.join(errors)}]" if len(errors) > 1 else errors[0]))
    if daemons:
        of.io.complain(f"Warning: ignoring DaemonSet-managed Pods: {', '.join(daemons)}")
    mapping = of.discovery.find("pods")
    evicted = []
    for pod in pods:
        space, name = objects.namespace(pod), objects.name(pod)
        if dry_run == "client":
            of.io.print(f"evicting pod {space}/{name} (dry run)")
            continue
        of.io.print(f"evicting pod {space}/{name}{session.suffix(dry_run)}")
        if await _evict(of, mapping, pod, dry_run):
            evicted.append(pod)
    for pod in evicted:
        uid = objects.uid(pod)

        def gone(state: Object | None, uid: str = uid) -> bool:
            return state is None or objects.uid(state) != uid

        try:
            space, name = objects.namespace(pod), objects.name(pod)
            await watching.until(of, mapping, space, name, gone, of.flags["timeout"] or None)
        except watching.TimedOut:
            raise fail.Failed("error: drain did not complete within the timeout") from None
        of.io.print(f"pod/{objects.name(pod)} evicted")
    of.io.print(f"{info.label} drained{session.suffix(dry_run)}")


async def _evict(of: session.Session, mapping: Any, pod: Object, dry_run: str) -> bool:
    space, name = objects.namespace(pod), objects.name(pod)
    options: Object = {}
    if of.flags["grace-period"] >= 0:
        options["gracePeriodSeconds"] = of.flags["grace-period"]
    if dry_run == "server":
        options["dryRun"] = ["All"]
    body: Object = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space}}
    if options:
        body["deleteOptions"] = options
    deadline = of.io.now() + of.flags["timeout"] if of.flags["timeout"] else None
    while True:
        try:
            if of.flags["disable-eviction"]:
                of.rest.ask(
                    "DELETE", mapping.path(space, name), body={"kind": "DeleteOptions", "apiVersion": "v1", **options}
                )
            else:
                of.rest.ask("POST", mapping.path(space, name, "eviction"), body=body)
            return dry_run == "none"
        except fail.StatusError as error:
            if error.not_found:
                return False
            if error.http_code != 429:
                raise fail.Failed(f'error when evicting pods/"{name}" -n "{space}": {error.message}') from None
            # A disruption budget says not now; kubectl tries again every 5 s.
            of.io.complain(f'error when evicting pods/"{name}" -n "{space}" (will retry after 5s): {error.message}')
            if deadline is not None and of.io.now() >= deadline:
                raise fail.Failed("error: global timeout reached") from None
            await of.io.wait(5)


def _to_evict(of: session.Session, info: builder.Info) -> tuple[list[Object], list[str], list[str]]:
    """(pods, ignored daemons, why not) by drain's filters."""
    pods: list[Object] = []
    daemons: list[str] = []
    refused: dict[str, list[str]] = {}
    fields = f"spec.nodeName={info.name}"
    for pod in of.list(of.discovery.find("pods"), "", of.flags["pod-selector"], fields):
        title = objects.key(pod)
        phase = (pod.get("status") or {}).get("phase")
        owner = objects.owner(pod)
        if _MIRROR in objects.annotations(pod):
            continue
        if owner and owner["kind"] == "DaemonSet" and phase not in ("Succeeded", "Failed"):
            if of.flags["ignore-daemonsets"]:
                daemons.append(title)
            else:
                refused.setdefault(
                    "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", []
                ).append(title)
            continue
        local = any(volume.get("emptyDir") is not None for volume in pod["spec"].get("volumes") or ())
        done = phase in ("Succeeded", "Failed")
        if local and not done and not of.flags["delete-emptydir-data"]:
            reason = "cannot delete Pods with local storage (use --delete-emptydir-data to override)"
            refused.setdefault(reason, []).append(title)
            continue
        if owner is None and not done and not of.flags["force"]:
            reason = "cannot delete cannot delete Pods that declare no controller (use --force to override)"
            refused.setdefault(reason, []).append(title)
            continue
        pods.append(pod)
    return pods, daemons, [f"{reason}: {', '.join(found)}" for reason, found in refused.items()]


# -- taint --------------------------------------------------------------------------------------------------------


async def taint(of: session.Session) -> None:
    split = next((index for index, arg in enumerate(of.args) if re.search(r"[=:]|-$", arg) and index), len(of.args))
    resources, changes = of.args[:split], of.args[split:]
    if resources and not changes:
        raise fail.Failed("error: at least one taint update is required")
    if not resources or (
        len(resources) < 2 and "/" not in resources[0] and not of.flags["all"] and not of.flags["selector"]
    ):
        raise fail.Failed("error: one or more resources must be specified as <resource> <name>")
    added, removed = _parse_taints(changes)
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    for info in await builder.infos(of, resources):
        if info.mapping.kind != "Node":
            raise fail.Failed(f"error: invalid resource type {info.mapping.plural}, only node types are supported")
        before = objects.get(info.obj, "spec.taints", [])
        after, deed = _tainted(of, info, before, added, removed)
        if dry_run != "client":
            query = [("dryRun", "All")] if dry_run == "server" else []
            query.append(("fieldManager", "kubectl-taint"))
            patch = {"spec": {"taints": after or None}}
            path = info.mapping.path(name=info.name)
            of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES["merge"])
        deeds.done(info.obj or {}, deed, dry_run)


def _parse_taints(changes: list[str]) -> tuple[list[Object], list[Object]]:
    added: list[Object] = []
    removed: list[Object] = []
    for change in changes:
        text = change.removesuffix("-")
        pair, _, effect = text.partition(":")
        key, _, value = pair.partition("=")
        if effect and effect not in EFFECTS:
            raise fail.Failed(f"error: invalid taint effect: {effect}, unsupported taint effect")
        errors = names.qualified_name(key)
        if errors:
            raise fail.Failed(f"error: invalid taint spec: {change}, {'; '.join(errors)}")
        entry = {"key": key, **({"value": value} if value else {}), **({"effect": effect} if effect else {})}
        if change.endswith("-"):
            removed.append(entry)
        elif not effect:
            raise fail.Failed(f"error: invalid taint spec: {change}")
        else:
            added.append(entry)
    return added, removed


def _tainted(
    of: session.Session, info: builder.Info, before: list[Object], added: list[Object], removed: list[Object]
) -> tuple[list[Object], str]:
    def same(one: Object, other: Object) -> bool:
        return one["key"] == other["key"] and (not other.get("effect") or one["effect"] == other["effect"])

    after = list(before)
    for entry in removed:
        kept = [each for each in after if not same(each, entry)]
        if len(kept) == len(after):
            effect = f":{entry['effect']}" if entry.get("effect") else ""
            raise fail.Failed(f'error: taint "{entry["key"]}{effect}" not found')
        after = kept
    for entry in added:
        there = [each for each in before if each["key"] == entry["key"] and each["effect"] == entry["effect"]]
        if there and not of.flags["overwrite"]:
            raise fail.Failed(
                f"error: node {info.name} already has {entry['key']} taint(s) with same effect(s) and --overwrite is false"
            )
        after = [each for each in after if not (each["key"] == entry["key"] and each["effect"] == entry["effect"])]
        after.append(entry)
    if added and removed:
        return after, "modified"
    return after, "tainted" if added else "untainted"


_FLAGS = (*session.DRY_RUN, *flags.define("selector,l"))
COMMANDS = {
    "cordon": Command("cordon", "Mark node as unschedulable.", cordon, _FLAGS, "NODE [options]"),
    "uncordon": Command("uncordon", "Mark node as schedulable.", uncordon, _FLAGS, "NODE [options]"),
    "drain": Command(
        "drain",
        "Drain node in preparation for maintenance.",
        drain,
        (
            *_FLAGS,
            *flags.define(
                "force:bool",
                "grace-period:int=-1",
                "ignore-daemonsets:bool",
                "delete-emptydir-data:bool",
                "disable-eviction:bool",
                "pod-selector",
                "timeout:duration",
            ),
        ),
        "NODE [options]",
    ),
    "taint": Command(
        "taint",
        "Update the taints on one or more nodes.",
        taint,
        (
            *builder.FILES,
            *builder.SELECT,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *flags.define("overwrite:bool"),
        ),
        "NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N [options]",
    ),
}
