"""Subsets of Endpoints in canonical form (`k8s.io/endpoints` util.go: RepackSubsets).

The endpoints controller makes them so, and the API server brings to this form what anybody writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kubesim.machinery import gohash

Object = dict[str, Any]


def canonical(given: Iterable[Object]) -> list[Object]:
    """The same endpoints, in canonical form."""
    return repack(_flat(given))


def _flat(given: Iterable[Object]) -> Iterator[tuple[Object, bool, Object | None]]:
    for subset in given:
        for ready, key in ((True, "addresses"), (False, "notReadyAddresses")):
            for address in subset.get(key) or ():
                # A subset without ports still has addresses (headless Services without ports).
                for port in subset.get("ports") or (None,):
                    yield address, ready, port


def repack(found: Iterable[tuple[Object, bool, Object | None]]) -> list[Object]:
    """Subsets out of (address, ready, port): ports that the very same addresses offer stand together (RepackSubsets)."""
    by_port: dict[tuple[object, ...], tuple[Object | None, dict[tuple[str, str], tuple[Object, bool]]]] = {}
    for address, ready, port in found:
        port_key = () if port is None else tuple(sorted(port.items()))
        offered = by_port.setdefault(port_key, (port, {}))[1]
        key = (address["ip"], (address.get("targetRef") or {}).get("uid", ""))
        known = offered.get(key)
        # Not ready trumps ready.
        if known is None or known[1]:
            offered[key] = (address, ready)
    by_addresses: dict[tuple[object, ...], tuple[list[Object], list[tuple[Object, bool]]]] = {}
    for port, offered in by_port.values():
        together = tuple((key, offered[key][1]) for key in sorted(offered))
        ports, _ = by_addresses.setdefault(together, ([], [offered[key] for key in sorted(offered)]))
        if port is not None:
            ports.append(port)
    made = []
    for ports, addresses in by_addresses.values():
        subset: Object = {}
        ready_ones = [address for address, ready in addresses if ready]
        others = [address for address, ready in addresses if not ready]
        if ready_ones:
            subset["addresses"] = ready_ones
        if others:
            subset["notReadyAddresses"] = others
        if ports:
            subset["ports"] = sorted(ports, key=gohash.port_hash)
        made.append(subset)
    return sorted(made, key=gohash.subset_hash)
