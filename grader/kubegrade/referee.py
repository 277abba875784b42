"""The referee of one submission: it has the cluster and the checks, asks for cells to be run, answers their questions, marks.

Theory of operation
-------------------
A referee is a fork of a warm worker, so the lab's cluster stands already.  It takes the turns of a plan (`notebooks.plan`): a
cell is sent to the inmate, whose questions to the cluster are served until it says that it is done; an item is marked here,
by the lab's own checks on the cluster that those questions have made.  Each mark is told on at once, so that what comes
later cannot lose it.

The inmate may crash, loop or lie.  A cell that takes too long is interrupted, and killed if that does not help.  When an
inmate is gone another takes its place: the cells before are run again with the cluster *muted* (questions are answered,
commands and changes are not), which gives back what variables can be had, and the cell that ended it is left out.  So it
costs its own task and no other.

The cluster's time is virtual and its work is bounded by wall time: a command that will not end is cancelled, as by Ctrl-C.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kubegrade import notebooks, wire
from kubegrade.jobs import Bounds
from kubegrade.report import Mark, Said
from kubegrade.zygote import Inmate
from kubelab.checks import marking
from kubelab.embedded import Embedded
from kubelab.spec import Spec
from kubelab.stepper import html as stepper
from kubesim import http
from kubesim.errors import LearnerError
from kubesim.fronts import inprocess
from kubesim.net.trace import Trace
from kubesim.world import Cancelled

if TYPE_CHECKING:
    from kubesim.shell.terminal import Terminal


# What is kept of a command's output, in characters.
OUTPUT = 1 << 20


class TooLong(BaseException):
    """The time for this is over.  Not an Exception: nothing on the way may take it for an error of its own."""


class Gone(Exception):
    """The inmate is no more; `code` as its warden told it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is graded against: the teacher's notebook, and the lab if it is one of ours (None: a plain nbgrader notebook)."""

    source: notebooks.Source
    spec: Spec | None = None
    checks: dict[str, Any] | None = None


class Diverged(Exception):
    """A notebook whose beginning is the teacher's did not ask what the teacher's asked."""


@dataclass(slots=True)
class Beginning:
    """The cells before the first one of a student's own, as the teacher's notebook has them, already gone through once.

    `sources` are the cells, `asked` for each of them the questions and their answers (JSON), `port` the cluster as it stands
    after them.  The cluster is deterministic: who asks the same gets the same answers, and the same cluster.
    """

    port: Embedded
    sources: list[str] = field(default_factory=list)
    asked: list[list[tuple[str, str]]] = field(default_factory=list)

    def begins(self, plan: notebooks.Plan) -> bool:
        """Whether the plan begins with these very cells."""
        return bool(self.sources) and [each.source for each in plan.steps[: len(self.sources)]] == self.sources


