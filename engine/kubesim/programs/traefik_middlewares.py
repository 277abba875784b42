"""Traefik 3's middlewares: what is done to a request on its way in, and to the answer on its way out.

A middleware is made from its settings once and then wraps a handler.  What Traefik has and this has not is refused by name: the
router that uses it is disabled, as with any middleware that cannot be made.

Sources: traefik `pkg/middlewares/*`, `pkg/middlewares/gatewayapi/*`.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from kubesim.programs import htpasswd, http

Object = dict[str, Any]
Wrap = Callable[[http.Handler], http.Handler]
Complain = Callable[[str, str], None]  # words, level

# Depth to which chains may nest: a chain that holds itself is an error.
DEEPEST = 20


class MiddlewareError(ValueError):
    """It cannot be made; the message goes to the router's `error`."""


def make(name: str, known: Mapping[str, Object], complain: Complain, depth: int = 0) -> Wrap:
    """The middleware of that name.  MiddlewareError for one that does not exist, or is not simulated."""
    given = known.get(name)
    if given is None:
        raise MiddlewareError(f'middleware "{name}" does not exist')
    if len(given) != 1:
        if given:
            raise MiddlewareError(
                "cannot create middleware: multi-types middleware not supported, consider declaring two different pieces of "
                "middleware instead"
            )
        why = "invalid middleware type or middleware does not exist"
        raise MiddlewareError(f'invalid middleware "{name}" configuration: {why}')
    kind, settings = next(iter(given.items()))
    if kind == "chain":
        if depth > DEEPEST:
            raise MiddlewareError(f"could not instantiate middleware {name}: recursion detected")
        return chained([make(each, known, complain, depth + 1) for each in settings.get("middlewares") or ()])
    maker = MAKERS.get(kind)
    if maker is None:
        raise MiddlewareError(f"not simulated: middleware {kind}")
    try:
        return maker(settings, lambda words, level: complain(f"{words} middlewareName={name}", level))
    except re.error as error:
        raise MiddlewareError(f"error compiling regular expression: {error}") from None


def chained(wraps: list[Wrap]) -> Wrap:
    def wrap(handler: http.Handler) -> http.Handler:
        for each in reversed(wraps):
            handler = each(handler)
        return handler

    return wrap


# -- requests -----------------------------------------------------------------------------------------------------


def with_header(request: http.Request, name: str, value: str | None) -> http.Request:
    """The request with that header and no other of the name; None drops it."""
    kept = [(key, old) for key, old in request.headers if key.lower() != name.lower()]
    return replace(request, headers=kept if value is None else [*kept, (name, value)])


def with_path(request: http.Request, path: str) -> http.Request:
    query = urlsplit(request.target).query
    return replace(request, target=(path or "/") + (f"?{query}" if query else ""))


def path_of(request: http.Request) -> str:
    return urlsplit(request.target).path or "/"


def scheme_of(request: http.Request) -> str:
    """By the connection, or by what a trusted proxy said."""
    return request.header("x-forwarded-proto") or ("https" if request.tls is not None else "http")


def _rewriting(change: Callable[[http.Request], http.Request]) -> Wrap:
    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            return await handler(change(request))

        return handle

    return wrap


def _slash(path: str) -> str:
    return path if path.startswith("/") or not path else f"/{path}"


def _add_prefix(settings: Object, complain: Complain) -> Wrap:
    prefix = settings.get("prefix", "")
    if not prefix:
        raise MiddlewareError("prefix cannot be empty")
    return _rewriting(lambda request: with_path(request, _slash(prefix + path_of(request))))


def _strip_prefix(settings: Object, complain: Complain) -> Wrap:
    prefixes = [each.strip() for each in settings.get("prefixes") or ()]

    def change(request: http.Request) -> http.Request:
        path = path_of(request)
        for prefix in prefixes:
            if path.startswith(prefix):
                request = with_header(request, "X-Forwarded-Prefix", prefix)
                return with_path(request, _slash(path[len(prefix) :]))
        return request

    return _rewriting(change)


