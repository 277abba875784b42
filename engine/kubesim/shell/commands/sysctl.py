"""sysctl: the kernel settings that the network looks at."""

from __future__ import annotations

from kubesim.shell.context import Context, Usage, options


async def run(ctx: Context) -> int:
    found, rest = options(ctx.args, flags="wnaqep", long_flags=("all", "write", "values"), name="sysctl")
    settings = ctx.machine.net.sysctls
    if "a" in found or "all" in found:
        rest = sorted(settings)
    status = 0
    for word in rest:
        name, mark, value = word.replace("/", ".").partition("=")
        name = name.strip()
        if name not in settings and not name.startswith(("net.ipv4.conf.", "net.ipv6.conf.")):
            ctx.complain(f"sysctl: cannot stat /proc/sys/{name.replace('.', '/')}: No such file or directory")
            status = 255
            continue
        if mark:
            if ctx.user != "root":
                raise Usage(f'sysctl: permission denied on key "{name}"\n', 255)
            if not value.strip().lstrip("-").isdigit():
                raise Usage(f'sysctl: setting key "{name}": Invalid argument\n', 255)
            settings[name] = int(value)
        ctx.print(
            str(settings.get(name, 0)) if "n" in found or "values" in found else f"{name} = {settings.get(name, 0)}"
        )
    return status
