"""The `kubegrade` command."""

from __future__ import annotations

from pathlib import Path
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


@main.command()
@click.argument("submitted", type=click.Path(path_type=Path))
@click.option("--lab", default="", metavar="NAME", help="Only this lab (needed where notebooks lie side by side).")
@click.option("--jobs", type=click.IntRange(1), default=None, metavar="N", help="Workers.  [default: the cores]")
@click.option(
    "--seed-by", type=click.Choice(["lab", "student"]), default="lab", show_default=True, help="Whose the seed is."
)
@click.option("--timeout", type=float, default=120.0, show_default=True, metavar="S", help="Seconds for a submission.")
@click.option("--cell-timeout", type=float, default=20.0, show_default=True, metavar="S", help="Seconds for a cell.")
@click.option(
    "--memory", type=int, default=1024, show_default=True, metavar="MB", help="Memory for a submission's process."
)
@click.option("--gradebook", type=click.Path(path_type=Path), default=None, help="nbgrader's.  [default: the course's]")
@click.option("--csv", "table", type=click.Path(path_type=Path), default=None, help="Points as CSV.")
@click.option(
    "--form", type=click.Choice(["plain", "canvas", "moodle"]), default="plain", show_default=True, help="Of the CSV."
)
@click.option(
    "--feedback", type=click.Path(path_type=Path), default=None, metavar="DIR", help="A page for each student."
)
@click.option("--json", "dump", type=click.Path(path_type=Path), default=None, help="All reports as JSON.")
@click.option(
    "--checks", type=click.Path(path_type=Path, exists=True), default=None, help="A file with more CHECKS, of yours."
)
@click.option("--again", is_flag=True, help="Grade all anew, whatever was graded before.")
@click.option("--unsandboxed", is_flag=True, help="Go on where this machine has no sandbox: the work then runs as you.")
def grade(submitted: Path, **options: Any) -> None:
    """Grade what was handed in: SUBMITTED/STUDENT/LAB/LAB.ipynb, or SUBMITTED/STUDENT.ipynb with --lab.

    Marks go into nbgrader's gradebook.  Ctrl-C keeps what is done; the same command again goes on from there.
    """
    from kubegrade import start

    asked = start.Options(**options)
    started = start.start(asked)
    try:
        from kubegrade import run

        run.grade(submitted, asked, started)
    finally:
        started.worker.end()


if __name__ == "__main__":
    main()
