"""kubectl label, annotate.

Source: kubectl `pkg/cmd/label/label.go`, `pkg/cmd/annotate/annotate.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, printers, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import names, objects

Object = dict[str, Any]


async def label(of: session.Session) -> None:
    await _change(of, "labels", "label")


async def annotate(of: session.Session) -> None:
    await _change(of, "annotations", "annotation")


async def _change(of: session.Session, section: str, noun: str) -> None:
    resources, added, removed = _sorted_out(of, noun)
    listing = bool(of.flags["list"])
    if not resources and not builder.filenames(of):
        raise fail.Failed("error: one or more resources must be specified as <resource> <name> or <resource>/<name>")
    if not added and not removed and not listing:
        raise fail.Failed(f"error: at least one {noun} update is required")
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    infos = await builder.infos(of, resources)
    if not infos:
        of.io.complain("No resources found")
        return

    def one(info: builder.Info) -> None:
        obj = info.obj or {}
        before = dict((obj.get("metadata") or {}).get(section) or {})
        if listing:
            if len(infos) > 1 or of.flags["all"]:
                of.io.print(f"Listing {section} for {info.mapping.kind}.{info.mapping.group}/{info.name}:")
            for key, value in sorted(before.items()):
                of.io.print(f"{key}={value}")
            if not added and not removed:
                return
        if not of.flags["overwrite"]:
            taken = [key for key in added if key in before]
            if taken and section == "annotations":
                raise fail.Failed(
                    "error: --overwrite is false but found the following declared annotation(s): "
                    + "; ".join(f"'{key}' already has a value ({before[key]})" for key in taken)
                )
            clash = [key for key in taken if before[key] != added[key] or section == "labels"]
            if clash:
                raise fail.Failed(
                    "\n".join(
                        f"error: '{key}' already has a value ({before[key]}), and --overwrite is false" for key in clash
                    )
                )
        after = {key: value for key, value in {**before, **added}.items() if key not in removed}
        missing = [key for key in removed if key not in before]
        for key in missing:
            of.io.print(f'{noun} "{key}" not found.')
        changed = after != before
        if section == "labels":
            deed = "unlabeled" if removed and not added and changed else "labeled" if changed else "not labeled"
        else:
            deed = "annotated"
        if dry_run != "client" and not of.flags["local"] and (changed or section == "annotations"):
            obj = _send(of, info, section, {**added, **dict.fromkeys(removed)}, dry_run)
        else:
            obj = objects.copy(obj)
            obj.setdefault("metadata", {})[section] = after
        deeds.done(obj, deed, dry_run)

    builder.visit(infos, one)


def _send(of: session.Session, info: builder.Info, section: str, change: Object, dry_run: str) -> Object:
    metadata: Object = {section: change}
    if of.flags["resource-version"]:
        metadata["resourceVersion"] = of.flags["resource-version"]
    query = [("dryRun", "All")] if dry_run == "server" else []
    query.append(("fieldManager", of.flags["field-manager"]))
    path = info.mapping.path(info.namespace, info.name)
    return of.rest.ask("PATCH", path, body={"metadata": metadata}, query=query, content_type=rest.PATCH_TYPES["merge"])


def _sorted_out(of: session.Session, noun: str) -> tuple[list[str], dict[str, str], list[str]]:
    """Resources first; then k=v and k-."""
    resources: list[str] = []
    changes: list[str] = []
    for arg in of.args:
        is_change = "=" in arg or (arg.endswith("-") and len(arg) > 1)
        if is_change:
            changes.append(arg)
        elif changes:
            raise fail.Failed("error: all resources must be specified before " + noun + f" changes: {arg}")
        else:
            resources.append(arg)
    added: dict[str, str] = {}
    removed: list[str] = []
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            removed.append(change[:-1])
            continue
        if noun == "label":
            errors = names.label_value(value)
            if errors:
                raise fail.Failed(f'error: invalid label value: "{change}": {";".join(errors)}')
        added[key] = value
    both = [key for key in removed if key in added]
    if both:
        if noun == "label":
            raise fail.Failed("error: can not both modify and remove a label in the same command")
        listed = ", ".join(both)
        raise fail.Failed(
            f"error: can not both modify and remove the following annotation(s) in the same command: {listed}"
        )
    return resources, added, removed


_FLAGS = (
    *builder.FILES,
    *builder.SELECT,
    *printers.OUTPUT,
    *session.DRY_RUN,
    *flags.define("overwrite:bool", "list:bool", "local:bool", "resource-version", "all-namespaces,A:bool"),
)
COMMANDS = {
    "label": Command(
        "label",
        "Update the labels on a resource.",
        label,
        (*_FLAGS, *flags.define("field-manager:=kubectl-label")),
        "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version] [options]",
    ),
    "annotate": Command(
        "annotate",
        "Update the annotations on one or more resources.",
        annotate,
        (*_FLAGS, *flags.define("field-manager:=kubectl-annotate")),
        "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version] [options]",
    ),
}
