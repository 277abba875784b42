"""kubelab: what a notebook imports.

    import kubelab
    lab = kubelab.open("02-clusterip")

Belongs here: opening a lab on a cluster, the port through which it is reached, the terminal, pictures and the stepper, the
vocabulary of checks (`kubelab.checks`), and building the course's notebooks.

Never here: gradebooks, sandboxes, batches.  They are `kubegrade`'s, which stands on this package, and which this package never
imports.  A check must be the same in a learner's notebook and in an instructor's batch; that is why its vocabulary
is here, below both.  A lab cannot tell the embedded cluster from a live one: it knows the Kubernetes API and the port's
verbs.  All HTML of the house is made here; models hold none.
"""

from __future__ import annotations

from kubelab.lab import Lab, open

__all__ = ["Lab", "open"]
