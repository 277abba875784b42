"""The chains that the kubelet, not kube-proxy, keeps on a node.

Until 1.27 both made those that masquerade and drop marked packets, in the same words, so that it did not matter who came
first; kube-proxy of 1.16 and 1.22 leaves the dropping to the kubelet.  Since then the kubelet keeps only the guard of
127.0.0.0/8 and a hint by which others tell which iptables the node uses (KEP-3178).

Upstream: pkg/kubelet/kubelet_network_linux.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim.proxy.iptables import Jump
from kubesim.proxy.kernel import Iptables

if TYPE_CHECKING:
    from kubesim.net.netfilter import Netfilter

CANARY = "KUBE-KUBELET-CANARY"
HINT = "KUBE-IPTABLES-HINT"
DROP_MARK = "0x00008000/0x00008000"
MASQUERADE_MARK = "0x00004000"
GUARD = (
    '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8'
    " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)
SNAT = '-m comment --comment "kubernetes service traffic requiring SNAT"'
_FIREWALL = (Jump("filter", "OUTPUT", "KUBE-FIREWALL"), Jump("filter", "INPUT", "KUBE-FIREWALL"))
_POSTROUTING = Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules")


def sync(netfilter: Netfilter, minor: int) -> None:
    """Make what is missing, as the kubelet of 1.`minor` does when it starts and after its canary is gone."""
    tables = Iptables(netfilter)
    if minor >= 18:
        tables.set_canaries(CANARY)
    if minor >= 27:
        tables.ensure([("mangle", HINT)])
        tables.ensure((), _FIREWALL)
        if not netfilter.ipv6:
            tables.append("filter", "KUBE-FIREWALL", GUARD)
        return
    tables.ensure([("nat", "KUBE-MARK-DROP")], _FIREWALL)
    tables.append("nat", "KUBE-MARK-DROP", f"-j MARK --set-xmark {DROP_MARK}")
    marked = '-m comment --comment "kubernetes firewall for dropping marked packets"'
    tables.append("filter", "KUBE-FIREWALL", f"{marked} -m mark --mark {DROP_MARK} -j DROP")
    if minor >= 19 and not netfilter.ipv6:
        tables.append("filter", "KUBE-FIREWALL", GUARD)
    tables.ensure([("nat", "KUBE-MARK-MASQ")], [_POSTROUTING])
    mark = f"{MASQUERADE_MARK}/{MASQUERADE_MARK}"
    if minor < 19:
        tables.append("nat", "KUBE-MARK-MASQ", f"-j MARK --set-xmark {mark}")
        tables.append("nat", "KUBE-POSTROUTING", f"{SNAT} -m mark --mark {mark} -j MASQUERADE")
        return
    tables.append("nat", "KUBE-MARK-MASQ", f"-j MARK --or-mark {MASQUERADE_MARK}")
    tables.append("nat", "KUBE-POSTROUTING", f"-m mark ! --mark {mark} -j RETURN")
    tables.append("nat", "KUBE-POSTROUTING", f"-j MARK --xor-mark {MASQUERADE_MARK}")
    tables.append("nat", "KUBE-POSTROUTING", f"{SNAT} -j MASQUERADE --random-fully")
