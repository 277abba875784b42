"""The widget behind `lab.terminal()`."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kubelab import figures
from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubelab.port import Port

HINT = "A terminal. Enter runs, Tab completes, the up arrow brings back, Escape lets go of the keyboard."


class Terminal(anywidget.AnyWidget):
    """A terminal at a place ("outside" or "node/NAME") of the port that a lab has *now*: a reset gives it another.

    Its shell is the one that `%%shell` cells use.
    """

    _esm = resources.files("kubelab.terminal").joinpath("terminal.js").read_text(encoding="utf-8")

    html = traitlets.Unicode().tag(sync=True)
    prompt = traitlets.Unicode().tag(sync=True)

    def __init__(self, port: Callable[[], Port], place: str) -> None:
        self._find = port
        self._place = place
        super().__init__(html=_markup(place), prompt=port().prompt(place))
        self.on_msg(self._told)

    @property
    def _port(self) -> Port:
        return self._find()

    def _told(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        if "complete" in message:
            line = str(message["complete"])
            self.send({"line": line, "completions": self._port.completions(self._place, line)})
        elif "run" in message:
            self.send(self._run(str(message["run"])))

    def _run(self, line: str) -> dict[str, Any]:
        if not self._port.is_whole(self._place, line):
            return {"more": True}

        def tell(stream: str, text: str) -> None:
            self.send({"stream": stream, "text": text})

        try:
            self._port.run(self._place, line, tell)
        except LearnerError as error:
            tell("err", f"{error}\n")
        self._port.settle()
        self.prompt = self._port.prompt(self._place)
        return {
            "done": True,
            "prompt": self.prompt,
            "clear": line.strip() == "clear",
        }


def _markup(place: str) -> str:
    me = figures.new_id("terminal", place)
    return (
        f'<div class="kw-terminal" id="{me}" role="group" aria-label="Terminal, {escape(place)}">'
        f"<style>{_sheet().replace('#KW', f'#{me}')}</style>"
        f'<div class="kw-log" role="log" aria-live="polite" tabindex="-1"></div>'
        f'<form><label class="kw-prompt" for="{me}_line"></label><input id="{me}_line" type="text" autocomplete="off" '
        f'autocapitalize="off" spellcheck="false" title="{escape(HINT)}" aria-description="{escape(HINT)}"></form></div>'
    )


@cache
def _sheet() -> str:
    text = resources.files("kubelab.terminal").joinpath("terminal.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", text)
