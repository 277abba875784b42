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
@click.option(
    "--variants", type=click.IntRange(0), default=0, metavar="N", help="Also the key in N students' variants."
)
def prove(labs: tuple[str, ...], variants: int) -> None:
    """Prove that a lab marks as it means to: its key in full, its bare start with nothing, its wrong-* states as they say."""
    from kubegrade import proof
    from kubelab import folders, spec

    wrong = 0
    for name in labs or folders.names():
        of = spec.load(folders.find(name))
        for lab, state in [*((of, each) for each in proof.states(of)), *proof.keys(of, variants)]:
            for verdict in proof.prove(lab, state):
                sign = "✗" if verdict.wrong else "✓"
                points = f"{verdict.result.points:g} of {verdict.result.max:g}"
                click.echo(
                    f"{sign} {lab.name:16} {state.name:18} {verdict.task:10} {points:9} {verdict.wrong or verdict.result.message}"
                )
                wrong += bool(verdict.wrong)
    if wrong:
        raise LearnerError(f"{wrong} of the marks are not as meant")


_GRADING = (
    click.option("--lab", default="", metavar="NAME", help="Only this lab (needed where notebooks lie side by side)."),
    click.option("--jobs", type=click.IntRange(1), default=None, metavar="N", help="Workers.  [default: the cores]"),
    click.option(
        "--seed-by", type=click.Choice(["lab", "student"]), default="lab", show_default=True, help="Whose the seed is."
    ),
    click.option("--timeout", type=float, default=300.0, show_default=True, metavar="S", help="Seconds for a submission."),
    click.option("--cell-timeout", type=float, default=30.0, show_default=True, metavar="S", help="Seconds for a cell."),
    click.option(
        "--memory", type=int, default=1024, show_default=True, metavar="MB", help="Memory for a submission's process."
    ),
    click.option("--gradebook", type=click.Path(path_type=Path), default=None, help="nbgrader's.  [default: the course's]"),
    click.option("--csv", "table", type=click.Path(path_type=Path), default=None, help="Points as CSV."),
    click.option(
        "--form", type=click.Choice(["plain", "canvas", "moodle"]), default="plain", show_default=True, help="Of the CSV."
    ),
    click.option(
        "--feedback", type=click.Path(path_type=Path), default=None, metavar="DIR", help="A page for each student."
    ),
    click.option("--json", "dump", type=click.Path(path_type=Path), default=None, help="All reports as JSON."),
    click.option(
        "--checks", type=click.Path(path_type=Path, exists=True), default=None, help="A file with more CHECKS, of yours."
    ),
    click.option(
        "--scheduler", default="", metavar="ADDRESS", help="Workers of that Dask scheduler do it (tcp://HOST:PORT)."
    ),
    click.option(
        "--cluster",
        type=click.Choice(["slurm", "kubernetes"]),
        default=None,
        help="Start --jobs Dask workers there, for this.",
    ),
    click.option("--image", default="", help="With --cluster kubernetes: an image that has this program."),
    click.option(
        "--unsandboxed", is_flag=True, help="Go on where a machine has no sandbox: the work then runs as you."
    ),
)  # fmt: skip


def grading(command: Any) -> Any:
    """The options of all that grades."""
    for option in reversed(_GRADING):
        command = option(command)
    return click.argument("submitted", type=click.Path(path_type=Path))(command)


