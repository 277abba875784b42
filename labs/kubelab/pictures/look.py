"""What the drawings share: tones, letters, and how names and texts are written in DOT."""

from __future__ import annotations

# Middle tones that keep a contrast above 3:1 on white and on JupyterLab's dark ground: for lines, never for letters.
GOOD, BAD, CHANGE, QUIET = "#1f9254", "#d9534f", "#c8701e", "#808890"
# Graphviz measures with the first of these that it finds; the others are no wider, so that text stays in its box.
FONT = "DejaVu Sans,Verdana,Arial,sans-serif"


def identifier(kind: str, name: str) -> str:
    """A node's name.  Graphviz escapes `-` and `.` in the SVG's ids: so only letters, digits and `_`."""
    return kind + "_" + "".join(each if each.isascii() and each.isalnum() else f"_{ord(each):x}_" for each in name)


def quote(text: str) -> str:
    """A DOT string; newlines become line breaks."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
