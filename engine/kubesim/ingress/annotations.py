"""The annotations by which Ingresses and Services speak to Traefik 3 (traefik `pkg/provider/kubernetes/ingress/annotations.go`).

`traefik.ingress.kubernetes.io/router.entrypoints: web` is the label `traefik.router.entrypoints`; names are of any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kubesim.ingress.configuration import Cookie, Tls

PREFIX = "traefik.ingress.kubernetes.io/"
_ROUTER = frozenset(["pathmatcher", "entrypoints", "middlewares", "priority", "rulesyntax", "tls"])
_SERVICE = frozenset(["nativelb", "nodeportlb", "serversscheme", "serverstransport", "passhostheader", "sticky"])
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


class AnnotationError(ValueError):
    """An annotation that cannot be read; its object is passed over."""


class Settings:
    """The annotations of one object, of one kind ("router", "service")."""

    def __init__(self, annotations: Mapping[str, str] | None, kind: str) -> None:
        start = f"{PREFIX}{kind}."
        self._values = {
            key[len(start) :].lower(): value
            for key, value in (annotations or {}).items()
            if key.lower().startswith(start)
        }
        known = {"router": _ROUTER | {"observability"}, "service": _SERVICE}[kind]
        for key in self._values:
            if key.split(".")[0] not in known:
                raise AnnotationError(f"field not found, node: {key.split('.')[0]}")

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, default)

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self._values.get(name, "").split(",") if word.strip())

    def number(self, name: str) -> int:
        value = self._values.get(name, "0")
        try:
            return int(value)
        except ValueError:
            raise AnnotationError(f'{name}: strconv.ParseInt: parsing "{value}": invalid syntax') from None

    def truth(self, name: str, default: bool | None = None) -> bool | None:
        value = self._values.get(name)
        if value is None:
            return default
        if value.lower() in _TRUE + _FALSE:
            return value.lower() in _TRUE
        raise AnnotationError(f'{name}: strconv.ParseBool: parsing "{value}": invalid syntax')

    def has(self, name: str) -> bool:
        return any(key == name or key.startswith(f"{name}.") for key in self._values)

    def tls(self) -> Tls | None:
        if not self.has("tls") or self.truth("tls") is False:
            return None
        numbers = {match[1] for key in self._values if (match := re.match(r"tls\.domains[.\[](\d+)", key))}
        domains = []
        for number in sorted(numbers, key=int):
            names = [f"tls.domains.{number}", f"tls.domains[{number}]"]
            main = next((self._values[f"{name}.main"] for name in names if f"{name}.main" in self._values), "")
            domains.append((main, next((words for name in names if (words := self.words(f"{name}.sans"))), ())))
        return Tls(
            options=self.text("tls.options"), cert_resolver=self.text("tls.certresolver"), domains=tuple(domains)
        )

    def cookie(self) -> Cookie | None:
        if not self.has("sticky.cookie") or self.truth("sticky.cookie") is False:
            return None
        return Cookie(
            name=self.text("sticky.cookie.name"),
            secure=bool(self.truth("sticky.cookie.secure")),
            http_only=bool(self.truth("sticky.cookie.httponly")),
            same_site=self.text("sticky.cookie.samesite"),
            max_age=self.number("sticky.cookie.maxage"),
            path=self.text("sticky.cookie.path", "/"),
            domain=self.text("sticky.cookie.domain"),
        )

    def observability(self) -> tuple[tuple[str, bool], ...]:
        found = ((name, self.truth(f"observability.{name}")) for name in ("accesslogs", "metrics", "tracing"))
        return tuple((name, value) for name, value in found if value is not None)
