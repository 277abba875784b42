"""What the subcommands of `kubectl create` share: one NAME, one object, one POST."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import discovery, fail, flags, printers, session

Object = dict[str, Any]

FLAGS = (
    *printers.OUTPUT,
    *session.DRY_RUN,
    *session.VALIDATE,
    *flags.define("save-config:bool", "field-manager:=kubectl-create"),
)


def one_name(of: session.Session) -> str:
    """The only argument, those after "--" apart."""
    given = of.args if of.dash < 0 else of.args[: of.dash]
    if len(given) != 1:
        raise of.hint(f"exactly one NAME is required, got {len(given)}")
    return given[0]


def after_dash(of: session.Session) -> list[str]:
    return of.args[of.dash :] if of.dash >= 0 else []


def finish(of: session.Session, obj: Object, resource: str, failure: str = "") -> None:
    """Send the object, unless it is a dry run of the client's, and say so.

    `resource` is "deployments.apps"; `failure` what stands before a refusal ("failed to create deployment: "), "" where
    kubectl passes the server's error on.
    """
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    served = False
    if of.flags["save-config"]:
        from kubesim.kubectl.commands.apply import with_annotation

        obj = with_annotation(obj)
    if dry_run != "client":
        mapping = of.discovery.find(resource)
        query = [("dryRun", "All")] if dry_run == "server" else []
        query += [("fieldManager", of.flags["field-manager"]), ("fieldValidation", session.validation(of))]
        obj = in_served_version(obj, mapping)
        try:
            obj = of.rest.ask("POST", mapping.path(of.namespace), body=obj, query=query)
        except fail.StatusError as error:
            # Before 1.20 the server's own error was passed on.
            if not failure or of.minor < 20:
                raise
            raise fail.Failed(f"error: {failure}{error.message}") from None
        served = True
    deeds.done(obj, "created", dry_run, served)


def in_served_version(obj: Object, mapping: discovery.Mapping) -> Object:
    return {**obj, "apiVersion": mapping.api_version}
