"""The authorities: the cluster's own, which `kubeadm init` makes and which signs what its programs show, and the public one."""

from __future__ import annotations

from kubesim.programs import tls
from kubesim.programs.image import Process

YEAR = 365 * 24 * 3600.0
# The key id of the cluster's authority, which `certificate-authority-data` and every pod's ca.crt hold.
CLUSTER = "kubernetes-ca"


# Where a machine's disk has the authorities that it trusts, as Debian's and Alpine's ca-certificates put them.
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def bundle() -> str:
    """The public authorities in PEM: one, good from 2015 to 2045."""
    name = "CN=Public Trust CA"
    return tls.Certificate(
        subject=name,
        issuer=name,
        not_before=1420070400.0,
        not_after=2366841600.0,
        key=tls.PUBLIC,
        issuer_key=tls.PUBLIC,
        authority=True,
    ).pem()


def root(now: float) -> tls.Certificate:
    """The authority's own certificate."""
    name = "CN=kubernetes"
    return tls.Certificate(
        subject=name,
        issuer=name,
        not_before=now,
        not_after=now + 10 * YEAR,
        key=CLUSTER,
        issuer_key=CLUSTER,
        authority=True,
    )


def serving(process: Process, name: str, *sans: str) -> tls.Certificate:
    """A server's certificate for its name, its addresses and what else is given ("DNS:..", "IP:..")."""
    own = [f"IP:{address}" for address in process.machine.net.addresses()]
    # As old as the world: a restart reads the same file.
    born = process.world.start
    return tls.Certificate(
        subject=f"CN={name}",
        issuer="CN=kubernetes",
        not_before=born,
        not_after=born + YEAR,
        key=f"{process.machine.hostname}/{name}",
        issuer_key=CLUSTER,
        sans=(*sans, *own),
    )
