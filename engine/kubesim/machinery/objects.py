"""Copies, paths and owner references of objects that are plain dicts.

Sources: apimachinery `pkg/runtime` (DeepCopyJSONValue), `pkg/apis/meta/v1/controller_ref.go`,
client-go `tools/cache/store.go` (MetaNamespaceKeyFunc).
"""

# No `from __future__ import annotations`: a function below has that name.

from typing import Any, TypeVar

Object = dict[str, Any]
T = TypeVar("T")


def copy(value: T) -> T:
    """A deep copy of a JSON value.  About five times as fast as `copy.deepcopy`, which must mind what JSON has not."""
    return _copy(value)


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copy(item) if type(item) in _NESTED else item for key, item in value.items()}
    if type(value) is list:
        return [_copy(item) if type(item) in _NESTED else item for item in value]
    return value


_NESTED = (dict, list)


def get(obj: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path ("spec.ports.0.port"), or the default where any part is absent or null.

    For keys that hold dots (labels, annotations) index the dict itself.
    """
    for part in path.split("."):
        if type(obj) is dict:
            obj = obj.get(part)
        elif type(obj) is list and part.isdecimal():
            index = int(part)
            obj = obj[index] if index < len(obj) else None
        else:
            return default
        if obj is None:
            return default
    return obj


def put(obj: Object, path: str, value: Any) -> None:
    """Set the value at a dotted path, making the dicts on the way."""
    *way, last = path.split(".")
    for part in way:
        found = obj.get(part)
        if not isinstance(found, dict):
            found = obj[part] = {}
        obj = found
    obj[last] = value


def name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def namespace(obj: Object) -> str:
    """The namespace, "" for cluster-scoped objects."""
    return str((obj.get("metadata") or {}).get("namespace") or "")


def uid(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("uid") or "")


def labels(obj: Object) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations(obj: Object) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}


def deleting(obj: Object) -> bool:
    """Has it a deletionTimestamp?"""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def key(obj: Object) -> str:
    """ "namespace/name", or "name" for cluster-scoped objects (MetaNamespaceKeyFunc)."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def split_key(text: str) -> tuple[str, str]:
    """(namespace, name) of a key."""
    space, slash, rest = text.partition("/")
    return (space, rest) if slash else ("", space)


def owner(obj: Object) -> Object | None:
    """The owner reference that is the controller (metav1.GetControllerOf), or None."""
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if reference.get("controller"):
            return reference
    return None


def owned_by(obj: Object, controller: Object) -> bool:
    """Is `controller` the controlling owner?  By uid, as metav1.IsControlledBy."""
    reference = owner(obj)
    return reference is not None and reference.get("uid") == uid(controller)


def owner_reference(obj: Object, kind: str = "", api_version: str = "") -> Object:
    """A plain owner reference to `obj`; kind and version of the object itself where not given."""
    return {
        "apiVersion": api_version or obj["apiVersion"],
        "kind": kind or obj["kind"],
        "name": name(obj),
        "uid": uid(obj),
    }


def new_controller_ref(obj: Object, kind: str = "", api_version: str = "") -> Object:
    """metav1.NewControllerRef: the owner is the controller, and its foreground deletion waits for this one."""
    return {**owner_reference(obj, kind, api_version), "controller": True, "blockOwnerDeletion": True}