class Referee:
    """See the module.  `tell` is given each mark and each cell's output as it comes.

    With a `beginning` its cells are run, and their questions answered from it: Diverged is raised if they ask anything else,
    and then nothing is lost but time.
    """

    def __init__(
        self,
        course: Course,
        start: Callable[[], Embedded],
        spawn: Callable[[], Inmate],
        tell: Callable[[dict[str, Any]], None],
        bounds: Bounds,
        beginning: Beginning | None = None,
        seed: int | None = None,
    ) -> None:
        self._course = course
        self._beginning = beginning
        self._origin = f"{course.spec.folder} {seed}" if course.spec else ""
        self._script: list[tuple[str, str]] | None = None
        self._heard: list[tuple[str, str]] | None = None
        self._start = start
        self._spawn = spawn
        self._tell = tell
        self._bounds = bounds
        self._inmate: Inmate | None = None
        self._port: Embedded | None = beginning.port if beginning else None
        self._opened = False
        self._muted = False
        self._end = 0.0
        self._questions = self._resets = self._looks = self._restarts = self._opened_streams = 0
        self._streams: dict[int, http.Stream] = {}
        self._results: dict[str, marking.Result] = {}
        self._marked: set[str] = set()
        self.answers: dict[str, str] = {}
        self._ran: list[notebooks.Step] = []
        self._losses: dict[str, str] = {}

    # -- what checks see (kubelab.checks.Subject) -----------------------------------------------------------

    @property
    def port(self) -> Embedded:
        if self._port is None:
            self._port = _guarded(self._start())
        return self._port

    def fresh(self) -> Embedded:
        return self._start()

    @property
    def variant(self) -> Mapping[str, str]:
        return self._course.spec.variant if self._course.spec else {}

    @property
    def origin(self) -> str:
        """What a fresh cluster is made from: the same origin, the same cluster."""
        return self._origin

    # -- the turns ------------------------------------------------------------------------------------------

    def begin(self, plan: notebooks.Plan) -> Beginning | None:
        """Go through the teacher's cells before the first of a student's own, and write down what they ask.  None if there are
        none, or if they leave something open (a watch)."""
        self._end = time.monotonic() + self._bounds.submission
        begun = Beginning(port=self.port)
        for step in plan.steps:
            if step.mark or step.work:
                break
            heard: list[tuple[str, str]] = []
            self._heard = heard
            self._run(step)
            begun.sources.append(step.source)
            begun.asked.append(heard)
        self._heard = None
        if not begun.sources or self._streams or self._restarts or self._losses or self._resets:
            return None
        return begun

    def _follow(self, step: notebooks.Step, script: list[tuple[str, str]]) -> None:
        """A cell of the beginning: run, with its questions answered from the script."""
        self._script = list(reversed(script))
        try:
            done = self._order(step)
        except (Gone, wire.Malformed, wire.Late, TooLong) as error:
            raise Diverged from error
        if self._script or done.get("error") == "KeyboardInterrupt":
            raise Diverged
        self._script = None
        self._said(step, done)
        self._ran.append(step)

    def grade(self, plan: notebooks.Plan, notes: dict[str, list[str]]) -> None:
        """Take all turns of the plan."""
        self._end = time.monotonic() + self._bounds.submission
        stopped = ""
        try:
            for number, step in enumerate(plan.steps):
                if self._beginning is not None and number < len(self._beginning.sources):
                    self._follow(step, self._beginning.asked[number])
                    continue
                if stopped and not step.mark:
                    continue
                if step.mark:
                    self._mark(step.mark, notes)
                elif time.monotonic() > self._end:
                    stopped = (
                        f"The whole took longer than {self._bounds.submission:g} s; cells after that were not run."
                    )
                    self._tell({"note": stopped})
                elif step.source:
                    self._run(step)
                    if self._restarts > self._bounds.restarts:
                        stopped = f"Cells ended the notebook's process {self._restarts} times; the rest was not run."
                        self._tell({"note": stopped})
        finally:
            self.close()

    def close(self) -> None:
        """End the inmate."""
        if self._inmate is not None:
            self._inmate.kill()
            self._inmate.close()
            self._inmate = None

    def _run(self, step: notebooks.Step) -> None:
        """One cell.  What became of it is told; if it ended the inmate, the next cell gets another."""
        try:
            self._said(step, self._order(step))
            self._ran.append(step)
        except Gone as gone:
            self._lost(step, _ended(gone.code))
            if gone.code < 0 and -gone.code != signal.SIGXCPU:
                # Perhaps not the cell's own doing: the worker may try once more from the beginning.
                self._tell({"killed": -gone.code})
        except wire.Malformed:
            self._lost(step, "The cell's process sent what is no message.")
        except TooLong:
            self._lost(step, f"The cell took longer than {self._bounds.cell:g} s and was ended.")

    def _lost(self, step: notebooks.Step, why: str) -> None:
        self._restarts += 1
        if self._inmate is not None:
            self._inmate.kill()
            self._inmate.close()
            self._inmate = None
        self._tell({"said": asdict(Said(index=step.index, error=why))})
        self._losses[step.work] = why
        self._tell({"note": f"Cell {step.index + 1}: {why}"})

    def _said(self, step: notebooks.Step, done: dict[str, Any]) -> None:
        error = f"{done['error']}: {done['says']}" if done.get("error") else ""
        said = Said(index=step.index, out=str(done.get("out", "")), err=str(done.get("err", "")), error=error)
        self._tell({"said": asdict(said)})
        if done.get("error") == "KeyboardInterrupt":
            self._losses[step.work] = f"The cell took longer than {self._bounds.cell:g} s and was ended."
            self._tell({"note": f"Cell {step.index + 1}: {self._losses[step.work]}"})

    def _order(self, step: notebooks.Step) -> dict[str, Any]:
        """Have the inmate run a cell, and answer what it asks meanwhile.  What it says of it, in bounds."""
        if self._inmate is None:
            self._inmate = self._revive()
        inmate = self._inmate
        self._questions = 0
        limit = min(time.monotonic() + self._bounds.cell, self._end + 1.0)
        number = random.getrandbits(62)
        try:
            inmate.channel.send({"run": number, "source": step.source}, limit)
            return self._attend(inmate, number, limit)
        except wire.Late:
            inmate.interrupt()
            try:
                return self._attend(inmate, number, time.monotonic() + 1.0)
            except wire.Late:
                raise TooLong from None
        except wire.Closed:
            raise Gone(inmate.ended(2000)) from None

    def _attend(self, inmate: Inmate, number: int, limit: float) -> dict[str, Any]:
        while True:
            try:
                said = inmate.channel.receive(limit)
                if not isinstance(said, dict):
                    raise wire.Malformed("no object")
                if said.get("done") == number:
                    return {**said, "out": str(said.get("out", ""))[:30_000], "err": str(said.get("err", ""))[:30_000]}
                if "ask" in said:
                    self._reply(inmate, self._answer(said, limit), limit)
            except wire.Closed:
                raise Gone(inmate.ended(2000)) from None

    def _reply(self, inmate: Inmate, answer: dict[str, Any], limit: float) -> None:
        try:
            inmate.channel.send(answer, limit)
        except wire.Malformed:
            # Ours, and too long for a frame.
            inmate.channel.send({"number": answer["number"], "error": "the answer is too large to be given"}, limit)

    def _revive(self) -> Inmate:
        """An inmate; if there was one before, with the variables that the cells so far can give it."""
        inmate = self._spawn()
        if self._ran:
            self._inmate, self._muted = inmate, True
            limit = time.monotonic() + self._bounds.cell
            try:
                for step in self._ran:
                    number = random.getrandbits(62)
                    inmate.channel.send({"run": number, "source": step.source}, limit)
                    self._attend(inmate, number, limit)
            except (wire.Late, wire.Closed, wire.Malformed, Gone, TooLong):
                inmate.kill()
                inmate.close()
                inmate = self._spawn()
            finally:
                self._muted = False
        return inmate

    # -- marking ----------------------------------------------------------------------------------------------

    def _mark(self, name: str, notes: dict[str, list[str]]) -> None:
        item = self._course.source.item(name)
        assert item is not None
        if self._course.spec is None or self._course.checks is None or name not in self._course.checks:
            mark = self._mark_inside(item)
        else:
            mark = self._mark_here(item)
        why = next((self._losses[each] for each in item.work if each in self._losses), "")
        said = [*notes.get(name, []), *([why] if why and not mark.passed else [])]
        self._tell({"mark": asdict(mark) | {"notes": said}})
        self._marked.add(name)

    def _mark_here(self, item: notebooks.Item) -> Mark:
        """By the lab's own checks, on the cluster that is here."""
        assert self._course.spec is not None
        assert self._course.checks is not None
        task = self._course.spec.task(item.name)
        blank = Mark(task=item.name, title=task.title, points=0.0, max=item.points)
        try:
            with _within(self._bounds.marking, self.port):
                result = marking.mark_task(
                    self._course.spec, item.name, self._course.checks, self, self._results, hidden=True
                )
        except (TooLong, Cancelled):
            told = (
                f"The cluster did not come to rest within {self._bounds.marking:g} s, so the task could not be checked."
            )
            return _replace(blank, message=told)
        except MemoryError:
            return _replace(blank, message="The cluster has grown too large to be checked.")
        except Exception as error:
            # Ours, not the student's: a person has to look.
            told = f"The check itself failed ({type(error).__name__}: {error}); your teacher will look at it."
            return _replace(blank, points=None, message=told, manual=True)
        visible = tuple((each.passed, each.message) for each in result.findings if not each.hidden)
        return _replace(
            blank,
            points=round(result.points * item.points / result.max, 2) if result.max else 0.0,
            message=result.message,
            explanation=result.explanation,
            findings=visible,
            trace=_rendered(result.trace),
        )

    def _mark_inside(self, item: notebooks.Item) -> Mark:
        """By the teacher's test cell, which must run where the student's names are: as trustworthy as nbgrader's own."""
        blank = Mark(task=item.name, title=item.name, points=0.0, max=item.points)
        step = notebooks.Step(index=-1, source=item.source)
        try:
            done = self._order(step)
        except (Gone, wire.Malformed, wire.Late, TooLong) as error:
            self._restarts += 1
            if self._inmate is not None:
                self._inmate.kill()
                self._inmate.close()
                self._inmate = None
            why = _ended(error.code) if isinstance(error, Gone) else "The test did not come to its end."
            return _replace(blank, message=why)
        if done.get("error"):
            return _replace(blank, message=f"{done['error']}: {done.get('says', '')}"[:600])
        value = done.get("value")
        points = item.points
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= item.points:
            points = float(value)
        return _replace(blank, points=points, message="All tests passed." if points >= item.points else "Partly right.")

    # -- questions ----------------------------------------------------------------------------------------------

    def _answer(self, said: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer to a question, in the form of the wire.  Nothing in the question is trusted."""
        number = said.get("number")
        number = number if isinstance(number, int) else 0
        self._questions += 1
        asked = ""
        if self._script is not None or self._heard is not None:
            asked = json.dumps({name: value for name, value in said.items() if name != "number"}, sort_keys=True)
        if self._script is not None:
            if not self._script or self._script[-1][0] != asked:
                raise Diverged
            if said["ask"] == "open":
                self._opened = True
            return {"number": number, **json.loads(self._script.pop()[1])}
        answer = self._answer_now(said, limit)
        if self._heard is not None:
            self._heard.append((asked, json.dumps(answer)))
        return {"number": number, **answer}

    def _answer_now(self, said: dict[str, Any], limit: float) -> dict[str, Any]:
        try:
            verb = _VERBS.get(str(said["ask"]))
            if verb is None or self._course.spec is None:
                raise LearnerError("there is no such question")
            if self._questions > self._bounds.questions:
                raise LearnerError(f"this cell has asked its cluster more than {self._bounds.questions} times")
            with _within(min(self._bounds.question, max(0.1, limit - time.monotonic())), self._port):
                return {"ok": verb(self, said)}
        except LearnerError as error:
            return {"error": error.message, "remedy": error.remedy}
        except (TooLong, Cancelled):
            return {"error": "this took too long and was ended"}
        except (KeyError, TypeError, ValueError, OverflowError, wire.Malformed):
            return {"error": "the question was not understood"}
        except MemoryError:
            return {"error": "the cluster has no memory left for this"}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[:500]}

    def _open(self, said: dict[str, Any]) -> dict[str, Any]:
        spec = self._course.spec
        assert spec is not None
        name = said["name"]
        if name not in (spec.name, *spec.name.split("-", 1)):
            raise LearnerError(f"this notebook is graded as {spec.name}: it cannot open another lab")
        if self._opened and not self._muted:
            self._reset({})
        self._opened = True
        shown = ("name", "title", "points", "kind", "asks", "success", "hints", "choices", "needs")
        return {
            "name": spec.name,
            "title": self.port.title,
            "namespace": self.port.namespace,
            "variant": dict(spec.variant),
            "tasks": [{each: _plain(getattr(task, each)) for each in shown} for task in spec.tasks],
        }

    def _reset(self, said: dict[str, Any]) -> None:
        if self._muted:
            return
        self._resets += 1
        if self._resets > self._bounds.resets:
            raise LearnerError(f"this notebook has started its cluster anew more than {self._bounds.resets} times")
        self._streams.clear()
        self._port = _guarded(self._start())

    def _api(self, said: dict[str, Any]) -> dict[str, Any]:
        method, url, headers = str(said["method"]), str(said["url"]), said["headers"]
        if self._muted and method not in ("GET", "HEAD"):
            raise LearnerError("not again: this is only to bring variables back")
        body = wire.data(said["body"])
        port = self.port
        cluster = port.cluster
        cluster.world.advance(inprocess.LATENCY)
        lowered = {str(key): str(value) for key, value in headers.items()}
        answer = cluster.api.handle(http.request(method, url, body or None, lowered, http.User()))
        cluster.world.drain()
        if answer.session is not None:
            answer.session.close()
            return {"status": 400, "headers": [], "body": "exec and attach need a streaming connection: use lab.shell"}
        told: dict[str, Any] = {"status": answer.status, "headers": answer.headers, "body": wire.text(answer.body)}
        if answer.stream is not None:
            if len(self._streams) >= self._bounds.streams:
                answer.stream.close()
                raise LearnerError(f"more than {self._bounds.streams} watches at once")
            self._opened_streams += 1
            told["stream"] = self._opened_streams
            self._streams[self._opened_streams] = answer.stream
        return told

    def _read(self, said: dict[str, Any]) -> str | None:
        stream = self._streams.get(said["stream"])
        if stream is None:
            return None
        chunk = next(inprocess.chunks(stream, self.port.cluster), None)
        if chunk is None:
            self._streams.pop(said["stream"], None)
            return None
        return wire.text(chunk)

    def _close(self, said: dict[str, Any]) -> None:
        stream = self._streams.pop(said["stream"], None)
        if stream is not None:
            stream.close()

    def _command(self, asked: dict[str, Any]) -> dict[str, Any]:
        place, command = asked["place"], asked["command"]
        if not isinstance(place, str) or not isinstance(command, str):
            raise TypeError("place and command")
        if self._muted:
            return {"stdout": "", "stderr": "", "code": 0, "said": []}
        heard: list[tuple[str, list[str]]] = []
        room = [OUTPUT]

        def hear(stream: str, text: str) -> None:
            if room[0] > 0:
                if not heard or heard[-1][0] != stream:
                    heard.append((stream, []))
                    # A piece of its own costs more than its text.
                    room[0] -= 50
                heard[-1][1].append(text[: room[0]])
            room[0] -= len(text)

        code = self._to_its_end(self.port._terminal(place), command, hear)
        said = [(stream, "".join(pieces)) for stream, pieces in heard]
        out = "".join(text for stream, text in said if stream == "out")
        err = "".join(text for stream, text in said if stream == "err")
        return {"stdout": out, "stderr": err, "code": code, "said": said}

    def _to_its_end(self, terminal: Terminal, command: str, hear: Callable[[str, str], None]) -> int:
        """Run a command; one that has had its time is cancelled, as by Ctrl-C, and the cluster stays whole."""
        world = self.port.cluster.world
        running = world.spawn(
            terminal.run(command, out=lambda text: hear("out", text), err=lambda text: hear("err", text)), "terminal"
        )
        try:
            done = world.run(running)
        except TooLong:
            _end(self.port, running)
            hear("err", "The command took too long and was ended.\n")
            return 130
        except Cancelled:
            hear("err", "The command took too long and was ended.\n")
            return 130
        if done.stderr:
            hear("err", done.stderr)
        return done.exit_code

    def _shell(self, said: dict[str, Any]) -> dict[str, Any]:
        done = self._command(said)
        if not self._muted:
            self.port.settle()
        return done

    def _apply(self, said: dict[str, Any]) -> dict[str, Any]:
        from kubelab import lab

        assert self._course.spec is not None
        folder = said["folder"]
        # A plain name: the lab's own folders of manifests, and no others.
        documents = self._course.spec.manifests(folder) if str(folder).isidentifier() else ""
        if not documents or folder in ("solution",):
            raise LearnerError(f"this lab has no folder {folder!r} with manifests")
        return self._shell({"place": "outside", "command": lab.apply_command(documents)})

    def _rules(self, said: dict[str, Any]) -> str:
        return self.port.node_rules(str(said["node"]))

    def _trace(self, said: dict[str, Any]) -> dict[str, Any]:
        self.port.settle()
        return self.port.trace(str(said["source"]), str(said["target"])).to_json()

    def _traces(self, said: dict[str, Any]) -> list[dict[str, Any]]:
        self.port.settle()
        return [each.to_json() for each in self.port.traces(str(said["source"]), str(said["target"]))]

    def _settle(self, said: dict[str, Any]) -> None:
        self.port.settle()

    def _wait(self, said: dict[str, Any]) -> None:
        if not self._muted:
            self.port.wait(min(max(0.0, float(said["seconds"])), 86_400.0))

    def _give(self, said: dict[str, Any]) -> str:
        """An answer.  The last one before its task is marked counts; nobody is told whether it is right."""
        spec = self._course.spec
        assert spec is not None
        task, value = spec.task(str(said["task"])), str(said["value"]).strip()[:200]
        if task.kind != "prediction":
            raise LearnerError(f"task {task.name!r} is not a prediction: it is checked on the cluster")
        if task.choices and value not in task.choices:
            raise LearnerError(f"{value!r} is not one of the choices", f"Choices: {', '.join(task.choices)}.")
        if not self._muted and task.name not in self._marked:
            self.answers[task.name] = value
        return f"Noted: {value}. Now run it."

    def _check(self, said: dict[str, Any]) -> dict[str, Any]:
        """How a task stands, as a student's own notebook would say: visible checks only, and nothing of predictions."""
        spec = self._course.spec
        assert spec is not None
        assert self._course.checks is not None
        task = spec.task(str(said["task"]))
        if task.kind == "text":
            raise LearnerError(f"task {task.name!r} is read by your teacher", "Nothing to check here.")
        self._looks += 1
        if self._muted or task.kind == "prediction" or self._looks > self._bounds.checks:
            told = "This is marked when its graded cell is reached."
            return {"points": 0.0, "max": task.points, "passed": False, "message": told, "text": told}
        result = marking.mark_task(spec, task.name, self._course.checks, self, dict(self._results))
        return {
            "points": result.points,
            "max": result.max,
            "passed": result.passed,
            "message": result.message,
            "text": str(result),
        }


_VERBS: dict[str, Callable[[Referee, dict[str, Any]], Any]] = {
    "answer": Referee._give,
    "api": Referee._api,
    "apply": Referee._apply,
    "check": Referee._check,
    "close": Referee._close,
    "open": Referee._open,
    "read": Referee._read,
    "reset": Referee._reset,
    "rules": Referee._rules,
    "run": Referee._command,
    "settle": Referee._settle,
    "shell": Referee._shell,
    "trace": Referee._trace,
    "traces": Referee._traces,
    "wait": Referee._wait,
}


# -- time ---------------------------------------------------------------------------------------------------------

# The moment at which the work of a cluster stops, between two pieces of it: where nothing is left half done.
_stop_at: list[float] = [float("inf")]


def _guarded(port: Embedded) -> Embedded:
    """The port, with a world that looks at the time before each piece of work."""
    world = port.cluster.world
    step = world.step
    if getattr(step, "guarded", False):
        return port

    def guarded() -> bool:
        if time.monotonic() > _stop_at[0]:
            _stop_at[0] = float("inf")
            raise TooLong
        return step()

    guarded.guarded = True  # type: ignore[attr-defined]
    world.step = guarded  # type: ignore[method-assign]
    return port


@contextmanager
def _within(seconds: float, port: Embedded | None) -> Iterator[None]:
    """No longer than this.  First the world stops between two pieces of work; if one piece does not end (a loop without a
    command in it), what runs is cancelled in its midst two seconds later, and every second from then on."""
    _stop_at[0] = time.monotonic() + seconds
    signal.signal(signal.SIGALRM, _cancel)
    signal.setitimer(signal.ITIMER_REAL, seconds + 2.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _stop_at[0] = float("inf")


def _cancel(number: int, frame: Any) -> None:
    raise Cancelled


def _end(port: Embedded, running: Any) -> None:
    """Ctrl-C for a task of the world, and time to take it in."""
    running.cancel()
    _stop_at[0] = time.monotonic() + 1.0
    port.cluster.world.drain()
    _stop_at[0] = float("inf")


# -- small things ---------------------------------------------------------------------------------------------------


def _ended(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "The cell used more processor time than there is for a submission."
    if code < 0:
        return f"The cell ended the notebook's process (signal {-code})."
    return f"The cell ended the notebook's process (exit code {code})."


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if hasattr(value, "items") else value


def _replace(mark: Mark, **changes: Any) -> Mark:
    import dataclasses

    return dataclasses.replace(mark, **changes)


# Experiments are made once for a class: so are their pictures.  By identity, with the trace itself to keep it alive.
_pictures: dict[int, tuple[Trace, str]] = {}


def _rendered(trace: Trace | None) -> str:
    if trace is None:
        return ""
    if id(trace) not in _pictures:
        _pictures[id(trace)] = trace, stepper.render(trace)
    return _pictures[id(trace)][1]
