"""kubectl delete.

Source: kubectl `pkg/cmd/delete/delete.go`, `pkg/cmd/wait`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, session, watching
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

_IMMEDIATE = (
    "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may "
    "continue to run on the cluster indefinitely."
)
_CASCADES = {
    "background": "Background",
    "orphan": "Orphan",
    "foreground": "Foreground",
    "true": "Background",
    "false": "Orphan",
}


async def run(of: session.Session) -> None:
    grace = of.flags["grace-period"]
    if of.flags["now"]:
        if grace != -1:
            raise fail.Failed("error: --now and --grace-period cannot be specified together")
        grace = 1
    if of.flags["force"]:
        if grace > 0:
            raise fail.Failed("error: --force and --grace-period greater than 0 cannot be specified together")
        grace = 0
    elif grace == 0:
        # Without --force, 0 is the quickest that is still graceful.
        grace = 1
    if of.flags["output"] not in ("", "name"):
        raise fail.Failed(f"error: unexpected -o output mode: {of.flags['output']}. We only support '-o name'")
    if of.flags["raw"]:
        response = of.rest.send("DELETE", of.flags["raw"])
        of.io.out(response.body)
        return
    if of.flags["cascade"] not in _CASCADES:
        raise fail.Failed(
            f'error: invalid cascade value ({of.flags["cascade"]}). Must be "background", "foreground", or "orphan"'
        )
    dry_run = of.dry_run()
    infos = await _chosen(of)
    if of.flags["force"] and grace == 0:
        of.io.complain(_IMMEDIATE if of.minor >= 19 else "warning" + _IMMEDIATE.removeprefix("Warning"))
    warned = False
    gone: list[tuple[builder.Info, str]] = []
    errors: list[fail.Failed] = []
    for info in infos:
        if not info.mapping.namespaced and of.selected.namespace_given and not warned and of.minor >= 18:
            warned = True
            of.io.complain("Warning: deleting cluster-scoped resources, not scoped to the provided namespace")
        try:
            answer = _delete(of, info, grace, dry_run)
        except fail.StatusError as error:
            if error.not_found and of.flags["ignore-not-found"]:
                continue
            errors.append(fail.when("deleting", info.source, error) if info.source else error)
            continue
        _say(of, info, grace, dry_run)
        gone.append((info, _uid(answer)))
    if of.flags["wait"] and dry_run == "none":
        await _wait(of, gone)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise fail.Many(errors)
    if not infos:
        of.io.print("No resources found")


async def _chosen(of: session.Session) -> list[builder.Info]:
    if builder.filenames(of):
        return await builder.infos(of, of.args, latest=False)
    if of.flags["all"] and of.flags["selector"]:
        raise fail.Failed("error: cannot set --all and --selector at the same time")
    return await builder.infos(of, of.args, latest=False)


def _delete(of: session.Session, info: builder.Info, grace: int, dry_run: str) -> Object:
    options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace >= 0:
        options["gracePeriodSeconds"] = grace
    options["propagationPolicy"] = _CASCADES[of.flags["cascade"]]
    if dry_run == "client":
        return of.get(info.mapping, info.name, info.namespace)
    if dry_run == "server":
        options["dryRun"] = ["All"]
    return of.rest.ask("DELETE", info.mapping.path(info.namespace, info.name), body=options)


def _uid(answer: Object) -> str:
    """The uid of what was deleted: in the object, or in the Status's details."""
    if answer.get("kind") == "Status":
        return str((answer.get("details") or {}).get("uid") or "")
    return objects.uid(answer)


def _say(of: session.Session, info: builder.Info, grace: int, dry_run: str) -> None:
    if of.flags["output"] == "name":
        of.io.print(info.label)
        return
    deed = "force deleted" if grace == 0 else "deleted"
    # Since 1.34 the namespace is named too.
    where = f" from {info.namespace} namespace" if info.namespace and of.minor >= 34 else ""
    of.io.print(f'{info.mapping.prefix} "{info.name}" {deed}{where}{session.suffix(dry_run)}')


async def _wait(of: session.Session, gone: list[tuple[builder.Info, str]]) -> None:
    """Until each is really gone (finalizers, grace periods), or another of its name has come."""
    timeout = of.flags["timeout"] or None
    for info, uid in gone:
        if "watch" not in info.mapping.verbs:
            continue

        def over(state: Object | None, uid: str = uid) -> bool:
            return state is None or (bool(uid) and objects.uid(state) != uid)

        try:
            if over(_now(of, info)):
                continue
            await watching.until(of, info.mapping, info.namespace, info.name, over, timeout)
        except watching.TimedOut:
            raise fail.Failed(
                f"error: timed out waiting for the condition on {info.mapping.plural}/{info.name}"
            ) from None
        except fail.StatusError as error:
            if error.reason not in ("Forbidden", "MethodNotAllowed"):
                raise


def _now(of: session.Session, info: builder.Info) -> Object | None:
    try:
        return of.get(info.mapping, info.name, info.namespace)
    except fail.StatusError as error:
        if error.not_found:
            return None
        raise


COMMANDS = {
    "delete": Command(
        "delete",
        "Delete resources by file names, stdin, resources and names, or by resources and label selector.",
        run,
        (
            *builder.FILES,
            *builder.SELECT,
            *session.DRY_RUN,
            *flags.define(
                "all-namespaces,A:bool",
                "cascade:=background?background",
                "force:bool",
                "grace-period:int=-1",
                "ignore-not-found:bool",
                "now:bool",
                "output,o",
                "raw",
                "timeout:duration",
                "wait:bool=true",
            ),
        ),
        "([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)]) [options]",
    )
}
