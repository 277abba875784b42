"""The timeline: who did what, in the order of its happening, read from the API alone."""

from __future__ import annotations

import re

import pytest

import kubelab
from kubelab import resources
from kubelab.timeline import history, telling


@pytest.fixture
def lab():
    return kubelab.open("02-clusterip")


def told(timeline):
    """Who, to what kind, did what: without the names that dice made."""
    return [
        (row.who, row.on[0].partition(" ")[0], re.sub(r"10\.244\.\d+\.\d+", "IP", row.what)) for row in timeline.rows
    ]


def test_scaling_goes_from_loop_to_loop(lab):
    lab.shell("kubectl expose deployment web --port=80 --target-port=8080")
    lab.shell("kubectl scale deployment web --replicas=2")
    rows = told(lab.timeline())
    assert rows[:3] == [
        ("you", "Deployment", ".spec.replicas 1 → 2"),
        ("deployment-controller", "ReplicaSet", ".spec.replicas 1 → 2"),
        ("replicaset-controller", "Pod", "made it"),
    ]
    order = [
        ("default-scheduler", "Pod"),
        ("kubelet", "started its container"),
        ("kubelet", "says it is ready"),
        ("endpointslice-controller", "marked IP ready"),
    ]
    at = [
        next(number for number, row in enumerate(rows) if row[0].startswith(who) and what in row) for who, what in order
    ]
    assert at == sorted(at)
    assert rows[-1] == ("deployment-controller", "Deployment", "counts 2 of 2 ready")


def test_a_selector_that_misses_empties_the_slice(lab):
    lab.shell("kubectl expose deployment web --port=80 --target-port=8080")
    lab.shell("""kubectl patch service web -p '{"spec":{"selector":{"app":"wbe"}}}'""")
    timeline = lab.timeline()
    assert told(timeline) == [
        ("you", "Service", ".spec.selector.app web → wbe"),
        ("endpointslice-controller", "EndpointSlice", "took IP out, port 8080 → none"),
    ]
    assert timeline.rows[0].tool == "kubectl patch"
    assert "you, with kubectl patch" in str(timeline)


def test_who_deletes_is_not_known_and_what_follows_is(lab):
    lab.shell("kubectl delete pod -l app=web")
    timeline = lab.timeline()
    assert told(timeline)[:2] == [("somebody", "Pod", "asked it to end"), ("replicaset-controller", "Pod", "made it")]
    assert "not written down" in str(timeline)
    lab.shell("kubectl scale deployment web --replicas=0")
    assert [row[:2] for row in told(lab.timeline())][:3] == [
        ("you", "Deployment"),
        ("deployment-controller", "ReplicaSet"),
        ("replicaset-controller", "Pod"),
    ]
    assert "somebody" not in str(lab.timeline())


def test_everything_begins_with_the_labs_own_objects(lab):
    acts = lab.timeline(everything=True).acts
    assert acts[0][0].on == ("Deployment web",)
    assert len(acts) == 1
    lab.cluster.CoreV1Api().patch_namespaced_service  # the official client is a tool as any other
    lab.core.create_namespaced_config_map("default", {"metadata": {"name": "unseen"}})
    lab.core.create_namespaced_service("default", {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}})
    assert [(row.who, row.tool) for row in lab.timeline().rows] == [("you", "Python")]


def test_times_never_go_back(lab):
    lab.shell("kubectl scale deployment web --replicas=3")
    times = [row.time for row in lab.timeline(everything=True).rows if row.time]
    assert times == sorted(times)


def test_what_the_server_has_forgotten_is_said(lab):
    lab.port.cluster.store.compact()
    lab.shell("kubectl expose deployment web --port=80 --target-port=8080")
    assert "still knows of. The API server has forgotten" in str(lab.timeline())
    lab.shell("kubectl scale deployment web --replicas=2")
    assert told(lab.timeline())[0] == ("you", "Deployment", ".spec.replicas 1 → 2")


def test_a_reset_begins_another_history(lab):
    lab.shell("kubectl delete deployment web")
    lab.timeline()
    lab.reset()
    assert lab.timeline().rows[0].on == ("Deployment web",)


def test_the_page_says_who_in_each_row(lab):
    lab.shell("kubectl scale deployment web --replicas=2")
    page = lab.timeline()._repr_mimebundle_()["text/html"]
    assert page.count('<th scope="row">') == len(lab.timeline().rows)
    assert '<span class="kw-hidden">' in page
    assert page.count('aria-hidden="true"') == len(lab.timeline().rows) + 1


def test_a_write_in_the_same_second_is_still_told_by_its_part():
    def version(revision, ready):
        return {
            "kind": "Deployment",
            "metadata": {
                "name": "web",
                "resourceVersion": str(revision),
                "managedFields": [
                    {"manager": "kubectl-create", "time": "2026-01-01T00:00:00Z"},
                    {"manager": "kube-controller-manager", "subresource": "status", "time": "2026-01-01T00:00:00Z"},
                ],
            },
            "spec": {"replicas": 2},
            "status": {"readyReplicas": ready},
        }

    (row,) = telling.rows([history.Change(2, version(1, 0), version(2, 1))])
    assert (row.who, row.what) == ("deployment-controller", "counts 1 of 2 ready")


def test_a_cluster_of_2020_has_no_slices_and_is_drawn_all_the_same():
    from kubelab.embedded import Embedded

    port = Embedded("vagrant", 1)
    port.run_outside("kubectl create deployment web --image=nginx; kubectl expose deployment web --port=80")
    port.settle()
    (found,) = [each for each in resources.slices(port) if each["metadata"]["name"].startswith("web")]
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert len(found["endpoints"]) == 1
    assert telling.rows(history.History().read(port))
