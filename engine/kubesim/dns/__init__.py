"""DNS: records and answers, CoreDNS's Corefile and plugins, and the resolver of a pod's C library.

Belongs here: everything between a name and an address.  `answers` are plain values; `records` is pure: the cluster's
objects and a question give an answer (CoreDNS's *kubernetes* plugin); `corefile` and `plugins` are the chain that a
Corefile describes; `server` puts the chain behind UDP and TCP port 53; `resolver` is the other side: resolv.conf, the
search list, retries, /etc/hosts.  Every question crosses the network as a UDP packet, so that a broken rule or a
dead DNS pod breaks names as it does in a cluster.

Never here: what to do with an address once it is known, and images (CoreDNS as a program is `programs/coredns.py`).
"""
