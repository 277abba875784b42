"""Traces as text, JSON, DOT or SVG for the command line.

SVG is drawn by Graphviz: the `dot` program where there is one, else the pygraphviz package, which brings its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from kubesim.errors import LearnerError
from kubesim.net import dot, render
from kubesim.net.trace import Trace

# A picture of thirty nodes takes `dot` well under a second.
SECONDS = 30


def show(traces: Sequence[Trace], form: str, lookups: bool = False) -> str:
    """The traces in one of the forms "text", "json", "dot", "svg", ending in a newline.

    `lookups`: the text also tells the ways of the DNS exchanges before them.
    """
    if form == "json":
        values = [trace.to_json() for trace in traces]
        return json.dumps(values[0] if len(values) == 1 else values, indent=2) + "\n"
    if form == "dot":
        return dot.dot(traces)
    if form == "svg":
        return svg(dot.dot(traces))
    return "\n\n".join(render.text(trace, lookups=lookups) for trace in traces) + "\n"


def svg(source: str) -> str:
    """DOT text drawn as SVG.  LearnerError names what to install where there is no Graphviz of any kind."""
    program = shutil.which("dot")
    if program:
        done = subprocess.run(
            [program, "-Tsvg"], input=source, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise RuntimeError(f"dot: {done.stderr}")
        return done.stdout
    try:
        import pygraphviz
    except ImportError:
        raise LearnerError(
            "no Graphviz here to draw with", "Install it: pip install pygraphviz, or: sudo apt-get install graphviz"
        ) from None
    with _quiet():
        drawn = pygraphviz.AGraph(string=source).draw(format="svg", prog="dot")
    return drawn.decode() if isinstance(drawn, bytes) else str(drawn)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on the process' stderr meanwhile: the fontconfig that pygraphviz brings complains, from C, of what newer systems
    configure."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
