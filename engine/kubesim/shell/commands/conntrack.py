"""conntrack -L|-D|-F|-C (conntrack-tools)"""

from __future__ import annotations

from kubesim.net.conntrack import Entry
from kubesim.shell.commands import iptables
from kubesim.shell.context import Context, Usage, not_simulated

FILTERS = {
    "-s": ("original", "src"), "--src": ("original", "src"), "--orig-src": ("original", "src"),
    "-d": ("original", "dst"), "--dst": ("original", "dst"), "--orig-dst": ("original", "dst"),
    "-r": ("reply", "src"), "--reply-src": ("reply", "src"), "-q": ("reply", "dst"), "--reply-dst": ("reply", "dst"),
    "--sport": ("original", "sport"), "--orig-port-src": ("original", "sport"),
    "--dport": ("original", "dport"), "--orig-port-dst": ("original", "dport"),
}  # fmt: skip


async def run(ctx: Context) -> int:
    if not iptables.may(ctx):
        raise Usage(
            "conntrack v1.4.7 (conntrack-tools): Operation failed: "
            "sorry, you must be root or get CAP_NET_ADMIN capability to do this\n"
        )
    table = ctx.machine.net.conntrack
    args = list(ctx.args)
    command, protocol, extended = "", "", False
    wanted: list[tuple[str, str, str]] = []
    while args:
        arg = args.pop(0)
        if arg in ("-L", "--dump", "-D", "--delete", "-F", "--flush", "-C", "--count"):
            command = {"--dump": "-L", "--delete": "-D", "--flush": "-F", "--count": "-C"}.get(arg, arg)
        elif arg in ("-p", "--proto") and args:
            protocol = args.pop(0).lower()
        elif arg in ("-o", "--output") and args:
            extended = "extended" in args.pop(0)
        elif arg in FILTERS and args:
            wanted.append((*FILTERS[arg], args.pop(0)))
        elif arg in ("-f", "--family") and args:
            args.pop(0)
        elif arg == "conntrack":
            continue
        else:
            raise not_simulated(ctx, f"the option {arg}")
    version = "conntrack v1.4.7 (conntrack-tools)"
    found = [
        each
        for each in table.entries()
        if protocol in ("", each.original.protocol)
        and all(str(getattr(getattr(each, side), key)) == value for side, key, value in wanted)
    ]
    if command == "-L":
        _list(ctx, found, extended)
        ctx.complain(f"{version}: {len(found)} flow entries have been shown.")
    elif command == "-C":
        ctx.print(str(len(table)))
    elif command == "-F":
        table.flush()
        ctx.complain(f"{version}: connection tracking table has been emptied.")
    elif command == "-D":
        _list(ctx, found, extended)
        for each in found:
            table.delete(each)
        if not found:
            ctx.complain(f"{version}: 0 flow entries have been deleted.")
            return 1
        ctx.complain(f"{version}: {len(found)} flow entries have been deleted.")
    else:
        raise Usage(f"{version}: You must specify one command\n", 2)
    return 0


def _list(ctx: Context, entries: list[Entry], extended: bool) -> None:
    for each in entries:
        ctx.print(ctx.machine.net.conntrack.line(each, extended=extended))
