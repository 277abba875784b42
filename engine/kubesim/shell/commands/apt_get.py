"""apt-get, apt: update, install, remove.

A package is downloaded through the machine's network and puts its commands on the disk.
"""

from __future__ import annotations

from kubesim.shell import sockets
from kubesim.shell.context import Context, Usage, not_simulated

MIRROR = "deb.debian.org"
LISTS = "/var/lib/apt/lists/deb.debian.org"
# What each package brings, and how big it is (kB).
PACKAGES: dict[str, tuple[str, str, int]] = {
    "bind9-dnsutils": ("dig nslookup host", "1:9.18.28-1~deb12u2", 403),
    "bind9-host": ("host", "1:9.18.28-1~deb12u2", 305),
    "busybox": ("busybox", "1:1.35.0-4+b3", 452),
    "ca-certificates": ("", "20230311", 153),
    "conntrack": ("conntrack", "1:1.4.7-1+b2", 35),
    "curl": ("curl", "7.88.1-10+deb12u8", 315),
    "dnsutils": ("dig nslookup host", "1:9.18.28-1~deb12u2", 277),
    "ipset": ("ipset", "7.17-1", 47),
    "iproute2": ("ip ss", "6.1.0-3", 1046),
    "iptables": ("iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore", "1.8.9-2", 360),
    "iputils-ping": ("ping", "3:20221126-1", 47),
    "ipvsadm": ("ipvsadm", "1:1.31-1+b1", 43),
    "jq": ("jq", "1.6-2.1", 64),
    "less": ("less", "590-2.1~deb12u2", 131),
    "nano": ("nano", "7.2-1+deb12u1", 690),
    "net-tools": ("ifconfig netstat route arp", "2.10-0.1", 243),
    "netcat-openbsd": ("nc", "1.219-1", 41),
    "netcat-traditional": ("nc", "1.10-47", 66),
    "nftables": ("nft", "1.0.6-2+deb12u2", 71),
    "openssl": ("openssl", "3.0.14-1~deb12u2", 1421),
    "procps": ("ps free top uptime watch sysctl pgrep pkill", "2:4.0.2-3", 709),
    "sudo": ("sudo", "1.9.13p3-1+deb12u1", 1889),
    "tcpdump": ("tcpdump", "4.99.3-1", 467),
    "telnet": ("telnet", "0.17+2.4-2+deb12u1", 39),
    "traceroute": ("traceroute", "1:2.1.2-1", 54),
    "tree": ("tree", "2.1.0-1", 52),
    "vim": ("vim vi", "2:9.0.1378-2", 1567),
    "wget": ("wget", "1.21.3-1+b2", 937),
}
VIRTUAL = {
    "netcat": "netcat-traditional",
    "vim-tiny": "vim",
    "inetutils-ping": "iputils-ping",
    "inetutils-telnet": "telnet",
}


async def run(ctx: Context) -> int:
    words = [each for each in ctx.args if not each.startswith("-")]
    if not words:
        raise Usage("apt 2.6.1 (amd64)\nUsage: apt-get [options] command\n", 0)
    verb, names = words[0], words[1:]
    if ctx.user != "root":
        ctx.complain(
            "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\n"
            "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?"
        )
        return 100
    if ctx.name == "apt":
        ctx.complain("\nWARNING: apt does not have a stable CLI interface. Use with caution in scripts.\n")
    if verb == "update":
        return await _update(ctx)
    if verb == "install":
        return await _install(ctx, names)
    if verb in ("remove", "purge"):
        return _remove(ctx, names)
    if verb in ("clean", "autoclean", "autoremove", "upgrade", "dist-upgrade"):
        ctx.print("Reading package lists...\nBuilding dependency tree...\nReading state information...")
        ctx.print("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.")
        return 0
    raise not_simulated(ctx, f"the command {verb}")


async def _reached(ctx: Context, host: str) -> str:
    """ "" when the mirror answers on port 80, else why not, in apt's words."""
    from kubesim.net import errors

    try:
        address = await sockets.resolve_one(ctx.machine, host, 4)
    except sockets.Failed as error:
        return f"Temporary failure resolving '{host}'" if "Temporary" in str(error) else f"Could not resolve '{host}'"
    try:
        connection = await ctx.machine.net.connect(address, 80, timeout=30.0)
    except errors.TimedOut:
        return f"Could not connect to {host}:80 ({address}), connection timed out"
    except errors.NetError as error:
        return f"Could not connect to {host}:80 ({address}). - connect (111: {error})"
    connection.close()
    return ""


