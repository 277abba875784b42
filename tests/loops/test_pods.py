"""A pod's life on a node: start, names, environment, crashes, probes, end."""

from __future__ import annotations

import re

from looplab import Lab


def test_a_pod_comes_up_and_says_how(kind: Lab) -> None:
    began = kind.world.now
    kind.pod("web")
    kind.settle()
    pod = kind.get("pods", "web")
    assert pod["status"]["phase"] == "Running"
    assert kind.world.now - began < 3
    assert re.fullmatch(r"10\.244\.[12]\.\d+", pod["status"]["podIP"])
    state = kind.state("web")
    assert state["image"] == "docker.io/library/nginx:latest"
    assert state["imageID"].startswith("docker.io/library/nginx@sha256:")
    assert state["containerID"].startswith("containerd://")
    assert [each["type"] for each in pod["status"]["conditions"]] == [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    events = [re.sub(r"[\d.]+m?s|\d+ bytes", "N", each) for each in kind.events("web")]
    assert events == [
        f"Scheduled: Successfully assigned default/web to {pod['spec']['nodeName']}",
        'Pulling: Pulling image "nginx"',
        'Pulled: Successfully pulled image "nginx" in N (N including waiting). Image size: N.',
        "Created: Created container: web",
        "Started: Started container web",
    ]


def test_an_unknown_image_backs_off_and_names_the_known_ones(kind: Lab) -> None:
    kind.pod("web", "nginks")
    kind.settle()
    waiting = kind.state("web")["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert 'failed to resolve reference "docker.io/library/nginks:latest": pull access denied' in waiting["message"]
    assert "hello-app" in waiting["message"]
    assert "Failed: Error: ErrImagePull" in kind.events("web")
    assert 'BackOff: Back-off pulling image "nginks"' in kind.events("web")


def test_another_image_ends_a_back_off_and_restarts_what_runs(kind: Lab) -> None:
    def image(name: str):
        def change(pod):
            pod["spec"]["containers"][0]["image"] = name

        return change

    kind.pod("waits", "nginks")
    kind.pod("runs", "nginx:1.27")
    kind.settle()
    since = kind.world.now
    kind.change("pods", "waits", image("nginx:1.27"))
    kind.change("pods", "runs", image("nginx:1.26"))
    kind.settle()
    # Not after the ten seconds of the back-off.
    assert kind.world.now - since < 5
    assert "running" in kind.state("waits")["state"]
    assert "Killing: Container runs definition changed, will be restarted" in kind.events("runs")
    state = kind.state("runs")
    assert (state["image"], state["restartCount"], state["ready"]) == ("docker.io/library/nginx:1.26", 1, True)


def test_a_container_that_crashes_is_restarted_ever_later(kind: Lab) -> None:
    kind.pod("crash", "busybox", container={"command": ["sh", "-c", "echo up; exit 3"]})
    kind.settle()
    state = kind.state("crash")
    assert state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert re.fullmatch(
        r"back-off 40s restarting failed container=crash pod=crash_default\(.*\)", state["state"]["waiting"]["message"]
    )
    assert state["restartCount"] == 3
    assert state["lastState"]["terminated"]["exitCode"] == 3
    kind.cluster.advance(600)
    assert "back-off 5m0s restarting" in kind.state("crash")["state"]["waiting"]["message"]
    worker = next(
        each.worker("default", "crash") for each in kind.cluster.kubelets.values() if each.worker("default", "crash")
    )
    assert worker is not None
    assert worker.kubelet.logs("default", "crash", "crash") == b"up\n"


def test_exit_codes_decide_with_the_restart_policy(kind: Lab) -> None:
    for name, script in (("good", "exit 0"), ("bad", "exit 1")):
        kind.pod(name, "busybox", restartPolicy="Never", container={"command": ["sh", "-c", script]})
    kind.settle()
    assert kind.get("pods", "good")["status"]["phase"] == "Succeeded"
    assert kind.get("pods", "bad")["status"]["phase"] == "Failed"
    assert kind.condition("pods", "good", "Ready")["reason"] == "PodCompleted"
    assert kind.state("bad")["state"]["terminated"]["reason"] == "Error"


def test_a_command_that_is_not_there(kind: Lab) -> None:
    kind.pod("web", container={"command": ["/nope"]})
    kind.settle()
    message = kind.state("web")["state"]["waiting"]["message"]
    assert 'exec: "/nope": stat /nope: no such file or directory' in message
    assert kind.state("web")["lastState"]["terminated"]["reason"] == "StartError"


def test_init_containers_run_one_after_the_other_before_the_rest(kind: Lab) -> None:
    kind.pod(
        "web",
        initContainers=[
            {"name": "one", "image": "busybox", "command": ["sleep", "5"]},
            {"name": "two", "image": "busybox", "command": ["sh", "-c", "exit 0"]},
        ],
    )
    kind.cluster.advance(4)
    assert kind.condition("pods", "web", "Initialized")["message"] == "containers with incomplete status: [one two]"
    assert kind.state("web")["state"] == {"waiting": {"reason": "PodInitializing"}}
    kind.cluster.advance(10)
    assert kind.get("pods", "web")["status"]["phase"] == "Running"
    done = kind.get("pods", "web")["status"]["initContainerStatuses"]
    assert [each["state"]["terminated"]["reason"] for each in done] == ["Completed", "Completed"]


def test_a_program_that_ignores_sigterm_is_killed_when_its_grace_is_over(kind: Lab) -> None:
    kind.pod("deaf", "busybox", container={"command": ["sleep", "3600"]}, terminationGracePeriodSeconds=7)
    kind.pod("web")
    kind.settle()
    began = kind.world.now
    kind.api.delete("pods", "web", "default")
    kind.settle()
    assert kind.world.now - began < 1
    kind.api.delete("pods", "deaf", "default")
    kind.cluster.advance(6)
    assert kind.get("pods", "deaf")["metadata"]["deletionTimestamp"]
    kind.cluster.advance(2)
    assert kind.find("pods", "deaf") is None


def test_prestop_delays_the_end(kind: Lab) -> None:
    kind.pod("web", container={"lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}}})
    kind.settle()
    kind.api.delete("pods", "web", "default")
    kind.cluster.advance(9)
    assert kind.find("pods", "web") is not None
    kind.cluster.advance(2)
    assert kind.find("pods", "web") is None


def test_addresses_are_not_given_again_at_once(kind: Lab) -> None:
    seen = []
    for _ in range(3):
        kind.pod("web", nodeSelector={"kubernetes.io/hostname": "kind-worker"})
        kind.settle()
        seen.append(kind.get("pods", "web")["status"]["podIP"])
        kind.api.delete("pods", "web", "default")
        kind.settle()
    assert len(set(seen)) == 3


def test_pods_of_a_node_still_reach_the_world_when_one_of_them_goes(kind: Lab) -> None:
    for name in ("one", "two"):
        kind.pod(name, nodeSelector={"kubernetes.io/hostname": "kind-worker"})
    kind.pod("far", nodeSelector={"kubernetes.io/hostname": "kind-worker2"})
    kind.settle()
    far = kind.get("pods", "far")["status"]["podIP"]
    assert "Welcome to nginx!" in kind.shell(f"curl -s {far}", "pod/two")
    kind.api.delete("pods", "one", "default")
    kind.settle()
    assert "Welcome to nginx!" in kind.shell(f"curl -s {far}", "pod/two")


def test_names_and_resolver(kind: Lab) -> None:
    kind.pod("web", hostname="h", subdomain="s", hostAliases=[{"ip": "10.1.2.3", "hostnames": ["a", "b"]}])
    kind.settle()
    address = kind.get("pods", "web")["status"]["podIP"]
    assert kind.shell("cat /etc/resolv.conf", "pod/web") == (
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    )
    hosts = kind.shell("cat /etc/hosts", "pod/web")
    assert f"{address}\th.s.default.svc.cluster.local\th\n" in hosts
    assert hosts.endswith("\n# Entries added by HostAliases.\n10.1.2.3\ta\tb\n")
    assert kind.shell("cat /etc/hostname", "pod/web") == "h\n"


def test_service_variables_are_those_of_the_start(kind: Lab) -> None:
    kind.service("my-db", ports=[{"name": "sql", "port": 5432}, {"name": "x-y", "port": 53, "protocol": "UDP"}])
    address = kind.get("services", "my-db")["spec"]["clusterIP"]
    kind.pod("web")
    kind.settle()
    kind.service("late")
    kind.settle()
    shown = sorted(line for line in kind.shell("env", "pod/web").splitlines() if line.startswith(("MY_DB", "LATE")))
    assert shown == [
        f"MY_DB_PORT=tcp://{address}:5432",
        f"MY_DB_PORT_53_UDP=udp://{address}:53",
        f"MY_DB_PORT_53_UDP_ADDR={address}",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        f"MY_DB_PORT_5432_TCP=tcp://{address}:5432",
        f"MY_DB_PORT_5432_TCP_ADDR={address}",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        f"MY_DB_SERVICE_HOST={address}",
        "MY_DB_SERVICE_PORT=5432",
        "MY_DB_SERVICE_PORT_SQL=5432",
        "MY_DB_SERVICE_PORT_X_Y=53",
    ]


def test_variables_from_fields_maps_and_each_other(kind: Lab) -> None:
    kind.apply("configmaps", {"metadata": {"name": "conf"}, "data": {"a": "1", "b": "2"}})
    kind.pod(
        "web",
        container={
            "envFrom": [{"configMapRef": {"name": "conf"}, "prefix": "C_"}],
            "env": [
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "b"}}},
                {"name": "BOTH", "value": "$(APP)-$(C_a)-$(NOPE)-$$(B)"},
            ],
        },
    )
    kind.settle()
    pod = kind.get("pods", "web")
    shown = dict(line.split("=", 1) for line in kind.shell("env", "pod/web").splitlines() if "=" in line)
    assert shown["NODE"] == pod["spec"]["nodeName"]
    assert shown["IP"] == pod["status"]["podIP"]
    assert shown["B"] == "2"
    assert shown["BOTH"] == "web-1-$(NOPE)-$(B)"


def test_a_missing_configmap_holds_the_container_back(kind: Lab) -> None:
    kind.pod("web", container={"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}}]})
    kind.settle()
    assert kind.state("web")["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "conf" not found',
    }
    kind.apply("configmaps", {"metadata": {"name": "conf"}, "data": {"a": "1"}})
    kind.cluster.advance(60)
    assert kind.get("pods", "web")["status"]["phase"] == "Running"


def test_readiness_follows_the_probe(kind: Lab) -> None:
    kind.pod("web", container={"readinessProbe": {"httpGet": {"path": "/ready.html", "port": 80}, "periodSeconds": 5}})
    kind.service("web")
    kind.cluster.advance(30)
    assert kind.condition("pods", "web", "Ready")["message"] == "containers with unready status: [web]"
    assert "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404" in kind.events("web")
    assert "notReadyAddresses" in kind.get("endpoints", "web")["subsets"][0]
    kind.shell("echo yes > /usr/share/nginx/html/ready.html", "pod/web")
    kind.cluster.advance(6)
    assert kind.condition("pods", "web", "Ready")["status"] == "True"
    assert "addresses" in kind.get("endpoints", "web")["subsets"][0]


def test_a_failed_liveness_probe_restarts_the_container(kind: Lab) -> None:
    probe = {"exec": {"command": ["cat", "/tmp/alive"]}, "periodSeconds": 2, "failureThreshold": 2}
    script = "touch /tmp/alive; sleep infinity"
    kind.pod(
        "app",
        "busybox",
        terminationGracePeriodSeconds=1,
        container={"command": ["sh", "-c", script], "livenessProbe": probe},
    )
    kind.settle()
    kind.shell("rm /tmp/alive", "pod/app")
    kind.cluster.advance(15)
    assert kind.state("app")["restartCount"] == 1
    assert "Killing: Container app failed liveness probe, will be restarted" in kind.events("app")
    assert kind.state("app")["lastState"]["terminated"]["exitCode"] == 137


def test_host_ports_and_resources_keep_pods_waiting(kind: Lab) -> None:
    kind.pod("big", container={"resources": {"requests": {"cpu": "64"}}})
    kind.settle()
    assert kind.events("big") == [
        "FailedScheduling: 0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
        "2 Insufficient cpu. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    ]
    assert kind.condition("pods", "big", "PodScheduled")["reason"] == "Unschedulable"


def test_config_reaches_the_files_of_a_running_pod_in_time(kind: Lab) -> None:
    kind.apply("configmaps", {"metadata": {"name": "conf"}, "data": {"greeting": "hi"}})
    kind.pod(
        "web",
        volumes=[{"name": "c", "configMap": {"name": "conf"}}],
        container={"volumeMounts": [{"name": "c", "mountPath": "/conf"}]},
    )
    kind.settle()
    assert kind.shell("cat /conf/greeting", "pod/web").strip() == "hi"
    kind.change("configmaps", "conf", lambda obj: obj["data"].update(greeting="ho"))
    assert kind.shell("cat /conf/greeting", "pod/web").strip() == "hi"
    kind.cluster.advance(100)
    assert kind.shell("cat /conf/greeting", "pod/web").strip() == "ho"


def test_the_service_account_is_mounted(kind: Lab) -> None:
    kind.pod("web")
    kind.settle()
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert kind.shell(f"ls {folder}", "pod/web").split() == ["ca.crt", "namespace", "token"]
    assert kind.shell(f"cat {folder}/namespace", "pod/web").strip() == "default"
