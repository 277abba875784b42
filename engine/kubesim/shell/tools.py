"""Which commands each kind of system has on its disk, as data.

Taken from the images themselves: what `ls /bin /usr/bin /usr/sbin` shows there, as far as it is simulated.
"""

from __future__ import annotations

COREUTILS = frozenset(
    "[ awk base64 basename bash cat chmod comm cp cut date df dirname du echo egrep env expand expr false fgrep find fold free getent"
    " grep gunzip gzip head hostname id join ln ls md5sum mkdir mktemp mv nl od paste printenv printf ps pwd readlink rev rm rmdir"
    " sed seq sh sha1sum sha256sum shuf sleep sort split stat stty tac tail tar tee test time timeout touch tr true tty uname uniq unexpand"
    " uptime wc which whoami xargs yes zcat diff more".split()
)

# debian:bookworm-slim has no curl, no ip, no ping, no ps.
DEBIAN = (COREUTILS | {"apt", "apt-get", "dpkg"}) - {"free", "ps", "uptime", "time", "rev"}

# nginx (1.2x on Debian) brings curl and envsubst's package gettext-base.
NGINX = DEBIAN | {"curl", "nginx", "envsubst"}

# node:8 and openjdk images on Debian's buildpack-deps: with most things.
BUILDPACK = DEBIAN | {"curl", "wget", "ps", "ping", "openssl", "git"}

BUSYBOX = frozenset(
    "[ arp ash awk base64 basename busybox cat chmod cp cut date df diff dirname du echo egrep env expr false fgrep find fold free"
    " grep gunzip gzip head hostname id ifconfig ip kill killall less ln ls md5sum mkdir mktemp more mv nc netstat nl nslookup od paste"
    " pgrep ping ping6 pkill printenv printf ps pwd readlink rev rm rmdir route sed seq sh sha1sum sha256sum shuf sleep sort split stat"
    " stty tac tail tar tee telnet test time timeout top touch tr traceroute tree true tty uname uniq unexpand uptime vi watch wc wget"
    " which whoami xargs yes zcat".split()
)
ALPINE = BUSYBOX | {"apk", "getent"}

# Everything for looking at a network, as on a host of one's own or in nicolaka/netshoot.
NETWORK = frozenset(
    "arp conntrack curl dig getent host ifconfig ip ip6tables ip6tables-restore ip6tables-save ipset iptables iptables-restore"
    " iptables-save ipvsadm nc netstat nft nslookup ping ping6 route ss sysctl tcpdump telnet traceroute wget".split()
)
HOST = COREUTILS | NETWORK | frozenset(
    "column emacs file jq journalctl killall less nano openssl pgrep pkill ssh strings su sudo systemctl top tree vi vim watch yq".split()
)

# A node of one's own, where the course's terminal is.
UBUNTU = HOST | {"apt", "apt-get", "dpkg", "k", "kubectl", "crictl", "ctr"}
# kindest/node is Debian-slim; the course's terminal on it has the tools that a lab's host would.
KIND_NODE = UBUNTU - {"sudo"} | {"sudo"}
# The learner's own computer, beyond the cluster.
OUTSIDE = HOST | {"k", "kubectl", "docker"}
NETSHOOT = BUSYBOX | NETWORK | {"bash", "jq", "apk"}

BY_NAME = {
    "alpine": ALPINE,
    "busybox": BUSYBOX,
    "debian": DEBIAN,
    "kind": KIND_NODE,
    "nginx": NGINX,
    "node": UBUNTU,
    "outside": OUTSIDE,
    "ubuntu": UBUNTU,
}
