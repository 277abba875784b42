"""kubectl edit: the object in an editor, what was changed as a patch.

Source: kubectl `pkg/cmd/util/editor/editoptions.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, editor, fail, flags, manifests, printers, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

_HEADER = (
    "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
    "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
    "# reopened with the relevant failures.\n#\n"
)


async def run(of: session.Session) -> None:
    infos = await builder.infos(of, of.args)
    deeds = printers.Deeds(of)
    for info in infos:
        await _edit(of, info, deeds)


async def _edit(of: session.Session, info: builder.Info, deeds: printers.Deeds) -> None:
    before = printers.without_managed_fields(info.obj or {})
    text = _HEADER + printers.to_yaml(before)
    edited = await editor.edit(of, text, objects.name(before))
    plain = "\n".join(line for line in edited.splitlines() if not line.startswith("#"))
    if not plain.strip() or edited == text:
        of.io.complain("Edit cancelled, no changes made.")
        return
    try:
        after = manifests.first(plain)
    except manifests.Unreadable as error:
        raise fail.Failed(f"error: The edited file had a syntax error: {error}") from None
    if after == before:
        of.io.complain("Edit cancelled, no changes made.")
        return
    from kubesim import schema
    from kubesim.machinery import patches

    found = schema.resource_for_kind(info.mapping.api_version, info.mapping.kind)
    patch = patches.two_way_strategic(before, after, found.type()) if found else patches.merge_diff(before, after)
    done = of.rest.ask(
        "PATCH",
        info.mapping.path(info.namespace, info.name),
        body=patch,
        query=[("fieldManager", "kubectl-edit"), ("fieldValidation", session.validation(of))],
        content_type=rest.PATCH_TYPES["strategic" if found else "merge"],
    )
    deeds.done(done, "edited")


COMMANDS = {
    "edit": Command(
        "edit",
        "Edit a resource from the default editor.",
        run,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.VALIDATE,
            *flags.define("selector,l", "save-config:bool", "subresource"),
        ),
        "(RESOURCE/NAME | -f FILENAME) [options]",
    )
}
