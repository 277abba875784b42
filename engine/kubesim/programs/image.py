"""An image: a program, the files and tools it comes with, and the names it is pulled by."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubesim.client import Client
from kubesim.machine import Machine

if TYPE_CHECKING:
    from kubesim.cluster import Cluster


@dataclass(eq=False, kw_only=True)
class Process:
    """A program as it runs in one container.

    `args` is command and args as the container's spec (or the image) gives them.  `log` takes one line for `kubectl logs`.
    `api` is a client in the name of the pod's service account, for programs that are part of the cluster.  `spec` is the
    container's spec, `pod` the Pod as it was when the container started.  `node` is the machine of the node that it
    runs on (kube-proxy writes rules there).  `exec` runs a command line in this container, as probes and hooks do.
    `cluster` is for the control plane's own programs (kube-apiserver serves its API); no other program may look at it.
    """

    machine: Machine
    args: list[str]
    log: Callable[[str], None]
    pod: dict[str, Any]
    spec: dict[str, Any]
    node: Machine
    api: Client
    cluster: Cluster


# Runs until it is done; what it returns is the exit code.  SIGTERM arrives as `world.Cancelled` at its await: let
# it through to die at once (exit code 143), or catch it to finish gracefully and return 0.
Main = Callable[[Process], Coroutine[Any, Any, int]]


@dataclass(frozen=True, kw_only=True)
class Image:
    """`names` are repositories without tag ("nginx", "gcr.io/google-samples/hello-app"), as `docker.io/library/` shortens
    them; `tags` the known ones, empty for any.  `seconds` is how long a pull takes the first time on a node."""

    names: tuple[str, ...]
    main: Main
    tags: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    seconds: float = 1.0
