"""The network: hosts with interfaces, routes, netfilter rules and conntrack; the walk of a packet; its trace.

Belongs here: what the Linux kernel does with packets.  Never here: Kubernetes.  Nothing in this package knows what a
pod, a Service or an endpoint is; it sees addresses, links and rules (as text that `iptables-save` and `nft` would
print), and it may not import `kubesim.proxy`, which wrote them.
"""
