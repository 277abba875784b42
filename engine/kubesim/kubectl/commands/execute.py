"""kubectl exec, attach.

Source: kubectl `pkg/cmd/exec/exec.go`, `pkg/cmd/attach/attach.go`; client-go `tools/remotecommand`.
"""

from __future__ import annotations

import json
from typing import Any

from kubesim import http
from kubesim.kubectl import fail, flags, podtargets, rest, session
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


async def run(of: session.Session) -> int:
    if not of.args and not of.flags["filename"]:
        raise fail.Failed("error: pod, type/name or --filename must be specified")
    command = of.args[1:]
    if of.dash >= 0:
        command = of.args[of.dash :]
    elif command:
        # 1.33 no longer takes the command without "--" before it.
        if of.minor >= 33:
            raise of.hint("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
        of.io.complain(
            "kubectl exec [POD] [COMMAND] is DEPRECATED and will be removed in a future version. Use kubectl exec [POD] -- "
            "[COMMAND] instead."
        )
    if not command:
        raise fail.Failed("error: you must specify at least one command for the container")
    pod = podtargets.pod(of, of.args[0])
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise fail.Failed(f"error: cannot exec into a container in a completed pod; current phase is {phase}")
    container = podtargets.container(of, pod, of.flags["container"], of.flags["quiet"])
    tty = _tty(of)
    query = [("command", word) for word in command]
    query += [("container", container)]
    return await _connect(of, pod, "exec", query, of.flags["stdin"], tty)


def _tty(of: session.Session) -> bool:
    if of.flags["tty"] and of.flags["stdin"] and not of.io.stdin_is_terminal:
        of.io.complain("Unable to use a TTY - input is not a terminal or the right kind of file")
        return False
    return bool(of.flags["tty"])


async def _connect(
    of: session.Session, pod: Object, verb: str, query: list[tuple[str, str]], stdin: bool, tty: bool
) -> int:
    query = [*query, *([("stdin", "true")] if stdin else []), ("stdout", "true")]
    query += [("tty", "true")] if tty else [("stderr", "true")]
    path = of.discovery.find("pods").path(objects.namespace(pod), objects.name(pod), verb)
    response = of.rest.send("POST", path, query=query, accept="*/*")
    if response.status >= 400:
        raise rest.refusal(response)
    if response.session is None:
        raise fail.Failed("error: unable to upgrade connection: the server gave no session")
    raw = of.io.raw if stdin and tty else None
    if raw is None:
        return await converse(of, response.session, stdin)
    if of.io.size is not None:
        columns, rows = of.io.size()
        response.session.write(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())
    # The terminal there edits and echoes what is typed, and makes Ctrl-C of it.
    raw(True)
    try:
        return await converse(of, response.session, stdin)
    finally:
        raw(False)


async def converse(of: session.Session, remote: http.Session, stdin: bool) -> int:
    """Carry bytes both ways until the remote command ends; its exit code."""
    feeding = None
    if stdin:
        if of.io.spawn is not None:
            feeding = of.io.spawn(_feed(of, remote))
        else:
            await _feed(of, remote)
    verdict = b""
    try:
        while (read := remote.read()) is not None:
            for channel, data in read:
                if channel == STDOUT:
                    of.io.out(data)
                elif channel == STDERR:
                    of.io.err(data)
                elif channel == ERROR:
                    verdict += data
            if not read:
                await of.io.wait(remote)
    finally:
        if feeding is not None:
            feeding.cancel()
        remote.close()
    return _exit_code(of, verdict)


async def _feed(of: session.Session, remote: http.Session) -> None:
    while of.io.stdin is not None and (data := await of.io.stdin()):
        remote.write(STDIN, data)
    remote.close_channel(STDIN)


def _exit_code(of: session.Session, verdict: bytes) -> int:
    if not verdict:
        return 0
    status = json.loads(verdict)
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                code = int(cause["message"])
                of.io.complain(f"command terminated with exit code {code}")
                return code
    raise fail.Failed(f"error: {status.get('message', '')}")


async def attach(of: session.Session) -> int:
    if len(of.args) != 1:
        raise fail.Failed("error: at least 1 argument is required for attach")
    pod = podtargets.pod(of, of.args[0])
    return await attach_to(of, pod, of.flags["container"], of.flags["stdin"], _tty(of))


async def attach_to(of: session.Session, pod: Object, container: str, stdin: bool, tty: bool) -> int:
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise fail.Failed(f"error: cannot attach a container in a completed pod; current phase is {phase}")
    name = podtargets.container(of, pod, container)
    every = [*pod["spec"]["containers"], *(pod["spec"].get("ephemeralContainers") or ())]
    spec: Object = next((each for each in every if each["name"] == name), {})
    if tty and not spec.get("tty"):
        tty = False
        of.io.complain(f"error: Unable to use a TTY - container {name} did not allocate one")
    if stdin and tty:
        of.io.complain("If you don't see a command prompt, try pressing enter.")
    status = await _connect(of, pod, "attach", [("container", name)], stdin, tty)
    if stdin and tty and pod["spec"].get("restartPolicy", "Always") == "Always":
        of.io.print(
            f"Session ended, resume using 'kubectl attach {objects.name(pod)} -c {name} -i -t' command when the pod is running"
        )
    return status


_STREAMS = flags.define(
    "stdin,i:bool", "tty,t:bool", "container,c", "quiet,q:bool", "pod-running-timeout:duration=1m0s"
)
COMMANDS = {
    "exec": Command(
        "exec",
        "Execute a command in a container.",
        run,
        (*_STREAMS, *flags.define("filename,f:list")),
        "(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...] [options]",
    ),
    "attach": Command(
        "attach",
        "Attach to a process that is already running inside an existing container.",
        attach,
        _STREAMS,
        "(POD | TYPE/NAME) -c CONTAINER [options]",
    ),
}
