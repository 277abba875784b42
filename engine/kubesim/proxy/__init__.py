"""kube-proxy: Services, EndpointSlices and a Node in; rules for the kernel out.

Belongs here: what kube-proxy reads (`config`, `addresses`, `model`, `state`), which endpoints a Service's traffic may reach
(`topology`), and the text that each mode hands to the kernel's tools: `iptables` for `iptables-restore`, as today's
kube-proxy writes it, `legacy` as those of 1.16 and 1.22 did, `nftables` for `nft -f`, `ipvs` for ipvsadm and ipset.
`proxier` is the program around them: watches, `runner`'s syncs of each `family`, `health`, log `messages`; `userspace` is the
mode that proxied by itself.  `kubelet` has the few chains that the kubelet writes beside kube-proxy's.  `case` and `packets`
are behind `kubesim rules`.

Never here: a decision about a packet.  What is rendered is text; `kubesim.net` reads it as the kernel would and knows
nothing of this package.  The renderers are pure: the same objects and settings give the same bytes, in the order of the
Services' names (upstream's order is that of a Go map, which is none).
"""
