"""The person's own editor, on a text: $KUBE_EDITOR, $EDITOR, else vi.

Source: kubectl `pkg/cmd/util/editor/editor.go`.
"""

from __future__ import annotations

import shlex

from kubesim.kubectl import fail, session

DEFAULT = "vi"
# What a shell gives when there is no such program.
NOT_FOUND = 127


def command(env: dict[str, str], path: str) -> list[str]:
    """The editor's argv.  Where it was given with quotes, a shell has to read it."""
    given = env.get("KUBE_EDITOR") or env.get("EDITOR") or DEFAULT
    if any(char in given for char in "\"'\\"):
        return [env.get("SHELL") or "/bin/bash", "-c", f"{given} {shlex.quote(path)}"]
    return [*given.split(" "), path]


async def edit(of: session.Session, text: str, name: str) -> str:
    """What the text became.  The file is left behind only where the editor failed."""
    path = f"{of.io.temporary}/kubectl-edit-{name}.yaml"
    argv = command(of.io.env, path)
    said = " ".join(argv[:-1])
    if of.io.execute is None:
        raise fail.Failed(f'error: unable to launch the editor "{said}"')
    of.io.files.write(path, text)
    code = await of.io.execute(argv)
    if code == NOT_FOUND:
        raise fail.Failed(f'error: unable to launch the editor "{said}"')
    if code:
        raise fail.Failed(f'error: there was a problem with the editor "{said}"')
    edited = of.io.files.read_bytes(path).decode("utf-8", "replace")
    of.io.files.remove(path)
    return edited
