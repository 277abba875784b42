"""Which resources the server has, and which of them a word on the command line means.

Sources: client-go `discovery/discovery_client.go`, `restmapper/discovery.go`, `restmapper/shortcut.go`.  Asked in the
aggregated form (one answer for /api, one for /apis) and, where an old server does not know it, group by group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kubesim.kubectl import fail, rest

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A resource in one version.  `preferred`: the version that the server prefers for the group."""

    plural: str
    singular: str
    kind: str
    group: str
    version: str
    namespaced: bool
    verbs: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    preferred: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def title(self) -> str:
        """ "deployments.apps", "services": as it stands in messages (GroupResource.String)."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """ "deployment.apps", "service": as it stands before a name."""
        kind = self.kind.lower()
        return f"{kind}.{self.group}" if self.group else kind

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            base += f"/namespaces/{namespace}"
        base += f"/{self.plural}"
        if name:
            base += f"/{name}"
        return f"{base}/{subresource}" if subresource else base


@dataclass
class Discovered:
    """Resources in the server's order; `subresources` by "deployments.apps" -> {"scale", ...}."""

    mappings: list[Mapping] = field(default_factory=list)
    subresources: dict[str, set[str]] = field(default_factory=dict)

    def of_kind(self, api_version: str, kind: str) -> Mapping | None:
        return next((each for each in self.mappings if each.kind == kind and each.api_version == api_version), None)

    def find(self, word: str) -> Mapping | None:
        """ "po", "pods", "Pod", "deployments.apps", "deployments.v1.apps"."""
        name, _, rest_of = word.partition(".")
        name = name.lower()
        if not rest_of:
            return self._named(name, "", "")
        version, _, group = rest_of.partition(".")
        if group or _is_version(version):
            found = self._named(name, group, version)
            if found:
                return found
        return self._named(name, rest_of, "", exact_group=True)

    def _named(self, name: str, group: str, version: str, exact_group: bool = False) -> Mapping | None:
        # Full names win over short ones (the shortcut expander looks at them first, but no short name is a plural).
        for matches in (
            lambda each: name in each.short_names,
            lambda each: name in (each.plural, each.singular, each.kind.lower()),
        ):
            for each in self.mappings:
                if not matches(each) or (version and each.version != version) or (not version and not each.preferred):
                    continue
                if exact_group or version:
                    # A group may be shortened: "ingresses.networking".
                    if each.group == group or (group and exact_group and each.group.startswith(group)):
                        return each
                    continue
                return each
        return None

    def category(self, name: str) -> list[Mapping]:
        """ "all": the resources that call themselves so."""
        return [each for each in self.mappings if each.preferred and name in each.categories]


def _is_version(text: str) -> bool:
    return text[:1] == "v" and text[1:2].isdigit()


# How long an answer holds, in seconds (cli-runtime genericclioptions/config_flags.go, toDiscoveryClient).
LASTS = 6 * 3600.0


class Discovery:
    """Asks once, and keeps the answer in `cache` (the machine's, so that it lasts between commands) for six hours."""

    def __init__(self, server: rest.Rest, cache: dict[Any, Any], now: float) -> None:
        self._rest = server
        self._cache = cache
        self._now = now

    def all(self) -> Discovered:
        asked, found = self._cache.get(("discovery", self._rest.host), (0.0, None))
        return found if found is not None and self._now - asked < LASTS else self.refresh()

    def refresh(self) -> Discovered:
        found = self._ask()
        self._cache["discovery", self._rest.host] = self._now, found
        return found

    def _ask(self) -> Discovered:
        found = Discovered()
        for root in ("/api", "/apis"):
            answer = self._rest.ask("GET", root, accept=AGGREGATED)
            if answer.get("kind") == "APIGroupDiscoveryList":
                for group in answer.get("items") or ():
                    _aggregated(group, found)
            elif root == "/api":
                for version in answer.get("versions") or ():
                    self._plain(found, "", version, f"/api/{version}", True)
            else:
                self._groups(found, answer)
        return found

    def _groups(self, found: Discovered, answer: dict[str, Any]) -> None:
        for group in answer.get("groups") or ():
            preferred = (group.get("preferredVersion") or {}).get("version")
            for each in group.get("versions") or ():
                path = f"/apis/{each['groupVersion']}"
                self._plain(found, group["name"], each["version"], path, each["version"] == preferred)

    def _plain(self, found: Discovered, group: str, version: str, path: str, preferred: bool) -> None:
        try:
            listed = self._rest.ask("GET", path)
        except fail.StatusError:
            # A group that cannot be listed (an aggregated API that is down) does not hide the others.
            return
        known = {each.title for each in found.mappings}
        for entry in listed.get("resources") or ():
            plural, slash, inner = entry["name"].partition("/")
            title = f"{plural}.{group}" if group else plural
            if slash:
                found.subresources.setdefault(title, set()).add(inner)
                continue
            found.mappings.append(
                Mapping(
                    plural=plural,
                    singular=entry.get("singularName") or entry["kind"].lower(),
                    kind=entry["kind"],
                    group=group,
                    version=version,
                    namespaced=bool(entry.get("namespaced")),
                    verbs=tuple(entry.get("verbs") or ()),
                    short_names=tuple(entry.get("shortNames") or ()),
                    categories=tuple(entry.get("categories") or ()),
                    preferred=preferred or title not in known,
                )
            )

    def find(self, word: str) -> Mapping:
        """The resource of a word; asked anew once when it is unknown.  Raises fail.NoResource."""
        found = self.all().find(word) or self.refresh().find(word)
        if found is None:
            raise fail.NoResource(word)
        return found

    def of_kind(self, api_version: str, kind: str) -> Mapping | None:
        return self.all().of_kind(api_version, kind) or self.refresh().of_kind(api_version, kind)

    def server_version(self) -> dict[str, Any]:
        key = ("version", self._rest.host)
        asked, found = self._cache.get(key, (0.0, None))
        if found is None or self._now - asked >= LASTS:
            found = self._rest.ask("GET", "/version")
            self._cache[key] = self._now, found
        return found


def _aggregated(group: dict[str, Any], found: Discovered) -> None:
    name = (group.get("metadata") or {}).get("name") or ""
    known: set[str] = set()
    for version in group.get("versions") or ():
        here = []
        for entry in version.get("resources") or ():
            plural = entry["resource"]
            title = f"{plural}.{name}" if name else plural
            for inner in entry.get("subresources") or ():
                found.subresources.setdefault(title, set()).add(inner["subresource"])
            kind = (entry.get("responseKind") or {}).get("kind") or ""
            if not kind:
                continue  # only subresources of it are served
            here.append(plural)
            found.mappings.append(
                Mapping(
                    plural=plural,
                    singular=entry.get("singularResource") or kind.lower(),
                    kind=kind,
                    group=name,
                    version=version["version"],
                    namespaced=entry.get("scope") == "Namespaced",
                    verbs=tuple(entry.get("verbs") or ()),
                    short_names=tuple(entry.get("shortNames") or ()),
                    categories=tuple(entry.get("categories") or ()),
                    preferred=plural not in known,
                )
            )
        known.update(here)
