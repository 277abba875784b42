"""Which commands the course's own machines have on their disks: the nodes, and the computer outside.

What is on an image's disk is said in `kubesim.programs.disks`.
"""

from __future__ import annotations

from kubesim.programs import disks
from kubesim.shell.context import words

BUSYBOX = disks.BUSYBOX | words(
    "arp cmp expand fold gunzip gzip nl pgrep pkill rev route shuf tac tree unexpand uptime zcat"
)

# Everything for looking at a network, as on a host of one's own.
NETWORK = words("""
    arp conntrack curl dig getent host ifconfig ip ip6tables ip6tables-restore ip6tables-save ipset iptables iptables-restore
    iptables-save ipvsadm nc netstat nft nslookup ping ping6 route ss sysctl tcpdump telnet traceroute tracepath wget
""")
HOST = (
    disks.DEBIAN
    | NETWORK
    | words("""
        chgrp column dmesg dpkg emacs expand expr file fold free join journalctl jq killall less more nano openssl pgrep pkill ps
        rev shuf split ssh strings su sudo systemctl time top tree uptime vi vim watch yq zcat
    """)
)
# A node of a cluster, where the course's terminal is.  `k` is kubectl's short name there.
NODE = HOST | words("crictl ctr k kubectl outside poweroff")
MINIKUBE = NODE | {"minikube"}
# The learner's own computer, beyond the cluster; kind's nodes are containers there.
OUTSIDE = HOST | words("docker k kubectl minikube outside")
# A load balancer of one's own: a Linux with a command of its vendor's.
BOX = disks.DEBIAN | words("curl ip nc netstat ping poweroff ss ssh tcpdump tmsh traceroute")

# By the name that a preset gives.
BY_NAME = {"kind": NODE, "minikube": MINIKUBE, "node": NODE, "outside": OUTSIDE, "ubuntu": NODE}
