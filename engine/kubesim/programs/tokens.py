"""Service account tokens: what a pod finds in /var/run/secrets/kubernetes.io/serviceaccount/token.

A JSON Web Token with the claims of a bound one (KEP-1205), so that a learner who decodes it sees who it is; its signature is a
keyed hash by the cluster's seed, which says that this cluster issued it, and is no secret from anybody in this process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from kubesim.http import User
from kubesim.world import World

ISSUER = "https://kubernetes.default.svc.cluster.local"
# What the admission plugin asks for, in seconds, and what the API server then makes of just that number: a year, so that
# clients which never read the file again go on (serviceaccount/claims.go: WarnOnlyBoundTokenExpirationPeriod).
ASKED, EXTENDED = 3607, 365 * 24 * 3600


def issue(
    world: World, namespace: str, account: str, uid: str = "", pod: dict[str, Any] | None = None, seconds: int = ASKED
) -> str:
    """A token of a service account, bound to a pod if one is given."""
    now = int(world.now)
    bound: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}}
    if pod is not None:
        bound["node"] = {"name": pod["spec"].get("nodeName", "")}
        bound["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"].get("uid", "")}
    if seconds == ASKED:
        bound["warnafter"] = now + ASKED
    claims = {
        "aud": [ISSUER],
        "exp": now + (EXTENDED if seconds == ASKED else seconds),
        "iat": now,
        "iss": ISSUER,
        "kubernetes.io": bound,
        "nbf": now,
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    signed = f"{_encode({'alg': 'HS256', 'kid': 'kubesim'})}.{_encode(claims)}"
    return f"{signed}.{_signature(world, signed)}"


def user(world: World, token: str) -> User | None:
    """Who a token stands for; None when this cluster did not issue it, or its time is over."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(world, signed).encode()):
        return None
    middle = signed.partition(".")[2]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    if claims["exp"] < world.now:
        return None
    namespace = claims["kubernetes.io"]["namespace"]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(name=claims["sub"], groups=groups)


def _encode(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(world: World, signed: str) -> str:
    return _base64(hmac.new(f"tokens/{world.seed}".encode(), signed.encode(), hashlib.sha256).digest())
