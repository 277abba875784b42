"""Graphviz' drawings as figures for a page."""

from __future__ import annotations

import re

import pytest

from kubelab.pictures import cluster_map, figure
from kubesim.errors import LearnerError
from kubesim.fronts import pictures as graphviz

SVG = """<?xml version="1.0"?>
<!DOCTYPE svg>
<!-- made by graphviz -->
<svg width="72pt" height="36pt" viewBox="0 0 72 36" xmlns="http://www.w3.org/2000/svg">
<g id="graph0" class="graph"><title>G</title>
<polygon fill="white" stroke="none" points="0,0 72,0 72,36 0,36"/>
<g id="node1" class="node"><title>a</title><path fill="none" stroke="black" d="M0 0"/><text x="1" y="2">a</text></g>
<use href="#node1"/></g></svg>"""


def test_black_takes_the_colour_of_the_page():
    drawn = figure.themed(SVG, title="T", description="D")
    assert 'stroke="currentColor"' in drawn
    assert '<text fill="currentColor"' in drawn
    assert "black" not in drawn
    assert "white" not in drawn


def test_it_has_a_role_a_title_and_a_description_and_no_prolog():
    drawn = figure.themed(SVG, title="A <way>", description="It went & came")
    assert drawn.startswith('<svg role="img" aria-labelledby="')
    assert drawn.count("<title") == 1
    assert "A &lt;way&gt;</title>" in drawn
    assert "It went &amp; came</desc>" in drawn
    assert "max-width:96px" in drawn


def test_ids_have_a_prefix_of_their_own_and_references_follow():
    first, second = (figure.themed(SVG, title="T", description="D") for _ in range(2))
    ids = set(re.findall(r'id="([^"]+)"', first))
    assert ids.isdisjoint(re.findall(r'id="([^"]+)"', second))
    assert re.search(r'href="#([^"]+)"', first).group(1) in ids


def test_without_graphviz_the_text_stands_in(monkeypatch):
    def none(source):
        raise LearnerError("no Graphviz here to draw with", "Install it")

    monkeypatch.setattr(graphviz, "svg", none)
    shown = figure.html("digraph {}", title="T", description="D", fallback="client -> web")
    assert "client -&gt; web" in shown
    assert "Install it" in shown


def pod(name, address, node, ready=True, **labels):
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": node},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


SERVICE = {
    "metadata": {"name": "web"},
    "spec": {
        "type": "ClusterIP",
        "clusterIP": "10.96.44.12",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": 8080}],
    },
}


def slice_of(*endpoints):
    return {
        "metadata": {"name": "web-x7k2p", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address, ready in endpoints],
    }


PODS = [
    pod("web-a", "10.244.1.6", "kind-worker", app="web"),
    pod("web-b", "10.244.2.7", "kind-worker2", ready=False, app="web"),
    pod("client", "10.244.1.5", "kind-worker", app="client"),
]


def test_the_map_goes_from_service_through_slice_to_the_pods_of_each_node():
    dot = cluster_map.dot([SERVICE], [slice_of(("10.244.1.6", True), ("10.244.2.7", False))], PODS)
    assert 'svc_web -> slice_web_2d_x7k2p [label="app=web"]' in dot
    assert "slice_web_2d_x7k2p -> pod_web_2d_a" in dot
    assert re.search(r'-> pod_web_2d_b \[.*label="not ready"', dot)
    assert re.findall(r"-> pod_client .*", dot) == ["-> pod_client [style=invis, weight=0];"]
    assert 'label="node kind-worker2"' in dot


def test_the_map_in_words_says_who_is_behind_the_service():
    text = cluster_map.text([SERVICE], [slice_of(("10.244.1.6", True), ("10.244.2.7", False))], PODS)
    assert "Service web (app=web): 10.244.1.6, 10.244.2.7 (not ready)." in text
    assert "no endpoints" in cluster_map.text([SERVICE], [slice_of()], [])


@pytest.mark.parametrize("slices", [[], [slice_of()], [slice_of(("10.244.9.9", True))]])
def test_graphviz_accepts_every_map(slices):
    shown = figure.html(cluster_map.dot([SERVICE], slices, PODS), title="T", description="D", fallback="")
    assert shown.count("<svg") == 1
    assert "10.96.44.12" in shown
