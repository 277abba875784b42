"""journalctl and dmesg: what the kernel wrote (LOG rules do).  Services' logs are not simulated."""

from __future__ import annotations

from kubesim import ids
from kubesim.shell.context import Context, not_simulated, options


async def run(ctx: Context) -> int:
    if ctx.name == "dmesg":
        options(ctx.args, flags="TwHk", name="dmesg")
        for when, line in ctx.machine.net.kernel_log:
            ctx.print(f"[{when - ctx.world.start:12.6f}] {line}")
        return 0
    found, _ = options(
        ctx.args,
        flags="kfrexq",
        values="unt",
        long_flags=("dmesg", "no-pager", "follow"),
        long_values=("unit", "since", "lines"),
        name="journalctl",
    )
    if not {"k", "dmesg"} & set(found):
        unit = (found.get("u") or found.get("unit") or ["every service"])[-1]
        raise not_simulated(
            ctx,
            f"the log of {unit}",
            "kubectl describe node, kubectl get events -A and systemctl status kubelet say how it fares; journalctl -k is here.",
        )
    lines = list(ctx.machine.net.kernel_log)
    count = (found.get("n") or found.get("lines") or [""])[-1]
    for when, line in lines[-int(count) :] if count.isdigit() else lines:
        ctx.print(f"{ids.utc(when).strftime('%b %d %H:%M:%S')} {ctx.machine.hostname} kernel: {line}")
    return 0
