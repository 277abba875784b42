"""kubectl apply: client-side (three-way) and server-side.

Client-side apply keeps what was applied last in an annotation; the patch is computed from that, from what is wanted and from what
is there.  Sources: kubectl `pkg/cmd/apply/apply.go`, `patcher.go`; `pkg/util/apply.go`.
"""

from __future__ import annotations

import json
from typing import Any

from kubesim import errors
from kubesim.kubectl import builder, fail, flags, printers, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import objects, patches

Object = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_CONFLICTS = """
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"""


def with_annotation(obj: Object) -> Object:
    """The object with itself, as it stands here, in the annotation (util.GetModifiedConfiguration)."""
    plain = objects.copy(obj)
    notes = plain.setdefault("metadata", {}).get("annotations") or {}
    notes.pop(LAST_APPLIED, None)
    plain["metadata"]["annotations"] = notes
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"
    plain["metadata"]["annotations"] = {**notes, LAST_APPLIED: text}
    return plain


async def run(of: session.Session) -> None:
    if of.args:
        raise of.hint(f"Unexpected args: [{' '.join(of.args)}]")
    if not builder.filenames(of):
        raise fail.Failed("error: must specify one of -f and -k")
    for name in ("prune", "prune-allowlist", "applyset"):
        if of.flags[name]:
            raise fail.Failed(f"error: not simulated: kubectl apply's flag --{name}")
    server_side = of.flags["server-side"]
    if of.flags["force-conflicts"] and not server_side:
        raise fail.Failed("error: --force-conflicts only works with --server-side")
    dry_run = of.dry_run()
    if dry_run == "client" and server_side:
        raise fail.Failed(
            "error: --dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"
        )
    deeds = _Results(of, dry_run)
    infos = await builder.from_files(of)
    if not infos:
        raise fail.Failed("error: no objects passed to apply")
    selector = of.flags["selector"]
    if selector:
        from kubesim.machinery import selectors

        chosen = selectors.parse(selector)
        infos = [info for info in infos if chosen.matches(objects.labels(info.obj or {}))]

    def apply(info: builder.Info) -> None:
        if "name" not in ((info.obj or {}).get("metadata") or {}) and (info.obj or {}).get("metadata", {}).get(
            "generateName"
        ):
            name = info.obj["metadata"]["generateName"] if info.obj else ""
            raise fail.Failed(f"error: from {name}: cannot use generate name with apply")
        if server_side:
            _server_side(of, info, dry_run, deeds)
        else:
            _client_side(of, info, dry_run, deeds)

    try:
        builder.visit(infos, apply)
    finally:
        deeds.finish()


class _Results:
    """Deeds are told as they happen; with -o, objects are printed together at the end."""

    def __init__(self, of: session.Session, dry_run: str) -> None:
        self._of = of
        self._dry_run = dry_run
        self._deeds = printers.Deeds(of)
        self._together = (of.flags["output"] or "") not in ("", "name")
        self._objects: list[Object] = []

    def add(self, obj: Object, deed: str) -> None:
        if self._together:
            self._objects.append(obj)
        else:
            self._deeds.done(obj, deed, self._dry_run)

    def finish(self) -> None:
        if len(self._objects) == 1:
            self._deeds.done(self._objects[0], "")
        elif self._objects:
            metadata = {"resourceVersion": "", "selfLink": ""} if self._of.minor < 24 else {}
            self._deeds.done({"apiVersion": "v1", "items": self._objects, "kind": "List", "metadata": metadata}, "")


def _query(of: session.Session, dry_run: str, manager: str) -> list[tuple[str, str]]:
    query = [("dryRun", "All")] if dry_run == "server" else []
    given = of.flags["field-manager"] if "field-manager" in of.flags.changed else manager
    return [*query, ("fieldManager", given), ("fieldValidation", session.validation(of))]


# -- client-side --------------------------------------------------------------------------------------------------


def _client_side(of: session.Session, info: builder.Info, dry_run: str, deeds: _Results) -> None:
    wanted = with_annotation(info.obj or {})
    query = _query(of, dry_run, "kubectl-client-side-apply")
    try:
        current = of.get(info.mapping, info.name, info.namespace)
    except fail.StatusError as error:
        if not error.not_found:
            raise _retrieving(info, error) from None
        if dry_run != "client":
            try:
                wanted = of.rest.ask("POST", info.mapping.path(info.namespace), body=wanted, query=query)
            except fail.Failed as refusal:
                raise fail.when("creating", info.source, refusal) from None
        deeds.add(wanted, "created")
        return
    if objects.deleting(current):
        of.io.complain(f"Warning: Detected changes to resource {info.name} which is currently being deleted.")
    last = objects.annotations(current).get(LAST_APPLIED)
    if last is None:
        _complain_of_missing(of, info)
    original = json.loads(last) if last else {}
    patch, kind = _patch(info, original, wanted, current)
    if not patch:
        deeds.add(current, "unchanged")
        return
    if dry_run == "client":
        deeds.add(_locally(info, current, patch, kind), "configured")
        return
    path = info.mapping.path(info.namespace, info.name)
    try:
        after = of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES[kind])
    except fail.StatusError as error:
        if of.flags["force"] and error.reason in ("Invalid", "Conflict"):
            after = _recreate(of, info, wanted, query)
        else:
            raise _patching(info, patch, error) from None
    deeds.add(after, "configured")


