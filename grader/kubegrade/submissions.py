"""Finding what was handed in, and what it is graded against."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from kubegrade import notebooks
from kubegrade.jobs import Job
from kubelab import folders
from kubesim.errors import LearnerError


def find(submitted: Path, lab: str = "", *, seed_by: str = "", checks: str = "") -> list[Job]:
    """The jobs of a folder: nbgrader's layout (STUDENT/LAB/LAB.ipynb), or notebooks side by side (STUDENT.ipynb, with `lab`).

    `lab` picks one assignment.  `seed_by` "student" gives each student a cluster seed of their own.  LearnerError if there is
    nothing to grade.
    """
    if not submitted.is_dir():
        raise LearnerError(f"no folder {submitted}", "Give the folder with what was handed in.")
    if lab and not (course(submitted) / "source" / lab).is_dir():
        lab = folders.find(lab).name
    jobs: list[Job] = []
    flat = sorted(path for path in submitted.iterdir() if path.suffix == ".ipynb")
    if flat:
        if not lab:
            raise LearnerError("notebooks lie side by side there", "Say what they are: --lab 02-clusterip")
        for path in flat:
            jobs += [_job(path.stem, lab, submitted, file=str(path))]
    else:
        for student in sorted(path for path in submitted.iterdir() if not path.name.startswith(".")):
            jobs += _of_student(student, lab, submitted)
    if not jobs:
        wanted = f"/{lab}" if lab else ""
        raise LearnerError(
            f"nothing was handed in at {submitted}", f"Expected: {submitted.name}/STUDENT{wanted or '/LAB'}"
        )
    own = seed_by == "student"
    return [
        replace(job, checks=checks, seed=seed(job.lab, job.student) if own and job.lab_folder else None) for job in jobs
    ]


def course(submitted: Path) -> Path:
    """The nbgrader course that the folder belongs to."""
    return submitted.resolve().parent


def seed(lab: str, student: str) -> int:
    """The seed that is this student's in this lab, the same each time."""
    return int.from_bytes(hashlib.sha256(f"{lab}/{student}".encode()).digest()[:4])


def sources(submitted: Path, lab: str) -> list[Path]:
    """The teacher's notebooks of an assignment: the course's own, else those that come with this project."""
    found = sorted((course(submitted) / "source" / lab).glob("*.ipynb"))
    return found or sorted((folders.course() / lab).glob("*.ipynb"))


def _of_student(student: Path, lab: str, submitted: Path) -> list[Job]:
    if student.is_symlink() or not student.is_dir():
        return []
    jobs = []
    for folder in [student / lab] if lab else sorted(each for each in student.iterdir() if each.is_dir()):
        if not (folder.is_symlink() or folder.exists()):
            continue
        jobs += [
            _job(student.name, folder.name, submitted, folder=str(folder), source=source)
            for source in sources(submitted, folder.name)
        ]
    return jobs


def _job(student: str, lab: str, submitted: Path, folder: str = "", file: str = "", source: Path | None = None) -> Job:
    if source is None:
        found = sources(submitted, lab)
        if not found:
            raise LearnerError(f"no source notebook for {lab!r}", "Build it: kubelab build")
        source = found[0]
    return Job(
        student=student,
        lab=lab,
        notebook=source.stem,
        folder=folder,
        file=file,
        lab_folder=lab_folder(lab, course(submitted)) if source.stem == lab else "",
        source=str(source),
    )


def lab_folder(lab: str, of: Path | None = None) -> str:
    """The folder of the lab of that name: the course's own (`labs/NAME`), else one of this project's; "" if it is no lab."""
    own = of / "labs" / lab if of else None
    if own and (own / "lab.yaml").is_file():
        return str(own)
    return str(folders.root() / lab) if lab in folders.names() else ""


# What decides a job's marks, part by part: the words of a digest, and of `kubegrade regrade`.
PARTS = {
    "program": "this program's version",
    "notebook": "the teacher's notebook",
    "lab": "the lab's text and manifests",
    "checks": "the lab's checks",
    "more": "your own checks",
    "seed": "the seed",
    "submission": "what was handed in",
}


def against(job: Job) -> str:
    """Digests of what a job is graded against, the same for the whole class: "program=... notebook=... lab=..." and so on."""
    lab, checks = hashlib.sha256(), hashlib.sha256()
    folder = Path(job.lab_folder)
    for path in sorted(folder.rglob("*")) if job.lab_folder else []:
        # What only learners and the proof of the lab look at decides no mark.
        about = path.relative_to(folder).parts
        if path.name == "exercises.py" or about[0] == "solution" or about[0].startswith("wrong-"):
            continue
        if path.is_file() and path.suffix in (".py", ".yaml"):
            of = checks if path.suffix == ".py" else lab
            of.update("/".join(about).encode() + b"\0" + path.read_bytes())
    told = {
        "program": hashlib.sha256(version("kubewalk").encode()),
        "notebook": hashlib.sha256(Path(job.source).read_bytes()),
        "lab": lab,
        "checks": checks,
        "more": hashlib.sha256(Path(job.checks).read_bytes() if job.checks else b""),
    }
    return " ".join(f"{name}={each.hexdigest()[:20]}" for name, each in told.items())


def digest(job: Job, version_of: str) -> str:
    """Of all that decides a job's marks: what it is graded against (`against`), the seed, and what was handed in."""
    told = hashlib.sha256(job.notebook.encode("utf-8", "surrogateescape"))
    for path in _files(job):
        told.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
        told.update(_content(path))
    return f"{version_of} seed={job.seed} submission={told.hexdigest()[:20]}"


def changed(before: str, now: str) -> list[str]:
    """The PARTS in which two digests differ.  A digest of another form than today's differs in the program."""
    was, is_now = (dict(each.split("=", 1) for each in told.split() if "=" in each) for told in (before, now))
    if set(was) != set(is_now):
        return ["program"] if before != now else []
    return [name for name in PARTS if was[name] != is_now[name]]


def _files(job: Job) -> Iterable[Path]:
    if job.file:
        return [Path(job.file)]
    folder = Path(job.folder)
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(folder.iterdir())[:1000]


def _content(path: Path) -> bytes:
    """What a file holds, hashed; of what is no plain file, or too large, only that."""
    if path.is_symlink() or not path.is_file():
        return b"none"
    size = path.stat().st_size
    if size > notebooks.LARGEST:
        return f"large {size}".encode()
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b"unreadable"
