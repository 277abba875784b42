"""A lab on the embedded cluster and on a live one, side by side: what differs is a fault in one of them.

Compared are a lab's states (its key, its bare start, what is believed wrongly), task by task, and its notebook's code cells, one
by one: their output line by line and their exit codes.  What chance or a clock decides (addresses, the ends of pods' names,
ages, the order of lines) is made alike on both sides first: `alike`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kubelab import display, folders, magics, states, words
from kubelab.lab import Lab
from kubelab.live.port import BEYOND
from kubelab.spec import Spec
from kubesim.net.trace import Verdict

Open = Callable[[], Lab]
Run = Callable[[Spec, Open], "Iterator[Seen]"]

# In this order: what is more particular first.
MASKS = (
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
    (r"\bKUBE-(SVC|SEP|EXT|XLB|FW|SVL|POD-FW)-[A-Z2-7]{16}", r"KUBE-\1-HASH"),
    (r"\b(?:service|endpoint|external|firewall)-[A-Z2-7]{8}-", "nft-HASH-"),
    (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "IP"),
    (r"\bveth[0-9a-f]{8}\b", "veth"),
    # What generateName adds, to a ReplicaSet's name with its template's hash, or to any.
    (r"-[a-f0-9]{7,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-POD"),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-POD"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+\d\d:\d\d)", "TIME"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4}(?: \d\d:\d\d:\d\d(?: \S+)?)?", "TIME"),
    # Logs: klog's, Traefik's of old, access logs.
    (r"^([EWI])\d{4} [\d:.]+ +\d+ ", r"\1 TIME "),
    (r"\b\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\b|\b\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\b", "TIME"),
    (r"(?<=HTTP/1\.1\" )(\d{3}) \d+", r"\1 SIZE"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"(?<![\w.])(?:\d+[dhm])*\d+[dhms]\b|<invalid>", "AGE"),
    (r"\b\d+(?:\.\d+)?(?= ?ms\b)", "N"),
    (r"(?<![\d:])\d\d:\d\d(?![\d:])", "TIME"),
    (r"^(real|user|sys)\s+.*", r"\1"),
    # conntrack: what is left of an entry's time, and a sender's own port.
    (r"^(tcp|udp) +(\d+) \d+ ", r"\1 \2 N "),
    (r"\b([sd]port)=(?:3[2-9]|[45]\d|6[0-5])\d{3}\b", r"\1=PORT"),
    (r"^ +\d+ (?=\S)", "N "),  # uniq -c
    # A node port that nobody chose, and a sender's own port; those that labs name are 8080 and below, or the API server's.
    (r"\b3[0-2]\d{3}\b", "NODEPORT"),
    (r"\bIP:(?!8080\b|6443\b)\d{4,5}\b", "IP:PORT"),
    (r"\bcame to \d+ pods", "came to N pods"),
    (r"\(x\d+ over", "(xN over"),
    (r"\b(?:kind-(?:worker\d?|control-plane)|node-[a-z])\b", "NODE"),
    (r"\b(?:resourceVersion|generation): ?\S+", "REVISION"),
    # kubectl's own words change with its release: 1.34 names the namespace.
    (r"\b\d+ \(AGE ago\)", "N (AGE ago)"),
    (r"(\bdeleted) from \S+ namespace$", r"\1"),
    # Which pod of a StatefulSet a packet is sent to.
    (r"\bdefault/([a-z-]+)-\d+\b", r"default/\1-N"),
    # How each names the computer beyond the cluster, and a pod that asks.
    (r"\b(?:laptop|outside)\b", "OUTSIDE"),
    (r"\b(?:pod|default)/([\w-]+)(?:/[\w-]+)? cannot resolve", r"\1 cannot resolve"),
    (r"[ \t]+", " "),
)
# What `kubectl rollout status` and `wait` say on the way depends on how fast it goes; likewise what it logs, and OpenSSL's dots.
BY_CHANCE = re.compile(r"^(?:(?:On to )?NODE(?:, on the way back)?|N \S+-POD)$")
ON_THE_WAY = re.compile(
    r"^(?:Waiting for \S+ .*|[EWI]\d{4} [\d:.]+ +\d+ websocket\.go:\d+\] .*|[.+*]+|-----"
    # In a timeline: how often a probe failed, and how far a rollout was, when somebody counted.
    r"|.*\breadiness probe failed\b.*|.*: counts \d+ of \d+ ready)$"
)
# A request that a rollout lost (how often, curl's status and exit code): whether there is one depends on that as well.
LOST = re.compile(r"^ *\d+ 000 (?:7|28)$")
# A live lab has a namespace of its own; the API server's Service is in none of them.
# Where it would be the only one, a live lab says that there is none, and prints no header.
ELSEWHERE = re.compile(
    r"^(?:(?:service/|endpoints/|endpointslice\S*/|- )?kubernetes\b.*|NAME\s.*|No resources found in .*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one step gave: `what` it was, its exit code (or points), and its lines, alike.  `beyond`: it says that it does not
    know."""

    what: str
    code: str
    lines: tuple[str, ...]
    beyond: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A step that differs: what only the embedded cluster said, and what only the live one said.

    `known`: it cannot be else, for the live side says that it does not know.
    """

    what: str
    embedded: tuple[str, ...]
    live: tuple[str, ...]
    known: bool = False

    def __str__(self) -> str:
        lines = [f"  {self.what}", *(f"    embedded: {each}" for each in self.embedded)]
        return "\n".join([*lines, *(f"    live:     {each}" for each in self.live)])


def compare(embedded: Iterator[Seen], live: Iterator[Seen]) -> Iterator[tuple[str, Difference | None]]:
    """Each step, and how it differs (None: not at all)."""
    for one, other in zip(embedded, live, strict=True):
        only = (_without(one.lines, other.lines), _without(other.lines, one.lines))
        if one.code != other.code:
            only = ((f"ended with {one.code}", *only[0]), (f"ended with {other.code}", *only[1]))
        found = Difference(what=one.what, embedded=only[0], live=only[1], known=other.beyond) if any(only) else None
        yield one.what, found


def runs(*, states: bool = True, cells: bool = True) -> list[Run]:
    """What is compared of a lab."""
    return [*([in_states] if states else []), *([in_cells] if cells else [])]


def report(spec: Spec, of: list[Run], embedded: Open, live: Open, tell: Callable[[str], None]) -> int:
    """Compare a lab, tell of each step in a line, and in more where it differs.  How many steps differ."""
    differ = 0
    for run in of:
        for what, difference in compare(run(spec, embedded), run(spec, live)):
            known = difference is not None and difference.known
            sign = "✓" if difference is None else "·" if known else "✗"
            tell(f"{sign} {spec.name:16} {what}{': beyond what can be known' if known else ''}")
            if difference is not None and not known:
                tell(str(difference))
                differ += 1
    return differ


def in_states(spec: Spec, start: Open) -> Iterator[Seen]:
    """The lab in each of its states, task by task."""
    for state in states.states(spec):
        lab = start()
        try:
            for task, answer in state.answers.items():
                lab.answer(task, answer)
            # Predictions come first, on a cluster as it begins: a live one has no other for their experiments.
            predicted = [task for task in state.expect if spec.task(task).kind == "prediction"]
            for task in predicted:
                yield _task(lab, state.name, task)
            if (spec.folder / "broken").is_dir():
                lab.apply("broken")
            done = lab.shell(state.run) if state.run else display.Output("", "", 0)
            yield Seen(
                what=f"{state.name}: its script", code=str(done.exit_code), lines=alike(str(done), lab.namespace)
            )
            for task in state.expect:
                if task not in predicted:
                    yield _task(lab, state.name, task)
        finally:
            lab.close()


def _task(lab: Lab, state: str, task: str) -> Seen:
    """How a task stands."""
    result = lab.check(task).result
    told = [result.message, *(each.message for each in result.findings)]
    return Seen(
        what=f"{state}: task {task}",
        code=f"{result.points:g} points",
        lines=alike("\n".join(told), lab.namespace),
        beyond=any(BEYOND in each for each in (result.explanation, *(f.explanation for f in result.findings))),
    )


def in_cells(spec: Spec, start: Open) -> Iterator[Seen]:
    """The notebook's code cells, with its key in them."""
    path = folders.course() / spec.name / f"{spec.name}.ipynb"
    if not path.is_file():
        return
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lab = start()
    names: dict[str, Any] = {"lab": lab}
    try:
        for number, cell in enumerate(each for each in cells if each["cell_type"] == "code"):
            source = "".join(cell["source"])
            first = next((line for line in source.splitlines() if line.strip() and not line.startswith("#")), "")
            code, text = _cell(source, names, lab)
            what = f"cell {number + 1}: {first[:60]}"
            yield Seen(what=what, code=code, lines=alike(text, lab.namespace), beyond=_unknown(text))
    finally:
        lab.close()


