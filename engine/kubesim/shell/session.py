"""What all shells of one terminal share: its screen, its background jobs, its process numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubesim.shell.streams import Output
from kubesim.world import Task


@dataclass(eq=False, kw_only=True)
class Job:
    number: int
    pid: int
    command: str
    task: Task[int] | None = None
    told: bool = False

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done


class Screen:
    """The terminal's output: goes to whatever the present run shows; what a job writes between runs waits for the next."""

    def __init__(self) -> None:
        self._target: Output | None = None
        self._waiting: list[str] = []

    def attach(self, target: Output | None) -> None:
        self._target = target
        if target is not None:
            waiting, self._waiting = self._waiting, []
            for text in waiting:
                target.write(text)

    def write(self, text: str) -> None:
        if self._target is None:
            self._waiting.append(text)
        else:
            self._target.write(text)


@dataclass(eq=False)
class Session:
    """`interactive`: a person looks at the screen.  `expanding` guards an alias against itself."""

    interactive: bool = False
    screen: Screen = field(default_factory=Screen)
    errors: Screen = field(default_factory=Screen)
    jobs: list[Job] = field(default_factory=list)
    expanding: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)
    last_pid: int = 4000

    def pid(self) -> int:
        self.last_pid += 1
        return self.last_pid

    def next_number(self) -> int:
        self.jobs = [job for job in self.jobs if job.running or not job.told]
        return max((job.number for job in self.jobs), default=0) + 1
