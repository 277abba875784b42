"""From what stands on the command line (TYPE NAME, TYPE/NAME, -l, -f) to resources and objects.

Source: cli-runtime `pkg/resource/builder.go`, whose words these are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kubesim.kubectl import discovery, fail, flags, manifests, session

Object = dict[str, Any]

FILES = flags.define("filename,f:list", "recursive,R:bool", "kustomize,k")
SELECT = flags.define("selector,l", "all:bool", "field-selector")

_NO_RESOURCES = (
    "error: You must provide one or more resources by argument or filename.\nExample resource specifications include:\n"
    "   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'"
)


@dataclass
class Info:
    """One object: by name (`obj` None until it is asked for), or out of a file (`source`)."""

    mapping: discovery.Mapping
    namespace: str
    name: str
    obj: Object | None = None
    source: str = ""

    def fetch(self, of: session.Session) -> Object:
        self.obj = of.get(self.mapping, self.name, self.namespace)
        return self.obj

    @property
    def label(self) -> str:
        """ "deployment.apps/web": as deeds are reported."""
        return f"{self.mapping.prefix}/{self.name}"


@dataclass(frozen=True)
class Request:
    """One resource and the names asked for, none for all of it."""

    mapping: discovery.Mapping
    names: tuple[str, ...] = ()


@dataclass
class Wanted:
    requests: list[Request] = field(default_factory=list)
    several_types: bool = False


def filenames(of: session.Session) -> list[str]:
    if of.flags.get("kustomize"):
        raise fail.Failed("error: not simulated: kubectl's flag -k (kustomize); render the manifests and use -f")
    return of.flags.get("filename") or []


async def from_files(of: session.Session, client_dry_run: bool = False) -> list[Info]:
    """The objects of -f, in order.  `client_dry_run`: they need not exist on the server."""
    infos = []
    for source, obj in await manifests.read(of.io, filenames(of), bool(of.flags.get("recursive"))):
        infos.append(_info_of(of, source, obj))
    return infos


def _info_of(of: session.Session, source: str, obj: Any) -> Info:
    if not isinstance(obj, dict):
        raise fail.Failed(
            f'error: error validating "{source}": error validating data: invalid object to validate; '
            "if you choose to ignore these errors, turn validation off with --validate=false"
        )
    kind, api_version = obj.get("kind"), obj.get("apiVersion")
    missing = [f"{name} not set" for name, value in (("apiVersion", api_version), ("kind", kind)) if not value]
    if missing:
        raise fail.Failed(_invalid_data(source, missing))
    mapping = of.discovery.of_kind(str(api_version), str(kind))
    if mapping is None:
        raise fail.Failed(
            f'error: resource mapping not found for name: "{_name(obj)}" namespace: "{_namespace(obj)}" from "{source}": '
            f'no matches for kind "{kind}" in version "{api_version}"\nensure CRDs are installed first'
        )
    namespace = _namespace(obj)
    if mapping.namespaced:
        if namespace and of.selected.namespace_given and namespace != of.namespace:
            raise fail.Failed(
                f'error: the namespace from the provided object "{namespace}" does not match the namespace '
                f"\"{of.namespace}\". You must pass '--namespace={namespace}' to perform this operation."
            )
        namespace = namespace or of.namespace
        obj.setdefault("metadata", {})
        if isinstance(obj["metadata"], dict):
            obj["metadata"].setdefault("namespace", namespace)
    else:
        namespace = ""
    return Info(mapping, namespace, _name(obj), obj, source)


def _invalid_data(source: str, missing: list[str]) -> str:
    errors = ", ".join(missing)
    listed = f"[{errors}]" if len(missing) > 1 else errors
    return (
        f'error: error validating "{source}": error validating data: {listed}; '
        "if you choose to ignore these errors, turn validation off with --validate=false"
    )


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def _namespace(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("namespace") or "")


def resolve(of: session.Session, args: list[str], selecting: bool = False) -> Wanted:
    """The resources and names of arguments.  `selecting`: a selector or --all was given, so names may not be."""
    if not args:
        raise fail.Failed(_NO_RESOURCES)
    if any("/" in arg for arg in args):
        return _slashed(of, args)
    types, names = args[0], args[1:]
    mappings = _types(of, types)
    if names and selecting:
        raise fail.Failed("error: name cannot be provided when a selector is specified")
    if names and any(not name for name in names):
        raise fail.Failed("error: resource name may not be empty")
    return Wanted([Request(mapping, tuple(names)) for mapping in mappings], len(mappings) > 1)


def _types(of: session.Session, text: str) -> list[discovery.Mapping]:
    found: list[discovery.Mapping] = []
    for word in text.split(","):
        if not word:
            raise fail.NoResource(word)
        category = of.discovery.all().category(word.lower()) if of.discovery.all().find(word) is None else []
        for mapping in category or [of.discovery.find(word)]:
            if mapping not in found:
                found.append(mapping)
    return found


def _slashed(of: session.Session, args: list[str]) -> Wanted:
    requests = []
    kinds = set()
    for arg in args:
        if not all("/" in each for each in args):
            raise fail.Failed(
                "error: there is no need to specify a resource type as a separate argument when passing arguments in "
                f"resource/name form (e.g. '{of.path} resource/<resource_name>' instead of '{of.path} resource "
                "resource/<resource_name>'"
            )
        parts = arg.split("/")
        if len(parts) != 2:
            raise fail.Failed("error: arguments in resource/name form may not have more than one slash")
        if not parts[0] or not parts[1] or "," in parts[0]:
            raise fail.Failed("error: arguments in resource/name form must have a single resource and name")
        mapping = of.discovery.find(parts[0])
        kinds.add(mapping.title)
        requests.append(Request(mapping, (parts[1],)))
    return Wanted(requests, len(kinds) > 1)


async def infos(of: session.Session, args: list[str], latest: bool = True) -> list[Info]:
    """The objects of -f or of arguments (with -l, --all), fetched when `latest`.  Missing ones raise."""
    files = filenames(of)
    if files:
        if args:
            raise fail.Failed(
                "error: when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            )
        found = await from_files(of)
        if latest:
            for info in found:
                info.fetch(of)
        return found
    selector, every = of.flags.get("selector") or "", bool(of.flags.get("all"))
    fields = of.flags.get("field-selector") or ""
    wanted = resolve(of, args, bool(selector or every))
    if selector and every:
        raise fail.Failed("error: setting 'all' parameter but found a non empty selector. ")
    found = []
    for request in wanted.requests:
        namespace = of.namespace if request.mapping.namespaced else ""
        if request.names:
            found += [Info(request.mapping, namespace, name) for name in request.names]
        elif selector or every or fields:
            space = "" if of.flags.get("all-namespaces") else namespace
            for obj in of.list(request.mapping, space, selector, fields):
                found.append(Info(request.mapping, _namespace(obj), _name(obj), obj))
        else:
            raise fail.Failed("error: resource(s) were provided, but no name was specified")
    if latest:
        for info in found:
            if info.obj is None:
                info.fetch(of)
    return found


def visit(items: Iterable[Info], deed: Callable[[Info], None]) -> None:
    """Do it to each; errors wait until all have had their turn (ContinueOnError)."""
    errors: list[fail.Failed] = []
    for item in items:
        try:
            deed(item)
        except fail.Exit:
            raise
        except fail.Failed as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise fail.Many(errors)