def _strip_prefix_regex(settings: Object, complain: Complain) -> Wrap:
    patterns = [re.compile(each.strip()) for each in settings.get("regex") or ()]

    def change(request: http.Request) -> http.Request:
        path = path_of(request)
        for pattern in patterns:
            found = pattern.search(path)
            if found and found[0] and path.startswith(found[0]):
                request = with_header(request, "X-Forwarded-Prefix", found[0])
                return with_path(request, _slash(path[len(found[0]) :]))
        return request

    return _rewriting(change)


def _replace_path(settings: Object, complain: Complain) -> Wrap:
    path = settings.get("path", "")
    return _rewriting(lambda request: with_path(with_header(request, "X-Replaced-Path", path_of(request)), path))


def _replace_path_regex(settings: Object, complain: Complain) -> Wrap:
    pattern, replacement = re.compile(settings.get("regex", "")), go_replacement(settings.get("replacement", ""))

    def change(request: http.Request) -> http.Request:
        path = path_of(request)
        if not pattern.search(path):
            return request
        return with_path(with_header(request, "X-Replaced-Path", path), pattern.sub(replacement, path))

    return _rewriting(change)


def go_replacement(text: str) -> str:
    """Go's $1 and ${name} as Python writes them."""
    text = text.replace("\\", "\\\\")
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: rf"\g<{match[1] or match[2]}>", text)


# -- redirects ----------------------------------------------------------------------------------------------------


def moved(location: str, status: int) -> http.Response:
    response = http.text(http.REASONS[status], status)
    response.headers.append(("Location", location))
    return response


def _status(request: http.Request, permanent: bool) -> int:
    """301 and 302 for GET; other methods must stay what they are."""
    if request.method == "GET":
        return 301 if permanent else 302
    return 308 if permanent else 307


def _url(request: http.Request) -> str:
    return f"{scheme_of(request)}://{request.header('host')}{request.target}"


def _redirect_regex(settings: Object, complain: Complain) -> Wrap:
    pattern, replacement = re.compile(settings.get("regex", "")), go_replacement(settings.get("replacement", ""))
    permanent = bool(settings.get("permanent"))

    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            old = _url(request)
            if not pattern.search(old):
                return await handler(request)
            new = pattern.sub(replacement, old)
            return await handler(request) if new == old else moved(new, _status(request, permanent))

        return handle

    return wrap


def _redirect_scheme(settings: Object, complain: Complain) -> Wrap:
    scheme, port = settings.get("scheme", ""), settings.get("port", "")
    if not scheme:
        raise MiddlewareError("you must provide a target scheme")
    suffix = "" if port in ("", "80" if scheme == "http" else "443") else f":{port}"

    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            if scheme_of(request) == scheme:
                return await handler(request)
            host = request.header("host")
            host = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
            return moved(
                f"{scheme}://{host}{suffix}{request.target}", _status(request, bool(settings.get("permanent")))
            )

        return handle

    return wrap


# -- who may ------------------------------------------------------------------------------------------------------


def _ip_allow_list(settings: Object, complain: Complain) -> Wrap:
    given = settings.get("sourceRange") or []
    if not given:
        raise MiddlewareError("sourceRange is empty, IPAllowLister not created")
    try:
        networks = [ipaddress.ip_network(each, strict=False) for each in given]
    except ValueError as error:
        raise MiddlewareError(f"cannot parse CIDRs {given}: {error}") from None
    status = settings.get("rejectStatusCode") or 403
    depth = (settings.get("ipStrategy") or {}).get("depth", 0)

    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            client = request.peer[0].removeprefix("::ffff:")
            if depth:
                hops = [each.strip() for each in request.header("x-forwarded-for").split(",") if each.strip()]
                client = hops[-depth] if depth <= len(hops) else ""
            if client and any(ipaddress.ip_address(client) in network for network in networks):
                return await handler(request)
            complain(f"Rejecting IP {client}: {client!r} matched none of the trusted IPs", "DEBUG")
            return http.text(http.REASONS.get(status, ""), status)

        return handle

    return wrap


