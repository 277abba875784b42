"""kubeconfig: where it lies, what it says, how `kubectl config` changes it.

Source: client-go `tools/clientcmd` (loader.go, client_config.go).  Several files in $KUBECONFIG are one: the first that sets a
value wins.
"""

from __future__ import annotations

import base64
import posixpath
from dataclasses import dataclass, field
from typing import Any

from kubesim.kubectl import fail, io
from kubesim.machinery import objects

Document = dict[str, Any]

EMPTY: Document = {
    "apiVersion": "v1",
    "clusters": None,
    "contexts": None,
    "current-context": "",
    "kind": "Config",
    "preferences": {},
    "users": None,
}
# clientcmd's default when no kubeconfig names a server.
DEFAULT_SERVER = "http://localhost:8080"


@dataclass(frozen=True)
class Target:
    """A server and how to show who one is.  PEM as bytes; `insecure` takes any certificate."""

    server: str
    ca: bytes = b""
    client_certificate: bytes = b""
    client_key: bytes = b""
    token: str = ""
    insecure: bool = False
    tls_server_name: str = ""


@dataclass
class KubeConfig:
    """All files as one (`merged`), and each file by its path."""

    paths: list[str]
    explicit: bool
    files: dict[str, Document] = field(default_factory=dict)
    merged: Document = field(default_factory=dict)

    def named(self, section: str, name: str) -> Document | None:
        """The entry of "clusters", "contexts" or "users" with that name."""
        inner = section.removesuffix("s")
        for entry in self.merged.get(section) or ():
            if entry.get("name") == name:
                return entry.get(inner) or {}
        return None


def load(into: io.IO, explicit: str = "") -> KubeConfig:
    """--kubeconfig, else the files of $KUBECONFIG, else ~/.kube/config."""
    if explicit:
        paths = [_absolute(into, explicit)]
    elif into.env.get("KUBECONFIG"):
        paths = [_absolute(into, path) for path in into.env["KUBECONFIG"].split(":") if path]
    else:
        paths = [posixpath.join(into.env.get("HOME") or into.home, ".kube/config")]
    loaded = KubeConfig(paths, bool(explicit))
    for path in paths:
        if into.files.is_file(path):
            loaded.files[path] = _read(into, path)
        elif explicit:
            raise fail.Failed(f"error: stat {explicit}: no such file or directory")
    loaded.merged = _merge(list(loaded.files.values()))
    return loaded


def _absolute(into: io.IO, path: str) -> str:
    return posixpath.normpath(posixpath.join(into.cwd, path))


def _read(into: io.IO, path: str) -> Document:
    from kubesim.kubectl import manifests

    text = into.files.read_bytes(path).decode("utf-8", "replace")
    try:
        document = manifests.first(text)
    except manifests.Unreadable as error:
        raise fail.Failed(f'error: error loading config file "{path}": {error}') from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise fail.Failed(
            f'error: error loading config file "{path}": couldn\'t get version/kind; json parse error: json: cannot '
            'unmarshal string into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind '
            'string "json:\\"kind,omitempty\\"" }'
        )
    return document


def _merge(documents: list[Document]) -> Document:
    merged = objects.copy(EMPTY)
    for document in documents:
        for key, value in document.items():
            if key in ("clusters", "contexts", "users"):
                if not value:
                    continue
                there = merged[key] = merged[key] or []
                names = {entry.get("name") for entry in there}
                there += [objects.copy(entry) for entry in value or () if entry.get("name") not in names]
            elif not merged.get(key):
                merged[key] = objects.copy(value)
    for key in ("clusters", "contexts", "users"):
        if merged[key]:
            merged[key].sort(key=lambda entry: entry.get("name", ""))
    return merged


def save(into: io.IO, path: str, document: Document) -> None:
    from kubesim.kubectl import goyaml

    folder = posixpath.dirname(path)
    if not into.files.is_dir(folder):
        into.files.mkdir(folder, parents=True)
    into.files.write(path, goyaml.dump(document))


@dataclass(frozen=True)
class Selected:
    """What a command works with: the context's server, user and namespace, after the global flags had their say."""

    target: Target | None
    namespace: str
    namespace_given: bool
    context: str


def select(into: io.IO, config: KubeConfig, flags: dict[str, str]) -> Selected:
    """`flags` holds the global flags that were given.  Raises fail.Failed where a context, cluster or user is missing."""
    name = flags.get("context") or config.merged.get("current-context") or ""
    context = config.named("contexts", name) if name else None
    if name and context is None:
        if flags.get("context"):
            raise fail.Failed(f'error: context "{name}" does not exist')
        context = None
    context = context or {}
    namespace = flags.get("namespace") or context.get("namespace") or "default"
    target = _target(into, config, context, flags)
    return Selected(target, namespace, bool(flags.get("namespace")), name)


def _target(into: io.IO, config: KubeConfig, context: Document, flags: dict[str, str]) -> Target | None:
    cluster_name = flags.get("cluster") or context.get("cluster") or ""
    user_name = flags.get("user") or context.get("user") or ""
    cluster = config.named("clusters", cluster_name) if cluster_name else None
    user = (config.named("users", user_name) if user_name else None) or {}
    if cluster is None and flags.get("cluster"):
        raise fail.Failed(f'error: cluster "{cluster_name}" does not exist')
    cluster = cluster or {}
    cluster = _overridden(cluster, flags, "certificate-authority")
    user = _overridden(user, flags, "client-certificate", "client-key")
    server = flags.get("server") or cluster.get("server") or ""
    if not server:
        return None
    for unsupported in ("exec", "auth-provider"):
        if user.get(unsupported):
            raise fail.Failed(
                f"error: not simulated: kubeconfig users with {unsupported!r}; use a token or a client certificate"
            )
    token = flags.get("token") or user.get("token") or ""
    if not token and user.get("tokenFile"):
        token = into.files.read_bytes(_absolute(into, user["tokenFile"])).decode().strip()
    return Target(
        server=server,
        ca=_bytes(into, cluster, "certificate-authority"),
        client_certificate=_bytes(into, user, "client-certificate"),
        client_key=_bytes(into, user, "client-key"),
        token=token,
        insecure=bool(flags.get("insecure-skip-tls-verify") == "true" or cluster.get("insecure-skip-tls-verify")),
        tls_server_name=flags.get("tls-server-name") or cluster.get("tls-server-name", ""),
    )


def _overridden(entry: Document, flags: dict[str, str], *names: str) -> Document:
    """The entry with the files that flags name, which win over what stands in it."""
    given = {name: flags[name] for name in names if flags.get(name)}
    return {key: value for key, value in entry.items() if key.removesuffix("-data") not in given} | given


def _bytes(into: io.IO, entry: Document, key: str) -> bytes:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"])
    if entry.get(key):
        path = _absolute(into, entry[key])
        if not into.files.is_file(path):
            raise fail.Failed(
                f"error: unable to read {key} {entry[key]} due to open {entry[key]}: no such file or directory"
            )
        return into.files.read_bytes(path)
    return b""
