"""`--scheduler` and `--cluster`: other machines grade, through Dask, and one book is written here.

Each submission is a task of its own, sent with all that it needs (`kubegrade.stations`), so the machines need this program and no
shared disk.  Dask gives a lost machine's tasks to others.  A report is taken once, whoever sends it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kubegrade import stations
from kubegrade.jobs import Job, Key
from kubegrade.report import Report, from_json
from kubegrade.start import Options, Started
from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from distributed import Client

# Tasks that are under way at a time, for each of Dask's threads: enough to keep all busy, few enough to be small.
AHEAD = 4
# Seconds until a scheduler must have answered, and until the first worker must be there.
GREETING, ARRIVAL = 20, 600


def grader(options: Options, started: Started) -> Callable[[Sequence[Job]], Iterator[Report]]:
    """What grades jobs on the machines that the options name.  LearnerError if something for it is not installed."""
    _need("distributed", "distributed", "kubewalk[distributed]")
    if options.cluster:
        _need(*_CLUSTERS[options.cluster])

    def grade(jobs: Sequence[Job]) -> Iterator[Report]:
        if not jobs:
            return
        settings = {
            "bounds": asdict(started.bounds),
            "limits": asdict(started.limits),
            "unsandboxed": options.unsandboxed,
        }
        with _client(options) as client:
            yield from over(client, jobs, settings)

    return grade


def over(client: Client, jobs: Sequence[Job], settings: dict[str, Any]) -> Iterator[Report]:
    """The reports of the jobs as they come, each once.  `settings` as in `stations.grade`.

    A submission whose task ends several of Dask's workers (`distributed.scheduler.allowed-failures`) is given up with a fault.
    """
    from distributed import as_completed

    _same_version(client)
    waiting = list(reversed(jobs))
    by_future: dict[str, Job] = {}
    against: dict[tuple[str, str, str], dict[str, Any]] = {}
    done: set[Key] = set()

    def submit(job: Job) -> Any:
        of = (job.source, job.lab_folder, job.checks)
        if of not in against:
            against[of] = stations.against(job)
        future = client.submit(
            stations.grade, asdict(job), stations.handed_in(job), against[of], settings, pure=False, retries=1
        )
        by_future[str(future.key)] = job
        return future

    threads = sum(client.nthreads().values()) or 1
    coming = as_completed([submit(waiting.pop()) for _ in range(min(len(waiting), AHEAD * threads))])
    try:
        for future in coming:
            job = by_future.pop(str(future.key))
            report = _report(future, job)
            future.release()
            if waiting:
                coming.add(submit(waiting.pop()))
            if job.key not in done:
                done.add(job.key)
                yield report
    finally:
        # A generator that is closed (Ctrl-C) leaves no work behind on the machines.
        client.cancel(list(coming.futures))


def _report(future: Any, job: Job) -> Report:
    try:
        told = future.result()
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"[:500]
        return Report(student=job.student, lab=job.lab, notebook=job.notebook, digest=job.digest, fault=fault)
    if "refused" in told:
        raise LearnerError(
            f"one of the machines: {told['refused']}",
            "Give workers a machine with Landlock (Linux 5.13 and later), or --unsandboxed where all of them may be lost.",
        )
    return from_json(told["report"])


def _same_version(client: Client) -> None:
    """LearnerError if a machine has another version of this program: its marks would be of another kind."""
    ours = version("kubewalk")
    try:
        theirs = client.run(version, "kubewalk")
    except Exception as error:
        raise LearnerError(
            f"a Dask worker has no Kubewalk: {error}",
            f"Install it there: pip install 'kubewalk[distributed,lab]=={ours}'",
        ) from None
    for address, found in sorted(theirs.items()):
        if found != ours:
            raise LearnerError(
                f"the Dask worker {address} has Kubewalk {found}, this is {ours}",
                f"Install the same there: pip install 'kubewalk[distributed,lab]=={ours}'",
            )


# -- where the machines come from -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _client(options: Options) -> Iterator[Client]:
    from distributed import Client

    with contextlib.ExitStack() as stack:
        if options.cluster:
            made = stack.enter_context(_slurm(options) if options.cluster == "slurm" else _kubernetes(options))
            client = stack.enter_context(Client(made, timeout=GREETING))
        else:
            try:
                client = stack.enter_context(Client(options.scheduler, timeout=GREETING))
            except (OSError, TimeoutError, ValueError) as error:
                raise LearnerError(
                    f"no Dask scheduler answers at {options.scheduler}: {error}", "Start one: dask scheduler"
                ) from None
        try:
            client.wait_for_workers(1, timeout=ARRIVAL)
        except TimeoutError:
            raise LearnerError(
                f"in {ARRIVAL} s no Dask worker has come", "Look at the queue's or the pods' logs, then try again."
            ) from None
        yield client


def _slurm(options: Options) -> Any:
    """A job of Slurm's for each worker; queue, account and wall time come from dask-jobqueue's own configuration
    (~/.config/dask/jobqueue.yaml)."""
    from dask_jobqueue import SLURMCluster

    try:
        made = SLURMCluster(cores=1, processes=1, memory=f"{options.memory + 1024}MB")
        made.scale(jobs=options.jobs or 1)
    except (ValueError, OSError) as error:
        raise LearnerError(f"Slurm: {error}", "Its settings are read from ~/.config/dask/jobqueue.yaml.") from None
    return made


def _kubernetes(options: Options) -> Any:
    """Pods of Dask's operator, which must be in that cluster."""
    if not options.image:
        raise LearnerError(
            "--cluster kubernetes needs an image with this program", "--image registry.example/kubewalk:TAG"
        )
    from dask_kubernetes.operator import KubeCluster

    return KubeCluster(name="kubegrade", image=options.image, n_workers=options.jobs or 1)


# Module, what is missing when it is missing, and how it is installed.
_CLUSTERS = {
    "slurm": ("dask_jobqueue", "dask-jobqueue", "dask-jobqueue"),
    "kubernetes": ("dask_kubernetes", "dask-kubernetes", "dask-kubernetes"),
}


def _need(module: str, name: str, package: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise LearnerError(f"this needs {name}, which is not installed", f"pip install '{package}'")
