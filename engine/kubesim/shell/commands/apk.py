"""apk (Alpine): update, add, del."""

from __future__ import annotations

from kubesim.net import errors
from kubesim.shell import sockets
from kubesim.shell.commands.apt_get import provide
from kubesim.shell.context import Context, not_simulated

MIRROR = "dl-cdn.alpinelinux.org"
PACKAGES = {
    "bash": "bash",
    "bind-tools": "dig nslookup host",
    "busybox-extras": "telnet",
    "conntrack-tools": "conntrack",
    "curl": "curl",
    "iproute2": "ip ss",
    "iptables": "iptables iptables-save iptables-restore ip6tables ip6tables-save",
    "iputils": "ping",
    "ipvsadm": "ipvsadm",
    "jq": "jq",
    "netcat-openbsd": "nc",
    "nftables": "nft",
    "openssl": "openssl",
    "tcpdump": "tcpdump",
    "wget": "wget",
}


async def run(ctx: Context) -> int:
    words = [each for each in ctx.args if not each.startswith("-")]
    verb, names = (words[0], words[1:]) if words else ("", [])
    if verb not in ("add", "update", "del"):
        raise not_simulated(ctx, f"the command {verb!r}")
    if verb == "del":
        for name in names:
            ctx.machine.tools -= frozenset(PACKAGES.get(name, "").split())
        ctx.print("OK: 9 MiB in 15 packages")
        return 0
    for part in ("main", "community"):
        ctx.print(f"fetch https://{MIRROR}/alpine/v3.22/{part}/x86_64/APKINDEX.tar.gz")
    try:
        address = await sockets.resolve_one(ctx.machine, MIRROR, 4)
        (await ctx.machine.net.connect(address, 443, timeout=30.0)).close()
    except (sockets.Failed, errors.NetError) as error:
        why = (
            "DNS lookup error"
            if isinstance(error, sockets.Failed)
            else "network error (check Internet connection and firewall)"
        )
        for part in ("main", "community"):
            ctx.complain(f"WARNING: fetching https://{MIRROR}/alpine/v3.22/{part}: {why}")
        if verb == "update":
            ctx.complain("4 unavailable, 0 stale; 15 distinct packages available")
            return 4
        ctx.complain("ERROR: unable to select packages:")
        for name in names:
            ctx.complain(f"  {name} (no such package):\n    required by: world[{name}]")
        return len(names)
    await ctx.world.sleep(1.0)
    if verb == "update":
        ctx.print("v3.22.2\nOK: 26324 distinct packages available")
        return 0
    unknown = [name for name in names if name not in PACKAGES]
    if unknown:
        ctx.complain("ERROR: unable to select packages:")
        for name in unknown:
            ctx.complain(f"  {name} (no such package):\n    required by: world[{name}]")
        return len(unknown)
    for number, name in enumerate(names, 1):
        ctx.print(f"({number}/{len(names)}) Installing {name}")
        provide(ctx, PACKAGES[name].split())
    ctx.print("Executing busybox-1.37.0-r19.trigger\nOK: 14 MiB in 20 packages")
    return 0
