"""`kubelab` as a submission has it: the same lab, whose cluster is in another process.

Everything here runs beside a stranger's code and is believed by nobody.  It only carries: the Kubernetes API and the port's
verbs go as questions over a wire to the grader (`kubegrade.hosted`), which has the cluster.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import types
import typing
from collections.abc import Generator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from kubegrade import wire
from kubelab import display, magics, resources
from kubelab.reach import Reach
from kubelab.spec import Task
from kubesim.errors import LearnerError
from kubesim.fronts import inprocess
from kubesim.net.trace import Trace
from kubesim.shell.terminal import Result

if TYPE_CHECKING:
    import kubernetes.client

    from kubelab.port import Tell


class Script:
    """What stands in for the wire while cells are run whose questions and answers are known.

    `broken` once anything else is asked.
    """

    def __init__(self) -> None:
        self.known: list[tuple[str, Any]] = []
        self.broken = False
        self._asked: dict[str, Any] = {}

    def send(self, value: dict[str, Any]) -> None:
        self._asked = value

    def receive(self) -> dict[str, Any]:
        question, answer = self.known.pop(0) if self.known else ("", {})
        if question != wire.question(self._asked):
            self.broken = True
            answer = {"error": "this was not asked before"}
        return {"number": self._asked["number"], **answer}


class Asker:
    """Questions to the grader, one at a time.  What it refuses is raised as LearnerError.  `channel` may be changed."""

    def __init__(self, channel: wire.Channel | Script) -> None:
        self.channel = channel
        self._lock = threading.Lock()
        self._number = 0

    def __call__(self, verb: str, **what: Any) -> Any:
        with self._lock:
            self._number += 1
            number = self._number
            self.channel.send({"ask": verb, "number": number, **what})
            while True:
                answer = self.channel.receive()
                # An older number belongs to a question that was interrupted.
                if isinstance(answer, dict) and answer.get("number") == number:
                    break
        if "error" in answer:
            raise LearnerError(answer["error"], answer.get("remedy", ""))
        return answer["ok"]


class Port:
    """The port, over the wire (see `kubelab.port`)."""

    def __init__(self, ask: Asker, title: str, namespace: str) -> None:
        self._ask = ask
        self.title = self.about = title
        self.namespace = namespace
        self._api: kubernetes.client.ApiClient | None = None

    def api_client(self) -> kubernetes.client.ApiClient:
        if self._api is None:
            self._api = inprocess.client_over(self._send)
        return self._api

    def objects(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        return resources.objects(self, kind, namespace, labels, fields)

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None) -> Any:
        """A request of the official client's."""
        said = wire.text(body) if body else ""
        told = self._ask("api", method=method, url=url, body=said, headers=dict(headers or {}))
        head, data = [tuple(each) for each in told["headers"]], wire.data(told["body"])
        stream = told.get("stream")
        if stream is None:
            return inprocess.response(told["status"], head, data)
        return inprocess.response(
            told["status"], head, data, lambda: self._chunks(stream), lambda: self._ask("close", stream=stream)
        )

    def _chunks(self, stream: Any) -> Generator[bytes, None, None]:
        while (chunk := self._ask("read", stream=stream)) is not None:
            yield wire.data(chunk)

    def run(self, place: str, command: str, tell: Tell | None = None) -> Result:
        done = self._ask("run", place=place, command=command)
        if tell is not None:
            for stream, text in done["said"]:
                tell(stream, text)
        return Result(done["stdout"], done["stderr"], done["code"])

    def prompt(self, place: str) -> str:
        return "$ "

    def completions(self, place: str, line: str) -> list[str]:
        return []

    def is_whole(self, place: str, text: str) -> bool:
        return True

    def run_on_node(self, node: str, command: str) -> Result:
        return self.run(f"node/{node}", command)

    def run_outside(self, command: str) -> Result:
        return self.run("outside", command)

    def node_rules(self, node: str) -> str:
        return self._ask("rules", node=node)

    def trace(self, source: str, target: str) -> Trace:
        return trace_of(self._ask("trace", source=source, target=target))

    def traces(self, source: str, target: str) -> list[Trace]:
        return [trace_of(each) for each in self._ask("traces", source=source, target=target)]

    def settle(self) -> None:
        self._ask("settle")

    def wait(self, seconds: float) -> None:
        self._ask("wait", seconds=seconds)

    def apart(self) -> Port:
        return self

    def adopt(self, namespace: str) -> None:
        """Nothing to do: the embedded cluster is thrown away whole."""

    def close(self) -> None:
        """Likewise."""