def _basic_auth(settings: Object, complain: Complain) -> Wrap:
    users = dict(line.split(":", 1) for line in settings.get("users") or () if ":" in line)
    realm = settings.get("realm") or "traefik"
    for name, digest in users.items():
        if digest.startswith("$2"):
            raise MiddlewareError(
                f"not simulated: basicAuth with bcrypt (user {name}); openssl passwd -apr1 makes a hash that is"
            )

    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            scheme, _, value = request.header("authorization").partition(" ")
            name, password = "", ""
            if scheme.lower() == "basic":
                try:
                    name, _, password = base64.b64decode(value).decode("utf-8", "replace").partition(":")
                except ValueError:
                    name = ""
            if name not in users or not htpasswd.matches(password, users[name]):
                response = http.text("401 Unauthorized\n", 401)
                response.headers.append(("Www-Authenticate", f'Basic realm="{realm}"'))
                return response
            if settings.get("headerField"):
                request = with_header(request, settings["headerField"], name)
            if settings.get("removeHeader"):
                request = with_header(request, "Authorization", None)
            return await handler(request)

        return handle

    return wrap


# -- headers ------------------------------------------------------------------------------------------------------


def _headers(settings: Object, complain: Complain) -> Wrap:
    asked, answered = settings.get("customRequestHeaders") or {}, dict(settings.get("customResponseHeaders") or {})
    secure = _secure(settings)
    origins = settings.get("accessControlAllowOriginList") or []

    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            origin = request.header("origin")
            if origins and request.method == "OPTIONS" and request.header("access-control-request-method"):
                return http.Response(headers=_cors(settings, origins, origin))
            for name, value in asked.items():
                request = with_header(request, name, value or None)
            response = await handler(request)
            dropped = {name.lower() for name in answered} | {name.lower() for name, _ in secure}
            kept = [(key, value) for key, value in response.headers if key.lower() not in dropped]
            response.headers = kept + [(name, value) for name, value in answered.items() if value] + secure
            if settings.get("stsSeconds") and (scheme_of(request) == "https" or settings.get("forceSTSHeader")):
                response.headers.append(("Strict-Transport-Security", _sts(settings)))
            if origins and origin:
                response.headers += [pair for pair in _cors(settings, origins, origin) if pair[0].endswith("-Origin")]
            return response

        return handle

    return wrap


def _secure(settings: Object) -> http.Headers:
    found = []
    if settings.get("frameDeny"):
        found.append(("X-Frame-Options", "DENY"))
    if settings.get("contentTypeNosniff"):
        found.append(("X-Content-Type-Options", "nosniff"))
    if settings.get("browserXssFilter"):
        found.append(("X-Xss-Protection", "1; mode=block"))
    if settings.get("referrerPolicy"):
        found.append(("Referrer-Policy", settings["referrerPolicy"]))
    return found


def _sts(settings: Object) -> str:
    text = f"max-age={settings['stsSeconds']}"
    text += "; includeSubDomains" if settings.get("stsIncludeSubdomains") else ""
    return text + ("; preload" if settings.get("stsPreload") else "")


def _cors(settings: Object, origins: list[str], origin: str) -> http.Headers:
    found = []
    if settings.get("accessControlAllowCredentials"):
        found.append(("Access-Control-Allow-Credentials", "true"))
    found += [
        (f"Access-Control-Allow-{name}", ",".join(settings[f"accessControlAllow{name}"]))
        for name in ("Headers", "Methods")
        if settings.get(f"accessControlAllow{name}")
    ]
    allowed = "*" if "*" in origins else origin if origin in origins else ""
    if allowed:
        found.append(("Access-Control-Allow-Origin", allowed))
    if "accessControlMaxAge" in settings:
        found.append(("Access-Control-Max-Age", str(settings["accessControlMaxAge"])))
    return found


