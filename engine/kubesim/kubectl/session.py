"""One run of kubectl: its flags, its server, and what every command needs of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from kubesim.kubectl import config as kubeconfig
from kubesim.kubectl import discovery as resources
from kubesim.kubectl import fail, flags, io
from kubesim.kubectl import rest as server

GLOBAL_FLAGS = flags.define(
    "kubeconfig",
    "context",
    "cluster",
    "user",
    "namespace,n",
    "server,s",
    "token",
    "as",
    "as-group:array",
    "as-uid",
    "certificate-authority",
    "client-certificate",
    "client-key",
    "insecure-skip-tls-verify:bool",
    "tls-server-name",
    "request-timeout:=0",
    "v,v:int",
    "vmodule",
    "cache-dir",
    "warnings-as-errors:bool",
    "match-server-version:bool",
    "disable-compression:bool",
)

# What a command may be asked for and does not do; said by name.
_NOT_SIMULATED = (
    "vmodule",
    "match-server-version",
)
# What a flag says in the stead of the kubeconfig.
_OVERRIDES = (
    "context",
    "cluster",
    "user",
    "namespace",
    "server",
    "token",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "certificate-authority",
    "client-certificate",
    "client-key",
)


class Session:
    """`flags` and `args` of one command; `path` is "kubectl get", for usage messages."""

    def __init__(self, into: io.IO, parsed: flags.Parsed, path: str) -> None:
        self.io = into
        self.flags = parsed.flags
        self.args = parsed.args
        self.dash = parsed.dash
        self.path = path
        for name in _NOT_SIMULATED:
            if name in self.flags.changed:
                raise fail.Failed(f"error: not simulated: kubectl's flag --{name}")

    @cached_property
    def config(self) -> kubeconfig.KubeConfig:
        return kubeconfig.load(self.io, self.flags.get("kubeconfig") or "")

    @cached_property
    def selected(self) -> kubeconfig.Selected:
        given: dict[str, str] = {
            name: str(self.flags[name]).lower() if isinstance(self.flags[name], bool) else self.flags[name]
            for name in _OVERRIDES
            if name in self.flags.changed
        }
        return kubeconfig.select(self.io, self.config, given)

    @property
    def namespace(self) -> str:
        return self.selected.namespace

    @cached_property
    def rest(self) -> server.Rest:
        headers = {}
        if self.flags.get("as"):
            headers["impersonate-user"] = self.flags["as"]
        if self.flags.get("as-group"):
            headers["impersonate-group"] = ",".join(self.flags["as-group"])
        return server.Rest(self.io, self.selected.target, headers)

    @cached_property
    def discovery(self) -> resources.Discovery:
        return resources.Discovery(self.rest, self.io.cache, self.io.now())

    @cached_property
    def version(self) -> str:
        """kubectl's own version: the cluster's, unless it was given."""
        return self.io.version or str(self.discovery.server_version().get("gitVersion", ""))

    @cached_property
    def minor(self) -> int:
        """34 for v1.34.2."""
        try:
            return int(self.version.split(".")[1])
        except (IndexError, ValueError):
            return 0

    def minor_if_known(self) -> int:
        """`minor`, without asking a server that may not be there; 0 then."""
        try:
            return self.minor
        except fail.Failed:
            return 0

    def age(self, timestamp: str | None) -> str:
        """How long ago, as tables and descriptions say it."""
        from kubesim import ids
        from kubesim.machinery import durations

        if not timestamp:
            return "<unknown>"
        return durations.human(self.io.now() - ids.parse_timestamp(timestamp))

    def hint(self, message: str) -> fail.UsageHint:
        return fail.UsageHint(message, self.path)

    # -- objects ------------------------------------------------------------------------------------------------

    def get(self, mapping: resources.Mapping, name: str, namespace: str = "") -> dict[str, Any]:
        return self.rest.ask("GET", mapping.path(namespace, name))

    def list(
        self, mapping: resources.Mapping, namespace: str = "", labels: str = "", fields: str = "", limit: int = 500
    ) -> list[dict[str, Any]]:
        """All objects, in chunks of `limit` as kubectl asks for them (0: at once)."""
        query = [("fieldSelector", fields)] if fields else []
        query += [("labelSelector", labels)] if labels else []
        query += [("limit", str(limit))] if limit else []
        found: list[dict[str, Any]] = []
        more: list[tuple[str, str]] = []
        while True:
            try:
                answer = self.rest.ask("GET", mapping.path(namespace), query=[*query, *more])
            except fail.StatusError as error:
                raise enhanced(error, mapping, labels, fields) from None
            kind = str(answer.get("kind", "")).removesuffix("List")
            # Items of a list come without their kind.
            found += [
                {"apiVersion": answer.get("apiVersion"), "kind": kind, **item} for item in answer.get("items") or ()
            ]
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return found
            more = [("continue", token)]

    # -- dry runs -----------------------------------------------------------------------------------------------

    def dry_run(self) -> str:
        """ "none", "client" or "server" (cmdutil.GetDryRunStrategy)."""
        value = self.flags.get("dry-run")
        if value == "unchanged":
            if self.minor >= 18:
                self.klog("helpers.go:703] --dry-run is deprecated and can be replaced with --dry-run=client.")
            return "client"
        if value in ("", None, "none"):
            return "none"
        if value in ("client", "server"):
            return str(value)
        if value in ("true", "false"):
            if self.minor >= 18:
                text = f"--dry-run={value} is deprecated (boolean value) and can be replaced with --dry-run="
                self.klog(f"helpers.go:691] {text}{'client' if value == 'true' else 'none'}.")
            return "client" if value == "true" else "none"
        raise fail.Failed(f'error: Invalid dry-run value ({value}). Must be "none", "server", or "client".')

    def klog(self, text: str, severity: str = "W") -> None:
        """A line of klog on standard error: "W1120 12:04:31.426692   14568 file.go:1] text"."""
        from datetime import UTC, datetime

        when = datetime.fromtimestamp(self.io.now(), UTC).strftime("%m%d %H:%M:%S.%f")
        self.io.complain(f"{severity}{when}       1 {text}")


def enhanced(error: fail.StatusError, mapping: resources.Mapping, labels: str, fields: str) -> fail.StatusError:
    """A list that was refused: what was asked for (cli-runtime resource.EnhanceListError)."""
    if error.reason not in ("BadRequest", "NotFound"):
        return error
    subject = f"{mapping.group}/{mapping.version}, Resource={mapping.plural}"
    if labels or fields:
        said = f'Unable to find "{subject}" that match label selector "{labels}", field selector "{fields}"'
    else:
        said = f'Unable to list "{subject}"'
    return fail.StatusError({**error.status, "message": f"{said}: {error.message}"})


def suffix(dry_run: str) -> str:
    """What follows the deed in a message."""
    return {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")


DRY_RUN = flags.define("dry-run:string=none?unchanged")
VALIDATE = flags.define("validate:string=strict?strict")


def validation(of: Session) -> str:
    """The fieldValidation parameter for --validate (cmdutil.GetValidationDirective)."""
    value = str(of.flags.get("validate", "strict"))
    known = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}
    if value not in known:
        raise fail.Failed(
            f'error: invalid - validate option "{value}"; must be one of: strict (or true), warn, ignore (or false)'
        )
    return known[value]
