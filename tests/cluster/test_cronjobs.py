"""Jobs at times."""

from __future__ import annotations

from kubesim.cluster import Cluster

CRON = "kubectl create cronjob hi --image=busybox --schedule='* * * * *' -- "


def test_a_job_a_minute_and_the_last_three_kept(cluster: Cluster) -> None:
    cluster.shell(CRON + "echo hello")
    cluster.advance(330)
    jobs = cluster.shell("kubectl get jobs --no-headers | awk '{print $2, $3}'").stdout
    assert jobs == "Complete 1/1\n" * 3
    assert cluster.shell("kubectl logs $(kubectl get pods -o name | tail -1)").stdout == "hello\n"
    status = "{.status.active}|{.status.lastScheduleTime}|{.status.lastSuccessfulTime}"
    active, scheduled, succeeded = cluster.shell(f"kubectl get cronjob hi -o jsonpath='{status}'").stdout.split("|")
    assert active == ""
    assert scheduled == "2026-11-02T08:05:00Z" <= succeeded


def test_forbid_waits_for_the_one_before(cluster: Cluster) -> None:
    cluster.shell(CRON + "sleep 1000")
    cluster.shell("""kubectl patch cronjob hi -p '{"spec":{"concurrencyPolicy":"Forbid"}}'""")
    cluster.advance(300)
    assert len(cluster.shell("kubectl get jobs --no-headers").stdout.splitlines()) == 1
    assert "JobAlreadyActive" in cluster.shell("kubectl get events").stdout


def test_suspended_it_starts_nothing(cluster: Cluster) -> None:
    cluster.shell(CRON + "echo hello")
    cluster.shell("""kubectl patch cronjob hi -p '{"spec":{"suspend":true}}'""")
    cluster.advance(300)
    assert cluster.shell("kubectl get jobs").stderr == "No resources found in default namespace.\n"
