"""Network namespaces of a test's own on a real Linux: the referee.  Names are unique and everything is cleaned up."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess

import pytest

_numbers = itertools.count()

TOOLS = ("ip", "iptables-restore", "iptables-save")


def why_not() -> str:
    """Why there is no referee on this machine; "" when there is one."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "not root: no network namespaces to compare with"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} to compare with"
    probe = f"kw{os.getpid()}p"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if made.returncode:
        return "this kernel lets us make no network namespace"
    try:
        works = subprocess.run(
            ["ip", "netns", "exec", probe, "iptables", "-t", "nat", "-L"], capture_output=True, check=False
        )
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=False)
    return "" if works.returncode == 0 else "iptables does not work in a network namespace here"


class Namespace:
    """One namespace, with its loopback up."""

    def __init__(self) -> None:
        self.name = f"kw{os.getpid()}n{next(_numbers)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip link set lo up")

    def run(self, command: str, stdin: str = "", *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command line inside, through sh."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, "sh", "-c", command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stderr}")
        return done

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False)


def require() -> None:
    """Skip, aloud, where there is no referee."""
    reason = why_not()
    if reason:
        pytest.skip(f"the kernel cannot be asked: {reason}")
