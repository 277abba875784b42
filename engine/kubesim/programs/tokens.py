"""Service account tokens: what a pod finds in /var/run/secrets/kubernetes.io/serviceaccount/token.

A JSON Web Token with the claims of a bound one (KEP-1205), so that a learner who decodes it sees who it is; its signature is a
keyed hash by the cluster's seed and the world's secret (there is one where strangers can reach the server, `fronts.serve`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from typing import Any

from kubesim.http import User
from kubesim.world import World

ISSUER = "https://kubernetes.default.svc.cluster.local"
# What the admission plugin asks for, in seconds, and what the API server then makes of just that number: a year, so that
# clients which never read the file again go on (serviceaccount/claims.go: WarnOnlyBoundTokenExpirationPeriod).
ASKED, EXTENDED = 3607, 365 * 24 * 3600


def issue(
    world: World,
    namespace: str,
    account: str,
    uid: str = "",
    pod: dict[str, Any] | None = None,
    seconds: int = ASKED,
    audiences: tuple[str, ...] = (ISSUER,),
) -> str:
    """A token of a service account, bound to a pod if one is given."""
    now = int(world.now)
    bound: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}}
    if pod is not None:
        if pod["spec"].get("nodeName"):
            bound["node"] = {"name": pod["spec"]["nodeName"]}
        bound["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"].get("uid", "")}
    if seconds == ASKED:
        bound["warnafter"] = now + ASKED
    claims = {
        "aud": list(audiences),
        "exp": now + (EXTENDED if seconds == ASKED else seconds),
        "iat": now,
        "iss": ISSUER,
        "jti": str(uuid.UUID(int=world.rng("tokens").getrandbits(128), version=4)),
        "kubernetes.io": bound,
        "nbf": now,
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    signed = f"{_encode({'alg': 'HS256', 'kid': 'kubesim'})}.{_encode(claims)}"
    return f"{signed}.{_signature(world, signed)}"


def claims(world: World, token: str) -> dict[str, Any] | None:
    """What a token says; None when this cluster did not issue it, or its time is over."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(world, signed).encode()):
        return None
    middle = signed.partition(".")[2]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return None if found["exp"] < world.now else found


def user(world: World, token: str) -> User | None:
    """Who a token stands for; None as for `claims`."""
    found = claims(world, token)
    if found is None:
        return None
    bound = found["kubernetes.io"]
    namespace = bound["namespace"]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    extra = [("authentication.kubernetes.io/credential-id", (f"JTI={found['jti']}",))] if "jti" in found else []
    for kind in ("node", "pod"):
        if bound.get(kind):
            extra.append((f"authentication.kubernetes.io/{kind}-name", (bound[kind]["name"],)))
            if bound[kind].get("uid"):
                extra.append((f"authentication.kubernetes.io/{kind}-uid", (bound[kind]["uid"],)))
    return User(name=found["sub"], groups=groups, uid=bound["serviceaccount"]["uid"], extra=tuple(extra))


def _encode(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(world: World, signed: str) -> str:
    key = f"tokens/{world.seed}/{world.secret}"
    return _base64(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())
