"""kubectl create namespace, configmap, secret, serviceaccount, token.

Source: kubectl `pkg/cmd/create/create_configmap.go`, `create_secret*.go`, `create_namespace.go`, `create_serviceaccount.go`.
"""

from __future__ import annotations

import base64
import json
import posixpath
from typing import Any

from kubesim.kubectl import creating, fail, flags, making, session
from kubesim.kubectl.command import Command
from kubesim.machinery import durations, names

Object = dict[str, Any]


async def namespace(of: session.Session) -> None:
    made = making.obj(of, "v1", "Namespace", creating.one_name(of), namespaced=False)
    made["spec"] = {}
    made["status"] = {}
    creating.finish(of, made, "namespaces")


async def service_account(of: session.Session) -> None:
    made = making.obj(of, "v1", "ServiceAccount", creating.one_name(of))
    creating.finish(of, made, "serviceaccounts", "failed to create serviceaccount: ")


def _data(of: session.Session) -> dict[str, bytes]:
    """What --from-literal, --from-file and --from-env-file give, by key."""
    found: dict[str, bytes] = {}

    def add(key: str, value: bytes) -> None:
        errors = names.config_key(key)
        if errors:
            raise fail.Failed(f'error: "{key}" is not valid key name for a ConfigMap: {",".join(errors)}')
        if key in found:
            raise fail.Failed(
                f"error: cannot add key {key}, another key by that name already exists in Data for ConfigMap"
            )
        found[key] = value

    for source in of.flags["from-file"]:
        key, equals, path = source.partition("=")
        if not equals:
            key, path = "", source
        elif not key or not path:
            raise fail.Failed(
                f"error: key name for file path {path} missing"
                if not key
                else f"error: file path for key name {key} missing"
            )
        for name, data in _files(of, path, bool(key)):
            add(key or name, data)
    for source in of.flags["from-literal"]:
        key, equals, value = source.partition("=")
        if not equals or not key:
            raise fail.Failed(f"error: invalid literal source {source}, expected key=value")
        # Quotes around a value are the shell's that were quoted again.
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        add(key, value.encode())
    for path in of.flags["from-env-file"]:
        for line in _read(of, path).decode("utf-8", "replace").splitlines():
            line = line.lstrip()
            if not line or line.startswith("#"):
                continue
            key, equals, value = line.partition("=")
            add(key, (value if equals else of.io.env.get(key, "")).encode())
    return found


def _files(of: session.Session, path: str, named: bool) -> list[tuple[str, bytes]]:
    absolute = posixpath.normpath(posixpath.join(of.io.cwd, path))
    if of.io.files.is_dir(absolute):
        if named:
            raise fail.Failed("error: cannot give a key name for a directory path")
        entries = [posixpath.join(absolute, each) for each in of.io.files.listdir(absolute)]
        return [
            (posixpath.basename(each), of.io.files.read_bytes(each)) for each in entries if of.io.files.is_file(each)
        ]
    if not of.io.files.is_file(absolute):
        raise fail.Failed(f"error: error reading {path}: no such file or directory")
    return [(posixpath.basename(absolute), of.io.files.read_bytes(absolute))]


def _read(of: session.Session, path: str) -> bytes:
    absolute = posixpath.normpath(posixpath.join(of.io.cwd, path))
    if not of.io.files.is_file(absolute):
        raise fail.Failed(f"error: Cannot read file {path}, open {path}: no such file or directory")
    return of.io.files.read_bytes(absolute)


async def config_map(of: session.Session) -> None:
    made: Object = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": making.metadata(of, creating.one_name(of))}
    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, value in sorted(_data(of).items()):
        try:
            text[key] = value.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(value).decode()
    if text:
        made["data"] = text
    if binary:
        made["binaryData"] = binary
    creating.finish(of, made, "configmaps", "failed to create configmap: ")


def _secret(of: session.Session, kind: str, data: dict[str, bytes]) -> None:
    made: Object = {"kind": "Secret", "apiVersion": "v1", "metadata": making.metadata(of, creating.one_name(of))}
    if data:
        made["data"] = {key: base64.b64encode(value).decode() for key, value in sorted(data.items())}
    if kind:
        made["type"] = kind
    creating.finish(of, made, "secrets", "failed to create secret ")


