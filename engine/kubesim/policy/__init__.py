"""NetworkPolicy: what is allowed, as values, and as the rules that network plug-ins write for it on each node.

`model` reads NetworkPolicies, Pods and Namespaces and says what they allow, with the reason in words.  `calico` makes of that
the iptables chains and ipsets that felix writes (`names` has their hashes), and `felix` keeps a node's up to date.  `kindnet`
is the other way round: its few nftables rules hand the first packet of a connection to the agent, which asks `model`.
`watch` is how both hear of changes.

Here belongs what a policy means and how it comes to a node.  What never does: stopping a packet.  Rules do that, in `net`,
and where no rule stands (or nobody listens on the queue) a policy is a wish.
"""
