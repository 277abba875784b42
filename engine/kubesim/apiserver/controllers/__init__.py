"""The loops that kube-apiserver itself runs.

Belongs here: what upstream's `pkg/controlplane/controller` does: the system namespaces, the Service `kubernetes` and its
endpoints, the default ServiceCIDR.  Never here: kube-controller-manager's loops.
"""
