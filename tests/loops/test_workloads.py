"""Deployments, ReplicaSets, DaemonSets, and what belongs to what."""

from __future__ import annotations

from typing import Any

from looplab import Lab

from kubesim.machinery import objects


def image(name: str) -> Any:
    return lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image=name)


def replica_sets(lab: Lab, name: str) -> dict[str, int]:
    """Revision of each ReplicaSet: its replicas."""
    return {
        objects.annotations(each)["deployment.kubernetes.io/revision"]: each["spec"]["replicas"]
        for each in lab.api.list("replicasets.apps", "default")
        if (objects.owner(each) or {}).get("name") == name
    }


def test_a_deployment_makes_and_reports_its_pods(kind: Lab) -> None:
    kind.deployment("web", replicas=3)
    kind.settle()
    web = kind.get("deployments.apps", "web")
    assert {key: value for key, value in web["status"].items() if key != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "terminatingReplicas": 0,
    }
    assert [(each["type"], each["reason"]) for each in web["status"]["conditions"]] == [
        ("Available", "MinimumReplicasAvailable"),
        ("Progressing", "NewReplicaSetAvailable"),
    ]
    (owned,) = kind.api.list("replicasets.apps", "default")
    hashed = objects.labels(owned)["pod-template-hash"]
    assert objects.name(owned) == f"web-{hashed}"
    assert all(objects.name(each).startswith(f"web-{hashed}-") for each in kind.pods("web"))
    assert kind.events("web") == [f"ScalingReplicaSet: Scaled up replica set web-{hashed} from 0 to 3"]
    nodes = {each["spec"]["nodeName"] for each in kind.pods("web")}
    assert nodes == {"kind-worker", "kind-worker2"}


def test_a_rolling_update_keeps_enough_pods_and_not_too_many(kind: Lab) -> None:
    kind.deployment("web", replicas=4)
    kind.settle()
    kind.change("deployments.apps", "web", image("nginx:1.27"))
    ready, all_of_them = [], []
    while kind.busy():
        kind.cluster.step()
        if kind.world._ready:
            # Within an instant the old ReplicaSet's controller may come after the new one's.
            continue
        live = [each for each in kind.pods("web") if not objects.deleting(each)]
        all_of_them.append(len(live))
        ready.append(sum(each["status"].get("phase") == "Running" for each in live))
    assert min(ready) >= 3  # maxUnavailable 25% of 4
    assert max(all_of_them) <= 5  # maxSurge 25% of 4
    assert replica_sets(kind, "web") == {"1": 0, "2": 4}


def test_going_back_makes_the_old_template_a_new_revision(kind: Lab) -> None:
    kind.deployment("web")
    kind.settle()
    kind.change("deployments.apps", "web", image("nginx:1.27"))
    kind.settle()
    kind.change("deployments.apps", "web", image("nginx"))
    kind.settle()
    assert replica_sets(kind, "web") == {"2": 0, "3": 1}
    web = kind.get("deployments.apps", "web")
    assert objects.annotations(web)["deployment.kubernetes.io/revision"] == "3"