def alike(text: str, namespace: str) -> tuple[str, ...]:
    """The lines, without what chance and clocks decide, in an order of their own."""
    text = text.replace(namespace, "default")
    lines = []
    for line in text.splitlines():
        if ELSEWHERE.match(line) or ON_THE_WAY.match(line) or LOST.match(line):
            continue
        for pattern, mask in MASKS:
            line = re.sub(pattern, mask, line)
        lines.append(_addresses(line.strip()))
    # On which nodes pods come to be is chance: a packet then passes one node or two, and finds more pods there or fewer.
    by_chance = {each for each in lines if BY_CHANCE.match(each)}
    return tuple(sorted([*by_chance, *(each for each in lines if each and each not in by_chance)]))


def _unknown(text: str) -> bool:
    """Whether the live side says that it does not know."""
    return BEYOND in text or words.LABELS[Verdict.INSUFFICIENT_INFO] in text


def _addresses(line: str) -> str:
    """A map's list of a Service's addresses has the order of the numbers that they happen to have."""
    head, colon, listed = line.partition("): ")
    return head + colon + ", ".join(sorted(listed.rstrip(".").split(", "))) if head.startswith("Service ") else line


def _cell(source: str, names: dict[str, Any], lab: Lab) -> tuple[str, str]:
    """Run a cell as IPython would: its exit code or error, and what it shows."""
    written = io.StringIO()
    try:
        with contextlib.redirect_stdout(written):
            value = _value(source, names, lab)
    except Exception as error:
        # As in a notebook: the next cell runs all the same.
        return type(error).__name__, f"{written.getvalue()}\n{error}"
    code = str(getattr(value, "exit_code", 0))
    return code, written.getvalue() + ("" if value is None else str(value))


def _value(source: str, names: dict[str, Any], lab: Lab) -> Any:
    if source.lstrip().startswith("%%shell"):
        first, _, script = source.lstrip().partition("\n")
        return lab.shell(script, on=magics.node(first.removeprefix("%%shell")))
    source = re.sub(r"^%shell (.*)$", lambda found: f"lab.shell({found.group(1)!r})", source, flags=re.MULTILINE)
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    # The cell that opens the lab gets the one that is being compared.
    kept = [each for each in tree.body if not _opens(each)]
    exec(compile(ast.Module(kept, []), "cell", "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    # What a lab says of itself names its cluster: there the two are meant to differ.
    return None if value is lab else value


def _opens(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and "kubelab.open(" in ast.unparse(node)


def _without(lines: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    left = list(others)
    only = []
    for each in lines:
        if each in left:
            left.remove(each)
        else:
            only.append(each)
    return tuple(only)
