"""ipvsadm (1.31): the command line; the virtual servers are `kubesim.net.ipvs`'s.

What it prints is printf's of ipvsadm.c; errors are libipvs' (`ipvs_strerror`), without the program's name, as there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kubesim.errors import NotSimulated
from kubesim.net import address, ipvs
from kubesim.net.extension import UsageError, port
from kubesim.net.ipvs import Connection, Ipvs, IpvsError, RealServer, Service
from kubesim.shell.commands import iptables
from kubesim.shell.context import Context, not_simulated

# Commands, and options with or without a value, by all their spellings.
COMMANDS = {
    "-A": "add", "--add-service": "add", "-E": "edit", "--edit-service": "edit", "-D": "delete", "--delete-service": "delete",
    "-C": "clear", "--clear": "clear", "-R": "restore", "--restore": "restore", "-S": "save", "--save": "save",
    "-a": "add-server", "--add-server": "add-server", "-e": "edit-server", "--edit-server": "edit-server",
    "-d": "delete-server", "--delete-server": "delete-server", "-L": "list", "-l": "list", "--list": "list",
    "-Z": "zero", "--zero": "zero", "--set": "set", "-h": "help", "--help": "help",
}  # fmt: skip
WITH_VALUE = {
    "-t": "tcp", "--tcp-service": "tcp", "-u": "udp", "--udp-service": "udp", "--sctp-service": "sctp",
    "-s": "scheduler", "--scheduler": "scheduler", "-r": "server", "--real-server": "server", "-w": "weight",
    "--weight": "weight", "-p": "persistent", "--persistent": "persistent",
}  # fmt: skip
WITHOUT = {
    "-n": "numeric", "--numeric": "numeric", "-m": "masquerading", "--masquerading": "masquerading", "-c": "connections",
    "--connection": "connections", "--stats": "stats", "--timeout": "timeouts", "--exact": "exact", "--sort": "sorted",
}  # fmt: skip
# What it knows and is not simulated: other ways of forwarding, firewall marks, thresholds, other listings.
_MISSING = frozenset({
    "-g", "--gatewaying", "-i", "--ipip", "-f", "--fwmark-service", "-6", "-M", "--netmask", "-x", "--u-threshold", "-y",
    "--l-threshold", "--rate", "--thresholds", "--persistent-conn", "--nosort", "--daemon", "--start-daemon", "--stop-daemon",
    "-o", "--ops", "--pe", "-b", "--sched-flags",
})  # fmt: skip
VERSION = "IP Virtual Server version 1.2.1 (size=4096)"
HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."


class UsageMistake(Exception):
    """A command line that ipvsadm does not take."""


class Asked(NamedTuple):
    """A command line: the command, and options by name ("" for those without a value)."""

    command: str
    options: dict[str, str]

    def service(self) -> ipvs.Key:
        for protocol in ("tcp", "udp", "sctp"):
            if protocol in self.options:
                ip, number = _endpoint(self.options[protocol], "virtual")
                return protocol, ip, number
        raise UsageMistake(f"You need to supply the 'service' option for the '{_LONG[self.command]}' command")

    def server(self) -> tuple[str, int]:
        if "server" not in self.options:
            raise UsageMistake(f"You need to supply the 'real-server' option for the '{_LONG[self.command]}' command")
        value = self.options["server"]
        bare = re.fullmatch(r"[\d.]+", value) is not None
        return _endpoint(f"{value}:{self.service()[2]}" if bare else value, "real")

    def weight(self) -> int:
        return _number(self.options.get("weight", "1"), 65535, "illegal weight specified")

    def persistence(self) -> int:
        if "persistent" not in self.options:
            return 0
        return _number(
            self.options["persistent"] or str(ipvs.PERSISTENCE), 31 * 86400, "illegal timeout for persistent service"
        )


_LONG = {
    "add": "add-service", "edit": "edit-service", "delete": "delete-service", "add-server": "add-server",
    "edit-server": "edit-server", "delete-server": "delete-server",
}  # fmt: skip


async def run(ctx: Context) -> int:
    if not iptables.may(ctx):
        ctx.complain("Can't initialize ipvs: Permission denied (you must be root)")
        return 255
    table = ctx.machine.net.ipvs
    try:
        asked = _parse(ctx, ctx.args)
        if asked.command == "restore":
            for line in (await ctx.stdin.read()).splitlines():
                _apply(ctx, table, _parse(ctx, line.split()))
        else:
            _apply(ctx, table, asked)
    except UsageMistake as error:
        ctx.err.write(f"{error}\n{HELP}\n")
        return 2
    except IpvsError as error:
        ctx.err.write(f"{error.message}\n")
        return 255
    return 0


def _parse(ctx: Context, args: list[str]) -> Asked:
    command = ""
    options: dict[str, str] = {}
    words = _split(args)
    while words:
        word = words.pop(0)
        if word in _MISSING:
            raise not_simulated(ctx, f"the option {word}")
        if word in COMMANDS:
            if command:
                raise UsageMistake("multiple commands specified")
            command = COMMANDS[word]
            if command == "set":
                if len(words) < 3:
                    raise UsageMistake("--set option requires 3 timeout values")
                options |= {name: words.pop(0) for name in ("tcp-seconds", "fin-seconds", "udp-seconds")}
        elif word in WITH_VALUE:
            name = WITH_VALUE[word]
            optional = name == "persistent"
            if not words and not optional:
                raise UsageMistake(f"option requires an argument -- '{word.lstrip('-')}'")
            options[name] = words.pop(0) if words and not (optional and words[0].startswith("-")) else ""
        elif word in WITHOUT:
            options[WITHOUT[word]] = ""
        elif word.startswith("-"):
            raise UsageMistake(f"ipvsadm: invalid option -- '{word.lstrip('-')}'")
        else:
            raise UsageMistake(f"unexpected argument {word}")
    return Asked(command or "list", options)


def _split(args: list[str]) -> list[str]:
    """`-Lnc` is `-L -n -c`, and `--scheduler=rr` two words."""
    words: list[str] = []
    for arg in args:
        if arg.startswith("--") and "=" in arg:
            words += arg.split("=", 1)
        elif re.fullmatch(r"-[A-Za-z]{2,}", arg):
            words += [f"-{letter}" for letter in arg[1:]]
        else:
            words.append(arg)
    return words


def _endpoint(text: str, what: str) -> tuple[str, int]:
    host, colon, number = text.rpartition(":")
    host = (host if colon else text).strip("[]")
    try:
        return address.canonical(host), port(number) if colon else 0
    except (ValueError, UsageError):
        raise UsageMistake(f"illegal {what} server address:port ({text}) specified") from None


def _number(text: str, most: int, complaint: str) -> int:
    if not text.isdigit() or int(text) > most:
        raise UsageMistake(f"{complaint}: {text}")
    return int(text)


def _apply(ctx: Context, table: Ipvs, asked: Asked) -> None:
    options = asked.options
    match asked.command:
        case "add" | "edit":
            act = table.add if asked.command == "add" else table.edit
            act(*asked.service(), options.get("scheduler", "wlc"), asked.persistence())
        case "delete":
            table.delete(*asked.service())
        case "clear":
            table.clear()
        case "add-server" | "edit-server" | "delete-server":
            service = table.service(*asked.service())
            ip, number = asked.server()
            if asked.command == "delete-server":
                table.delete_server(service, ip, number)
            elif asked.command == "add-server":
                if "masquerading" not in options:
                    what = "ipvsadm: direct routing, which it takes where nothing else is said"
                    raise NotSimulated(what, "-m rewrites the packets, as kube-proxy has it.")
                table.add_server(service, ip, number, asked.weight())
            else:
                table.edit_server(service, ip, number, asked.weight())
        case "zero":
            for each in table.services:
                each.counters.zero()
                for server in each.real_servers:
                    server.counters.zero()
        case "set":
            complaint = "illegal timeout value specified"
            table.set_timeouts(
                *(_number(options[f"{name}-seconds"], 2**31, complaint) for name in ("tcp", "fin", "udp"))
            )
        case "save":
            ctx.out.write("".join(f"{line}\n" for each in table.services for line in each.save()))
        case "list":
            _list(ctx, table, asked)
        case other:
            raise not_simulated(ctx, f"the command {other}")


# -- listing ---------------------------------------------------------------------------------------------------------


def _list(ctx: Context, table: Ipvs, asked: Asked) -> None:
    options = asked.options
    if "timeouts" in options:
        seconds = table.connections.timeouts
        ctx.print(f"Timeout (tcp tcpfin udp): {seconds['ESTABLISHED']} {seconds['FIN_WAIT']} {seconds['UDP']}")
        return
    entries = table.connections.entries()
    if "connections" in options:
        ctx.print("IPVS connection entries")
        ctx.print("pro expire state       source             virtual            destination")
        for each in entries:
            ctx.print(_connection(each, ctx.machine.world.now))
        return
    services = table.services
    if any(protocol in options for protocol in ("tcp", "udp", "sctp")):
        protocol, ip, number = asked.service()
        found = table.get(protocol, ip, number)
        if found is None:
            raise IpvsError("No such service")
        services = [found]
    ctx.print(VERSION)
    stats = "stats" in options
    ctx.print(_STATS_HEAD if stats else _HEAD)
    for service in services:
        ctx.print(_service(service, stats))
        servers = sorted(service.real_servers, key=lambda each: (address.number(each.address), each.port))
        for server in servers:
            ctx.print(_server(server, stats))


_HEAD = """\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn"""
_STATS_HEAD = """\
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port"""


def _counters(of: Service | RealServer) -> str:
    counters = of.counters
    values = (counters.connections, counters.in_packets, counters.out_packets, counters.in_bytes, counters.out_bytes)
    return "".join(f" {_large(value):>8}" for value in values)


def _large(value: int) -> str:
    """Eight digits at most, then thousands, millions ... (print_largenum)."""
    for unit in ("", "K", "M", "G"):
        if value < 10**8:
            return f"{value}{unit}"
        value //= 1000
    return f"{value}T"


def _service(service: Service, stats: bool) -> str:
    name = f"{service.protocol.upper():<4} {service.where}"
    if stats:
        return f"{name:<33}{_counters(service)}"
    persistent = f" persistent {service.persistence}" if service.persistence else ""
    return f"{name} {service.scheduler}{persistent}"


def _server(server: RealServer, stats: bool) -> str:
    name = f"  -> {server!s:<28}"
    if stats:
        return f"{name}{_counters(server)}"
    return f"{name} Masq    {server.weight:<6} {server.active:<10} {server.inactive:<10}"


def _connection(each: Connection, now: float) -> str:
    flow = each.flow
    left = max(0, int(each.expires - now))
    head = f"{flow.protocol.upper():<3} {left // 60:02d}:{left % 60:02d}  {each.state:<11}"
    client, virtual = _at(flow.client, flow.client_port), _at(flow.virtual, flow.virtual_port)
    return f"{head} {client:<18} {virtual:<18} {each.server}"


def _at(ip: str, number: int) -> str:
    return f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"
