"""The card that asks, as HTML: live with choices and buttons, or still, with the words to type."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from kubelab import display, figures

if TYPE_CHECKING:
    from kubelab.exercises import Drawn


def still(drawn: Drawn) -> str:
    """The card for a page that nobody answers: it says what to type."""
    choices = drawn.exercise.choices
    rows = "".join(
        f"<tr><th scope='row'><code>{escape(name)}</code></th><td>{escape(meaning)}</td></tr>"
        for name, meaning in choices.items()
    )
    table = f'<table class="kw-choices"><tbody>{rows}</tbody></table>' if rows else ""
    return _card(drawn, f"{table}{_how(drawn)}")


def live(drawn: Drawn) -> str:
    """The card with choices, a line or a button, that the widget listens to; `.kw-told` takes what is said to it."""
    me = figures.new_id("question", str(drawn))
    exercise = drawn.exercise
    if not exercise.is_question:
        form = _buttons("Check")
    elif exercise.choices:
        boxes = "".join(
            f'<label class="kw-choice"><input type="radio" name="{me}" value="{escape(name)}"> '
            f"<span><b><code>{escape(name)}</code></b> {escape(meaning)}</span></label>"
            for name, meaning in exercise.choices.items()
        )
        form = f'<fieldset><legend class="kw-hidden">Your answer</legend>{boxes}</fieldset>{_buttons("Answer")}'
    else:
        form = (
            f'<p class="kw-free"><label for="{me}_line">Your answer</label> <input type="text" id="{me}_line" '
            f'autocomplete="off" autocapitalize="off" spellcheck="false"></p>{_buttons("Answer")}'
        )
    return _card(
        drawn, f'<form class="kw-form">{form}</form>{_how(drawn)}<div class="kw-told" aria-live="polite"></div>'
    )


def _buttons(first: str) -> str:
    return (
        f'<p class="kw-buttons"><button type="submit" class="kw-first">{first}</button>'
        '<button type="button" data-ask="hint">Hint</button>'
        '<button type="button" data-ask="show">Show me</button></p>'
    )


def _how(drawn: Drawn) -> str:
    return f'<p class="kw-soft kw-how">{_code(drawn.how())} With <code>x = lab.exercise({drawn.seed})</code> it comes again.</p>'


def _card(drawn: Drawn, body: str) -> str:
    head = figures.heading(
        f'{escape(drawn.exercise.title)}<span class="kw-points">exercise {drawn.seed}</span>',
        4,
    )
    inner = f'{head}<div class="kw-asks">{_markdown(drawn.exercise.asks)}</div>{body}'
    return display.card(inner, "kw-card kw-question", more=_sheet())


def _code(text: str) -> str:
    """A sentence with its calls set as code."""
    return re.sub(r"x\.\w+\(.*?\)", lambda found: f"<code>{found.group(0)}</code>", escape(text, quote=False))


@cache
def _renderer() -> Callable[[str], Any]:
    import mistune

    return mistune.create_markdown(escape=True, plugins=["table"])


def _markdown(text: str) -> str:
    return str(_renderer()(text))


@cache
def _sheet() -> str:
    text = resources.files("kubelab.question").joinpath("question.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", text)
