"""`kubegrade similar`: pairs of submissions that match beyond what everybody was given.

Theory of operation
-------------------
What a student wrote is what is left of the notebook when three things are taken away:

1. cells that stand in the release (the teacher's notebook with its solutions taken out), or in the teacher's solution;
2. in the others, each passage that the release or the solution has;
3. each passage that more than COMMON different submissions have: many found the same way, and it is nobody's own.

A *passage* is K words in a row.  Its hash stands for it, and of each W hashes in a row the smallest is kept ("winnowing":
Schleimer, Wilkerson, Aiken, SIGMOD 2003, doi:10.1145/872757.872770), so that any W + K - 1 words in a row that two have in common
are found, wherever they stand.  An index from hash to submissions gives the pairs; the texts themselves are never compared with
one another, so that a class of a thousand takes seconds.

Words are compared without case, spacing, comments and quotes; a name that a Python cell gives to a variable is any name; in a
class with variants (`--seed-by student`) a student's own names and numbers are their keys.  So another name for a variable,
another order of the cells, or another student's port number hide nothing; the same thing said in other words is not found.

What comes out is a reason to look, and no proof: of what the one who wrote less has written, which part does the other have too.
"""

from __future__ import annotations

import ast
import csv
import re
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from rich.console import Console

from kubegrade import notebooks
from kubegrade.jobs import Job
from kubegrade.pages import safe
from kubelab import course, variants
from kubelab import spec as specs

# Words of a passage, and hashes of which one is kept: matches of K + W - 1 = 9 words are always found.
K, W = 6, 4
# A passage of more than so many different submissions is nobody's own.
COMMON = 10
# Fewer matching passages than this (some twenty words) are no pair.
LEAST = 8
# So many passages are not found twice by chance: however many have the very same ones, they have them from one.
LONG = 20
# Nobody's own writing is longer, in words of a cell.
LONGEST = 20_000

_WORD = re.compile(r"[\w.-]*\w|[^\w\s]")
_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")
_QUOTES = str.maketrans("", "", "\"'`“”‘’")


@dataclass(slots=True)
class Own:
    """What one submission has beyond the shared start: where each kept hash stands (cell, line), and the lines of the cells."""

    student: str
    lab: str
    notebook: str
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    lines: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two submissions: `shared` passages that both have, `least` that the shorter one has of its own; `lines` of the first that
    match.  `alike` are the students whose own writing is the very same as the second one's."""

    lab: str
    notebook: str
    one: str
    other: str
    shared: int
    least: int
    lines: tuple[str, ...]
    alike: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.shared / self.least


def find(
    jobs: Sequence[Job],
    *,
    over: float = 0.5,
    common: int = COMMON,
    own_words: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
) -> list[Pair]:
    """The pairs whose ratio is `over` or more, the most alike first.  `own_words` as `variants_of` gives them."""
    pairs: list[Pair] = []
    by_source: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_source[job.source].append(job)
    for source, some in sorted(by_source.items()):
        given = Given(Path(source))
        owned = [given.own(job, (own_words or {}).get((job.lab, job.student), {})) for job in some]
        pairs += compare([each for each in owned if each is not None], over=over, common=common)
    return sorted(pairs, key=lambda each: (-each.ratio, -each.shared, each.lab, each.one, each.other))


def variants_of(jobs: Sequence[Job]) -> dict[tuple[str, str], dict[str, str]]:
    """By lab and student: the words that are that student's own there, each with the key that it stands for."""
    found = {}
    for folder in sorted({job.lab_folder for job in jobs if job.lab_folder}):
        spec = specs.load(Path(folder))
        for job in jobs:
            if job.lab_folder == folder and spec.variants:
                drawn = variants.draw(spec.name, spec.variants, job.student)
                found[job.lab, job.student] = {value.casefold(): f"${{{key}}}" for key, value in drawn.items()}
    return found


