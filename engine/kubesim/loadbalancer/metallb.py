"""MetalLB's decisions, as functions of objects: which address a Service gets, and which node answers for it.

Sources: metallb `internal/allocator/allocator.go`, `controller/service.go`, `speaker/layer2_controller.go`.
Left out: BGP, IPv6 pools, pools by serviceAllocation, shared addresses (`metallb.io/allow-shared-ip`), selectors by expressions.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from kubesim.loadbalancer import controller
from kubesim.machinery import objects

Object = dict[str, Any]

NAMESPACE = "metallb-system"
POOLS, ADVERTISEMENTS = "ipaddresspools.metallb.io", "l2advertisements.metallb.io"
POOL_ANNOTATION = "metallb.io/address-pool"
ADDRESS_ANNOTATION = "metallb.io/loadBalancerIPs"


class NoAddress(Exception):
    """The message is what the event says after "Failed to allocate IP for ..."."""


def held(service: Object) -> str:
    """The address in its status, or ""."""
    return next(iter(controller.ingress(service)), "")


def addresses(pool: Object) -> Iterator[str]:
    """Every address of a pool: of "172.18.255.200-172.18.255.250" and "10.0.0.0/28".  ValueError for what is neither."""
    for text in pool["spec"].get("addresses", ()):
        first, dash, last = text.replace(" ", "").partition("-")
        if dash:
            low, high = int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last))
            yield from (str(ipaddress.IPv4Address(number)) for number in range(low, high + 1))
        else:
            yield from (str(each) for each in ipaddress.IPv4Network(first))


def pool_of(address: str, pools: Iterable[Object]) -> Object | None:
    """The pool that an address is from."""
    return next((pool for pool in pools if address in set(addresses(pool))), None)


def choose(service: Object, pools: list[Object], taken: set[str]) -> str:
    """The address for a Service.  NoAddress says why there is none.

    What it has it keeps while a pool still holds it; what it asks for (annotation or spec.loadBalancerIP) it gets if it is
    free; a pool that it names is the only one that is looked at; else the first free one of the pools that assign by themselves.
    """
    annotations = service["metadata"].get("annotations") or {}
    wanted = annotations.get(ADDRESS_ANNOTATION) or service["spec"].get("loadBalancerIP", "")
    named = annotations.get(POOL_ANNOTATION, "")
    if wanted:
        if pool_of(wanted, pools) is None:
            raise NoAddress(f'["{wanted}"] is not allowed in config')
        if wanted in taken:
            raise NoAddress(f'can\'t change sharing key for "{objects.key(service)}", address already in use by another service')
        return str(wanted)
    if named:
        pools = [each for each in pools if objects.name(each) == named]
        if not pools:
            raise NoAddress(f'unknown pool "{named}"')
    else:
        pools = [each for each in pools if each["spec"].get("autoAssign", True)]
    has = held(service)
    if has and has not in taken and pool_of(has, pools) is not None:
        return has
    for pool in sorted(pools, key=objects.name):
        free = next((each for each in addresses(pool) if each not in taken), "")
        if free:
            return free
    raise NoAddress(f'no available IPs in pool "{named}"' if named else "no available IPs")


def advertised(address: str, pools: list[Object], advertisements: list[Object]) -> list[Object]:
    """The L2Advertisements that cover the pool of an address: without one, nobody answers for it."""
    pool = pool_of(address, pools)
    if pool is None:
        return []
    name = objects.name(pool)
    return [
        each
        for each in advertisements
        if not (named := (each.get("spec") or {}).get("ipAddressPools")) or name in named
    ]


def candidates(
    service: Object, slices: list[Object], nodes: list[Object], speakers: Iterable[str], advertisements: list[Object]
) -> list[str]:
    """The nodes that may answer for the Service's address: with a speaker that is alive, not excluded, chosen by an
    advertisement, and with a ready endpoint (on that very node where externalTrafficPolicy is Local)."""
    ready = [
        endpoint.get("nodeName", "")
        for each in slices
        for endpoint in each.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready", True)
    ]
    if not ready:
        return []
    local = service["spec"].get("externalTrafficPolicy") == "Local"
    alive = set(speakers)
    found = []
    for node in nodes:
        name, labels = objects.name(node), node["metadata"].get("labels") or {}
        if name not in alive or controller.EXCLUDED in labels or (local and name not in ready):
            continue
        if any(_selects(each, labels) for each in advertisements):
            found.append(name)
    return found


def _selects(advertisement: Object, labels: dict[str, str]) -> bool:
    selectors = (advertisement.get("spec") or {}).get("nodeSelectors")
    if not selectors:
        return True
    return any(
        all(labels.get(key) == value for key, value in (each.get("matchLabels") or {}).items()) for each in selectors
    )


def elect(address: str, among: Iterable[str]) -> str:
    """The node that answers: the first by the hash of its name and the address, so that all speakers agree without a word."""
    ranked = sorted(among, key=lambda node: hashlib.sha256(f"{node}#{address}".encode()).digest())
    return ranked[0] if ranked else ""
