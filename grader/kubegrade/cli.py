"""The `kubegrade` command."""

from __future__ import annotations

from typing import Any

import click

from kubesim.errors import LearnerError


class Commands(click.Group):
    """Shows a learner's errors as they are: a message and a remedy, no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LearnerError as error:
            click.echo(f"kubegrade: {error}", err=True)
            ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kubewalk")
def main() -> None:
    """Marks for what happened on a student's cluster."""


@main.command()
@click.argument("labs", nargs=-1)
def prove(labs: tuple[str, ...]) -> None:
    """Prove that a lab marks as it means to: its key in full, its bare start with nothing, its wrong-* states as they say."""
    from kubegrade import proof
    from kubelab import folders, spec

    wrong = 0
    for name in labs or folders.names():
        lab = spec.load(folders.find(name))
        for state in proof.states(lab):
            for verdict in proof.prove(lab, state):
                sign = "✗" if verdict.wrong else "✓"
                points = f"{verdict.result.points:g} of {verdict.result.max:g}"
                click.echo(
                    f"{sign} {lab.name:16} {state.name:18} {verdict.task:10} {points:9} {verdict.wrong or verdict.result.message}"
                )
                wrong += bool(verdict.wrong)
    if wrong:
        raise LearnerError(f"{wrong} of the marks are not as meant")
