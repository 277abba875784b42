"""Columns of text: Go's text/tabwriter, left-aligned and padded with spaces.

A cell ends at a tab; what follows the last tab of a line belongs to no column.  A column is a run of neighbouring lines that
have a cell there, and as wide as its widest cell.
"""

from __future__ import annotations


def align(text: str, minimum: int = 0, padding: int = 2, remembered: list[int] | None = None) -> str:
    """The text with its tabs made columns.  `remembered` keeps widths between calls (kubectl's watch)."""
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _block(lines, 0, len(lines), [], minimum, padding, out, remembered)
    return "\n".join(out)


def table(rows: list[list[str]], remembered: list[int] | None = None) -> str:
    """Rows as `kubectl get` prints them: columns at least 6 wide and 3 apart (cli-runtime printers.GetNewTabWriter)."""
    if not rows:
        return ""
    return align("".join("\t".join(row) + "\n" for row in rows), 6, 3, remembered)


def _block(
    lines: list[list[str]],
    first: int,
    last: int,
    widths: list[int],
    minimum: int,
    padding: int,
    out: list[str],
    remembered: list[int] | None,
) -> None:
    column = len(widths)
    at = first
    while at < last:
        if column >= len(lines[at]) - 1:
            out.append(_line(lines[at], widths))
            at += 1
            continue
        start, width = at, minimum
        while at < last and column < len(lines[at]) - 1:
            width = max(width, len(lines[at][column]) + padding)
            at += 1
        if remembered is not None:
            if column < len(remembered):
                width = remembered[column] = max(width, remembered[column])
            else:
                remembered.append(width)
        _block(lines, start, at, [*widths, width], minimum, padding, out, remembered)


def _line(cells: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(widths[index]) if index < len(widths) else cell for index, cell in enumerate(cells)]
    return "".join(padded)
