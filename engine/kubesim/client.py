"""How controllers, kubelets and system programs see the API: objects in, objects out, no HTTP.

A `Client` goes through the same admission, defaulting, validation and storage as a request over HTTP does; only the
bytes are spared.  Objects are plain dicts as JSON has them.  **They are shared: never change one in place**; take
`machinery.objects.copy(obj)` first.

Resources are named as kubectl names them: `pods`, `services`, `deployments.apps`, `endpointslices.discovery.k8s.io`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Object = dict[str, Any]
# Called with "ADDED", "MODIFIED" or "DELETED", the object now (for DELETED: as it last was), and as it was before.
Handler = Callable[[str, Object, Object | None], None]


class Subscription(Protocol):
    def close(self) -> None: ...


class Client(Protocol):
    """The verbs of the API server for one user.  All raise `errors.ApiError`."""

    def get(self, resource: str, name: str, namespace: str = "") -> Object:
        """The object; ApiError 404 NotFound."""

    def find(self, resource: str, name: str, namespace: str = "") -> Object | None:
        """The object or None."""

    def list(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        """The objects of one namespace, or of all ("")."""

    def create(self, resource: str, obj: Object, namespace: str = "") -> Object: ...

    def update(self, resource: str, obj: Object, subresource: str = "") -> Object:
        """Replace; ApiError 409 Conflict when the resourceVersion in `obj` is not the stored one."""

    def patch(
        self, resource: str, name: str, namespace: str, patch: Any, kind: str = "merge", subresource: str = ""
    ) -> Object:
        """`kind`: "merge", "json" or "strategic"."""

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str = "",
        grace_period_seconds: int | None = None,
        propagation: str = "",
        uid: str = "",
    ) -> None:
        """`propagation`: "Orphan", "Background", "Foreground" or the resource's own default; `uid`: a precondition."""

    def bind(self, name: str, namespace: str, node: str) -> None:
        """Place a pod on a node: the subresource pods/binding.  ApiError 409 when it is placed already."""

    def evict(self, name: str, namespace: str) -> None:
        """Ask for a pod to go: the subresource pods/eviction.  ApiError 429 when a disruption budget forbids it."""

    def serves(self, group: str, version: str, plural: str) -> bool:
        """Whether this server has that version of a resource, as its discovery says."""

    def watch(self, resource: str, handler: Handler, namespace: str = "") -> Subscription:
        """Call `handler` for every object there is (ADDED) and then for every change, each in a turn of its own."""
