"""Where the labs are: the one place that knows it.

In a checkout they are this package's siblings (`labs/02-clusterip`), in an installed wheel they are inside of it
(`kubelab/_labs/02-clusterip`, see `force-include` in pyproject.toml).  The course's notebooks likewise.
"""

from __future__ import annotations

from pathlib import Path

from kubesim.errors import LearnerError

HERE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds the labs."""
    checkout = HERE.parent
    return checkout if any(checkout.glob("[0-9][0-9]-*/lab.yaml")) else HERE / "_labs"


def names() -> list[str]:
    """The labs there are, in their order."""
    return sorted(path.parent.name for path in root().glob("*/lab.yaml"))


def find(name: str) -> Path:
    """The folder of a lab, by its name, its number ("02") or its topic ("clusterip").  LearnerError names the known ones."""
    known = names()
    for each in known:
        if name in (each, *each.split("-", 1)):
            return root() / each
    raise LearnerError(f"no lab {name!r}", f"Labs: {', '.join(known) or 'none'}.")


def settings() -> Path:
    """JupyterLab's settings for the course: nothing is asked of the network."""
    return HERE / "jupyter"


def course() -> Path:
    """The folder that holds the built notebooks: `<lab>/<lab>.ipynb`."""
    checkout = HERE.parent.parent / "course" / "source"
    return checkout if checkout.is_dir() else HERE / "_course"
