"""Waiting until an object is as wanted: read it, then follow its watch.

Source: client-go `tools/watch/until.go`; kubectl `pkg/cmd/wait`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from kubesim.kubectl import discovery, fail, rest, session

Object = dict[str, Any]


class TimedOut(Exception):
    """It has not come about in time."""


async def states(
    of: session.Session, mapping: discovery.Mapping, namespace: str, name: str, timeout: float | None
) -> AsyncIterator[Object | None]:
    """The object as it is now and after each change; None when it is not there.  Raises TimedOut.

    `timeout` in seconds, None for never.
    """
    deadline = None if timeout is None else of.io.now() + timeout
    path = mapping.path(namespace)
    query = [("fieldSelector", f"metadata.name={name}")]
    while True:
        listed = of.rest.ask("GET", path, query=query)
        kind = str(listed.get("kind", "")).removesuffix("List")
        items = listed.get("items") or []
        yield {"apiVersion": listed.get("apiVersion"), "kind": kind, **items[0]} if items else None
        version = str((listed.get("metadata") or {}).get("resourceVersion") or "")
        response = of.rest.send("GET", path, query=[*query, ("resourceVersion", version), ("watch", "true")])
        if response.status >= 400:
            raise rest.refusal(response)
        if response.stream is None:
            raise fail.Failed("error: the server did not open a watch")
        watch = rest.Watch(response.stream)
        try:
            while not watch.over:
                for event in watch.events():
                    if event["type"] == "ERROR":
                        break
                    if event["type"] != "BOOKMARK":
                        yield None if event["type"] == "DELETED" else event["object"]
                if watch.over:
                    break
                left = None if deadline is None else deadline - of.io.now()
                if left is not None and left <= 0:
                    raise TimedOut
                if not await of.io.wait(response.stream, left):
                    raise TimedOut
        finally:
            response.stream.close()


async def until(
    of: session.Session,
    mapping: discovery.Mapping,
    namespace: str,
    name: str,
    wanted: Callable[[Object | None], bool],
    timeout: float | None,
) -> Object | None:
    """The first state that is wanted.  Raises TimedOut."""
    following = states(of, mapping, namespace, name, timeout)
    try:
        async for state in following:
            if wanted(state):
                return state
    finally:
        await following.aclose()  # type: ignore[attr-defined]
    raise TimedOut