class Given:
    """The shared start: what the teacher's notebook says, as students get it and with its solutions."""

    def __init__(self, source: Path) -> None:
        self.source = source
        cells = notebooks.parse(source.read_bytes())
        stubs = {"code": course.CODE_STUB}
        released = [
            notebooks.released(each.source, stubs.get(each.kind, course.TEXT_STUB))
            for each in cells
            if each.is_solution
        ]
        whole = [each.source for each in cells]
        self._cells = {text.strip() for text in (*whole, *released)}
        self._hashes: set[int] = set()
        for cell in cells:
            # All of them, not the kept ones alone: which of them a student's cell keeps is not known.
            self._hashes |= {each for each, _ in shingles(words(cell.source, cell.kind, {}))}

    def own(self, job: Job, variant: Mapping[str, str]) -> Own | None:
        """What a job's student has written; None if it cannot be read."""
        try:
            cells = notebooks.read(_notebook_of(job))
        except (notebooks.Unreadable, OSError):
            return None
        mine = Own(student=job.student, lab=job.lab, notebook=job.notebook)
        for index, cell in enumerate(cells):
            if not cell.source.strip() or cell.source.strip() in self._cells:
                continue
            said = words(cell.source, cell.kind, variant)[:LONGEST]
            foreign = [each for each in shingles(said) if each[0] not in self._hashes]
            kept = winnow(foreign)
            if not kept:
                continue
            lines = cell.source.split("\n")
            for mark, line in kept:
                mine.marks.setdefault(mark, (index, line))
                mine.lines[index, line] = lines[line].strip()[:200]
        return mine


def _notebook_of(job: Job) -> Path:
    if job.file:
        return Path(job.file)
    folder = Path(job.folder)
    if folder.is_symlink() or not folder.is_dir():
        raise notebooks.Unreadable("no folder")
    wanted = folder / f"{job.notebook}.ipynb"
    if wanted.is_symlink() or wanted.exists():
        return wanted
    return notebooks.choose(folder, job.notebook, notebooks.source(Path(job.source).read_bytes()))[0]


# -- words and passages -----------------------------------------------------------------------------------------------


def words(text: str, kind: str, variant: Mapping[str, str]) -> list[tuple[str, int]]:
    """The words of a cell and their lines, as they are compared; see the module."""
    any_name = _names(text) if kind == "code" else frozenset()
    if kind == "code":
        text = _COMMENT.sub("", text)
    found = []
    for number, line in enumerate(text.translate(_QUOTES).split("\n")):
        for word in _WORD.findall(line):
            word = word.casefold()
            found.append(("_" if word in any_name else variant.get(word, word), number))
    return found


def _names(text: str) -> frozenset[str]:
    """The names that a cell of Python gives to its variables and functions; none of what is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id.casefold())
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name.casefold())
        elif isinstance(node, ast.arg):
            found.add(node.arg.casefold())
    return frozenset(found)


def shingles(said: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """The hash and the line of each K words in a row.  The hash is the same on every machine."""
    # Two different sums of 32 bits: a class has some hundred thousand passages, and chance should make no pair.
    joined = ["\0".join(word for word, _ in said[at : at + K]).encode() for at in range(len(said) - K + 1)]
    return [(zlib.crc32(each) << 32 | zlib.adler32(each), said[at][1]) for at, each in enumerate(joined)]


def winnow(hashes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of each W hashes in a row the smallest, the last one of equal ones; each but once."""
    if not hashes:
        return []
    kept: dict[int, tuple[int, int]] = {}
    for at in range(max(1, len(hashes) - W + 1)):
        window = range(at, min(at + W, len(hashes)))
        least = min(window, key=lambda each: (hashes[each][0], -each))
        kept[least] = hashes[least]
    return list(kept.values())


# -- pairs ------------------------------------------------------------------------------------------------------------


