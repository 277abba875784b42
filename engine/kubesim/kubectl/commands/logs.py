"""kubectl logs.

Source: kubectl `pkg/cmd/logs/logs.go`, `pkg/polymorphichelpers/logsforobject.go`.
"""

from __future__ import annotations

import math
from typing import Any

from kubesim import http
from kubesim.kubectl import builder, fail, flags, io, podtargets, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]


async def run(of: session.Session) -> None:
    pods, by_selector = _pods(of)
    query = _query(of, by_selector)
    sources = [(pod, name) for pod in pods for name in _containers(of, pod)]
    if of.flags["follow"] and len(sources) > of.flags["max-log-requests"]:
        raise fail.Failed(
            f"error: you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is "
            f"{of.flags['max-log-requests']}, use --max-log-requests to increase the limit"
        )
    bodies = [body for pod, name in sources if (body := _open(of, pod, name, query)) is not None]
    if of.flags["follow"]:
        await _follow(of, bodies)
        return
    for response, prefix in bodies:
        if response.stream is None:
            _write(of, response.body, prefix)
        else:
            await _follow(of, [(response, prefix)])


def _pods(of: session.Session) -> tuple[list[Object], bool]:
    selector = of.flags["selector"]
    if selector:
        if of.args:
            raise of.hint("only a selector (-l) or a POD name is allowed")
        found = of.list(of.discovery.find("pods"), of.namespace, selector)
        if not found:
            of.io.complain(f"No resources found in {of.namespace} namespace.")
        return found, True
    if not of.args:
        raise of.hint(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the "
            "logs command"
        )
    if len(of.args) > 2:
        raise of.hint(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the "
            "logs command"
        )
    if len(of.args) == 2:
        if of.flags["container"]:
            raise of.hint("only one of -c or an inline [CONTAINER] arg is allowed")
        of.flags.values["container"] = of.args[1]
    word = of.args[0]
    if "/" not in word:
        try:
            return [podtargets.pod(of, word)], False
        except fail.StatusError as error:
            if not error.not_found or of.minor < 30:
                raise
            raise fail.Failed(
                f'error: error from server (NotFound): pods "{word}" not found in namespace "{of.namespace}"'
            ) from None
    request = builder.resolve(of, [word]).requests[0]
    obj = of.get(request.mapping, request.names[0], of.namespace)
    if request.mapping.kind == "Pod":
        return [obj], False
    found = podtargets.pods_of(of, obj, request.mapping.kind)
    if of.flags["all-pods"]:
        return found, False
    if len(found) > 1:
        of.io.complain(f"Found {len(found)} pods, using pod/{objects.name(found[0])}")
    return found[:1], False


def _containers(of: session.Session, pod: Object) -> list[str]:
    if of.flags["all-containers"]:
        spec = pod["spec"]
        return [each["name"] for each in [*(spec.get("initContainers") or []), *spec["containers"]]]
    return [podtargets.container(of, pod, of.flags["container"])]


def _query(of: session.Session, by_selector: bool) -> list[tuple[str, str]]:
    query: list[tuple[str, str]] = []
    if of.flags["follow"]:
        query.append(("follow", "true"))
    if of.flags["previous"]:
        query.append(("previous", "true"))
    if of.flags["timestamps"]:
        query.append(("timestamps", "true"))
    since, since_time = of.flags["since"], of.flags["since-time"]
    if since and since_time:
        raise fail.Failed("error: at most one of `sinceTime` or `sinceSeconds` may be specified")
    if since:
        query.append(("sinceSeconds", str(math.ceil(since))))
    if since_time:
        query.append(("sinceTime", since_time))
    tail = of.flags["tail"]
    if tail < -1:
        raise fail.Failed("error: --tail must be greater than or equal to -1")
    if "tail" not in of.flags.changed and by_selector:
        tail = 10
    if tail >= 0:
        query.append(("tailLines", str(tail)))
    if of.flags["limit-bytes"]:
        query.append(("limitBytes", str(of.flags["limit-bytes"])))
    return query


def _open(
    of: session.Session, pod: Object, container: str, query: list[tuple[str, str]]
) -> tuple[http.Response, bytes] | None:
    """One log and what stands before its lines; None where it is refused and that may be."""
    path = of.discovery.find("pods").path(objects.namespace(pod), objects.name(pod), "log")
    response = of.rest.send("GET", path, query=[("container", container), *query], accept="application/json, */*")
    if response.status >= 400:
        error = rest.refusal(response)
        if of.flags["ignore-errors"]:
            of.io.print(f"error: {error.message}")
            return None
        raise error
    return response, f"[pod/{objects.name(pod)}/{container}] ".encode() if of.flags["prefix"] else b""


async def _follow(of: session.Session, bodies: list[tuple[http.Response, bytes]]) -> None:
    """Show what comes, from whichever comes, until all have ended.  Where there are several, only whole lines."""
    for response, prefix in bodies:
        if response.stream is None:
            _write(of, response.body, prefix)
    streams = {index: (each.stream, prefix) for index, (each, prefix) in enumerate(bodies) if each.stream is not None}
    whole = len(streams) > 1
    rests: dict[int, bytes] = {}
    any_of = io.AnyOf()
    try:
        while streams:
            came = False
            for index, (stream, prefix) in list(streams.items()):
                data = stream.read()
                if data is None:
                    del streams[index]
                    _write(of, rests.pop(index, b""), prefix)
                    continue
                came = came or bool(data)
                if whole or prefix:
                    lines, newline, rests[index] = (rests.get(index, b"") + data).rpartition(b"\n")
                    data = lines + newline
                _write(of, data, prefix)
            if streams and not came:
                any_of.arm([stream for stream, _ in streams.values()])
                await of.io.wait(any_of)
    finally:
        for stream, _ in streams.values():
            stream.close()


def _write(of: session.Session, data: bytes, prefix: bytes) -> None:
    if prefix:
        data = b"".join(prefix + line for line in data.splitlines(keepends=True))
    if data:
        of.io.out(data)


COMMANDS = {
    "logs": Command(
        "logs",
        "Print the logs for a container in a pod or specified resource.",
        run,
        (
            *flags.define(
                "follow,f:bool",
                "previous,p:bool",
                "container,c",
                "all-containers:bool",
                "all-pods:bool",
                "selector,l",
                "since:duration",
                "since-time",
                "tail:int=-1",
                "timestamps:bool",
                "limit-bytes:int",
                "prefix:bool",
                "ignore-errors:bool",
                "max-log-requests:int=5",
                "insecure-skip-tls-verify-backend:bool",
                "pod-running-timeout:duration=20s",
            ),
        ),
        "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER] [options]",
    )
}