class Share(click.ParamType):
    """ "2/10" as (2, 10): the third of ten parts."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        number, slash, of = str(value).partition("/")
        if not (slash and number.isdigit() and of.isdigit() and int(number) < int(of)):
            self.fail(f"{value!r} is no share: 0/4, 1/4, 2/4 and 3/4 are those of four.", param, ctx)
        return int(number), int(of)


@main.command()
@grading
@click.option("--again", is_flag=True, help="Grade all anew, whatever was graded before.")
@click.option(
    "--share", type=Share(), default=None, metavar="I/N", help="Only the I-th (from 0) of N parts of the class."
)
def grade(submitted: Path, **options: Any) -> None:
    """Grade what was handed in: SUBMITTED/STUDENT/LAB/LAB.ipynb, or SUBMITTED/STUDENT.ipynb with --lab.

    Marks go into nbgrader's gradebook.  Ctrl-C keeps what is done; the same command again goes on from there.
    """
    from kubegrade import start

    asked = start.Options(**options | {"cluster": options["cluster"] or ""})
    started = start.start(asked)
    try:
        from kubegrade import run

        run.grade(submitted, asked, started)
    finally:
        if started.worker is not None:
            started.worker.end()


@main.command()
@grading
@click.option("-n", "--dry-run", is_flag=True, help="Only list who would be graded again, and why.")
def regrade(submitted: Path, dry_run: bool, **options: Any) -> None:
    """Grade again what a corrected check, lab or submission has changed, and nothing else.

    Give the options of the first run.  Only marks that come out differently are written into the gradebook.
    """
    from kubegrade import regrade, start

    asked = start.Options(**options | {"cluster": options["cluster"] or ""})
    planned = regrade.plan(submitted, asked)
    if dry_run:
        regrade.show(planned)
    else:
        regrade.regrade(submitted, asked, planned)


@main.command()
@click.argument("submitted", type=click.Path(path_type=Path))
@click.argument("parts", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--lab", default="", metavar="NAME", help="Only this lab.")
@click.option(
    "--seed-by", type=click.Choice(["lab", "student"]), default="lab", show_default=True, help="As it was graded."
)
@click.option("--gradebook", type=click.Path(path_type=Path), default=None, help="nbgrader's.  [default: the course's]")
@click.option("--csv", "table", type=click.Path(path_type=Path), default=None, help="Points as CSV.")
@click.option("--form", type=click.Choice(["plain", "canvas", "moodle"]), default="plain", help="Of the CSV.")
def collect(submitted: Path, parts: Path, **options: Any) -> None:
    """Put what was graded in parts (grade --share, job) into one gradebook: PARTS is the folder with their journals."""
    from kubegrade import run, start

    asked = start.Options(**options, collect=parts)
    run.grade(submitted, asked, start.start(asked))


@main.command()
@click.argument("submitted", type=click.Path(path_type=Path))
@click.option("--lab", default="", metavar="NAME", help="Only this lab (needed where notebooks lie side by side).")
@click.option(
    "--over", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Pairs with at least this ratio."
)
@click.option("--common", type=click.IntRange(2), default=10, show_default=True, help="What more have is nobody's own.")
@click.option("--most", type=click.IntRange(1), default=20, show_default=True, help="Pairs to show; the CSV has all.")
@click.option(
    "--seed-by", type=click.Choice(["lab", "student"]), default="lab", show_default=True, help="As it is graded."
)
@click.option("--csv", "table", type=click.Path(path_type=Path), default=None, help="All pairs, with what matches.")
def similar(submitted: Path, lab: str, over: float, common: int, most: int, seed_by: str, table: Path | None) -> None:
    """Pairs whose submissions match beyond what everybody was given.

    The ratio is the part of the shorter one's own writing that the other has too.  A match is a reason to look, and no proof.
    """
    from kubegrade import similar, submissions

    jobs = submissions.find(submitted, lab, seed_by=seed_by)
    own_words = similar.variants_of(jobs) if seed_by == "student" else None
    pairs = similar.find(jobs, over=over, common=common, own_words=own_words)
    if table:
        similar.write(table, pairs)
    similar.show(pairs, len(jobs), most)


@main.command()
@click.option("--image", required=True, help="An image with this program in it.")
@click.option("--completions", type=click.IntRange(1, 10_000), required=True, metavar="N", help="Parts of the class.")
@click.option(
    "--parallelism", type=click.IntRange(1), default=None, metavar="N", help="Pods at a time.  [default: all]"
)
@click.option("--namespace", "-n", default="", help="Of the Job.  [default: kubectl's]")
@click.option("--claim", default="course", show_default=True, help="The volume claim with the course.")
@click.option("--results", default="grades", show_default=True, help="The volume claim for what comes of it.")
@click.option("--memory", type=click.IntRange(512), default=2048, show_default=True, metavar="MB", help="For a pod.")
@click.argument("arguments", nargs=-1)
def job(**options: Any) -> None:
    """Print an Indexed Job that grades a class on a Kubernetes cluster: kubegrade job ... > job.yaml

    What stands after -- is handed to `kubegrade grade` in the pods.
    """
    from kubegrade import indexed

    click.echo(indexed.manifest(**options), nl=False)


if __name__ == "__main__":
    main()
