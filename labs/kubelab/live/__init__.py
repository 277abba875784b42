"""A live cluster behind the port: kind, minikube, k3d, or whatever a kubeconfig's context names.

`contexts` chooses and guards the cluster, `commands` runs processes, `dumps` and `topology` make a network of what the nodes
say of themselves, over which packets are walked as in an embedded cluster, and `port` is the port.

The only package of the house that runs the learner's own programs (kubectl, docker, kind, a shell).
"""
