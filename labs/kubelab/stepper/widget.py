"""The live stepper: the script-free markup, with arrow keys everywhere, a spoken caption, and the chosen step as a trait."""

from __future__ import annotations

from importlib import resources

import anywidget
import traitlets

from kubelab.stepper import html
from kubesim.net.trace import Trace


class Stepper(anywidget.AnyWidget):
    """`step` is the scene that is shown, from 0; set it, or observe it."""

    _esm = resources.files("kubelab.stepper").joinpath("stepper.js").read_text(encoding="utf-8")

    html = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    @classmethod
    def of(cls, trace: Trace, title: str = "") -> Stepper:
        """A stepper for one trace."""
        return cls(html=html.render(trace, title))
