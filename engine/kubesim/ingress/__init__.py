"""What an ingress controller works out from the cluster's objects, before any request has come.

Belongs here, as pure functions and values: the language of Traefik's rules (`rules`), how an Ingress names paths
(`paths`), and what Traefik makes of Ingresses, Services, EndpointSlices and Secrets (`routing` for its third
generation, `legacy` for 1.7).

Never here: sockets, watches, forwarding.  Those are programs in pods (`kubesim.programs.traefik`), which call these.
"""
