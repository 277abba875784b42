"""What all figures share: ids that do not clash on a page, and how a rule is written.

A page may hold several notebooks, and a notebook the same figure twice; the ids of radio buttons, titles and clips must
differ in all of them.  They are made of what the figure shows and of how many this process has made, so that a notebook that
runs again gives the same bytes again.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from html import escape

_COUNTER = itertools.count(1)


def new_id(kind: str, content: str) -> str:
    """A fresh id for a figure, fit for HTML, CSS and DOT (letters, digits, `_`)."""
    return f"kw_{kind}_{hashlib.sha256(content.encode()).hexdigest()[:6]}_{next(_COUNTER)}"


def heading(html: str, level: int) -> str:
    """A heading that is one for a screen reader and none for JupyterLab, which would put an anchor into a real one, and the
    heading into the notebook's table of contents."""
    return f'<p class="kw-heading{level}" role="heading" aria-level="{level}">{html}</p>'


def rule_html(rule: str) -> str:
    """A rule's text as HTML, breakable before each match only, with its target emphasised."""
    parts = re.split(r" (?=-m |-[jg] |--dport )", rule)
    shown = " ".join(f"<span>{escape(part)}</span>" for part in parts)
    return re.sub(r"(-[jg] )([^\s<]+)", r"\1<b>\2</b>", shown)
