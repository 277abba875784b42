"""A request in a version that is not the stored one: converted in, handled as any other, converted out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kubesim import http
from kubesim.apiserver import (
    bodies,
    conversions,
    decoding,
    handlers,
    messages,
    negotiation,
    patchhandler,
    patching,
    paths,
    watching,
    wire,
)
from kubesim.errors import ApiError

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

Object = dict[str, Any]


class Handler(handlers._Handler):
    """See the module.  Roles are asked about the group that the request names."""

    def __init__(
        self,
        server: ApiServer,
        request: http.Request,
        target: paths.Target,
        conversion: conversions.Conversion,
        warnings: list[str],
    ) -> None:
        super().__init__(server, request, target, conversion.storage, warnings)
        self.conversion = conversion
        self._old = conversion.resource()
        self.call.version = conversion.storage.versions[0]

    def run(self) -> http.Response:
        self.request = self._selecting()
        warning = self.conversion.warning(self.server.settings.minor)
        if warning:
            self.call.warn(warning)
        try:
            if self.request.method in ("POST", "PUT") and self.request.body:
                self.request = replace(self.request, body=self._incoming(self.request), headers=self._as_json())
            return super().run()
        except ApiError as error:
            raise self._renamed(error) from None

    def _selecting(self) -> http.Request:
        """The request with the names of the stored version's fields in its field selector."""

        def renamed(key: str, value: str) -> str:
            if key == "fieldSelector":
                for here, there in self.conversion.fields:
                    value = ",".join(
                        there + part.removeprefix(here) if part.startswith(here) else part for part in value.split(",")
                    )
            return value

        return replace(self.request, query=tuple((key, renamed(key, value)) for key, value in self.request.query))

    def _as_json(self) -> dict[str, str]:
        return {**self.request.headers, "content-type": negotiation.JSON}

    def _incoming(self, request: http.Request, applied: bool = False) -> bytes:
        """Its body, in the stored version; what is `applied` has no more fields than it names."""
        old, call = self._old, self.call
        body = bodies.read(request, old.api_version, old.kind)
        if not isinstance(body.value, dict):
            raise messages.bad_request(
                f"couldn't get version/kind; json parse error: {body.failure or 'not an object'}"
            )
        bodies.check_kind(old, call_version := self.conversion.version, body.value)
        try:
            decoded = decoding.decode(old.type(call_version), body.value)
        except decoding.DecodeError as error:
            raise messages.bad_request(
                f'{old.kind} in version "{call_version}" cannot be handled as a {old.kind}: {error}'
            ) from None
        if applied:
            decoded = body.value
        named = {"kind": call.resource.kind, **decoded, "apiVersion": old.api_version}
        return wire.encode(self.conversion.into(named))

    def patch(self) -> http.Response:
        """A patch speaks of the object as this version shows it."""
        media = negotiation.content_type(self.request)
        kind = patching.KINDS.get(media)
        if kind is None:
            raise messages.unsupported_media_type(negotiation.PATCHES)
        if kind == "apply":
            # Its owners are noted with the fields of the stored version.
            headers = {**self.request.headers, "content-type": media}
            body = replace(self.request, headers={**self.request.headers, "content-type": negotiation.YAML})
            self.request = replace(self.request, body=self._incoming(body, applied=True), headers=headers)
            return super().patch()
        patchhandler._check_options(self, kind)
        patch, _ = patchhandler.parse(self.request.body, kind)

        def transform(old: Object) -> Object:
            shown = self.conversion.out_of(old)
            shown["metadata"] = {key: value for key, value in shown["metadata"].items() if key != "managedFields"}
            result = patching.apply_to(shown, patch, kind, self._old.type())
            return bodies.decode(self.registry, self.call, self.conversion.into(result))

        stored, created = self.registry.update(self.call, transform)
        return self.show(stored, 201 if created else 200)

    # -- going out ------------------------------------------------------------------------------------------

    def answer(self, obj: Object, status: int = 200) -> http.Response:
        resource = self.resource
        if obj.get("apiVersion") == resource.api_version:
            if obj.get("kind") == resource.kind:
                obj = self.conversion.out_of(obj)
            elif obj.get("kind") == resource.list_kind:
                items = [self.conversion.outgoing(each) for each in obj["items"]]
                obj = {**obj, "apiVersion": self.conversion.api_version, "items": items}
        return super().answer(obj, status)

    def _shape(self) -> watching.Shape:
        inner: Callable[[Object, bool], Object] = super()._shape()
        if self.form.kind:
            return inner
        return lambda obj, first: self.conversion.out_of(inner(obj, first))

    def _renamed(self, error: ApiError) -> ApiError:
        """Errors name the resource by the group that was asked."""
        message = error.message.replace(self.resource.name, self._old.name)
        details = error.details
        if details and details.get("group") == self.resource.group:
            details = {**details, "group": self._old.group}
        return ApiError(error.code, error.reason, message, details)
