"""Random choices on a packet's way, and the three ways to make them.

The kernel draws from its own random numbers where a rule says so (`-m statistic --mode random`, `numgen random`) and
where a source port must be a fresh one.  A walk asks its `Chance`: live traffic and samples draw from a seeded stream,
the branch view takes every choice in turn and multiplies the probabilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence


class Chance(Protocol):
    """What a walk asks.  `probability` is that of all choices made so far."""

    probability: float

    def choose(self, weights: Sequence[float]) -> int:
        """One of the alternatives, each with its probability (they sum to 1)."""
        ...

    def turn(self, weights: Sequence[float], due: int) -> int:
        """One of the alternatives where turns decide: `due` is the one whose turn it is now; each comes as often as it
        weighs."""
        ...

    def number(self, low: int, high: int) -> int:
        """A number from low to high, both included, that makes no branch: a source port."""
        ...


class Sample:
    """One choice, drawn from a stream.  Its probability is not counted: what was drawn has happened."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.probability = 1.0

    def choose(self, weights: Sequence[float]) -> int:
        drawn = self._rng.random()
        for index, weight in enumerate(weights):
            drawn -= weight
            if drawn < 0:
                return index
        return len(weights) - 1

    def turn(self, weights: Sequence[float], due: int) -> int:
        return due

    def number(self, low: int, high: int) -> int:
        return self._rng.randint(low, high)


class Script:
    """Choices made beforehand; beyond them the first that is possible.  Remembers what else there was."""

    def __init__(self, prefix: Sequence[int]) -> None:
        self._prefix = prefix
        self.made: list[int] = []
        self.weights: list[Sequence[float]] = []
        self.probability = 1.0

    def choose(self, weights: Sequence[float]) -> int:
        possible = [index for index, weight in enumerate(weights) if weight > 0]
        if len(possible) == 1:
            return possible[0]
        position = len(self.made)
        choice = self._prefix[position] if position < len(self._prefix) else possible[0]
        self.made.append(choice)
        self.weights.append(weights)
        self.probability *= weights[choice]
        return choice

    def turn(self, weights: Sequence[float], due: int) -> int:
        return self.choose(weights)

    def number(self, low: int, high: int) -> int:
        # Any port would do; the middle of the range is as good as any and the same every time.
        return (low + high) // 2


def branches() -> Iterator[Script]:
    """Scripts that, each run to its end before the next is asked for, make every combination of choices once."""
    prefix: list[int] = []
    while True:
        script = Script(prefix)
        yield script
        made = script.made
        while made:
            weights = script.weights[len(made) - 1]
            following = next((index for index in range(made[-1] + 1, len(weights)) if weights[index] > 0), None)
            if following is not None:
                prefix = [*made[:-1], following]
                break
            made.pop()
        else:
            return