async def _update(ctx: Context) -> int:
    problem = await _reached(ctx, MIRROR)
    suites = ("bookworm", "bookworm-updates", "bookworm-security")
    if problem:
        for suite in suites:
            ctx.print(f"Ign:1 http://{MIRROR}/debian {suite} InRelease")
        for number, suite in enumerate(suites, 1):
            ctx.print(f"Err:{number} http://{MIRROR}/debian {suite} InRelease\n  {problem}")
        ctx.print("Reading package lists...")
        ctx.complain(f"W: Failed to fetch http://{MIRROR}/debian/dists/bookworm/InRelease  {problem}")
        ctx.complain("W: Some index files failed to download. They have been ignored, or old ones used instead.")
        return 0
    await ctx.world.sleep(2.0)
    for number, (suite, size) in enumerate(zip(suites, ("151 kB", "55.4 kB", "48.0 kB"), strict=True), 1):
        folder = "debian-security" if "security" in suite else "debian"
        ctx.print(f"Get:{number} http://{MIRROR}/{folder} {suite} InRelease [{size}]")
    ctx.print(f"Get:4 http://{MIRROR}/debian bookworm/main amd64 Packages [8792 kB]")
    ctx.print("Fetched 9046 kB in 2s (4523 kB/s)\nReading package lists...")
    ctx.files.mkdir("/var/lib/apt/lists", parents=True)
    ctx.files.write(LISTS, "\n".join(sorted(PACKAGES)) + "\n")
    return 0


async def _install(ctx: Context, names: list[str]) -> int:
    ctx.print("Reading package lists...\nBuilding dependency tree...\nReading state information...")
    known = ctx.files.is_file(LISTS)
    chosen = [VIRTUAL.get(name.partition("=")[0], name.partition("=")[0]) for name in names]
    for name in chosen:
        if not known or name not in PACKAGES:
            if not known and name in PACKAGES and _installed(ctx, name):
                continue
            ctx.complain(f"E: Unable to locate package {name}")
            return 100
    new = []
    for name in chosen:
        if _installed(ctx, name):
            ctx.print(f"{name} is already the newest version ({PACKAGES[name][1]}).")
        else:
            new.append(name)
    if not new:
        ctx.print("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.")
        return 0
    ctx.print("The following NEW packages will be installed:\n  " + " ".join(sorted(new)))
    size = sum(PACKAGES[name][2] for name in new)
    ctx.print(f"0 upgraded, {len(new)} newly installed, 0 to remove and 0 not upgraded.")
    ctx.print(
        f"Need to get {size} kB of archives.\nAfter this operation, {size * 3} kB of additional disk space will be used."
    )
    problem = await _reached(ctx, MIRROR)
    if problem:
        ctx.complain(f"E: Failed to fetch http://{MIRROR}/debian/pool/main/{new[0][0]}/{new[0]}  {problem}")
        ctx.complain("E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?")
        return 100
    await ctx.world.sleep(1.0)
    for number, name in enumerate(new, 1):
        ctx.print(
            f"Get:{number} http://{MIRROR}/debian bookworm/main amd64 {name} amd64 {PACKAGES[name][1]} [{PACKAGES[name][2]} kB]"
        )
    ctx.print(f"Fetched {size} kB in 1s ({size} kB/s)")
    for name in new:
        ctx.print(f"Selecting previously unselected package {name}.\nUnpacking {name} ({PACKAGES[name][1]}) ...")
    for name in new:
        ctx.print(f"Setting up {name} ({PACKAGES[name][1]}) ...")
        provide(ctx, PACKAGES[name][0].split())
        ctx.files.mkdir("/var/lib/dpkg/info", parents=True)
        ctx.files.write(f"/var/lib/dpkg/info/{name}.list", "")
    return 0


def _installed(ctx: Context, name: str) -> bool:
    brings = PACKAGES[name][0].split()
    return ctx.files.is_file(f"/var/lib/dpkg/info/{name}.list") or (bool(brings) and set(brings) <= ctx.machine.tools)


def provide(ctx: Context, names: list[str]) -> None:
    """From now on the machine has these commands; what is not simulated of them says so when it is used."""
    ctx.machine.tools |= frozenset(names)


def _remove(ctx: Context, names: list[str]) -> int:
    ctx.print("Reading package lists...\nBuilding dependency tree...\nReading state information...")
    for name in names:
        name = VIRTUAL.get(name, name)
        if name not in PACKAGES:
            ctx.complain(f"E: Unable to locate package {name}")
            return 100
        if _installed(ctx, name):
            ctx.print(f"The following packages will be REMOVED:\n  {name}\nRemoving {name} ({PACKAGES[name][1]}) ...")
            ctx.machine.tools -= frozenset(PACKAGES[name][0].split())
            if ctx.files.is_file(f"/var/lib/dpkg/info/{name}.list"):
                ctx.files.remove(f"/var/lib/dpkg/info/{name}.list")
        else:
            ctx.print(f"Package '{name}' is not installed, so not removed")
    return 0
