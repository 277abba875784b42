"""kubectl rollout: status, history, undo, restart, pause, resume.

Sources: kubectl `pkg/cmd/rollout`, `pkg/polymorphichelpers/rollout_status.go`, `history.go`, `rollback.go`, `objectrestarter.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim import ids
from kubesim.kubectl import builder, fail, flags, printers, rest, revisions, session, tabs, watching
from kubesim.kubectl.command import Command
from kubesim.kubectl.describe import pods
from kubesim.kubectl.describe.page import Page
from kubesim.machinery import objects

Object = dict[str, Any]


async def _infos(of: session.Session) -> list[builder.Info]:
    if not of.args and not builder.filenames(of):
        raise fail.Failed("error: required resource not specified")
    selecting = of.flags.get("selector")
    if len(of.args) == 1 and "/" not in of.args[0] and not selecting and not builder.filenames(of):
        # A type alone means all of it.
        of.flags.values["all"] = True
    return await builder.infos(of, of.args)


# -- status -------------------------------------------------------------------------------------------------------


async def status(of: session.Session) -> None:
    timeout = of.flags["timeout"] or None
    for info in await _infos(of):
        said = {"Deployment": _deployment, "DaemonSet": _daemon_set, "StatefulSet": _stateful_set}.get(
            info.mapping.kind
        )
        if said is None:
            raise fail.Failed(f"error: no status viewer has been implemented for {info.mapping.kind}")
        following = watching.states(of, info.mapping, info.namespace, info.name, timeout)
        try:
            async for state in following:
                if state is None:
                    raise fail.Failed("error: object has been deleted")
                text, done = said(state, of.flags["revision"])
                of.io.print(text)
                if done or not of.flags["watch"]:
                    break
        except watching.TimedOut:
            raise fail.Failed("error: timed out waiting for the condition") from None
        finally:
            await following.aclose()  # type: ignore[attr-defined]


def _deployment(obj: Object, revision: int) -> tuple[str, bool]:
    name, now = objects.name(obj), obj.get("status") or {}
    if revision:
        running = int(objects.annotations(obj).get(revisions.REVISION) or 0)
        if running != revision:
            raise fail.Failed(
                f"error: desired revision ({revision}) is different from the running revision ({running})"
            )
    if obj["metadata"].get("generation", 0) > now.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    for each in now.get("conditions") or ():
        if each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded":
            raise fail.Failed(f'error: deployment "{name}" exceeded its progress deadline')
    wanted, updated = obj["spec"].get("replicas", 1), now.get("updatedReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish:'
    if updated < wanted:
        return f"{waiting} {updated} out of {wanted} new replicas have been updated...", False
    if now.get("replicas", 0) > updated:
        return f"{waiting} {now['replicas'] - updated} old replicas are pending termination...", False
    if now.get("availableReplicas", 0) < updated:
        return f"{waiting} {now.get('availableReplicas', 0)} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _daemon_set(obj: Object, _revision: int) -> tuple[str, bool]:
    name, now = objects.name(obj), obj.get("status") or {}
    if objects.get(obj, "spec.updateStrategy.type") != "RollingUpdate":
        raise fail.Failed("error: rollout status is only available for RollingUpdate strategy type")
    if obj["metadata"].get("generation", 0) > now.get("observedGeneration", 0):
        return "Waiting for daemon set spec update to be observed...", False
    wanted, updated = now.get("desiredNumberScheduled", 0), now.get("updatedNumberScheduled", 0)
    waiting = f'Waiting for daemon set "{name}" rollout to finish:'
    if updated < wanted:
        return f"{waiting} {updated} out of {wanted} new pods have been updated...", False
    if now.get("numberAvailable", 0) < wanted:
        return f"{waiting} {now.get('numberAvailable', 0)} of {wanted} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _stateful_set(obj: Object, _revision: int) -> tuple[str, bool]:
    now, spec = obj.get("status") or {}, obj["spec"]
    if objects.get(spec, "updateStrategy.type") != "RollingUpdate":
        raise fail.Failed("error: rollout status is only available for RollingUpdate strategy type")
    if not now.get("observedGeneration") or obj["metadata"].get("generation", 0) > now["observedGeneration"]:
        return "Waiting for statefulset spec update to be observed...", False
    wanted, ready = spec.get("replicas", 1), now.get("readyReplicas", 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    partition = objects.get(spec, "updateStrategy.rollingUpdate.partition", 0)
    updated = now.get("updatedReplicas", 0)
    if partition:
        if updated < wanted - partition:
            return (
                f"Waiting for partitioned roll out to finish: {updated} out of {wanted - partition} new pods have been "
                "updated...",
                False,
            )
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if now.get("updateRevision") != now.get("currentRevision"):
        return (
            f"waiting for statefulset rolling update to complete {updated} pods at revision {now.get('updateRevision')}...",
            False,
        )
    return (
        f"statefulset rolling update complete {now.get('currentReplicas', 0)} pods at revision {now.get('currentRevision')}...",
        True,
    )


# -- history and undo ---------------------------------------------------------------------------------------------


async def history(of: session.Session) -> None:
    for info in await _infos(of):
        found = revisions.of_object(of, info)
        if of.flags["revision"]:
            chosen = found.get(of.flags["revision"])
            if chosen is None:
                raise fail.Failed("error: unable to find the specified revision")
            page = Page(of)
            pods.template(page, chosen.template)
            text = page.raw()
            of.io.print(f"{info.label} with revision #{of.flags['revision']}\n{text}")
            continue
        rows = "".join(f"{number}\t{each.cause or '<none>'}\n" for number, each in sorted(found.items()))
        of.io.print(f"{info.label} \n{tabs.align('REVISION' + chr(9) + 'CHANGE-CAUSE' + chr(10) + rows)}")


async def undo(of: session.Session) -> None:
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    for info in await _infos(of):
        obj = info.obj or {}
        found = revisions.of_object(of, info)
        if info.mapping.kind == "Deployment" and obj["spec"].get("paused"):
            raise fail.Failed(
                "error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume "
                f"deployment/{info.name}' and try again"
            )
        chosen = revisions.to_go_back_to(found, of.flags["to-revision"], info)
        if revisions.same_template(chosen.template, objects.get(obj, "spec.template", {})):
            of.io.print(f"{info.label} skipped rollback (current template already matches revision {chosen.number})")
            continue
        if dry_run != "client":
            query = [("dryRun", "All")] if dry_run == "server" else []
            path = info.mapping.path(info.namespace, info.name)
            patch, kind = revisions.patch_back(obj, chosen, info)
            of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES[kind])
        deeds.done(obj, "rolled back", dry_run)


# -- restart, pause, resume ---------------------------------------------------------------------------------------


def _patch(of: session.Session, info: builder.Info, patch: Object) -> Object:
    query = [("fieldManager", "kubectl-rollout")]
    path = info.mapping.path(info.namespace, info.name)
    return of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES["strategic"])


async def restart(of: session.Session) -> None:
    deeds = printers.Deeds(of)
    for info in await _infos(of):
        obj = info.obj or {}
        if info.mapping.kind not in ("Deployment", "DaemonSet", "StatefulSet"):
            raise fail.Failed(f'error: {info.mapping.plural} "{info.name}" restarting is not supported')
        if obj["spec"].get("paused"):
            raise fail.Failed(
                f'error: {info.mapping.title} "{info.name}" can\'t restart paused deployment (run rollout resume first)'
            )
        notes = {"kubectl.kubernetes.io/restartedAt": ids.timestamp(of.io.now())}
        after = _patch(of, info, {"spec": {"template": {"metadata": {"annotations": notes}}}})
        deeds.done(after, "restarted")


async def pause(of: session.Session) -> None:
    await _set_paused(of, True)


async def resume(of: session.Session) -> None:
    await _set_paused(of, False)


async def _set_paused(of: session.Session, paused: bool) -> None:
    deeds = printers.Deeds(of)
    verb = "paus" if paused else "resum"
    for info in await _infos(of):
        if info.mapping.kind != "Deployment":
            raise fail.Failed(f'error: {info.mapping.plural} "{info.name}" {verb}ing is not supported')
        if bool((info.obj or {})["spec"].get("paused")) == paused:
            state = "is already paused" if paused else "is not paused"
            raise fail.Failed(f'error: {info.mapping.title} "{info.name}" {state}')
        after = _patch(of, info, {"spec": {"paused": paused or None}})
        deeds.done(after, f"{verb}ed")


_FLAGS = (*builder.FILES, *printers.OUTPUT, *flags.define("selector,l", "field-manager:=kubectl-rollout"))
_USAGE = "(TYPE NAME | TYPE/NAME) [flags] [options]"
COMMANDS = {
    "rollout": Command(
        "rollout",
        "Manage the rollout of one or many resources.",
        None,
        must_choose=True,
        subcommands=(
            Command("history", "View rollout history", history, (*_FLAGS, *flags.define("revision:int")), _USAGE),
            Command("pause", "Mark the provided resource as paused", pause, _FLAGS, _USAGE),
            Command("restart", "Restart a resource", restart, _FLAGS, _USAGE),
            Command("resume", "Resume a paused resource", resume, _FLAGS, _USAGE),
            Command(
                "status",
                "Show the status of the rollout",
                status,
                (*_FLAGS, *flags.define("watch,w:bool=true", "timeout:duration", "revision:int")),
                _USAGE,
            ),
            Command(
                "undo",
                "Undo a previous rollout",
                undo,
                (*_FLAGS, *session.DRY_RUN, *flags.define("to-revision:int")),
                _USAGE,
            ),
        ),
    )
}