def _complain_of_missing(of: session.Session, info: builder.Info) -> None:
    if of.minor < 20:
        of.io.complain(
            "Warning: kubectl apply should be used on resource created by either kubectl create --save-config or kubectl apply"
        )
        return
    of.io.complain(
        f"Warning: resource {info.mapping.plural}/{info.name} is missing the {LAST_APPLIED} annotation which is required by "
        "kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create "
        "--save-config or kubectl apply. The missing annotation will be patched automatically."
    )


def _schema_type(info: builder.Info) -> str:
    """The schema's type for a built-in kind, "" for a custom resource."""
    from kubesim import schema

    found = schema.resource_for_kind(info.mapping.api_version, info.mapping.kind)
    if found is None:
        return ""
    return found.types.get(info.mapping.version) or found.type()


def _patch(info: builder.Info, original: Object, wanted: Object, current: Object) -> tuple[Object, str]:
    try:
        schema_type = _schema_type(info)
        if schema_type:
            return patches.three_way_strategic(original, wanted, current, schema_type), "strategic"
        return patches.three_way_merge(original, wanted, current), "merge"
    except errors.ApiError as error:
        raise fail.when("applying patch", info.source, fail.Failed(error.message)) from None


def _locally(info: builder.Info, current: Object, patch: Object, kind: str) -> Object:
    if kind == "merge":
        merged: Object = patches.merge_patch(current, patch)
        return merged
    return patches.strategic(current, patch, _schema_type(info))


def _recreate(of: session.Session, info: builder.Info, wanted: Object, query: list[tuple[str, str]]) -> Object:
    """--force: what may not change is deleted and made anew."""
    path = info.mapping.path(info.namespace, info.name)
    of.rest.ask("DELETE", path, body={"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
    return of.rest.ask("POST", info.mapping.path(info.namespace), body=wanted, query=query)


def _describe(info: builder.Info) -> str:
    mapping = info.mapping
    version = f"{mapping.group}/{mapping.version}"
    return (
        f'Resource: "{version}, Resource={mapping.plural}", GroupVersionKind: "{version}, Kind={mapping.kind}"\n'
        f'Name: "{info.name}", Namespace: "{info.namespace}"'
    )


def _retrieving(info: builder.Info, error: fail.StatusError) -> fail.Failed:
    verb = f"retrieving current configuration of:\n{_describe(info)}\nfrom server for:"
    return fail.when(verb, info.source, error)


def _patching(info: builder.Info, patch: Object, error: fail.StatusError) -> fail.Failed:
    inner = fail.when("patching", info.source, error)
    text = json.dumps(patch, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return fail.when(f"applying patch:\n{text}\nto:\n{_describe(info)}\nfor:", info.source, inner)


def patched(
    of: session.Session, info: builder.Info, wanted: Object, current: Object, query: list[tuple[str, str]]
) -> Object:
    """The object after the patch that apply would send; as it is where there is nothing to change."""
    last = objects.annotations(current).get(LAST_APPLIED)
    patch, kind = _patch(info, json.loads(last) if last else {}, wanted, current)
    if not patch:
        return current
    path = info.mapping.path(info.namespace, info.name)
    return of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES[kind])


# -- server-side --------------------------------------------------------------------------------------------------


def _server_side(of: session.Session, info: builder.Info, dry_run: str, deeds: _Results) -> None:
    query = _query(of, dry_run, "kubectl")
    query.append(("force", "true" if of.flags["force-conflicts"] else "false"))
    path = info.mapping.path(info.namespace, info.name)
    try:
        after = of.rest.ask("PATCH", path, body=info.obj, query=query, content_type=rest.PATCH_TYPES["apply"])
    except fail.StatusError as error:
        if error.reason == "Conflict":
            raise fail.Failed(f"error: {error.message}{_CONFLICTS}") from None
        raise
    deeds.add(after, "serverside-applied")


# -- the annotation by hand ---------------------------------------------------------------------------------------


async def view_last_applied(of: session.Session) -> None:
    infos = await builder.infos(of, of.args)
    for info in infos:
        text = objects.annotations(info.obj or {}).get(LAST_APPLIED)
        if text is None:
            raise fail.Failed(f"error: no last-applied-configuration annotation found on resource: {info.name}\n")
        obj = json.loads(text)
        of.io.print(printers.to_json(obj, indent=2) if of.flags["output"] == "json" else printers.to_yaml(obj), end="")


COMMANDS = {
    "apply": Command(
        "apply",
        "Apply a configuration to a resource by file name or stdin.",
        run,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *session.VALIDATE,
            *flags.define(
                "selector,l",
                "server-side:bool",
                "force-conflicts:bool",
                "force:bool",
                "overwrite:bool=true",
                "field-manager:=kubectl-client-side-apply",
                "prune:bool",
                "prune-allowlist:array",
                "applyset",
                "all:bool",
                "wait:bool",
                "timeout:duration",
                "cascade:=background?background",
                "grace-period:int=-1",
                "openapi-patch:bool=true",
            ),
        ),
        "(-f FILENAME | -k DIRECTORY) [options]",
        subcommands=(
            Command(
                "view-last-applied",
                "View the latest last-applied-configuration annotations of a resource/object",
                view_last_applied,
                (*builder.FILES, *builder.SELECT, *flags.define("output,o:=yaml")),
                "(TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME) [options]",
            ),
        ),
    )
}
