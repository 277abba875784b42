"""How Calico calls things: chains, sets and rules by hashes, selectors in its own language.

All of it is derived as Calico derives it, so the names are those that a real node would show for the same objects.

Sources: projectcalico/felix `hashutils/id.go`, `iptables/rules.go`, `ipsets/ipset_defs.go`; libcalico-go `lib/hash`,
`lib/selector`, `lib/backend/k8s/conversion`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from kubesim.machinery.selectors import Requirement, Selector
from kubesim.policy.model import Peer, Pod

MAX_CHAIN, MAX_SET = 28, 31


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def chain_name(prefix: str, suffix: str) -> str:
    """hashutils.GetLengthLimitedID."""
    if len(prefix) + len(suffix) > MAX_CHAIN or (len(prefix) + len(suffix) == MAX_CHAIN and suffix.startswith("_")):
        digest = _base64(hashlib.sha256(suffix.encode()).digest())
        return f"{prefix}_{digest[: MAX_CHAIN - 1 - len(prefix)]}"
    return prefix + suffix


def rule_hashes(chain: str, rules: Sequence[str]) -> list[str]:
    """Chain.RuleHashes: sixteen characters for each rule; a rule's place and what stands above it change them."""
    digest = hashlib.sha224(chain.encode()).digest()
    found = []
    for rule in rules:
        digest = hashlib.sha224(digest + f"-A {chain} HASH {rule}".encode()).digest()
        found.append(_base64(digest)[:16])
    return found


def interface_name(pod: Pod) -> str:
    """conversion.VethNameForWorkload: what the CNI plug-in calls the node's end of the pod's wire."""
    return "cali" + hashlib.sha1(f"{pod.namespace}.{pod.name}".encode(), usedforsecurity=False).hexdigest()[:11]


def unique(prefix: str, content: str) -> str:
    """hash.MakeUniqueID."""
    return f"{prefix}:{_base64(hashlib.sha224(f'{prefix}:{content}'.encode()).digest())}"


def set_name(unique: str) -> str:
    return f"cali40{unique}"[:MAX_SET]


# -- selectors, in Calico's language -----------------------------------------------------------------------------------


def _term(requirement: Requirement, prefix: str) -> str:
    key = prefix + requirement.key
    if requirement.operator in ("=", "=="):
        return f'{key} == "{requirement.values[0]}"'
    if requirement.operator in ("in", "notin"):
        values = ", ".join(f'"{value}"' for value in requirement.values)
        return f"{key} {'not ' if requirement.operator == 'notin' else ''}in {{{values}}}"
    return f"{'!' if requirement.operator == '!' else ''}has({key})"


def _all_of(terms: Sequence[str]) -> str:
    return terms[0] if len(terms) == 1 else f"({' && '.join(terms)})"


def _pods(selector: Selector | None) -> str:
    terms = ['projectcalico.org/orchestrator == "k8s"']
    return _all_of(terms + [_term(each, "") for each in (selector.requirements if selector is not None else ())])


def selector_of(peer: Peer, namespace: str) -> str:
    """A peer's pods as felix's selector prints itself: its text is what the set's name is a hash of."""
    if peer.namespaces is None:
        where = f'projectcalico.org/namespace == "{namespace}"'
    elif not peer.namespaces.requirements:
        where = "has(projectcalico.org/namespace)"
    else:
        where = _all_of([_term(each, "pcns.") for each in peer.namespaces.requirements])
    return f"({where} && {_pods(peer.pods)})"


def in_words(peer: Peer, namespace: str) -> str:
    pods = f"pods with {peer.pods}" if peer.pods is not None and not peer.pods.empty else "all pods"
    if peer.namespaces is None:
        return f"{pods} in {namespace}"
    return f"{pods} in {'all namespaces' if peer.namespaces.empty else f'namespaces with {peer.namespaces}'}"
