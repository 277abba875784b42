"""The stepper's markup: steps without scripts, speaks to everyone, asks nothing of the network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import lab_traces as traces
import pytest

from kubelab.stepper import html, scenes


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that what opens closes."""

    VOID = frozenset({"input", "br", "rect", "line", "circle"})

    def __init__(self):
        super().__init__()
        self.found = []
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(markup):
    reader = Reader()
    reader.feed(markup)
    assert reader.open == []
    return reader.found


@pytest.mark.parametrize("name", list(traces.ALL))
def test_a_radio_button_for_each_scene_and_the_first_is_chosen(name):
    trace = traces.ALL[name]()
    found = read(html.render(trace))
    radios = [attrs for tag, attrs in found if tag == "input" and attrs["type"] == "radio"]
    assert len(radios) == len(scenes.of(trace))
    assert ["checked" in attrs for attrs in radios].count(True) == 1
    assert "checked" in radios[0]
    assert len({attrs["name"] for attrs in radios}) == 1
    assert all(attrs["aria-label"].startswith("Step ") for attrs in radios)


@pytest.mark.parametrize("name", list(traces.ALL))
def test_no_script_and_nothing_from_elsewhere(name):
    markup = html.render(traces.ALL[name]())
    assert "<script" not in markup
    assert not re.search(r"https?://(?!www\.w3\.org)", markup)
    assert not re.search(r"\son\w+=", markup)


def test_two_steppers_of_the_same_trace_share_no_id():
    first = {attrs["id"] for _, attrs in read(html.render(traces.delivered())) if "id" in attrs}
    second = {attrs["id"] for _, attrs in read(html.render(traces.delivered())) if "id" in attrs}
    assert first
    assert first.isdisjoint(second)


def test_labels_and_descriptions_point_at_what_is_there():
    found = read(html.render(traces.delivered()))
    ids = {attrs["id"] for _, attrs in found if "id" in attrs}
    for _, attrs in found:
        for key in ("for", "aria-labelledby"):
            for each in attrs.get(key, "").split():
                assert each in ids
    assert any(tag == "svg" and attrs.get("role") == "img" for tag, attrs in found)
    assert any("aria-live" in attrs for _, attrs in found)


def test_what_a_rule_says_is_text_and_never_markup():
    import dataclasses

    whole = traces.rejected()
    hop = whole.hops[-1]
    nasty = dataclasses.replace(hop.steps[-1], rule='-A X --comment "<img src=x onerror=alert(1)>" -j REJECT')
    trace = dataclasses.replace(
        whole, hops=(*whole.hops[:-1], dataclasses.replace(hop, steps=(*hop.steps[:-1], nasty)))
    )
    assert "<img" not in html.render(trace)


def test_print_and_reduced_motion_are_thought_of():
    markup = html.render(traces.delivered())
    assert "@media print" in markup
    assert "prefers-reduced-motion" in markup
