"""kubectl, in Python, over the REST API only, so that it works on any cluster.

Belongs here: arguments as kubectl reads them, requests, tables and descriptions, kubeconfig.  What it prints is kubectl's own to
the byte; where versions differ it follows the cluster's, as the kubectl that comes with it would.  Never here: a store, a
controller, a socket, a clock: all that reaches outside comes in through `io.IO`.

`main.run(args, io)` is the entrance; a module in `commands` is one command or group of commands, a module in `describe` one kind.
"""
