"""Hashes of Go values, for the orders and names that upstream derives from them.

`hashutil.DeepHashObject` hashes the text that spew prints for a value with "%#v": types in parentheses, fields by name.
The few structs that are hashed here are spelled out as spew prints them.  The hash is FNV-1a in 128 bits (older releases
took MD5, which orders differently).
"""

from __future__ import annotations

import json
from typing import Any

from kubesim import ids
from kubesim.client import Object

_FNV128_OFFSET = 0x6C62272E07BB014262B821756295C58D
_FNV128_PRIME = 0x13B
_FNV128_MASK = (1 << 128) - 1


def _fnv128a(text: str) -> int:
    """Go's hash/fnv New128a.  The prime is 2**88 + 0x13b."""
    value = _FNV128_OFFSET
    for byte in text.encode():
        value ^= byte
        value = (value * _FNV128_PRIME + (value << 88)) & _FNV128_MASK
    return value


def _string_pointer(value: str | None) -> str:
    return "(*string)<nil>" if value is None else f"(*string){value}"


def _port(port: Object) -> str:
    return (
        f"{{Name:(string){port.get('name', '')} Port:(int32){port['port']} Protocol:(v1.Protocol){port['protocol']} "
        f"AppProtocol:{_string_pointer(port.get('appProtocol'))}}}"
    )


def _target(reference: Object | None) -> str:
    if reference is None:
        return "(*v1.ObjectReference)<nil>"
    return (
        f"(*v1.ObjectReference){{Kind:(string){reference.get('kind', '')} Namespace:(string){reference.get('namespace', '')} "
        f"Name:(string){reference.get('name', '')} UID:(types.UID){reference.get('uid', '')} APIVersion:(string) "
        "ResourceVersion:(string) FieldPath:(string)}"
    )


def _address(address: Object) -> str:
    return (
        f"{{IP:(string){address['ip']} Hostname:(string){address.get('hostname', '')} "
        f"NodeName:{_string_pointer(address.get('nodeName'))} TargetRef:{_target(address.get('targetRef'))}}}"
    )


def _list(kind: str, items: list[str] | None) -> str:
    return f"([]v1.{kind})" + ("<nil>" if items is None else f"[{' '.join(items)}]")


def port_hash(port: Object) -> int:
    """What Endpoints' ports are sorted by (`pkg/api/v1/endpoints/util.go`, portsByHash)."""
    return _fnv128a(f"(v1.EndpointPort){_port(port)}")


def slice_port_hash(port: Object) -> int:
    """What an EndpointSlice's ports are sorted by (`endpointslice/util/controller_utils.go`, portsInOrder)."""
    return _fnv128a(
        f"(v1.EndpointPort){{Name:(*string){port.get('name', '')} Protocol:(*v1.Protocol){port['protocol']} "
        f"Port:(*int32){port['port']} AppProtocol:{_string_pointer(port.get('appProtocol'))}}}"
    )


def subset_hash(subset: Object) -> int:
    """What Endpoints' subsets are sorted by (the same, subsetsByHash)."""
    parts = [
        "Addresses:" + _list("EndpointAddress", _texts(subset.get("addresses"), _address)),
        "NotReadyAddresses:" + _list("EndpointAddress", _texts(subset.get("notReadyAddresses"), _address)),
        "Ports:" + _list("EndpointPort", [_port(each) for each in subset.get("ports") or ()]),
    ]
    return _fnv128a(f"(v1.EndpointSubset){{{' '.join(parts)}}}")


def _texts(items: list[Object] | None, text: Any) -> list[str] | None:
    return [text(each) for each in items] if items else None


def template_hash(template: Object, collisions: int | None = None) -> str:
    """The pod-template-hash of a template (ComputeHash): the same form and length as upstream's, not the same letters.

    Upstream hashes Go's memory layout of a PodTemplateSpec, which changes with every release of Kubernetes.
    """
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    if collisions is not None:
        text += str(collisions)
    return ids.safe_encode(str(ids.fnv32a(text.encode())))
