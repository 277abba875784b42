"""The values that absent fields get (upstream: `pkg/apis/*/v1/defaults.go`).

Belongs here: what depends on the object alone.  Never here: what depends on others (allocated addresses, admission).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.schema.defaults import others, pods, services, workloads

Object = dict[str, Any]
Defaulter = Callable[[Object, int], None]

_BY_KIND: dict[str, Defaulter] = {
    "Pod": pods.pod,
    "PodTemplate": pods.pod_template,
    **workloads.DEFAULTS,
    **services.DEFAULTS,
    **others.DEFAULTS,
}


def apply(obj: Object, minor: int = 36) -> None:
    """Fill in the defaults of a decoded object, in place.  `minor` is the server's release 1.`minor`."""
    found = _BY_KIND.get(obj.get("kind", ""))
    if found is not None:
        found(obj, minor)
