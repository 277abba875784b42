"""What is on the disks of the base images that others are made from: the names of the commands."""

from __future__ import annotations

from kubesim.programs import authority


def commands(text: str) -> frozenset[str]:
    """A set of names, for tables that are read by people."""
    return frozenset(text.split())


_CORE = commands("""
    [ basename cat chmod chown clear cp cut date df dirname du echo env expr false find fold grep head hostname id kill ln ls
    md5sum mkdir mktemp mv nproc od paste printenv printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort
    stat stty tac tail tee test timeout touch tr true tty uname uniq wc which whoami xargs yes awk base64 egrep fgrep
""")

# debian:bookworm-slim, which nginx and many others stand on: no ps, ip, ping, curl, vi.
DEBIAN = _CORE - {"ps"} | commands("apt-get apt bash comm diff getent join mawk nl perl split tar")
# What an image based on buildpack-deps (node, python, golang) has more.
BUILDPACK = DEBIAN | commands("curl wget git openssl ps make")
# BusyBox, with the applets that matter here.
BUSYBOX = _CORE | commands("""
    arp ash busybox diff ifconfig ip less nc netstat nslookup ping ping6 route tar telnet top traceroute vi watch
    wget httpd
""")
ALPINE = BUSYBOX - {"httpd"} | frozenset(["apk", "getent"])
# The custom node.js image of the documents: "telnet, netcat, ping, curl, dnslookup".
NODE_TOOLS = BUILDPACK | commands("node npm telnet nc netcat ping busybox nslookup dig host ip ifconfig netstat ss")
NETSHOOT = ALPINE | commands("""
    bash curl dig host drill iperf3 iptables iptables-save ip6tables ipvsadm jq mtr nft ss socat tcpdump openssl
    conntrack tracepath nmap
""")
# Google's distroless: nothing but the program.
DISTROLESS: frozenset[str] = frozenset()

# The package ca-certificates.
CERTIFICATES = {authority.BUNDLE: authority.bundle()}
