"""Who asks: bearer tokens (apiserver `pkg/authentication`, `pkg/serviceaccount/claims.go`).

A front says in `Request.user` who is at the other end of its connection (a client certificate's owner, or the one person who can
be there); a bearer token in the request says it better.  Tokens are those that `ApiServer.tokens` lists and those of service
accounts, which hold as long as the account, and the pod that they are bound to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kubesim import http
from kubesim.errors import ApiError
from kubesim.programs import tokens

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer


def authenticate(server: ApiServer, request: http.Request) -> http.Request:
    """The request with its user, and without the credential.  ApiError 401 for one that nobody issued."""
    header = request.headers.get("authorization")
    if header is None:
        return request
    scheme, _, token = header.partition(" ")
    # Basic authentication went with 1.19.
    user = of_token(server, token.strip()) if scheme.lower() == "bearer" else None
    if user is None:
        raise unauthorized()
    headers = {key: value for key, value in request.headers.items() if key != "authorization"}
    return replace(request, user=user, headers=headers)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def of_token(server: ApiServer, token: str) -> http.User | None:
    """Who a token stands for, or None."""
    known = server.tokens.get(token)
    if known is not None:
        return known
    claims = tokens.claims(server.world, token)
    if claims is None or tokens.ISSUER not in claims["aud"]:
        return None
    bound = claims["kubernetes.io"]
    namespace = bound["namespace"]
    for kind, plural in (("serviceaccount", "serviceaccounts"), ("pod", "pods"), ("secret", "secrets")):
        if kind not in bound:
            continue
        found = server.store.get(plural, namespace, bound[kind]["name"])
        if found is None or bound[kind].get("uid") not in ("", None, found["metadata"]["uid"]):
            return None
    return tokens.user(server.world, token)