def _retry(settings: Object, complain: Complain) -> Wrap:
    """Again where no connection was made: here, where the answer is the proxy's own 502 or 504."""
    attempts = settings.get("attempts") or 1

    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            response = await handler(request)
            for attempt in range(2, attempts + 1):
                if response.status not in (502, 504) or http.find(response.headers, "date"):
                    break
                complain(f"New attempt {attempt} for request: {request.target}", "DEBUG")
                response = await handler(request)
            return response

        return handle

    return wrap


# -- the Gateway API's filters ------------------------------------------------------------------------------------


def _request_header_modifier(settings: Object, complain: Complain) -> Wrap:
    return _rewriting(lambda request: replace(request, headers=_modified(request.headers, settings)))


def _response_header_modifier(settings: Object, complain: Complain) -> Wrap:
    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            response = await handler(request)
            response.headers = _modified(response.headers, settings)
            return response

        return handle

    return wrap


def _modified(headers: http.Headers, settings: Object) -> http.Headers:
    """Set, then add, then remove."""
    sets = settings.get("set") or {}
    names = {name.lower() for name in sets} | {name.lower() for name in settings.get("remove") or ()}
    kept = [(key, value) for key, value in headers if key.lower() not in names]
    removed = {name.lower() for name in settings.get("remove") or ()}
    more = [*sets.items(), *(settings.get("add") or {}).items()]
    return kept + [(name, value) for name, value in more if name.lower() not in removed]


def _new_path(settings: Object, path: str) -> str:
    if "path" not in settings:
        return path
    if "pathPrefix" not in settings:
        return str(settings["path"])
    rest = path.removeprefix(settings["pathPrefix"].rstrip("/"))
    return (settings["path"].rstrip("/") + _slash(rest)) or "/"


def _request_redirect(settings: Object, complain: Complain) -> Wrap:
    def wrap(handler: http.Handler) -> http.Handler:
        async def handle(request: http.Request) -> http.Response:
            scheme = settings.get("scheme") or scheme_of(request)
            host, _, port = request.header("host").partition(":")
            host, port = settings.get("hostname") or host, settings.get("port", port)
            suffix = f":{port}" if port and port != {"http": "80", "https": "443"}[scheme] else ""
            moved_to = with_path(request, _new_path(settings, path_of(request))).target
            return moved(f"{scheme}://{host}{suffix}{moved_to}", settings["statusCode"])

        return handle

    return wrap


def _url_rewrite(settings: Object, complain: Complain) -> Wrap:
    def change(request: http.Request) -> http.Request:
        if settings.get("hostname"):
            others = [(key, value) for key, value in request.headers if key.lower() != "host"]
            request = replace(request, headers=[("Host", settings["hostname"]), *others])
        return with_path(request, _new_path(settings, path_of(request)))

    return _rewriting(change)


MAKERS: dict[str, Callable[[Object, Complain], Wrap]] = {
    "addPrefix": _add_prefix,
    "basicAuth": _basic_auth,
    "headers": _headers,
    "ipAllowList": _ip_allow_list,
    "ipWhiteList": _ip_allow_list,
    "redirectRegex": _redirect_regex,
    "redirectScheme": _redirect_scheme,
    "replacePath": _replace_path,
    "replacePathRegex": _replace_path_regex,
    "requestHeaderModifier": _request_header_modifier,
    "requestRedirect": _request_redirect,
    "responseHeaderModifier": _response_header_modifier,
    "retry": _retry,
    "stripPrefix": _strip_prefix,
    "stripPrefixRegex": _strip_prefix_regex,
    "urlRewrite": _url_rewrite,
}
