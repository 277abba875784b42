"""An image: a program, the files and tools it comes with, and the names it is pulled by."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubesim.client import Client
from kubesim.machine import Machine

if TYPE_CHECKING:
    from kubesim.cluster import Cluster
    from kubesim.node.console import Console
    from kubesim.world import World


@dataclass(eq=False, kw_only=True)
class Process:
    """A program as it runs in one container.

    `args` is the whole command line (`Image.argv`).  `log` takes one line for `kubectl logs`.  `api` is a client in
    the name of the pod's service account, for programs that are part of the cluster.  `spec` is the container's spec,
    `pod` the Pod as it was when the container started.  `node` is the machine of the node that it runs on (kube-proxy writes
    rules there).  `console` is what it reads and writes where its spec has `stdin`.  `cluster` is for the control plane's own
    programs (kube-apiserver serves its API); no other program may look at it.
    """

    machine: Machine
    args: list[str]
    log: Callable[[str], None]
    pod: dict[str, Any]
    spec: dict[str, Any]
    node: Machine
    api: Client
    cluster: Cluster
    console: Console | None = None

    @property
    def world(self) -> World:
        return self.machine.world

    @property
    def tag(self) -> str:
        """The tag that the container's image was asked for by, "latest" where it says none."""
        name = self.spec.get("image", "").partition("@")[0].rpartition("/")[2]
        return name.partition(":")[2] or "latest"


# Runs until it is done; what it returns is the exit code.  SIGTERM arrives as `world.Cancelled` at its await: let
# it through to die at once (exit code 143), or catch it to finish gracefully and return 0.  A second one is SIGKILL.
Main = Callable[[Process], Coroutine[Any, Any, int]]


@dataclass(frozen=True, kw_only=True)
class Image:
    """`names` are repositories without tag ("nginx", "gcr.io/google-samples/hello-app"), as `images.repository` normalises
    them; `tags` the known ones, empty for any.  `seconds` is how long a pull takes the first time on a node.

    `program` is what runs when the command line's first word is one of `programs` (by its last path component); anything
    else that a container is told to run is found among the machine's tools, as the kernel finds a file.
    `entrypoint` and `command` are the image's ENTRYPOINT and CMD.  `wrapper` is an entrypoint script that runs what follows it,
    as docker-entrypoint.sh scripts do; `wrapped` is what it puts before options.
    """

    names: tuple[str, ...]
    program: Main | None = None
    programs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    wrapper: str = ""
    wrapped: str = ""
    tools: frozenset[str] = frozenset()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    seconds: float = 1.0

    def argv(self, spec: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
        """The command line of a container: its `command` replaces ENTRYPOINT and CMD, its `args` only CMD; `$(NAME)` in
        either is the variable (Kubernetes, "Define a Command and Arguments for a Container")."""
        from kubesim.programs import entry

        command, args = spec.get("command"), spec.get("args")
        if command:
            words = [*command, *(args or ())]
            return [entry.expand(word, env) for word in words]
        return [*self.entrypoint, *([entry.expand(word, env) for word in args] if args else self.command)]

    async def main(self, process: Process) -> int:
        """Run the container's command line to its exit code; `entry.CannotStart` when there is no such command."""
        from kubesim.programs import entry

        return await entry.run(self, process)
