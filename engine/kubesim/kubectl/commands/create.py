"""kubectl create: from files; the kinds that have a subcommand are in the modules that it gathers.

Source: kubectl `pkg/cmd/create/create.go`.
"""

from __future__ import annotations

from kubesim.kubectl import builder, fail, flags, printers, session
from kubesim.kubectl.command import Command
from kubesim.kubectl.commands import create_config, create_network, create_policy, create_workloads


async def run(of: session.Session) -> None:
    if not builder.filenames(of):
        if of.args:
            raise of.hint(f"Unexpected args: [{' '.join(of.args)}]")
        raise fail.Failed("error: must specify one of -f and -k")
    if of.args:
        raise of.hint(f"Unexpected args: [{' '.join(of.args)}]")
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    infos = await builder.from_files(of)
    if not infos:
        raise fail.Failed("error: no objects passed to create")

    def create(info: builder.Info) -> None:
        obj = info.obj or {}
        if of.flags["save-config"]:
            from kubesim.kubectl.commands import apply

            obj = apply.with_annotation(obj)
        if dry_run != "client":
            try:
                obj = of.rest.ask("POST", info.mapping.path(info.namespace), body=obj, query=query(of, dry_run))
            except fail.Failed as error:
                raise fail.when("creating", info.source, error) from None
        deeds.done(obj, "created", dry_run)

    builder.visit(infos, create)


def query(of: session.Session, dry_run: str) -> list[tuple[str, str]]:
    pairs = [("dryRun", "All")] if dry_run == "server" else []
    pairs.append(("fieldManager", of.flags.get("field-manager") or "kubectl-create"))
    pairs.append(("fieldValidation", session.validation(of)))
    return pairs


COMMANDS = {
    "create": Command(
        "create",
        "Create a resource from a file or from stdin.",
        run,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *session.VALIDATE,
            *flags.define("save-config:bool", "field-manager:=kubectl-create", "edit:bool", "raw", "selector,l"),
        ),
        "-f FILENAME [options]",
        subcommands=(
            *create_workloads.COMMANDS,
            *create_network.COMMANDS,
            *create_config.COMMANDS,
            *create_policy.COMMANDS,
        ),
    )
}