class Lab(Reach):
    """A lab in the hands of a submission: what `kubelab.Lab` offers, with everything that counts done elsewhere."""

    def __init__(self, ask: Asker, told: Mapping[str, Any]) -> None:
        self._ask = ask
        self._port = Port(ask, told["title"], told["namespace"])
        self.name = told["name"]
        self.tasks = tuple(Task(**{**each, "hints": tuple(each["hints"])}) for each in told["tasks"])
        self.answers: dict[str, str] = {}
        self.variant: Mapping[str, str] = told.get("variant", {})

    @property
    def port(self) -> Any:
        return self._port

    def shell(self, script: str, on: str = "") -> display.Output:
        done = self._ask("shell", place=f"node/{on}" if on else "outside", command=script)
        return display.Output(done["stdout"], done["stderr"], done["code"])

    def apply(self, folder: str) -> display.Output:
        done = self._ask("apply", folder=folder)
        return display.Output(done["stdout"], done["stderr"], done["code"])

    def reset(self) -> Lab:
        self._ask("reset")
        return self

    def close(self) -> None:
        """Nothing to put away."""

    def fresh(self) -> Any:
        raise LearnerError("graded work has one cluster", "lab.reset() brings it back to its start.")

    def exercise(self, seed: int | None = None) -> Any:
        raise LearnerError("exercises are not graded", "They are for you, in your own notebook.")

    def terminal(self, on: str = "") -> Any:
        return display.Note("(A terminal: nobody types while this is graded.)")

    def map(self) -> Any:
        return display.Note("(The map of the cluster: nobody looks while this is graded.)")

    def trace(self, source: str, target: str) -> Any:
        return _TraceView(self._ask("trace", source=source, target=target), f"{source} → {target}")

    def ways(self, source: str, target: str) -> Any:
        return _WaysView(self._ask("traces", source=source, target=target), f"{source} → {target}")

    def check(self, task: str) -> Any:
        return _Standing(self._ask("check", task=task))

    def grade(self, task: str) -> float:
        return float(self.check(task).points)

    def hint(self, task: str) -> display.Note:
        return display.Note("(A hint.)")

    def answer(self, task: str, value: str | float) -> display.Note:
        value = str(value).strip()
        said = self._ask("answer", task=task, value=value)
        self.answers[task] = value
        return display.Note(said)

    def progress(self) -> Any:
        return display.Note("(Progress: see the feedback.)")

    def __repr__(self) -> str:
        return f"<lab {self.name}>"

    __str__ = __repr__


def opener(ask: Asker) -> Any:
    """What stands in for `kubelab.open`: the lab that this submission is graded as, on a fresh embedded cluster each time."""

    def open(name: str, cluster: str = "", *, any_cluster: bool = False) -> Lab:
        opened = Lab(ask, ask("open", name=str(name)))
        magics.register(opened)  # type: ignore[arg-type]
        return opened

    return open


class _Standing:
    """How a task stood when it was looked at."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.points, self.max, self.passed = told["points"], told["max"], told["passed"]
        self.message, self._text = told["message"], told["text"]

    def __repr__(self) -> str:
        return str(self._text)

    __str__ = __repr__


class _TraceView(display.TraceView):
    """A trace that becomes objects only if somebody looks into it."""

    def __init__(self, told: Mapping[str, Any], title: str) -> None:
        self._told = told
        self.title = title

    @property
    def trace(self) -> Trace:  # type: ignore[override]
        return trace_of(self._told)

    def __repr__(self) -> str:
        return f"<{self.title}: {self._told['verdict']}>"


class _WaysView(display.WaysView):
    """All ways, likewise."""

    def __init__(self, told: list[Mapping[str, Any]], title: str) -> None:
        self._told = told
        self.title = title

    @property
    def traces(self) -> list[Trace]:  # type: ignore[override]
        return [trace_of(each) for each in self._told]

    def __len__(self) -> int:
        return len(self._told)

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self)} ways>"


# -- traces -----------------------------------------------------------------------------------------------------


def trace_of(told: Mapping[str, Any]) -> Trace:
    """The Trace of which `told` is the JSON (`Trace.to_json`)."""
    return _value(Trace, told)


def _value(kind: Any, told: Any) -> Any:
    if told is None:
        return None
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return _value(next(each for each in typing.get_args(kind) if each is not type(None)), told)
    if typing.get_origin(kind) is tuple:
        args = typing.get_args(kind)
        if args[-1] is Ellipsis:
            return tuple(_value(args[0], each) for each in told)
        return tuple(_value(each, value) for each, value in zip(args, told, strict=True))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _value(hints[name], value) for name, value in told.items() if name in hints})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(told)
    return told


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
