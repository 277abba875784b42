"""What stands in front of a cluster: a cloud's load balancers.

Belongs here: the balancer as a machine of its own, with addresses, health checks and packets that it passes on
(`balancer`); how clouds differ, as data (`clouds`); and the loop that gives Services of type LoadBalancer one
(`controller`), which a cloud runs in its cloud-controller-manager.  Likewise GKE's ingress (`gce`): HTTP load balancers with
addresses of their own, which do end connections and make new ones to node ports.

Never here: what a node does with a packet that was passed on to it - kube-proxy's rules do that, and see the balancer's
address as its destination: the balancer passes packets on as they are, and answers do not come back through it (direct
server return), as those of Google and Azure do.
"""
