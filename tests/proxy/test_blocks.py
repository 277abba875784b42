"""Texts in the order of their keys, in blocks: as a sorted dict, and the blocks that did not change are the same strings."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from kubesim.proxy import blocks

changes = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", "a\n", "b\n"])), max_size=200)


@settings(deadline=None)
@given(changes)
def test_blocks_are_a_sorted_mapping(changes):
    made, plain = blocks.Blocks(), {}
    size, blocks.SIZE = blocks.SIZE, 4
    try:
        for key, text in changes:
            made.put(key, text and f"{key} {text}")
            plain.pop(key, None)
            if text:
                plain[key] = f"{key} {text}"
            assert "".join(made.pieces()) == "".join(plain[each] for each in sorted(plain))
    finally:
        blocks.SIZE = size


def test_a_change_makes_one_block_anew():
    made = blocks.Blocks()
    keys = list(range(5000))
    random.Random(1).shuffle(keys)
    for key in keys:
        made.put(key, f"{key}\n")
    before = made.pieces()
    made.put(2500, "other\n")
    after = made.pieces()
    assert len(before) == len(after) > 30
    assert sum(one is not other for one, other in zip(before, after, strict=True)) == 1