def test_a_rollout_that_gets_nowhere_stops_and_then_says_so(kind: Lab) -> None:
    kind.deployment("web", replicas=4, progressDeadlineSeconds=60)
    kind.settle()
    kind.change("deployments.apps", "web", image("nginks"))
    kind.settle()
    assert replica_sets(kind, "web") == {"1": 3, "2": 2}
    assert kind.condition("deployments.apps", "web", "Available")["status"] == "True"
    kind.cluster.advance(70)
    condition = kind.condition("deployments.apps", "web", "Progressing")
    assert (condition["status"], condition["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert condition["message"].endswith("has timed out progressing.")


def test_recreate_waits_until_the_old_are_gone(kind: Lab) -> None:
    kind.deployment("web", replicas=2, strategy={"type": "Recreate"})
    kind.settle()
    kind.change("deployments.apps", "web", image("nginx:1.27"))
    seen = set()
    while kind.busy():
        kind.cluster.step()
        seen.add(frozenset(each["spec"]["containers"][0]["image"] for each in kind.pods("web")))
    assert frozenset(("nginx", "nginx:1.27")) not in seen
    assert replica_sets(kind, "web") == {"1": 0, "2": 2}


def test_a_paused_deployment_scales_and_does_not_roll(kind: Lab) -> None:
    kind.deployment("web")
    kind.settle()
    kind.change("deployments.apps", "web", lambda obj: obj["spec"].update(paused=True))
    kind.change("deployments.apps", "web", image("nginx:1.27"))
    kind.change("deployments.apps", "web", lambda obj: obj["spec"].update(replicas=3))
    kind.settle()
    assert replica_sets(kind, "web") == {"1": 3}
    assert kind.condition("deployments.apps", "web", "Progressing")["reason"] == "DeploymentPaused"
    kind.change("deployments.apps", "web", lambda obj: obj["spec"].pop("paused"))
    kind.settle()
    assert replica_sets(kind, "web") == {"1": 0, "2": 3}


def test_a_pod_that_is_killed_comes_back_under_another_name(kind: Lab) -> None:
    kind.deployment("web", replicas=2)
    kind.settle()
    before = {objects.name(each) for each in kind.pods("web")}
    kind.api.delete("pods", min(before), "default")
    kind.settle()
    after = {objects.name(each) for each in kind.pods("web")}
    assert len(after) == 2
    assert len(before & after) == 1


def test_a_relabelled_pod_is_released_and_replaced(kind: Lab) -> None:
    kind.deployment("web")
    kind.settle()
    name = objects.name(kind.pods("web")[0])
    kind.change("pods", name, lambda obj: obj["metadata"]["labels"].update(app="debug"))
    kind.settle()
    assert objects.owner(kind.get("pods", name)) is None
    assert len(kind.pods("web")) == 1


def test_deleting_an_owner(kind: Lab) -> None:
    for name, propagation in (("back", "Background"), ("fore", "Foreground"), ("orphan", "Orphan")):
        kind.deployment(name)
        kind.settle()
        kind.api.delete("deployments.apps", name, "default", propagation=propagation)
        if propagation == "Foreground":
            assert kind.get("deployments.apps", name)["metadata"]["finalizers"] == ["foregroundDeletion"]
        kind.settle()
        assert kind.find("deployments.apps", name) is None
    left = kind.api.list("replicasets.apps", "default")
    assert [each["spec"]["selector"]["matchLabels"]["app"] for each in left] == ["orphan"]
    assert objects.owner(left[0]) is None
    assert [objects.labels(each)["app"] for each in kind.pods()] == ["orphan"]


def test_a_namespace_goes_with_all_that_is_in_it(kind: Lab) -> None:
    kind.api.create("namespaces", {"metadata": {"name": "demo"}})
    kind.settle()
    assert kind.names("serviceaccounts", "demo") == ["default"]
    assert kind.names("configmaps", "demo") == ["kube-root-ca.crt"]
    kind.apply("configmaps", {"metadata": {"name": "conf", "namespace": "demo"}})
    kind.apply(
        "pods",
        {"metadata": {"name": "web", "namespace": "demo"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
    )
    kind.settle()
    kind.api.delete("namespaces", "demo")
    assert kind.get("namespaces", "demo", "")["status"]["phase"] == "Terminating"
    kind.settle()
    assert kind.find("namespaces", "demo", "") is None
    assert not kind.api.list("pods", "demo")
    assert not kind.api.list("configmaps", "demo")


def test_a_daemonset_has_a_pod_on_every_node_that_lets_it(kind: Lab) -> None:
    template = {"metadata": {"labels": {"app": "ds"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    kind.apply(
        "daemonsets.apps",
        {"metadata": {"name": "ds"}, "spec": {"selector": {"matchLabels": {"app": "ds"}}, "template": template}},
    )
    kind.settle()
    assert sorted(each["spec"]["nodeName"] for each in kind.pods("ds")) == ["kind-worker", "kind-worker2"]
    kind.change("daemonsets.apps", "ds", image("nginx:1.27"))
    kind.settle()
    assert {each["spec"]["containers"][0]["image"] for each in kind.pods("ds")} == {"nginx:1.27"}
    assert sorted(each["revision"] for each in kind.api.list("controllerrevisions.apps", "default")) == [1, 2]
    status = kind.get("daemonsets.apps", "ds")["status"]
    assert (status["desiredNumberScheduled"], status["numberReady"], status["updatedNumberScheduled"]) == (2, 2, 2)
    kind.change("nodes", "kind-worker", lambda obj: obj["metadata"]["labels"].update(x="y"), "")
    kind.change("daemonsets.apps", "ds", lambda obj: obj["spec"]["template"]["spec"].update(nodeSelector={"x": "y"}))
    kind.settle()
    assert [each["spec"]["nodeName"] for each in kind.pods("ds")] == ["kind-worker"]


def test_a_replication_controller_keeps_its_number(kind: Lab) -> None:
    template = {"metadata": {"labels": {"app": "rc"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    kind.apply("replicationcontrollers", {"metadata": {"name": "rc"}, "spec": {"replicas": 2, "template": template}})
    kind.settle()
    assert kind.get("replicationcontrollers", "rc")["status"]["readyReplicas"] == 2
    kind.change("replicationcontrollers", "rc", lambda obj: obj["spec"].update(replicas=1))
    kind.settle()
    assert len(kind.pods("rc")) == 1


def test_a_statefulset_counts_up_and_down_in_order(kind: Lab) -> None:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    kind.apply(
        "statefulsets.apps",
        {
            "metadata": {"name": "db"},
            "spec": {
                "replicas": 3,
                "serviceName": "db",
                "selector": {"matchLabels": {"app": "db"}},
                "template": template,
            },
        },
    )
    kind.cluster.advance(0.5)
    assert kind.names("pods") == ["db-0"]
    kind.settle()
    assert kind.names("pods") == ["db-0", "db-1", "db-2"]
    assert kind.events("db") == [
        f"SuccessfulCreate: Create Pod db-{number} in StatefulSet db successful" for number in range(3)
    ]
    spec = kind.get("pods", "db-1")["spec"]
    assert (spec["hostname"], spec["subdomain"]) == ("db-1", "db")
    began = {each: objects.uid(kind.get("pods", each)) for each in kind.names("pods")}
    kind.change("statefulsets.apps", "db", lambda obj: obj["spec"].update(replicas=2))
    kind.settle()
    kind.change("statefulsets.apps", "db", image("nginx:1.27"))
    seen = []
    while kind.busy():
        kind.cluster.step()
        seen += [each for each in ("db-0", "db-1") if each not in kind.names("pods")]
    assert list(dict.fromkeys(seen)) == ["db-1", "db-0"]
    assert not {objects.uid(each) for each in kind.pods("db")} & set(began.values())
    status = kind.get("statefulsets.apps", "db")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    return {
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}, **spec},
    }


def test_a_job_runs_until_enough_have_succeeded(kind: Lab) -> None:
    kind.apply(
        "jobs.batch", job("sum", "echo $JOB_COMPLETION_INDEX", completions=3, parallelism=2, completionMode="Indexed")
    )
    kind.settle()
    status = kind.get("jobs.batch", "sum")["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert kind.events("sum")[-1] == "Completed: Job completed"
    assert {each["status"]["phase"] for each in kind.pods()} == {"Succeeded"}


def test_a_job_that_fails_too_often_gives_up(kind: Lab) -> None:
    kind.apply("jobs.batch", job("bad", "exit 1", backoffLimit=2))
    kind.settle()
    status = kind.get("jobs.batch", "bad")["status"]
    assert status["failed"] == 3
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"


def test_a_jobs_pods_are_held_until_they_are_counted(kind: Lab) -> None:
    kind.apply("jobs.batch", job("sum", "sleep 20"))
    kind.cluster.advance(10)
    (pod,) = kind.api.list("pods", "default")
    assert pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    kind.cluster.advance(20)
    (pod,) = kind.api.list("pods", "default")
    assert pod["status"]["phase"] == "Succeeded"
    assert "finalizers" not in pod["metadata"]


def test_pods_of_a_deleted_job_go(kind: Lab) -> None:
    kind.apply("jobs.batch", job("sum", "sleep 1000"))
    kind.cluster.advance(10)
    kind.api.delete("jobs.batch", "sum", "default", propagation="Background")
    kind.cluster.advance(60)
    assert kind.api.list("pods", "default") == []


def test_a_running_pod_of_a_job_can_be_deleted(kind: Lab) -> None:
    kind.apply("jobs.batch", job("sum", "sleep 1000"))
    kind.cluster.advance(10)
    (first,) = kind.api.list("pods", "default")
    kind.api.delete("pods", first["metadata"]["name"], "default", grace_period_seconds=1)
    kind.cluster.advance(60)
    assert kind.api.list("pods", "default")[0]["metadata"]["name"] != first["metadata"]["name"]
