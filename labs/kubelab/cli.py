"""The `kubelab` command."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import click

from kubelab import folders, spec
from kubesim.errors import LearnerError


class Commands(click.Group):
    """Shows a learner's errors as they are: a message and a remedy, no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LearnerError as error:
            click.echo(f"kubelab: {error}", err=True)
            ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kubewalk")
def main() -> None:
    """Labs on a Kubernetes cluster that lives inside Python."""


@main.command(name="list")
def list_labs() -> None:
    """The labs there are."""
    for name in folders.names():
        lab = spec.load(folders.find(name))
        click.echo(f"{name:16} {lab.minutes:3} min  {lab.title}")


@main.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--dir", "folder", default="my-labs", show_default=True, metavar="DIR", help="Where your notebooks are kept."
)
@click.argument("jupyter", nargs=-1, type=click.UNPROCESSED)
def start(folder: str, jupyter: tuple[str, ...]) -> None:
    """Open JupyterLab on the course.

    Your notebooks are copied to DIR; one that is there already is yours, and is left alone.  Other options are JupyterLab's
    own (--no-browser, --port 8888).
    """
    from kubelab import course

    here = Path(folder).resolve()
    copies = course.hand_out(here)
    command = [
        *(sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={here}"),
        f"--LabApp.default_url=/lab/tree/{copies[0].name}",
        # Nothing leaves this computer: no look-up of updates or extensions (and of news: see kubelab/jupyter).
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    paths = [str(folders.settings()), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(paths)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    click.echo(f"Your notebooks are in {here}")
    sys.stdout.flush()
    os.execv(sys.executable, [*command, *jupyter])


@main.command(name="copy")
@click.argument("folder", default="my-labs")
def copy_labs(folder: str) -> None:
    """Copy the notebooks to FOLDER, without the solutions; one that is there already is left alone."""
    from kubelab import course

    here = Path(folder).resolve()
    course.hand_out(here)
    click.echo(f"Your notebooks are in {here}")


@main.command()
def config_path() -> None:
    """Where JupyterLab's settings for the course are (for JUPYTER_CONFIG_PATH)."""
    click.echo(folders.settings())


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a notebook is not what its lesson says.")
@click.argument("labs", nargs=-1)
def build(check: bool, labs: tuple[str, ...]) -> None:
    """Build the course's notebooks from their text sources (in a checkout)."""
    from kubelab import course

    source = folders.HERE.parent.parent / "course"
    lessons = sorted((source / "lessons").glob("*.md"))
    if not lessons:
        raise LearnerError(f"no lessons in {source / 'lessons'}", "This works in a checkout of the course.")
    stale = []
    for lesson in lessons:
        name = lesson.stem
        if labs and name not in [folders.find(each).name for each in labs]:
            continue
        text = course.build(lesson, spec.load(folders.find(name)))
        target = source / "source" / name / f"{name}.ipynb"
        if check:
            if not target.is_file() or target.read_text(encoding="utf-8") != text:
                stale.append(str(target))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(f"built {target}")
    if stale:
        raise LearnerError(f"not what its lesson says: {', '.join(stale)}", "Run: kubelab build")


CLUSTER = click.option(
    "--cluster",
    default="kind",
    show_default=True,
    metavar="C",
    help='"kind", "kind:NAME", or a context of your kubeconfig.',
)
ANY = click.option("--any-cluster", is_flag=True, help="Also a context that does not look like a test cluster.")


@main.command()
@CLUSTER
@ANY
@click.option("--states/--no-states", "with_states", default=True, help="The lab's key, bare start and wrong states.")
@click.option("--cells/--no-cells", "with_cells", default=True, help="The notebook's code cells.")
@click.argument("labs", nargs=-1)
def parity(cluster: str, any_cluster: bool, with_states: bool, with_cells: bool, labs: tuple[str, ...]) -> None:
    """Run labs on the embedded cluster and on a live one, and report where they differ."""
    from kubelab import lab as lab_module
    from kubelab import parity as parity_module

    runs = parity_module.runs(states=with_states, cells=with_cells)
    differ = 0
    for name in labs or folders.names():
        of = spec.load(folders.find(name))
        if of.whole_cluster and not any_cluster:
            click.echo(
                f"· {of.name:16} not compared: it changes the cluster itself (--any-cluster compares it all the same)"
            )
            continue
        embedded = functools.partial(lab_module.Lab, of)
        live = functools.partial(lab_module.Lab, of, make=lab_module.live(of, cluster, any_cluster=any_cluster))
        differ += parity_module.report(of, runs, embedded, live, click.echo)
    if differ:
        raise LearnerError(f"{differ} step{'s' if differ != 1 else ''} differ{'s' if differ == 1 else ''}")
    click.echo("No difference.")


@main.command()
@CLUSTER
@ANY
def clean(cluster: str, any_cluster: bool) -> None:
    """Delete the namespaces that labs have left on a live cluster."""
    from kubelab.live import contexts, port

    context = contexts.choose(cluster, any_cluster=any_cluster)
    for name in port.clean(context):
        click.echo(f"deleted namespace {name}")


@main.command()
@click.option("--dir", "folder", default="site", show_default=True, metavar="DIR", help="Where the pages are written.")
@click.argument("labs", nargs=-1)
def site(folder: str, labs: tuple[str, ...]) -> None:
    """Write the course as a static book: each lab's notebook, run, as a page that needs no script."""
    from kubelab.site import book

    for path in book.write(Path(folder), labs):
        click.echo(f"wrote {path}")
