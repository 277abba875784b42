"""diff: normal and unified form."""

from __future__ import annotations

import difflib

from kubesim.shell.context import Context, Usage, options, reason
from kubesim.shell.streams import decode


async def run(ctx: Context) -> int:
    found, names = options(
        ctx.args,
        flags="uqibwBrNs",
        values="U",
        long_flags=("unified", "brief", "ignore-case", "ignore-all-space", "color"),
        name="diff",
    )
    if len(names) != 2:
        raise Usage(f"diff: missing operand after '{(names or ['diff'])[-1]}'\n", 2)
    texts = []
    for name in names:
        try:
            texts.append(await ctx.stdin.read() if name == "-" else decode(ctx.files.read_bytes(ctx.path(name))))
        except OSError as error:
            ctx.complain(f"diff: {name}: {reason(error)}")
            return 2
    a, b = (text.splitlines() for text in texts)
    key = [_folded(lines, found) for lines in (a, b)]
    if key[0] == key[1]:
        if "s" in found:
            ctx.print(f"Files {names[0]} and {names[1]} are identical")
        return 0
    if "q" in found or "brief" in found:
        ctx.print(f"Files {names[0]} and {names[1]} differ")
    elif "u" in found or "U" in found or "unified" in found:
        context = int(found.get("U", ["3"])[-1])
        for line in difflib.unified_diff(a, b, names[0], names[1], lineterm="", n=context):
            ctx.print(line)
    else:
        for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, key[0], key[1], autojunk=False).get_opcodes():
            if kind == "equal":
                continue
            left = _range(i1, i2) if kind != "insert" else str(i1)
            right = _range(j1, j2) if kind != "delete" else str(j1)
            ctx.print(left + {"replace": "c", "delete": "d", "insert": "a"}[kind] + right)
            for line in a[i1:i2]:
                ctx.print("< " + line)
            if kind == "replace":
                ctx.print("---")
            for line in b[j1:j2]:
                ctx.print("> " + line)
    return 1


def _range(start: int, end: int) -> str:
    return f"{start + 1},{end}" if end - start > 1 else str(start + 1)


def _folded(lines: list[str], found: dict[str, list[str]]) -> list[str]:
    if "w" in found or "ignore-all-space" in found:
        lines = ["".join(line.split()) for line in lines]
    elif "b" in found:
        lines = [" ".join(line.split()) for line in lines]
    if "i" in found or "ignore-case" in found:
        lines = [line.lower() for line in lines]
    return lines
