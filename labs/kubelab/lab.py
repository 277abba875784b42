"""A lab as a notebook holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import yaml

from kubelab import checks, display, exercises, figures, folders, magics, progress, spec, variants
from kubelab.port import Taken
from kubelab.reach import Reach
from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from kubelab.port import Port

    Make = Callable[[], Port]


def open(name: str, cluster: str = "", *, any_cluster: bool = False) -> Lab:
    """Open a lab by its name ("02-clusterip"), number ("02") or topic ("clusterip"), on a fresh embedded cluster.

    `cluster` takes a live one instead: "kind" (made if it is not there), "kind:NAME", or a context of your kubeconfig; where
    nothing is given, what the variable KUBELAB_CLUSTER says.  A context that does not look like a test cluster is refused
    without `any_cluster`.  In a notebook, `%%shell` cells then run in the lab's terminal.
    Where the variable KUBEWALK_STUDENT names a student, the lab is in that student's variant (`kubelab.variants`).
    """
    of = spec.load(folders.find(name), os.environ.get(variants.STUDENT, ""))
    cluster = cluster or os.environ.get("KUBELAB_CLUSTER", "")
    lab = Lab(of, make=live(of, cluster, any_cluster=any_cluster) if cluster else None)
    magics.register(lab)
    return lab


def live(of: spec.Spec, cluster: str, *, any_cluster: bool = False) -> Make:
    """What makes a lab's namespaces on a live cluster: see `open`.  LearnerError where the lab must not, or cannot."""
    if of.whole_cluster and not any_cluster:
        raise LearnerError(
            f"lab {of.name} changes the cluster itself, and not a namespace of it alone",
            "Leave cluster=... away; or, on a cluster that you throw away afterwards: any_cluster=True.",
        )
    from kubelab.live import contexts
    from kubelab.live.port import Live

    with progress.bar(f"Looking for cluster {cluster}") as step:
        step("asking kubectl")
        context = contexts.choose(cluster, any_cluster=any_cluster)

    def make() -> Port:
        port = Live(context, of.name)
        port.install(_add_ons(of))
        return port

    return make


def _add_ons(of: spec.Spec) -> list[dict[str, Any]]:
    """The objects that a lab's preset has beyond the cluster it begins with: those of Traefik in "kind+traefik"."""
    from kubesim import presets
    from kubesim.presets import addons

    base, plus, _more = of.preset.partition("+")
    if not plus:
        return []
    known = addons.objects(presets.load(base))
    return [each for each in addons.objects(presets.load(of.preset)) if each not in known]


def _embedded(of: spec.Spec) -> Make:
    from kubelab.embedded import Embedded

    return lambda: Embedded(of.preset, of.seed)


def start(of: spec.Spec, make: Make | None = None) -> Port:
    """A cluster as the lab starts with it: what `make` gives (default: an embedded one), with the lab's manifests applied."""
    with progress.bar(f"Opening {of.title}", 4) as step:
        step("a cluster of its own")
        port = (make or _embedded(of))()
        documents = of.manifests()
        if documents:
            step("its manifests")
            for namespace in _namespaces(of, documents, port):
                port.adopt(namespace)
            done = port.run_outside(apply_command(documents))
            if "already allocated" in done.stderr:
                port.close()
                raise Taken(done.stderr.strip().splitlines()[-1])
            if done.exit_code:
                raise RuntimeError(f"{of.name}/manifests: {done.stderr}")
        step("until it is at rest")
        port.settle()
    return port


def _namespaces(of: spec.Spec, documents: str, port: Port) -> list[str]:
    """The namespaces that the manifests make.  What is meant for any other would touch what is not the lab's: LearnerError."""
    objects = [each for each in yaml.safe_load_all(documents) if each]
    made = [each["metadata"]["name"] for each in objects if each.get("kind") == "Namespace"]
    for each in objects:
        namespace = each.get("metadata", {}).get("namespace", "")
        if namespace and namespace not in (*made, port.namespace):
            raise LearnerError(
                f"lab {of.name} brings {each['kind']} {each['metadata']['name']} into namespace {namespace}, not its own",
                "This lab works on the embedded cluster: leave cluster=... away.",
            )
    return made


