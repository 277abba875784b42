"""systemctl: the kubelet's unit, the only one of a node that is simulated: it can be stopped, and what then happens, happens."""

from __future__ import annotations

from kubesim import ids
from kubesim.node.kubelet import Kubelet
from kubesim.shell.commands.crictl import age
from kubesim.shell.context import Context, Usage, not_simulated, options

# Units that a real node has, and whose programs are not here.
ELSEWHERE = ("containerd", "docker", "crio", "cri-docker", "ssh", "sshd", "systemd-journald", "systemd-resolved")
ACTIONS = ("status", "is-active", "is-enabled", "start", "stop", "restart", "daemon-reload", "enable", "show")


async def run(ctx: Context) -> int:
    _, rest = options(
        ctx.args, flags="lqa", values="pn", long_flags=("no-pager", "full", "quiet", "now", "all"), name="systemctl"
    )
    if not rest or rest[0] not in ACTIONS or rest[0] == "show":
        what = f"the command {rest[0]!r}" if rest else "the list of all units"
        raise not_simulated(ctx, what, f"Known: {', '.join(ACTIONS[:-1])}.")
    action, units = rest[0], rest[1:]
    if action == "daemon-reload":
        return 0
    if not units:
        raise Usage("Too few arguments.\n")
    unit = units[0].removesuffix(".service")
    if unit in ELSEWHERE:
        raise not_simulated(ctx, f"the unit {unit}.service", "Of a node's services only the kubelet is.")
    kubelet = ctx.machine.kubelet
    if unit != "kubelet" or kubelet is None:
        if action in ("status", "is-active"):
            raise Usage(f"Unit {unit}.service could not be found.\n" if action == "status" else "inactive\n", 4)
        raise Usage(f"Failed to {action} {unit}.service: Unit {unit}.service not found.\n", 5)
    match action:
        case "status":
            return _status(ctx, kubelet)
        case "is-active":
            ctx.print("active" if kubelet.running else "inactive")
            return 0 if kubelet.running else 3
        case "is-enabled":
            ctx.print("enabled")
            return 0
        case "enable":
            return 0
    if ctx.user != "root":
        raise Usage(f"Failed to {action} kubelet.service: Access denied\n", 4)
    if action in ("stop", "restart") and kubelet.running:
        kubelet.stop()
    if action in ("start", "restart"):
        kubelet.start()
    return 0


def _status(ctx: Context, kubelet: Kubelet) -> int:
    since = ids.utc(kubelet.since).strftime("%a %Y-%m-%d %H:%M:%S UTC")
    ago = age(ctx.world.now - kubelet.since)
    running = kubelet.running
    state = "active (running)" if running else "inactive (dead)"
    ctx.print(
        f"{'●' if running else '○'} kubelet.service - kubelet: The Kubernetes Node Agent\n"
        "     Loaded: loaded (/etc/systemd/system/kubelet.service; enabled; preset: enabled)\n"
        f"     Active: {state} since {since}; {ago}\n"
        f"   Main PID: {kubelet.pid}{' (kubelet)' if running else ''}"
    )
    return 0 if running else 3
