"""kubectl wait.

Source: kubectl `pkg/cmd/wait/wait.go`, `condition.go`, `json.go`, `delete.go`, `create.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.kubectl import builder, fail, flags, printers, session, watching
from kubesim.kubectl.command import Command
from kubesim.machinery import gotext, jsonpath

Object = dict[str, Any]
Test = Callable[[Object | None], bool]


async def run(of: session.Session) -> None:
    test, gone, made = _test(of.flags["for"])
    deeds = printers.Deeds(of)
    timeout = of.flags["timeout"]
    # Any negative time-out is a week; 0 looks once.
    timeout = 7 * 24 * 3600.0 if timeout < 0 else timeout
    try:
        infos = await builder.infos(of, of.args, latest=False)
    except fail.StatusError:
        if not gone:
            raise
        infos = []
    if not infos and not gone:
        raise fail.Failed("error: no matching resources found")
    errors: list[fail.Failed] = []
    deadline = of.io.now() + timeout
    for info in infos:
        try:
            state = None
            if not made:
                info.fetch(of)
            left = max(0.0, deadline - of.io.now())
            state = await watching.until(of, info.mapping, info.namespace, info.name, test, left)
            obj = (
                state
                or info.obj
                or {"kind": info.mapping.kind, "apiVersion": info.mapping.api_version, "metadata": {"name": info.name}}
            )
            deeds.done(obj, "condition met")
        except watching.TimedOut:
            errors.append(
                fail.Failed(f"error: timed out waiting for the condition on {info.mapping.plural}/{info.name}")
            )
        except fail.Failed as error:
            if not (gone and isinstance(error, fail.StatusError) and error.not_found):
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise fail.Many(errors)


def _test(condition: str) -> tuple[Test, bool, bool]:
    """(is it so?, waits for deletion, waits for creation) of --for."""
    lower = condition.lower()
    if lower == "delete":
        return lambda state: state is None, True, False
    if lower == "create":
        return lambda state: state is not None, False, True
    if lower.startswith("condition="):
        name, _, value = condition[len("condition=") :].partition("=")
        return _condition(name.lower(), (value or "true").lower()), False, False
    if lower.startswith("jsonpath="):
        return _jsonpath(condition[len("jsonpath=") :]), False, False
    raise fail.Failed(f"error: unrecognized condition: {gotext.quote(condition)}")


def _condition(name: str, value: str) -> Test:
    def holds(state: Object | None) -> bool:
        if state is None:
            return False
        for each in (state.get("status") or {}).get("conditions") or ():
            if str(each.get("type", "")).lower() == name:
                generation = (state.get("metadata") or {}).get("generation")
                seen = each.get("observedGeneration", (state.get("status") or {}).get("observedGeneration"))
                if generation is not None and seen is not None and seen < generation:
                    return False
                return str(each.get("status", "")).lower() == value
        return False

    return holds


def _jsonpath(text: str) -> Test:
    expression, brace, rest = text.partition("}")
    _, equals, value = rest.partition("=")
    if not brace:
        raise fail.Failed(
            "error: jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or "
            "--for=jsonpath='{.status.readyReplicas}'"
        )
    value = value.strip("'\"")
    try:
        path = jsonpath.JsonPath(jsonpath.relaxed(expression + "}"))
    except jsonpath.JsonPathError as error:
        raise fail.Failed(f"error: {error}") from None

    def holds(state: Object | None) -> bool:
        if state is None:
            return False
        try:
            values = [each for part in path.find(state) for each in part]
        except jsonpath.JsonPathError:
            return False
        if len(values) > 1:
            raise fail.Failed("error: given jsonpath expression matches more than one value")
        if not values:
            return False
        if not equals:
            return True
        if isinstance(values[0], dict | list):
            raise fail.Failed("error: jsonpath leads to a nested object or list which is not supported")
        return gotext.v(values[0]).strip() == value.strip()

    return holds


COMMANDS = {
    "wait": Command(
        "wait",
        "Experimental: Wait for a specific condition on one or many resources.",
        run,
        (
            *builder.FILES,
            *builder.SELECT,
            *printers.OUTPUT,
            *flags.define("for", "timeout:duration=30s", "all-namespaces,A:bool", "local:bool"),
        ),
        "([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) "
        "[--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]] [options]",
    )
}
