"""kubectl diff: what `apply` would change, shown by the machine's own diff.

Source: kubectl `pkg/cmd/diff/diff.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, printers, session
from kubesim.kubectl.command import Command
from kubesim.kubectl.commands import apply
from kubesim.machinery import objects

Object = dict[str, Any]


# 1 says that there is a difference, so what goes wrong has another code (cmdutil.CheckDiffErr).
TROUBLE = 2


async def run(of: session.Session) -> int:
    try:
        return await _run(of)
    except fail.Failed as error:
        error.code = max(error.code, TROUBLE)
        raise


async def _run(of: session.Session) -> int:
    if not builder.filenames(of):
        raise fail.Failed("error: must specify one of -f and -k")
    if of.io.execute is None:
        raise fail.Failed('error: executable file not found in $PATH: "diff"')
    live, merged = f"{of.io.temporary}/LIVE-1", f"{of.io.temporary}/MERGED-1"
    for folder in (live, merged):
        if not of.io.files.is_dir(folder):
            of.io.files.mkdir(folder, parents=True)
    names = []
    for info in await builder.from_files(of):
        before, after = _both(of, info)
        group = info.mapping.group.replace("/", ".")
        name = ".".join(
            part for part in (group, info.mapping.version, info.mapping.kind, info.namespace, info.name) if part
        )
        names.append(name)
        for folder, obj in ((live, before), (merged, after)):
            text = "" if obj is None else printers.to_yaml(printers.without_managed_fields(obj))
            of.io.files.write(f"{folder}/{name}", text)
    external = (of.io.env.get("KUBECTL_EXTERNAL_DIFF") or "diff -u -N").split()
    code = await of.io.execute([*external, live, merged])
    for name in names:
        for folder in (live, merged):
            of.io.files.remove(f"{folder}/{name}")
    return code


def _both(of: session.Session, info: builder.Info) -> tuple[Object | None, Object]:
    """The object as it is, and as it would be (a dry run on the server)."""
    wanted = apply.with_annotation(info.obj or {})
    query = [("dryRun", "All"), ("fieldManager", "kubectl-client-side-apply")]
    try:
        before = of.get(info.mapping, info.name, info.namespace)
    except fail.StatusError as error:
        if not error.not_found:
            raise
        return None, of.rest.ask("POST", info.mapping.path(info.namespace), body=wanted, query=query)
    after = apply.patched(of, info, wanted, before, query)
    return _masked(before), _masked(after)


def _masked(obj: Object) -> Object:
    """Secrets' values are not shown."""
    if obj.get("kind") != "Secret" or not obj.get("data"):
        return obj
    masked = objects.copy(obj)
    masked["data"] = dict.fromkeys(obj["data"], "***")
    return masked


COMMANDS = {
    "diff": Command(
        "diff",
        "Diff configurations specified by file name or stdin between the current online configuration, and the configuration as "
        "it would be if applied.",
        run,
        (
            *builder.FILES,
            *flags.define(
                "selector,l",
                "server-side:bool",
                "force-conflicts:bool",
                "field-manager",
                "show-managed-fields:bool",
                "concurrency:int=1",
            ),
        ),
        "-f FILENAME [options]",
    )
}
