"""kubectl describe.

Source: kubectl `pkg/cmd/describe/describe.go`.
"""

from __future__ import annotations

import importlib
from typing import Any

from kubesim.kubectl import builder, discovery, fail, flags, session
from kubesim.kubectl.command import Command
from kubesim.kubectl.describe import DESCRIBERS
from kubesim.kubectl.describe.page import Page

Object = dict[str, Any]


async def run(of: session.Session) -> None:
    if not of.args and not builder.filenames(of):
        raise fail.Failed(
            'error: You must specify the type of resource to describe. Use "kubectl api-resources" for a complete list of '
            "supported resources.\n"
        )
    found, errors = await _objects(of)
    texts = [describe(of, mapping, obj) for mapping, obj in found]
    of.io.print("\n\n".join(texts), end="")
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise fail.Many(errors)
    if not found:
        namespaced = not of.flags["all-namespaces"]
        of.io.complain(f"No resources found in {of.namespace} namespace." if namespaced else "No resources found")


async def _objects(of: session.Session) -> tuple[list[tuple[discovery.Mapping, Object]], list[fail.Failed]]:
    found: list[tuple[discovery.Mapping, Object]] = []
    errors: list[fail.Failed] = []
    if builder.filenames(of):
        found += [(info.mapping, info.obj or {}) for info in await builder.infos(of, of.args)]
        return found, errors
    wanted = builder.resolve(of, of.args, bool(of.flags["selector"]))
    for request in wanted.requests:
        space = "" if of.flags["all-namespaces"] or not request.mapping.namespaced else of.namespace
        if not request.names:
            found += [(request.mapping, obj) for obj in of.list(request.mapping, space, of.flags["selector"])]
            continue
        for name in request.names:
            try:
                found.append((request.mapping, of.get(request.mapping, name, space)))
            except fail.StatusError as error:
                beginning = [] if not error.not_found else _beginning(of, request.mapping, space, name)
                found += [(request.mapping, obj) for obj in beginning]
                if not beginning:
                    errors.append(error)
    return found, errors


def _beginning(of: session.Session, mapping: discovery.Mapping, namespace: str, prefix: str) -> list[Object]:
    """A name that is not there may be the beginning of others (DescribeMatchingResources)."""
    return [obj for obj in of.list(mapping, namespace) if obj["metadata"]["name"].startswith(prefix)]


def describe(of: session.Session, mapping: discovery.Mapping, obj: Object) -> str:
    """The page of one object."""
    obj = {"apiVersion": mapping.api_version, "kind": mapping.kind, **obj}
    page = Page(of)
    module, function = DESCRIBERS.get(mapping.kind, ("generic", "generic"))
    getattr(importlib.import_module(f"kubesim.kubectl.describe.{module}"), function)(page, obj)
    return page.text()


COMMANDS = {
    "describe": Command(
        "describe",
        "Show details of a specific resource or group of resources.",
        run,
        (
            *builder.FILES,
            *flags.define("selector,l", "all-namespaces,A:bool", "show-events:bool=true", "chunk-size:int=500"),
        ),
        "(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME) [options]",
    )
}
