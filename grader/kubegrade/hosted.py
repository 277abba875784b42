"""A lab as the grader hosts it: its cluster, the student's answers, and all that a notebook's process may ask of them.

The other end of the wire is `kubegrade.remote`.  Nothing in a question is trusted; each is bounded in time, number and size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubegrade import bounded, notebooks, wire
from kubegrade.jobs import Bounds
from kubelab.checks import marking
from kubelab.embedded import Embedded
from kubelab.spec import Spec
from kubesim import http
from kubesim.errors import LearnerError
from kubesim.fronts import inprocess
from kubesim.world import Cancelled

if TYPE_CHECKING:
    from kubesim.shell.terminal import Terminal


# What is kept of a command's output, in characters.
OUTPUT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is graded against: the teacher's notebook, and the lab if it is one of ours (None: a plain nbgrader notebook)."""

    source: notebooks.Source
    spec: Spec | None = None
    checks: dict[str, Any] | None = None


class Hosted:
    """See the module.  It is what checks look at (`kubelab.checks.Subject`).

    `port` is the cluster to begin with (None: a fresh one, when it is first asked for); `opened` whether the notebook has opened
    its lab on it already.  While `heard` is set, questions and their answers are written down there.
    """

    def __init__(
        self, course: Course, start: Callable[[], Embedded], bounds: Bounds, port: Embedded | None = None, seed: int | None = None
    ) -> None:
        self._course = course
        self._start = start
        self._bounds = bounds
        self._port = port
        # What a fresh cluster is made from: the same origin, the same cluster.
        self.origin = f"{course.spec.folder} {seed}" if course.spec else ""
        self.heard: list[tuple[str, Any]] | None = None
        # Questions are answered, commands and changes are not.
        self.muted = False
        self.results: dict[str, marking.Result] = {}
        self.marked: set[str] = set()
        self.answers: dict[str, str] = {}
        self.opened = False
        self._questions = self._resets = self._looks = self._opened_streams = 0
        self._streams: dict[int, http.Stream] = {}

    # -- what checks see ------------------------------------------------------------------------------------

    @property
    def port(self) -> Embedded:
        if self._port is None:
            self._port = bounded.guarded(self._start())
        return self._port

    def fresh(self) -> Embedded:
        return self._start()

    @property
    def variant(self) -> Mapping[str, str]:
        return self._course.spec.variant if self._course.spec else {}

    # -- questions ------------------------------------------------------------------------------------------

    @property
    def pristine(self) -> bool:
        """Whether nothing is left open (a watch), and the cluster is the first one."""
        return not self._streams and not self._resets

    def next_cell(self) -> None:
        """Another cell begins: it may ask as many questions as any."""
        self._questions = 0

    def answer(self, said: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer to a question, in the form of the wire.  Nothing in the question is trusted."""
        number = said.get("number")
        number = number if isinstance(number, int) else 0
        self._questions += 1
        answer = self._answer_now(said, limit)
        if self.heard is not None:
            self.heard.append((wire.question(said), answer))
        return {"number": number, **answer}

    def _answer_now(self, said: dict[str, Any], limit: float) -> dict[str, Any]:
        try:
            verb = _VERBS.get(str(said["ask"]))
            if verb is None or self._course.spec is None:
                raise LearnerError("there is no such question")
            if self._questions > self._bounds.questions:
                raise LearnerError(f"this cell has asked its cluster more than {self._bounds.questions} times")
            with bounded.within(min(self._bounds.question, max(0.1, limit - time.monotonic()))):
                return {"ok": verb(self, said)}
        except LearnerError as error:
            return {"error": error.message, "remedy": error.remedy}
        except (bounded.TooLong, Cancelled):
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
        if self.opened and not self.muted:
            self._reset({})
        self.opened = True
        shown = ("name", "title", "points", "kind", "asks", "success", "hints", "choices", "needs")
        return {
            "name": spec.name,
            "title": self.port.title,
            "namespace": self.port.namespace,
            "variant": dict(spec.variant),
            "tasks": [{each: _plain(getattr(task, each)) for each in shown} for task in spec.tasks],
        }

    def _reset(self, said: dict[str, Any]) -> None:
        if self.muted:
            return
        self._resets += 1
        if self._resets > self._bounds.resets:
            raise LearnerError(f"this notebook has started its cluster anew more than {self._bounds.resets} times")
        self._streams.clear()
        self._port = bounded.guarded(self._start())

    def _api(self, said: dict[str, Any]) -> dict[str, Any]:
        method, url, headers = str(said["method"]), str(said["url"]), said["headers"]
        if self.muted and method not in ("GET", "HEAD"):
            raise LearnerError("not again: this is only to bring variables back")
        body = wire.data(said["body"])
        port = self.port
        lowered = {str(key): str(value) for key, value in headers.items()}
        answer = inprocess.ask(port.cluster, http.request(method, url, body or None, lowered, http.User()))
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
        if self.muted:
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
        except bounded.TooLong:
            bounded.end(self.port, running)
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
        if not self.muted:
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
        if not self.muted:
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
        if not self.muted and task.name not in self.marked:
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
        if self.muted or task.kind == "prediction" or self._looks > self._bounds.checks:
            told = "This is marked when its graded cell is reached."
            return {"points": 0.0, "max": task.points, "passed": False, "message": told, "text": told}
        result = marking.mark_task(spec, task.name, self._course.checks, self, dict(self.results))
        return {
            "points": result.points,
            "max": result.max,
            "passed": result.passed,
            "message": result.message,
            "text": str(result),
        }


_VERBS: dict[str, Callable[[Hosted, dict[str, Any]], Any]] = {
    "answer": Hosted._give,
    "api": Hosted._api,
    "apply": Hosted._apply,
    "check": Hosted._check,
    "close": Hosted._close,
    "open": Hosted._open,
    "read": Hosted._read,
    "reset": Hosted._reset,
    "rules": Hosted._rules,
    "run": Hosted._command,
    "settle": Hosted._settle,
    "shell": Hosted._shell,
    "trace": Hosted._trace,
    "traces": Hosted._traces,
    "wait": Hosted._wait,
}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if hasattr(value, "items") else value
