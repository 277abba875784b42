"""The vocabulary of checks, as graders import it.

It is `kubelab`'s, so that a learner's notebook speaks it too: the very same check runs in both places.
"""

from __future__ import annotations

from kubelab.checks import *  # noqa: F403
from kubelab.checks import __all__ as __all__
