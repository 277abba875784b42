"""kubegrade: marks for what happened on a student's cluster.

Belongs here: grading in batches, sandboxes, the nbgrader bridge, and the proof that a lab marks as it means to.  Never here:
the vocabulary of checks, which a learner's notebook needs as well and which therefore lives below, in `kubelab.checks`
(`kubegrade.checks` names it for those who write graders); nor anything that a notebook imports.
"""
