"""crictl: the containers and pods of a node, as its runtime knows them."""

from __future__ import annotations

from kubesim import ids
from kubesim.node import cri
from kubesim.node.kubelet import Kubelet
from kubesim.shell.context import Context, Usage, not_simulated, options
from kubesim.shell.streams import Null, decode
from kubesim.shell.terminal import environment

KNOWN = "Known: crictl ps, pods, logs, exec."
# What crictl shows of an id.
SHORT = 13


async def run(ctx: Context) -> int:
    if ctx.name == "ctr":
        raise not_simulated(ctx, "containerd's own client", "crictl ps shows the containers.")
    if ctx.user != "root":
        raise Usage(
            "FATA[0000] validate service connection: validate CRI v1 runtime API for endpoint "
            '"unix:///run/containerd/containerd.sock": rpc error: code = Unavailable desc = connection error: desc = '
            '"transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: permission denied"\n'
        )
    if ctx.machine.kubelet is None:
        raise Usage("FATA[0000] validate service connection: no container runtime runs here\n")
    if not ctx.args or ctx.args[0] not in COMMANDS:
        raise not_simulated(ctx, f"the command {ctx.args[0]!r}" if ctx.args else "this", KNOWN)
    return await COMMANDS[ctx.args[0]](ctx, ctx.machine.kubelet)


async def _ps(ctx: Context, kubelet: Kubelet) -> int:
    found, rest = options(
        ctx.args[1:],
        flags="aq",
        values="p",
        long_flags=("all", "quiet", "no-trunc"),
        long_values=("name", "pod", "namespace", "state"),
        name="crictl ps",
    )
    if rest:
        raise Usage(f"crictl ps: unexpected argument {rest[0]!r}\n")
    rows = []
    for each in cri.containers(kubelet):
        wanted = (
            (each.state == "Running" or bool({"a", "all"} & set(found)) or "state" in found)
            and found.get("name", [""])[-1] in each.name
            and each.sandbox.id.startswith((found.get("p") or found.get("pod") or [""])[-1])
            and found.get("namespace", [each.sandbox.namespace])[-1] == each.sandbox.namespace
            and found.get("state", [each.state])[-1].lower() == each.state.lower()
        )
        if not wanted:
            continue
        length = None if "no-trunc" in found else SHORT
        if {"q", "quiet"} & set(found):
            ctx.print(each.id)
            continue
        rows.append(
            [
                each.id[:length],
                each.image[:length],
                age(ctx.world.now - ids.parse_timestamp(each.created)),
                each.state,
                each.name,
                str(each.attempt),
                each.sandbox.id[:length],
                each.sandbox.name,
                each.sandbox.namespace,
            ]
        )
    if not {"q", "quiet"} & set(found):
        titles = ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"]
        _table(ctx, [titles, *rows])
    return 0


async def _pods(ctx: Context, kubelet: Kubelet) -> int:
    found, _ = options(
        ctx.args[1:],
        flags="q",
        long_flags=("quiet", "no-trunc"),
        long_values=("name", "namespace"),
        name="crictl pods",
    )
    rows = [["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"]]
    quiet = bool({"q", "quiet"} & set(found))
    for each in cri.sandboxes(kubelet):
        same = found.get("namespace", [each.namespace])[-1] == each.namespace
        if not same or found.get("name", [""])[-1] not in each.name:
            continue
        if quiet:
            ctx.print(each.id)
            continue
        created = age(ctx.world.now - ids.parse_timestamp(each.created))
        state = "Ready" if each.ready else "NotReady"
        shown = each.id if "no-trunc" in found else each.id[:SHORT]
        rows.append([shown, created, state, each.name, each.namespace, "0", "(default)"])
    if not quiet:
        _table(ctx, rows)
    return 0


async def _logs(ctx: Context, kubelet: Kubelet) -> int:
    found, rest = options(ctx.args[1:], flags="t", long_flags=("timestamps",), long_values=("tail",), name="crictl logs")
    log = _one(kubelet, rest).log
    tail = int(found["tail"][-1]) if "tail" in found else None
    if log is not None:
        ctx.out.write(decode(log.read(0, tail, None, bool({"t", "timestamps"} & set(found)))))
    return 0


async def _exec(ctx: Context, kubelet: Kubelet) -> int:
    found, rest = options(
        ctx.args[1:], flags="its", long_flags=("interactive", "tty", "sync"), name="crictl exec", stop=True
    )
    machine = _one(kubelet, rest).machine
    if machine is None or len(rest) < 2:
        raise Usage("FATA[0000] execing command in container: container is not running\n")
    stdin = ctx.stdin if {"i", "interactive"} & set(found) else Null()
    return await ctx.call(
        rest[1:], machine=machine, env=environment(machine), cwd=machine.cwd, shell=None, user=machine.user, stdin=stdin
    )


def _one(kubelet: Kubelet, rest: list[str]) -> cri.Container:
    if not rest:
        raise Usage("FATA[0000] ID cannot be empty\n")
    found = [each for each in cri.containers(kubelet) if each.id.startswith(rest[0])]
    if len(found) != 1:
        raise Usage(
            f'FATA[0000] rpc error: code = NotFound desc = an error occurred when try to find container "{rest[0]}": not found\n'
        )
    return found[0]


COMMANDS = {"ps": _ps, "pods": _pods, "logs": _logs, "exec": _exec}


def age(seconds: float) -> str:
    """docker/go-units, HumanDuration, as crictl shows it."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second ago"
    if whole == 1:
        return "1 second ago"
    if whole < 60:
        return f"{whole} seconds ago"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute ago"
    if minutes < 60:
        return f"{minutes} minutes ago"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour ago"
    if hours < 48:
        return f"{hours} hours ago"
    return f"{hours // 24} days ago"


def _table(ctx: Context, rows: list[list[str]]) -> None:
    """Columns of at least 20 (text/tabwriter with minwidth 20, padding 3)."""
    widths = [max(20, *(len(row[column]) + 3 for row in rows)) for column in range(len(rows[0]))]
    for row in rows:
        ctx.print("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
