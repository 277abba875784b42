"""kubectl top: there is no metrics server in the embedded cluster; on others the API is asked.

Source: kubectl `pkg/cmd/top`.
"""

from __future__ import annotations

from kubesim.kubectl import fail, flags, session
from kubesim.kubectl.command import Command


async def run(of: session.Session) -> None:
    groups = {each.group for each in of.discovery.all().mappings}
    if "metrics.k8s.io" not in groups:
        raise fail.Failed("error: Metrics API not available")
    raise fail.Failed(f"error: not simulated: {of.path} on a cluster that has a Metrics API")


_FLAGS = tuple(
    flags.define(
        "selector,l",
        "all-namespaces,A:bool",
        "containers:bool",
        "no-headers:bool",
        "sort-by",
        "use-protocol-buffers:bool",
    )
)
COMMANDS = {
    "top": Command(
        "top",
        "Display resource (CPU/memory) usage.",
        None,
        subcommands=(
            Command("node", "Display resource (CPU/memory) usage of nodes", run, _FLAGS, aliases=("nodes", "no")),
            Command("pod", "Display resource (CPU/memory) usage of pods", run, _FLAGS, aliases=("pods", "po")),
        ),
        must_choose=True,
    )
}