def compare(owned: Sequence[Own], *, over: float = 0.5, common: int = COMMON) -> list[Pair]:
    """The pairs among the submissions of one notebook."""
    # Those whose own writing is the very same stand together.
    alike: dict[frozenset[int], list[Own]] = defaultdict(list)
    for each in owned:
        if len(each.marks) >= LEAST:
            alike[frozenset(each.marks)].append(each)
    kinds = sorted(alike.values(), key=lambda each: each[0].student)
    # If it is long they count as one: a solution that fifty have handed in is not what many found.
    weight = [1 if len(some[0].marks) >= LONG else len(some) for some in kinds]
    where: dict[int, list[int]] = defaultdict(list)
    for number, some in enumerate(kinds):
        for mark in some[0].marks:
            where[mark].append(number)
    # In a small class half of it is many.
    many = min(common, max(2, len(owned) // 2))
    rare = {mark: numbers for mark, numbers in where.items() if sum(weight[each] for each in numbers) <= many}
    own = [{mark for mark in some[0].marks if mark in rare} for some in kinds]
    shared: Counter[tuple[int, int]] = Counter()
    for numbers in rare.values():
        shared.update(combinations(numbers, 2))
    pairs = []
    for (one, other), count in sorted(shared.items()):
        least = min(len(own[one]), len(own[other]))
        if count >= LEAST and count / least >= over:
            also = tuple(each.student for each in kinds[other][1:])
            pairs.append(_pair(kinds[one][0], kinds[other][0], own[one] & own[other], least, also))
    for number, some in enumerate(kinds):
        if len(some) > 1 and len(own[number]) >= LEAST:
            also = tuple(each.student for each in some[2:])
            pairs.append(_pair(some[0], some[1], own[number], len(own[number]), also))
    return pairs


def _pair(one: Own, other: Own, marks: Iterable[int], least: int, alike: tuple[str, ...]) -> Pair:
    marks = set(marks)
    places = sorted({one.marks[mark] for mark in marks})
    lines = tuple(dict.fromkeys(one.lines[each] for each in places))
    return Pair(
        lab=one.lab,
        notebook=one.notebook,
        one=one.student,
        other=other.student,
        shared=len(marks),
        least=least,
        lines=lines,
        alike=alike,
    )


# -- for people -------------------------------------------------------------------------------------------------------


def show(pairs: Sequence[Pair], read: int, most: int) -> None:
    """The pairs at a terminal, each with what matches."""
    console = Console(file=sys.stdout, highlight=False)
    for pair in pairs[:most]:
        also = f" (and {', '.join(pair.alike)})" if pair.alike else ""
        head = f"{pair.ratio:4.0%}  {pair.one} - {pair.other}{also}  {pair.lab}"
        console.print(f"{head}  {pair.shared} of {pair.least} passages", markup=False, style="bold", soft_wrap=True)
        for line in pair.lines[:8]:
            console.print(f"      {line}", markup=False, soft_wrap=True)
        if len(pair.lines) > 8:
            console.print(f"      … {len(pair.lines) - 8} more lines", style="dim")
    left = f", {most} of them shown" if len(pairs) > most else ""
    console.print(
        f"{len(pairs)} pairs among {read} submissions match beyond their shared start{left}. A match is a reason to look, "
        "and no proof.",
        style="dim",
        soft_wrap=True,
    )


def write(path: Path, pairs: Sequence[Pair]) -> None:
    """All pairs as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lab", "notebook", "one", "other", "ratio", "passages", "of", "also alike", "lines"])
        writer.writerows(_rows(pairs))


def _rows(pairs: Sequence[Pair]) -> Iterator[list[str]]:
    for pair in pairs:
        yield [
            *(pair.lab, pair.notebook, safe(pair.one), safe(pair.other), f"{pair.ratio:.2f}"),
            *(str(pair.shared), str(pair.least), safe(" ".join(pair.alike)), safe("\n".join(pair.lines))),
        ]
