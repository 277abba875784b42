"""Pages for students and teachers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kubegrade.report import Report


def page(report: Report) -> str:
    return ""


def class_pages(folder: Path, reports: Sequence[Report]) -> None:
    return None
