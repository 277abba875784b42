"""Progress bars, for what takes longer than a second.

A quick thing shows nothing.  In a notebook the bar is a `<progress>` with words beside it, which goes away at the end; at a
terminal it is a line that is written over; elsewhere (a batch, a file) there is none.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from html import escape

from kubelab import display

# What people wait for without asking themselves whether it still works, in seconds.
UNNOTICED = 1.0
# How often the words change at most, in seconds: a screen reader reads each out.
APART = 0.4

Step = Callable[..., None]


@contextlib.contextmanager
def bar(title: str, total: int = 0) -> Iterator[Step]:
    """Give a `step(what, done=None)` to call as the work goes on: `what` is happening, `done` of `total` are behind."""
    shown = _Bar(title, total)
    try:
        yield shown.step
    finally:
        shown.close()


class _Bar:
    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._begun = time.monotonic()
        self._last = 0.0
        self._done = 0
        self._page: object = None
        self._line = 0

    def step(self, what: str, done: int | None = None) -> None:
        now = time.monotonic()
        self._done = self._done + 1 if done is None else done
        if now - self._begun < UNNOTICED or now - self._last < APART:
            return
        self._last = now
        if display.in_kernel():
            self._show(html(self._title, what, self._done, self._total))
        elif sys.stderr.isatty():
            text = f"{self._title}: {what}" + (f" ({self._done} of {self._total})" if self._total else "")
            sys.stderr.write(f"\r{text[:100]:{self._line}}")
            sys.stderr.flush()
            self._line = len(text[:100])

    def _show(self, page: str) -> None:
        from IPython.display import HTML
        from IPython.display import display as show

        if self._page is None:
            self._page = show(HTML(page), display_id=True)
        else:
            self._page.update(HTML(page))  # type: ignore[attr-defined]

    def close(self) -> None:
        if self._page is not None:
            from IPython.display import HTML

            self._page.update(HTML(""))  # type: ignore[attr-defined]
        if self._line:
            sys.stderr.write(f"\r{'':{self._line}}\r")


def html(title: str, what: str, done: int, total: int) -> str:
    """The bar as HTML."""
    how_far = f' value="{min(done, total)}" max="{total}"' if total else ""
    said = f"{done} of {total}, {what}" if total else what
    return display.card(
        f'<p role="status"><b>{escape(title)}</b> <span class="kw-soft">{escape(said)}</span></p>'
        f'<progress{how_far} aria-label="{escape(title)}"></progress>',
        "kw-card",
    )
