"""What a method and a path ask for (apiserver `pkg/endpoints/request/requestinfo.go`)."""

from __future__ import annotations

from dataclasses import dataclass

# Parts after a namespace's own name that are its subresources and not resources in it.
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A resource's path.  `rest` is what follows `proxy/` of a proxy subresource; `watch`: the old /watch/ prefix."""

    group: str
    version: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    watch: bool = False

    def verb(self, method: str) -> str:
        """RBAC's verb: a GET without a name is `list`, a DELETE without one `deletecollection`."""
        verb = _VERBS.get(method, "")
        if not self.name and verb in ("get", "delete"):
            return "list" if verb == "get" else "deletecollection"
        return verb


def parse(path: str) -> Target | None:
    """The target of /api/v1/... or /apis/GROUP/VERSION/...; None for every other path."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 2:
        if len(rest) == 2 or (rest[2] in _NAMESPACE_SUBRESOURCES and len(rest) == 3):
            return Target(
                group=group,
                version=version,
                resource="namespaces",
                name=rest[1],
                subresource=rest[2] if len(rest) == 3 else "",
                watch=watch,
            )
        namespace, rest = rest[1], rest[2:]
    return Target(
        group=group,
        version=version,
        resource=rest[0],
        namespace=namespace,
        name=rest[1] if len(rest) > 1 else "",
        subresource=rest[2] if len(rest) > 2 else "",
        rest="/".join(rest[3:]),
        watch=watch,
    )
