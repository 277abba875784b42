"""A machine: a place where commands and programs run.

A node, a container and a computer outside the cluster are all machines: each has files, an environment, a network
stack and a set of tools.  Containers of one pod are machines that share a network stack.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubesim.errors import LearnerError
from kubesim.files import FileSystem
from kubesim.http import Request, Response
from kubesim.world import World

if TYPE_CHECKING:
    from kubesim.loadbalancer.bigip import Box
    from kubesim.net.host import Host
    from kubesim.node.kubelet import Kubelet


@dataclass(eq=False, kw_only=True)
class Machine:
    """See the module.

    `tools` names the commands that its disk has (a file each in `shell/commands`, or one of the kept bash's own); what is
    not in it is "command not found", as on the real image.  `kind` is "node", "container" or "outside".  `api` reaches the
    API server, None where no kubeconfig is; `api_addresses` are those ("10.0.2.15:6443") at which it is heard, empty for any.
    `discovered` is what kubectl keeps of it between commands (upstream's ~/.kube/cache).  `programs` are the image's own, by
    the name they are called by (`nginx`, `/agnhost`): they are given the shell's `Context` as a command of `shell/commands`
    is.  `argv` is the command line of a container's first process, `born` when that began.  `kubelet` is the one that runs a
    node's pods: `crictl` and `systemctl` ask it.  `machines` finds another machine by its place ("node/kind-worker",
    "outside"), for commands that reach over: `outside`, `docker exec`, `ssh`; None in pods.  `power` pulls its plug or puts it in
    again; `box` is the load balancer that it is, which `tmsh` edits.
    """

    world: World
    name: str
    hostname: str
    kind: str
    net: Host
    files: FileSystem
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    home: str = "/root"
    cwd: str = "/"
    tools: frozenset[str] = frozenset()
    aliases: dict[str, str] = field(default_factory=dict)
    api: Callable[[Request], Response] | None = None
    api_addresses: frozenset[str] = frozenset()
    discovered: dict[Any, Any] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    born: float = 0.0
    kubelet: Kubelet | None = None
    programs: dict[str, Callable[[Any], Awaitable[int]]] = field(default_factory=dict)
    machines: Callable[[str], Machine] | None = None
    power: Callable[[bool], None] | None = None
    box: Box | None = None
    prompt: str = "{user}@{hostname}:{cwd}# "

    def neighbour(self, name: str) -> Machine | None:
        """The node, or the box before the nodes, of that name, for commands that reach over; None when there is none."""
        for kind in ("node", "box"):
            try:
                return self.machines(f"{kind}/{name}") if self.machines is not None else None
            except (LookupError, LearnerError):
                continue
        return None
