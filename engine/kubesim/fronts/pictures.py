"""Traces as text, JSON, DOT or SVG for the command line.

SVG is drawn by Graphviz: the `dot` program where there is one, else the pygraphviz package, which brings its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence

from kubesim.errors import LearnerError
from kubesim.net import dot, render
from kubesim.net.trace import Trace

# A picture of thirty nodes takes `dot` well under a second.
SECONDS = 30


def show(traces: Sequence[Trace], form: str) -> str:
    """The traces in one of the forms "text", "json", "dot", "svg", ending in a newline."""
    if form == "json":
        values = [trace.to_json() for trace in traces]
        return json.dumps(values[0] if len(values) == 1 else values, indent=2) + "\n"
    if form == "dot":
        return dot.source(traces)
    if form == "svg":
        return svg(dot.source(traces))
    return "\n".join(render.text(trace) for trace in traces)


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
    drawn = pygraphviz.AGraph(string=source).draw(format="svg", prog="dot")
    return drawn.decode() if isinstance(drawn, bytes) else str(drawn)
