"""kubectl cp: tar through exec.

Source: kubectl `pkg/cmd/cp/cp.go`.
"""

from __future__ import annotations

import io as streams
import posixpath
import tarfile
from typing import Any

from kubesim import http
from kubesim.kubectl import fail, flags, podtargets, rest, session
from kubesim.kubectl.command import Command
from kubesim.kubectl.commands import execute
from kubesim.machinery import objects

Object = dict[str, Any]


def _place(text: str) -> tuple[str, str, str]:
    """(namespace, pod, path); no pod for a local path."""
    pod, colon, path = text.partition(":")
    if not colon:
        return "", "", text
    if not pod or not path:
        raise fail.Failed("error: filepath can not be empty")
    parts = pod.split("/")
    if len(parts) > 2:
        raise fail.Failed("error: pod should be in the form namespace/pod or pod")
    return (parts[0], parts[1], path) if len(parts) == 2 else ("", pod, path)


async def run(of: session.Session) -> int:
    if len(of.args) != 2:
        raise fail.Failed("error: source and destination are required")
    source, target = _place(of.args[0]), _place(of.args[1])
    if source[1] and target[1]:
        raise fail.Failed("error: one of src or dest must be a local file specification")
    if not source[1] and not target[1]:
        raise fail.Failed("error: one of src or dest must be a remote file specification")
    if target[1]:
        return await _to_pod(of, source[2], *target)
    return await _from_pod(of, *source, target[2])


def _pod(of: session.Session, namespace: str, name: str) -> Object:
    return of.get(of.discovery.find("pods"), name, namespace or of.namespace)


def _start(of: session.Session, pod: Object, command: list[str], stdin: bool) -> http.Session:
    container = podtargets.container(of, pod, of.flags["container"])
    query = [("command", word) for word in command] + [("container", container)]
    query += [("stdin", "true")] if stdin else []
    query += [("stdout", "true"), ("stderr", "true")]
    path = of.discovery.find("pods").path(objects.namespace(pod), objects.name(pod), "exec")
    response = of.rest.send("POST", path, query=query, accept="*/*")
    if response.status >= 400:
        raise rest.refusal(response)
    if response.session is None:
        raise fail.Failed("error: unable to upgrade connection: the server gave no session")
    return response.session


async def _to_pod(of: session.Session, local: str, namespace: str, name: str, remote: str) -> int:
    absolute = posixpath.normpath(posixpath.join(of.io.cwd, local))
    files = of.io.files
    if not files.is_file(absolute) and not files.is_dir(absolute):
        raise fail.Failed(f"error: {local} doesn't exist in local filesystem")
    if remote != "/" and remote.endswith("/"):
        remote = posixpath.join(remote, posixpath.basename(absolute))
    packed = streams.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _pack(of, archive, absolute, posixpath.basename(remote))
    pod = _pod(of, namespace, name)
    command = (
        ["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"]
        if of.flags["no-preserve"]
        else ["tar", "-xmf", "-"]
    )
    folder = posixpath.dirname(remote)
    session_ = _start(of, pod, [*command, *(["-C", folder] if folder else [])], stdin=True)
    session_.write(execute.STDIN, packed.getvalue())
    session_.close_channel(execute.STDIN)
    return await execute.converse(of, session_, stdin=False)


def _pack(of: session.Session, archive: tarfile.TarFile, path: str, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = int(of.io.now())
    if of.io.files.is_dir(path):
        entry.type = tarfile.DIRTYPE
        entry.mode = 0o755
        archive.addfile(entry)
        for each in of.io.files.listdir(path):
            _pack(of, archive, posixpath.join(path, each), posixpath.join(name, each))
        return
    data = of.io.files.read_bytes(path)
    entry.size = len(data)
    archive.addfile(entry, streams.BytesIO(data))


async def _from_pod(of: session.Session, namespace: str, name: str, remote: str, local: str) -> int:
    pod = _pod(of, namespace, name)
    session_ = _start(of, pod, ["tar", "cf", "-", remote], stdin=False)
    packed: list[bytes] = []
    out, of.io.out = of.io.out, packed.append
    try:
        code = await execute.converse(of, session_, stdin=False)
    finally:
        of.io.out = out
    if code:
        return code
    target = posixpath.normpath(posixpath.join(of.io.cwd, local))
    root = remote.strip("/")
    with tarfile.open(fileobj=streams.BytesIO(b"".join(packed)), mode="r:") as archive:
        for entry in archive.getmembers():
            inner = posixpath.relpath(entry.name.strip("/"), root)
            if inner.startswith(".."):
                of.io.complain(f'warning: file "{entry.name}" is outside target destination, skipping')
                continue
            place = target if inner == "." else posixpath.join(target, inner)
            if entry.isdir():
                if not of.io.files.is_dir(place):
                    of.io.files.mkdir(place, parents=True)
            elif (data := archive.extractfile(entry)) is not None:
                of.io.files.write(place, data.read())
    return 0


COMMANDS = {
    "cp": Command(
        "cp",
        "Copy files and directories to and from containers.",
        run,
        tuple(flags.define("container,c", "no-preserve:bool", "retries:int")),
        "<file-spec-src> <file-spec-dest> [options]",
    )
}
