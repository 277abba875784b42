"""The kubelet and what it stands on: a node's pods from their binding to their end.

Belongs here: the node's registration and heartbeat; for each pod a sandbox (network, names, files), its containers as
machines that run an image's program, probes, restarts, termination, status and events; exec, logs, attach.  Never here: the
programs themselves (`programs`), what a packet does (`net`), where a pod should go (`scheduler`).

Real time is imitated: a first pull takes about a second, a sandbox and a container some tenths.  What somebody waits for
is a foreground timer of the world, what only comes round again (leases, probes of what is well, long back-offs) is not.
"""
