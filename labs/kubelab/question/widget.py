"""The live card of an exercise: choices to click, and what is said to them."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from kubelab import display
from kubelab.question import html
from kubesim.errors import LearnerError

if TYPE_CHECKING:
    from kubelab.exercises import Drawn


class Question(anywidget.AnyWidget):
    """The card of one exercise.  A click does what `x.answer(...)`, `x.check()`, `x.hint()` and `x.show_me()` do."""

    _esm = resources.files("kubelab.question").joinpath("question.js").read_text(encoding="utf-8")

    html = traitlets.Unicode().tag(sync=True)

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn
        super().__init__(html=html.live(drawn))
        self.on_msg(self._told)

    def _told(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        self.send({"told": self._say(message)})

    def _say(self, message: dict[str, Any]) -> str:
        """What is shown for a click: HTML."""
        drawn = self._drawn
        try:
            if message.get("ask") == "hint":
                return display.card(f'<p class="kw-message">{escape(drawn.hint())}</p>', "kw-card")
            if message.get("ask") == "show":
                view = drawn.show_me()
            elif not drawn.exercise.is_question:
                view = drawn.check()
            elif not str(message.get("answer", "")).strip():
                return display.card('<p class="kw-message">First choose an answer, or write one.</p>', "kw-card")
            else:
                view = drawn.answer(message["answer"])
        except LearnerError as error:
            return display.card(f"<pre>{escape(str(error))}</pre>", "kw-card kw-fail")
        return str(view._repr_mimebundle_()["text/html"])