class Lab(Reach):
    """See the module.

    `port` reaches the cluster; `spec` is what the lab says of itself; `answers` are the predictions given, by task;
    `results` how the tasks stood when they were last checked.
    """

    def __init__(self, of: spec.Spec, port: Port | None = None, *, make: Make | None = None) -> None:
        self.spec = of
        self._make = make
        self._port: Port | None = port
        if port is None:
            self._port = self.fresh()
        self.answers: dict[str, str] = {}
        self.results: dict[str, checks.Result] = {}
        self._hints: dict[str, int] = {}
        self._checks: Mapping[str, Any] = of.checks().CHECKS
        self._drawn = 0

    @property
    def port(self) -> Port:
        assert self._port is not None
        return self._port

    @property
    def variant(self) -> Mapping[str, str]:
        """The names and numbers that are this learner's own, in a lab that has such."""
        return self.spec.variant

    # -- the cluster ----------------------------------------------------------------------------------------

    def apply(self, folder: str) -> display.Output:
        """Apply the manifests of one of the lab's own folders ("manifests", "broken")."""
        documents = self.spec.manifests(folder)
        if not documents:
            raise LearnerError(f"this lab has no folder {folder!r} with manifests")
        return self.shell(apply_command(documents))

    def reset(self) -> Lab:
        """Back to the start: a fresh cluster.  Answers and results stay."""
        self.close()
        self._port = None
        self._port = self.fresh()
        return self

    def close(self) -> None:
        """Put everything away: a live cluster loses the lab's namespace.  (It happens at the end of Python by itself.)"""
        self.port.close()

    def fresh(self) -> Port:
        """Another cluster as the lab starts with it.

        Of a node port, or a namespace that the lab's manifests name, a live cluster has one only: where the learner's own lab
        has it, what is tried apart from it is tried on an embedded cluster.
        """
        try:
            return start(self.spec, self._make)
        except Taken:
            if self._port is None:
                raise
            return start(self.spec)

    # -- exercises ------------------------------------------------------------------------------------------

    def exercise(self, seed: int | None = None) -> exercises.Drawn:
        """A fresh exercise on a cluster of its own: the one of that seed, or the next.

        x = lab.exercise(7) shows it; x.answer(...) or x.check() marks it and says why.
        """
        self._drawn = self._drawn + 1 if seed is None else seed
        return exercises.Drawn(
            self.spec, exercises.draw(self.spec, exercises.load(self.spec), self._drawn), self._drawn, self.fresh
        )

    # -- tasks ----------------------------------------------------------------------------------------------

    def check(self, task: str) -> display.CheckView:
        """Look whether a task is done, and say why not."""
        asked = self.spec.task(task)
        if asked.kind == "text":
            raise LearnerError(f"task {task!r} is read by your teacher", "Nothing to check here.")
        return display.CheckView(checks.mark_task(self.spec, task, self._checks, self, self.results))

    def grade(self, task: str) -> float:
        """Check a task, show how it stands, and return its points (nbgrader takes them as partial credit)."""
        view = self.check(task)
        try:
            from IPython.display import display as show
        except ImportError:
            print(view)  # noqa: T201  a plain interpreter
        else:
            show(view)
        return float(view.points)

    def hint(self, task: str) -> display.Note:
        """The next hint of a task: first the hop, then the object, then the field."""
        hints = self.spec.task(task).hints
        if not hints:
            return display.Note("There is no hint for this one.")
        number = self._hints.get(task, 0)
        self._hints[task] = min(number + 1, len(hints) - 1)
        return display.Note(f"Hint {number + 1} of {len(hints)}: {hints[number]}")

    def answer(self, task: str, value: str | float) -> display.Note:
        """Write down a prediction: one of the task's choices, or a number or a word where it has none."""
        value = str(value).strip()
        asked = self.spec.task(task)
        if asked.kind != "prediction":
            raise LearnerError(f"task {task!r} is not a prediction: it is checked on the cluster")
        if asked.choices and value not in asked.choices:
            choices = "\n".join(f"  {name!r}: {meaning}" for name, meaning in asked.choices.items())
            raise LearnerError(f"{value!r} is not one of the choices", f"Choices:\n{choices}")
        self.answers[task] = value
        return display.Note(f"Noted: {value}. Now run it.")

    def progress(self) -> Progress:
        """How the tasks stand."""
        return Progress(self)

    # -- how it looks ---------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return f"{self.spec.title} ({self.spec.minutes} minutes), on: {self.port.title}"

    def __repr__(self) -> str:
        return f"<lab {self.spec.name}: {self}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> display.Bundle:
        teaches = "".join(f"<li>· {escape(each)}</li>" for each in self.spec.teaches)
        body = (
            f"{figures.heading(escape(self.spec.title), 3)}<p>{escape(self.spec.summary)}</p>"
            f'<p class="kw-soft">About <b>{self.spec.minutes} minutes</b> · {escape(self.port.title)}, '
            f"{escape(self.port.about)}</p><ul>{teaches}</ul>"
        )
        return {"text/plain": str(self), "text/html": display.card(body, "kw-card")}


class Progress:
    """The tasks of a lab and how they stand."""

    def __init__(self, lab: Lab) -> None:
        self._tasks = lab.spec.tasks
        self._results = dict(lab.results)

    @property
    def points(self) -> float:
        return sum(each.points for each in self._results.values())

    @property
    def max(self) -> float:
        return sum(task.points for task in self._tasks if task.kind != "text")

    def __str__(self) -> str:
        lines = [f"{state:18} {task.title}  ({points})" for task, state, points in self._rows()]
        return "\n".join([*lines, f"{self.points:g} of {self.max:g} points"])

    def __repr__(self) -> str:
        return str(self)

    def _rows(self) -> list[tuple[spec.Task, str, str]]:
        rows = []
        for task in self._tasks:
            result = self._results.get(task.name)
            if task.kind == "text":
                rows.append((task, "✎ for the teacher", f"{task.points:g}"))
            elif result is None:
                rows.append((task, "· not checked", f"0 of {task.points:g}"))
            else:
                rows.append((task, "✓ done" if result.passed else "✗ not yet", f"{result.points:g} of {result.max:g}"))
        return rows

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> display.Bundle:
        said = f"{self.points:g} of {self.max:g} points"
        rows = "".join(
            f"<tr><td>{escape(state)}</td><td>{escape(task.title)}</td><td>{escape(points)}</td></tr>"
            for task, state, points in self._rows()
        )
        body = (
            figures.heading(f'Progress<span class="kw-points">{said}</span>', 4)
            + f'<progress max="{self.max:g}" value="{self.points:g}" aria-label="{said}"></progress>'
            f"<table><thead><tr><th>state</th><th>task</th><th>points</th></tr></thead><tbody>{rows}</tbody></table>"
        )
        return {"text/plain": str(self), "text/html": display.card(body, "kw-card")}


def apply_command(documents: str) -> str:
    """The script that applies these YAML documents."""
    # Quoted, so that the shell leaves `$` in the manifests alone.
    return f"kubectl apply -f - <<'KUBELAB_MANIFESTS'\n{documents}\nKUBELAB_MANIFESTS\n"
