"""kubectl replace.

Source: kubectl `pkg/cmd/replace/replace.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, printers, session, watching
from kubesim.kubectl.command import Command

Object = dict[str, Any]


async def run(of: session.Session) -> None:
    if not builder.filenames(of):
        raise of.hint("Must specify --filename to replace")
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    infos = await builder.from_files(of)
    if of.flags["force"]:
        await _force(of, infos, deeds)
        return

    def one(info: builder.Info) -> None:
        obj = info.obj or {}
        if dry_run != "client":
            query = [("dryRun", "All")] if dry_run == "server" else []
            query += [("fieldManager", "kubectl-replace"), ("fieldValidation", session.validation(of))]
            try:
                obj = of.rest.ask("PUT", info.mapping.path(info.namespace, info.name), body=obj, query=query)
            except fail.Failed as error:
                raise fail.when("replacing", info.source, error) from None
        deeds.done(obj, "replaced", dry_run)

    builder.visit(infos, one)


async def _force(of: session.Session, infos: list[builder.Info], deeds: printers.Deeds) -> None:
    for info in infos:
        path = info.mapping.path(info.namespace, info.name)
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if of.flags["grace-period"] >= 0:
            options["gracePeriodSeconds"] = of.flags["grace-period"]
        try:
            of.rest.ask("DELETE", path, body=options)
        except fail.StatusError as error:
            if not error.not_found:
                raise
            continue
        where = f" from {info.namespace} namespace" if info.namespace and of.minor >= 34 else ""
        of.io.print(f'{info.mapping.prefix} "{info.name}" deleted{where}')
        await watching.until(of, info.mapping, info.namespace, info.name, lambda state: state is None, None)
    for info in infos:
        query = [("fieldManager", "kubectl-replace"), ("fieldValidation", session.validation(of))]
        after = of.rest.ask("POST", info.mapping.path(info.namespace), body=info.obj, query=query)
        deeds.done(after, "replaced")


COMMANDS = {
    "replace": Command(
        "replace",
        "Replace a resource by file name or stdin.",
        run,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *session.VALIDATE,
            *flags.define(
                "force:bool",
                "grace-period:int=-1",
                "save-config:bool",
                "timeout:duration",
                "cascade:=background?background",
            ),
        ),
        "-f FILENAME [options]",
    )
}
