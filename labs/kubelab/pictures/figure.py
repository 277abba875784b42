"""Graphviz' SVG as a figure that any page can hold.

Graphviz draws in black on white; in a dark page that vanishes.  Black becomes `currentColor`, so that lines and letters take
the colour of the text around them, and ids get a prefix, so that two figures on a page do not share them.  A figure has a
role, a title and a description; what it says is never said by colour alone.
"""

from __future__ import annotations

import re
from html import escape

from kubelab import figures
from kubesim.errors import LearnerError
from kubesim.fronts import pictures as graphviz

# Points to CSS pixels (CSS Values 4, 5.2): Graphviz measures in the former.
PIXELS = 4 / 3
# JupyterLab's variables where they are, the page's own colours elsewhere.
STYLE = "margin:8px 0 12px;overflow-x:auto;color:var(--jp-content-font-color1,inherit);background:transparent"

_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')
_SIZE = re.compile(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"')


def html(dot: str, *, title: str, description: str, fallback: str) -> str:
    """The DOT text drawn, as HTML; `fallback` (text) where there is no Graphviz of any kind."""
    try:
        svg = graphviz.svg(dot)
    except LearnerError as error:
        return (
            f'<figure class="kw-figure" style="{STYLE}"><pre>{escape(fallback)}</pre>'
            f"<figcaption>{escape(description)} <small>({escape(str(error))})</small></figcaption></figure>"
        )
    return f'<figure class="kw-figure" style="{STYLE}">{themed(svg, title=title, description=description)}</figure>'


def themed(svg: str, *, title: str, description: str) -> str:
    """An inline SVG in the page's own colours, described for those who do not see it."""
    me = figures.new_id("fig", svg + title + description)
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    # Graphviz titles each node and edge by its internal name: a tooltip that says nothing.
    svg = re.sub(r"<title>.*?</title>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<polygon fill="white" stroke="(?:none|white|transparent)" points="[^"]*"/>\s*', "", svg, count=1)
    svg = re.sub(r'(fill|stroke)="(?:black|#000000)"', r'\1="currentColor"', svg)
    svg = _ID.sub(lambda found: f'id="{me}_{found.group(1)}"', svg)
    svg = _REFERENCE.sub(lambda found: f"{found.group(1)}{me}_{found.group(2)}", svg)
    # Letters without a fill are black by SVG's own default.
    svg = re.sub(r"<text (?![^>]*fill=)", '<text fill="currentColor" ', svg)
    size = _SIZE.search(svg)
    width = round(float(size.group(1)) * PIXELS) if size else 0
    head = (
        f'<svg role="img" aria-labelledby="{me}_title {me}_desc" style="width:100%;max-width:{width}px;height:auto;display:block"'
        if width
        else f'<svg role="img" aria-labelledby="{me}_title {me}_desc"'
    )
    svg = _SIZE.sub(head, svg, count=1) if size else svg.replace("<svg", head, 1)
    return re.sub(
        r"(<svg[^>]*>)",
        lambda found: (
            f'{found.group(1)}<title id="{me}_title">{escape(title)}</title>'
            f'<desc id="{me}_desc">{escape(description)}</desc>'
        ),
        svg,
        count=1,
    )
