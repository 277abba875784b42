"""kubectl patch.

Source: kubectl `pkg/cmd/patch/patch.go`.
"""

from __future__ import annotations

import json
import posixpath
from typing import Any

from kubesim.kubectl import builder, fail, flags, manifests, printers, rest, session
from kubesim.kubectl.command import Command

Object = dict[str, Any]


async def run(of: session.Session) -> None:
    kind = of.flags["type"]
    if kind not in ("json", "merge", "strategic"):
        raise fail.Failed(f'error: --type must be one of [json merge strategic], not "{kind}"')
    patch = _patch(of)
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    infos = await builder.infos(of, of.args, latest=False)
    if not infos:
        raise fail.Failed("error: no objects passed to patch")

    def one(info: builder.Info) -> None:
        query = [("dryRun", "All")] if dry_run == "server" else []
        query.append(("fieldManager", of.flags["field-manager"]))
        path = info.mapping.path(info.namespace, info.name, of.flags["subresource"])
        before = of.rest.ask("GET", path)
        if dry_run == "client" or of.flags["local"]:
            deeds.done(_locally(info, before, patch, kind), "patched", dry_run)
            return
        media = rest.PATCH_TYPES[kind]
        try:
            after = of.rest.ask("PATCH", path, body=patch, query=query, content_type=media)
        except fail.StatusError as error:
            if error.reason != "UnsupportedMediaType":
                raise
            what = f"{info.mapping.api_version}, Kind={info.mapping.kind}"
            raise fail.Failed(f"error: {media} is not supported by {what}: {error.status['message']}") from None
        deeds.done(after, "patched" if after != before else "patched (no change)", dry_run)

    builder.visit(infos, one)


def _patch(of: session.Session) -> Any:
    text = of.flags["patch"]
    if of.flags["patch-file"]:
        path = posixpath.normpath(posixpath.join(of.io.cwd, of.flags["patch-file"]))
        if not of.io.files.is_file(path):
            name = of.flags["patch-file"]
            raise fail.Failed(f"error: unable to read patch file: open {name}: no such file or directory")
        text = of.io.files.read_bytes(path).decode("utf-8", "replace")
    if not text:
        raise fail.Failed("error: must specify --patch or --patch-file containing the contents of the patch")
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return manifests.first(text)
    except manifests.Unreadable as error:
        raise fail.Failed(
            f'error: unable to parse "{text}": {str(error).removeprefix("error converting YAML to JSON: ")}'
        ) from None


def _locally(info: builder.Info, obj: Object, patch: Any, kind: str) -> Object:
    from kubesim import schema
    from kubesim.machinery import patches

    if kind == "json":
        done: Object = patches.json_patch(obj, patch)
    elif kind == "merge":
        done = patches.merge_patch(obj, patch)
    else:
        found = schema.resource_for_kind(info.mapping.api_version, info.mapping.kind)
        if found is None:
            raise fail.Failed("error: strategic merge patch is not supported for custom resources locally")
        done = patches.strategic(obj, patch, found.type())
    return done


COMMANDS = {
    "patch": Command(
        "patch",
        "Update fields of a resource using strategic merge patch, a JSON merge patch, or a JSON patch.",
        run,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *flags.define(
                "patch,p", "patch-file", "type:=strategic", "local:bool", "subresource", "field-manager:=kubectl-patch"
            ),
        ),
        "(-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE] [options]",
    )
}
