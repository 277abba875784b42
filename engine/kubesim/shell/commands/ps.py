"""ps: the processes that there are: in a container its first, on a node its kubelet and its containers'; and the shell's own.

Memory and processor time are not simulated: their columns say 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubesim import ids
from kubesim.shell.context import Context, busybox, not_simulated


@dataclass(frozen=True, slots=True)
class Row:
    """`mine`: it belongs to this terminal."""

    pid: int
    user: str
    command: str
    began: float
    parent: int = 0
    mine: bool = False


async def run(ctx: Context) -> int:
    letters, rest = "", list(ctx.args)
    for arg in ctx.args:
        if arg.startswith("--") or set(arg.lstrip("-")) - set("aefuxwAl"):
            raise not_simulated(ctx, f"the option {arg}", "Known: ps, ps aux, ps -ef, ps -A.")
        letters += arg.lstrip("-")
        rest.remove(arg)
    rows = sorted(_processes(ctx), key=lambda row: row.pid)
    if busybox(ctx.machine):
        ctx.print("PID   USER     TIME  COMMAND")
        for row in rows:
            ctx.print(f"{row.pid:>5} {row.user[:8]:<8} {'0:00':>5} {row.command}")
        return 0
    if not set(letters) & set("aexA"):
        rows = [row for row in rows if row.mine]
    if "f" in letters:
        ctx.print("UID          PID    PPID  C STIME TTY          TIME CMD")
    elif "u" in letters:
        ctx.print("USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND")
    else:
        ctx.print("    PID TTY          TIME CMD")
    for row in rows:
        tty = "pts/0" if row.mine else "?"
        start = ids.utc(row.began).strftime("%H:%M")
        if "f" in letters:
            ctx.print(f"{row.user[:8]:<8} {row.pid:>7} {row.parent:>7}  0 {start} {tty:<8} 00:00:00 {row.command}")
        elif "u" in letters:
            state = "Rs" if row.command.startswith("ps") else "Ss"
            ctx.print(f"{row.user[:8]:<8} {row.pid:>7}  0.0  0.0      0     0 {tty:<8} {state:<4} {start}   0:00 {row.command}")
        else:
            name = row.command.split(" ")[0].rpartition("/")[2][:15]
            ctx.print(f"{row.pid:>7} {tty:<8} 00:00:00 {name}")
    return 0


def _processes(ctx: Context) -> list[Row]:
    machine, now = ctx.machine, ctx.world.now
    rows = []
    if machine.argv:
        rows.append(Row(1, machine.user, " ".join(machine.argv), machine.born))
    kubelet = machine.kubelet
    if kubelet is not None:
        if kubelet.running:
            rows.append(Row(kubelet.pid, "root", "/usr/bin/kubelet", kubelet.since, 1))
        for worker in kubelet.workers():
            for each in worker.containers:
                inside = each.machine
                if inside is not None and inside.argv:
                    rows.append(Row(each.pid, inside.user, " ".join(inside.argv), inside.born, 1))
    shell = ctx.shell
    parent = 0
    if shell is not None:
        parent = int(shell.state.env["$"])
        rows.append(Row(parent, ctx.user, shell.name, now, mine=True))
        rows += [Row(job.pid, ctx.user, job.command, now, parent, True) for job in shell.session.jobs if job.running]
    own = shell.session.pid() if shell is not None else 2
    rows.append(Row(own, ctx.user, " ".join([ctx.name, *ctx.args]), now, parent, True))
    return rows