async def generic_secret(of: session.Session) -> None:
    creating.one_name(of)
    _secret(of, of.flags["type"], _data(of))


async def tls_secret(of: session.Session) -> None:
    creating.one_name(of)
    if not of.flags["key"] or not of.flags["cert"]:
        raise fail.Failed("error: key and cert must be specified")
    cert, key = _read(of, of.flags["cert"]), _read(of, of.flags["key"])
    for data in (cert, key):
        if b"-----BEGIN " not in data:
            raise fail.Failed(
                f"error: tls: failed to find any PEM data in {'certificate' if data is cert else 'key'} input"
            )
    _secret(of, "kubernetes.io/tls", {"tls.crt": cert, "tls.key": key})


async def registry_secret(of: session.Session) -> None:
    creating.one_name(of)
    if of.flags["from-file"]:
        data = dict(_files(of, of.flags["from-file"][0].rpartition("=")[2], True))
        _secret(of, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": next(iter(data.values()))})
        return
    user, password = of.flags["docker-username"], of.flags["docker-password"]
    if not user or not password or not of.flags["docker-server"]:
        raise fail.Failed(
            "error: either --from-file or the combination of --docker-username, --docker-password and --docker-server is required"
        )
    entry = {"username": user, "password": password}
    if of.flags["docker-email"]:
        entry["email"] = of.flags["docker-email"]
    entry["auth"] = base64.b64encode(f"{user}:{password}".encode()).decode()
    text = json.dumps({"auths": {of.flags["docker-server"]: entry}}, separators=(",", ":"))
    _secret(of, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": text.encode()})


async def token(of: session.Session) -> None:
    name = creating.one_name(of)
    body: Object = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "spec": {"audiences": of.flags["audience"] or None},
    }
    if of.flags["duration"]:
        body["spec"]["expirationSeconds"] = int(durations.parse(of.flags["duration"]))
    mapping = of.discovery.find("serviceaccounts")
    try:
        answer = of.rest.ask("POST", mapping.path(of.namespace, name, "token"), body=body)
    except fail.StatusError as error:
        raise fail.Failed(f"error: failed to create token: {error.message}") from None
    of.io.print(answer["status"]["token"])


_FROM = flags.define("from-file:array", "from-literal:array", "from-env-file:list", "append-hash:bool")
COMMANDS = (
    Command(
        "namespace",
        "Create a namespace with the specified name.",
        namespace,
        creating.FLAGS,
        "NAME [--dry-run=server|client|none] [options]",
        aliases=("ns",),
    ),
    Command(
        "configmap",
        "Create a config map based on a file, directory, or specified literal value.",
        config_map,
        (*creating.FLAGS, *_FROM),
        "NAME [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none] [options]",
        aliases=("cm",),
    ),
    Command(
        "secret",
        "Create a secret with specified type.",
        None,
        subcommands=(
            Command(
                "docker-registry",
                "Create a secret for use with a Docker registry",
                registry_secret,
                (
                    *creating.FLAGS,
                    *flags.define(
                        "docker-server:=https://index.docker.io/v1/",
                        "docker-username",
                        "docker-password",
                        "docker-email",
                        "from-file:list",
                    ),
                ),
            ),
            Command(
                "generic",
                "Create a secret from a local file, directory, or literal value",
                generic_secret,
                (*creating.FLAGS, *_FROM, *flags.define("type")),
            ),
            Command("tls", "Create a TLS secret", tls_secret, (*creating.FLAGS, *flags.define("cert", "key"))),
        ),
    ),
    Command(
        "serviceaccount",
        "Create a service account with the specified name.",
        service_account,
        creating.FLAGS,
        "NAME [--dry-run=server|client|none] [options]",
        aliases=("sa",),
    ),
    Command(
        "token",
        "Request a service account token.",
        token,
        (*creating.FLAGS, *flags.define("audience:array", "duration")),
        "SERVICE_ACCOUNT_NAME [options]",
    ),
)
