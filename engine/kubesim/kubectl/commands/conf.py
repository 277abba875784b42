"""kubectl config: look at and change the kubeconfig.

Source: kubectl `pkg/cmd/config`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import config, fail, flags, printers, session, tabs
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

_SECRET = ("token", "password")
_DATA = ("certificate-authority-data", "client-certificate-data", "client-key-data")


async def view(of: session.Session) -> None:
    document = objects.copy(of.config.merged)
    if of.flags["minify"]:
        document = _minified(of, document)
    if not of.flags["raw"]:
        for section in ("clusters", "users"):
            for entry in document.get(section) or ():
                inner = entry.get(section[:-1]) or {}
                inner.update((key, "DATA+OMITTED") for key in _DATA if key in inner)
                inner.update((key, "REDACTED") for key in _SECRET if key in inner)
    if not document.get("preferences") and of.minor_if_known() >= 34:
        document.pop("preferences", None)
    printer = printers.of_format(of.io, of.flags["output"] or "yaml", of.flags["template"])
    of.io.print(printer(printers.as_served(document)), end="")


def _minified(of: session.Session, document: Object) -> Object:
    name = of.flags["context"] or document.get("current-context") or ""
    context = of.config.named("contexts", name)
    if context is None:
        raise fail.Failed("error: current-context must exist in order to minify")
    keep = {"contexts": name, "clusters": context.get("cluster"), "users": context.get("user")}
    for section, wanted in keep.items():
        document[section] = [entry for entry in document.get(section) or () if entry.get("name") == wanted]
    document["current-context"] = name
    return document


async def current_context(of: session.Session) -> None:
    name = of.config.merged.get("current-context")
    if not name:
        raise fail.Failed("error: current-context is not set")
    of.io.print(name)


async def get_contexts(of: session.Session) -> None:
    entries = of.config.merged.get("contexts") or []
    current = of.config.merged.get("current-context")
    if of.args:
        missing = [name for name in of.args if of.config.named("contexts", name) is None]
        if missing:
            raise fail.Failed(f"error: context {missing[0]} not found")
        entries = [entry for entry in entries if entry["name"] in of.args]
    if of.flags["output"] == "name":
        for entry in entries:
            of.io.print(entry["name"])
        return
    rows = [] if of.flags["no-headers"] else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for entry in entries:
        context = entry.get("context") or {}
        mark = "*" if entry["name"] == current else ""
        rows.append(
            [mark, entry["name"], context.get("cluster", ""), context.get("user", ""), context.get("namespace", "")]
        )
    of.io.print(tabs.table(rows), end="")


async def get_clusters(of: session.Session) -> None:
    _names(of, "clusters")


async def get_users(of: session.Session) -> None:
    _names(of, "users")


def _names(of: session.Session, section: str) -> None:
    of.io.print("NAME")
    for entry in of.config.merged.get(section) or ():
        of.io.print(entry["name"])


# -- changes ------------------------------------------------------------------------------------------------------


def _file_with(of: session.Session, section: str, name: str) -> tuple[str, Object]:
    """The file that has the entry, else the one where new ones go: the first that exists, else the first."""
    loaded = of.config
    for path, document in loaded.files.items():
        if any(entry.get("name") == name for entry in document.get(section) or ()):
            return path, document
    path = next(iter(loaded.files), loaded.paths[0])
    return path, loaded.files.get(path) or objects.copy(config.EMPTY)


def _entry(document: Object, section: str, name: str) -> tuple[Object, bool]:
    """(the inner object, was it there?)."""
    inner = section[:-1]
    entries = document.get(section)
    if not isinstance(entries, list):
        entries = document[section] = []
    for entry in entries:
        if entry.get("name") == name:
            return entry.setdefault(inner, {}), True
    made: Object = {}
    entries.append({"name": name, inner: made})
    return made, False


async def use_context(of: session.Session) -> None:
    if len(of.args) != 1:
        raise of.hint("Unexpected args: [" + " ".join(of.args) + "]")
    name = of.args[0]
    if of.config.named("contexts", name) is None:
        raise fail.Failed(f'error: no context exists with the name: "{name}"')
    path = next((path for path, each in of.config.files.items() if each.get("current-context")), of.config.paths[0])
    document = of.config.files.get(path) or objects.copy(config.EMPTY)
    document["current-context"] = name
    config.save(of.io, path, document)
    of.io.print(f'Switched to context "{name}".')


async def set_context(of: session.Session) -> None:
    current = of.flags["current"]
    if bool(of.args) == bool(current) or len(of.args) > 1:
        raise fail.Failed("error: you must specify a non-empty context name or --current")
    name = of.config.merged.get("current-context") if current else of.args[0]
    if not name:
        raise fail.Failed("error: no current context is set")
    path, document = _file_with(of, "contexts", name)
    context, there = _entry(document, "contexts", name)
    for flag in ("cluster", "user", "namespace"):
        if flag in of.flags.changed:
            context[flag] = of.flags[flag]
    config.save(of.io, path, document)
    of.io.print(f'Context "{name}" {"modified" if there else "created"}.')


async def set_cluster(of: session.Session) -> None:
    name = _one(of)
    path, document = _file_with(of, "clusters", name)
    cluster, _ = _entry(document, "clusters", name)
    for flag in ("server", "insecure-skip-tls-verify", "certificate-authority", "tls-server-name", "proxy-url"):
        if flag in of.flags.changed:
            cluster[flag] = of.flags[flag]
    config.save(of.io, path, document)
    of.io.print(f'Cluster "{name}" set.')


async def set_credentials(of: session.Session) -> None:
    name = _one(of)
    path, document = _file_with(of, "users", name)
    user, _ = _entry(document, "users", name)
    for flag in ("token", "username", "password", "client-certificate", "client-key"):
        if flag in of.flags.changed:
            user[flag] = of.flags[flag]
    config.save(of.io, path, document)
    of.io.print(f'User "{name}" set.')


def _one(of: session.Session) -> str:
    if len(of.args) != 1:
        raise of.hint(f"Unexpected args: [{' '.join(of.args)}]")
    return of.args[0]


async def delete_context(of: session.Session) -> None:
    _delete(of, "contexts", "context")


async def delete_cluster(of: session.Session) -> None:
    _delete(of, "clusters", "cluster")


async def delete_user(of: session.Session) -> None:
    _delete(of, "users", "user")


def _delete(of: session.Session, section: str, noun: str) -> None:
    name = _one(of)
    if of.config.named(section, name) is None:
        raise fail.Failed(f"error: cannot delete {noun} {name}, not in {of.config.paths[0]}")
    if section == "contexts" and of.config.merged.get("current-context") == name:
        of.io.complain(
            'warning: this removed your active context, use "kubectl config use-context" to select a different one'
        )
    path, document = _file_with(of, section, name)
    document[section] = [entry for entry in document[section] if entry.get("name") != name]
    config.save(of.io, path, document)
    of.io.print(f"deleted {noun} {name} from {path}")


async def rename_context(of: session.Session) -> None:
    if len(of.args) != 2:
        raise of.hint(f"Unexpected args: [{' '.join(of.args)}]")
    old, new = of.args
    if of.config.named("contexts", old) is None:
        raise fail.Failed(f'error: cannot rename the context "{old}", it\'s not in {of.config.paths[0]}')
    if of.config.named("contexts", new) is not None:
        raise fail.Failed(
            f'error: cannot rename the context "{old}", the context "{new}" already exists in {of.config.paths[0]}'
        )
    path, document = _file_with(of, "contexts", old)
    for entry in document["contexts"]:
        if entry["name"] == old:
            entry["name"] = new
    if document.get("current-context") == old:
        document["current-context"] = new
    config.save(of.io, path, document)
    of.io.print(f'Context "{old}" renamed to "{new}".')


async def unset(of: session.Session) -> None:
    name = _one(of)
    head, *rest = name.split(".", 2)
    if head == "current-context":
        path = next(iter(of.config.files), of.config.paths[0])
        document = of.config.files.get(path) or objects.copy(config.EMPTY)
        document["current-context"] = ""
    elif head in ("contexts", "clusters", "users") and rest:
        path, document = _file_with(of, head, rest[0])
        if len(rest) == 1:
            document[head] = [entry for entry in document.get(head) or () if entry.get("name") != rest[0]]
        else:
            _entry(document, head, rest[0])[0].pop(rest[1], None)
    else:
        raise fail.Failed(f"error: not simulated: kubectl config unset {name}")
    config.save(of.io, path, document)
    of.io.print(f'Property "{name}" unset.')


_CLUSTER = flags.define("certificate-authority", "proxy-url", "embed-certs:bool")
_USER = flags.define("username", "password", "client-certificate", "client-key", "embed-certs:bool")
COMMANDS = {
    "config": Command(
        "config",
        'Modify kubeconfig files using subcommands like "kubectl config set current-context my-context".',
        None,
        subcommands=(
            Command("current-context", "Display the current-context", current_context),
            Command("delete-cluster", "Delete the specified cluster from the kubeconfig", delete_cluster),
            Command("delete-context", "Delete the specified context from the kubeconfig", delete_context),
            Command("delete-user", "Delete the specified user from the kubeconfig", delete_user),
            Command("get-clusters", "Display clusters defined in the kubeconfig", get_clusters),
            Command(
                "get-contexts",
                "Describe one or many contexts",
                get_contexts,
                flags=tuple(flags.define("output,o", "no-headers:bool")),
            ),
            Command("get-users", "Display users defined in the kubeconfig", get_users),
            Command("rename-context", "Rename a context from the kubeconfig file", rename_context),
            Command("set-cluster", "Set a cluster entry in kubeconfig", set_cluster, flags=tuple(_CLUSTER)),
            Command(
                "set-context",
                "Set a context entry in kubeconfig",
                set_context,
                flags=tuple(flags.define("current:bool")),
            ),
            Command("set-credentials", "Set a user entry in kubeconfig", set_credentials, flags=tuple(_USER)),
            Command("unset", "Unset an individual value in a kubeconfig file", unset),
            Command("use-context", "Set the current-context in a kubeconfig file", use_context, aliases=("use",)),
            Command(
                "view",
                "Display merged kubeconfig settings or a specified kubeconfig file",
                view,
                flags=(*printers.OUTPUT, *flags.define("minify:bool", "raw:bool", "flatten:bool", "merge:bool=true")),
            ),
        ),
        must_choose=True,
    )
}
