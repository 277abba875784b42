"""uname: /proc/sys/kernel/osrelease has the release, if the machine's builder wrote it."""

from __future__ import annotations

from kubesim.shell.context import Context, options

RELEASE = "/proc/sys/kernel/osrelease"


async def run(ctx: Context) -> int:
    found, _ = options(ctx.args, flags="asnrvmpio", long_flags=("all",), name="uname")
    release = ctx.files.read(RELEASE).strip() if ctx.files.is_file(RELEASE) else "6.1.0-28-amd64"
    parts = {
        "s": "Linux",
        "n": ctx.machine.hostname,
        "r": release,
        "v": "#1 SMP PREEMPT_DYNAMIC",
        "m": "x86_64",
        "o": "GNU/Linux",
    }
    if "a" in found or "all" in found:
        wanted = list(parts)
    else:
        wanted = [key for key in parts if key in found] or ["s"]
    if "p" in found or "i" in found:
        wanted.append("m")
    ctx.print(" ".join(parts[key] for key in wanted))
    return 0
