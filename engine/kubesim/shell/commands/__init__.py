"""The commands, a file each: `async def run(ctx: Context) -> int`, the exit status.

Belongs here: what a program of that name prints and does on the machine it runs on, with the options that people type.
An option that is not here fails by name.  Text tools that the kept bash has right are taken from it (`KEPT`).

A new command is a new file; if one file serves several names, they stand in `FILES`.  Which machines have it is said in
`kubesim.shell.tools`.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache

from kubesim.errors import NotSimulated
from kubesim.shell.context import Context, Run, words

# Names whose file is called otherwise.
FILES = {
    "k": "kubectl",
    "sh": "bash",
    "ash": "bash",
    "dash": "bash",
    "[": "test",
    "egrep": "grep",
    "fgrep": "grep",
    "zgrep": "grep",
    "gawk": "awk",
    "mawk": "awk",
    "apt": "apt_get",
    "ip6tables": "iptables",
    "iptables-nft": "iptables",
    "iptables-legacy": "iptables",
    "ip6tables-save": "iptables_save",
    "iptables-nft-save": "iptables_save",
    "iptables-legacy-save": "iptables_save",
    "ip6tables-restore": "iptables_restore",
    "ping6": "ping",
    "ncat": "nc",
    "netcat": "nc",
    "printenv": "env",
    "vim": "vi",
    "nano": "vi",
    "emacs": "vi",
    "route": "ip_route",
    "arp": "ip_neigh",
    "false": "true",
    "su": "sudo",
    "killall": "pkill",
    "pgrep": "pkill",
    "less": "more",
    "type": "which",
    "chgrp": "chown",
    "tracepath": "traceroute",
    "dmesg": "journalctl",
    "ctr": "crictl",
}

# Tools of the kept bash that were tried against GNU's and agree.
KEPT = words("""
    base64 basename chmod column comm cp cut dirname du echo expand expr file fold join jq ln md5sum mkdir mv nl od printf
    pwd readlink rev rm rmdir seq sha1sum sha256sum shuf split stat strings tac tee touch tr tree unexpand uniq wc yq
""")

# Builtins of every shell that have a command of the same name: they work whatever the disk has.
ALWAYS = ("echo", "printf", "pwd")

# Commands that Debian has in a directory of its own; the rest lie in /usr/bin.
SBIN = words("""
    arp conntrack ifconfig ip ip6tables ip6tables-restore ip6tables-save ipset iptables iptables-restore iptables-save ipvsadm nft
    route sysctl tcpdump traceroute
""")
LOCAL = words("k kubectl minikube outside")


def _module(name: str) -> str:
    return f"kubesim.shell.commands.{FILES.get(name, name.replace('-', '_'))}"


@cache
def ours(name: str) -> bool:
    """Whether a file here serves that name."""
    return importlib.util.find_spec(_module(name)) is not None


@cache
def lookup(name: str) -> Run:
    """The command of that name.  A tool set may name what is on the real disk and not here: that one says so."""
    if ours(name):
        run: Run = importlib.import_module(_module(name)).run
        return run
    if name not in KEPT:
        return _absent
    from kubesim.shell import adapters

    return adapters.run


async def _absent(ctx: Context) -> int:
    raise NotSimulated(f"the command {ctx.name}")


def exists(name: str) -> bool:
    return name in KEPT or ours(name)


def directory(name: str) -> str:
    """Where `which` finds it."""
    return "/usr/local/bin" if name in LOCAL else "/usr/sbin" if name in SBIN else "/usr/bin"
