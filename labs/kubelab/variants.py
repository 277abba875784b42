"""Variants: words and numbers of a lab that each student has for themselves.

`lab.yaml` lists what a key may be:

    variants:
      morning: [80, 7001, 7013]

and `${morning}` stands in the lab's manifests, tasks, hints and states in place of one of them.  Without a student it is the
first of the list: what a learner at home sees, what the source notebook is written for, and what `kubegrade prove` proves.  With
one it is drawn from lab, student and key, the same each time.  Checks read it from their subject: `subject.variant["morning"]`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Whose notebook this is, in a class where each has a variant of their own.
STUDENT = "KUBEWALK_STUDENT"

_KEY = re.compile(r"\$\{(\w+)\}")


def draw(lab: str, variants: Mapping[str, Sequence[Any]], student: str = "") -> dict[str, str]:
    """The value of each key, as text: that student's, or the first without one."""
    if not student:
        return {key: str(values[0]) for key, values in variants.items()}
    return {key: str(random.Random(f"{lab}/{student}/{key}").choice(values)) for key, values in variants.items()}


def fill(text: str, variant: Mapping[str, str]) -> str:
    """The text with each `${key}` that is one of the variant's in its place; a shell's own `${...}` stay."""
    return _KEY.sub(lambda found: variant.get(found[1], found[0]), text)


def fill_all(value: Any, variant: Mapping[str, str]) -> Any:
    """The same for all texts of a value that YAML can hold."""
    if isinstance(value, str):
        return fill(value, variant)
    if isinstance(value, list):
        return [fill_all(each, variant) for each in value]
    if isinstance(value, dict):
        return {key: fill_all(each, variant) for key, each in value.items()}
    return value
