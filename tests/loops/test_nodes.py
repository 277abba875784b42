"""Nodes: registration, heartbeats, loss; static pods; the two flavours of pod network."""

from __future__ import annotations

from looplab import Lab

from kubesim.machinery import objects


def test_a_node_says_what_it_is(vagrant: Lab) -> None:
    node = vagrant.get("nodes", "k8smaster", "")
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.16.1"
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "docker://18.9.7"
    assert {"type": "InternalIP", "address": "10.0.2.15"} in node["status"]["addresses"]
    assert [(each["type"], each["status"]) for each in node["status"]["conditions"]] == [
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
        ("Ready", "True"),
    ]
    lease = vagrant.get("leases.coordination.k8s.io", "k8smaster", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "k8smaster"


def test_a_dead_node_is_noticed_and_its_pods_move_after_five_minutes(kind: Lab) -> None:
    kind.deployment("web")
    kind.service("web")
    kind.settle()
    (pod,) = kind.pods("web")
    lost = pod["spec"]["nodeName"]
    kind.cluster.kubelets[lost].stop()
    kind.cluster.advance(45)
    assert kind.condition("nodes", lost, "Ready", "")["status"] == "True"
    kind.cluster.advance(20)
    ready = kind.condition("nodes", lost, "Ready", "")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert ready["message"] == "Kubelet stopped posting node status."
    taints = [(each["key"], each["effect"]) for each in kind.get("nodes", lost, "")["spec"]["taints"]]
    assert taints == [("node.kubernetes.io/unreachable", "NoSchedule"), ("node.kubernetes.io/unreachable", "NoExecute")]
    assert kind.condition("pods", objects.name(pod), "Ready")["status"] == "False"
    assert "addresses" not in kind.get("endpoints", "web")["subsets"][0]
    kind.cluster.advance(280)
    assert len(kind.pods("web")) == 1
    kind.cluster.advance(30)
    replacement = next(each for each in kind.pods("web") if not objects.deleting(each))
    assert replacement["spec"]["nodeName"] != lost
    assert replacement["status"]["phase"] == "Running"


def test_a_cordoned_node_takes_nothing_new(kind: Lab) -> None:
    kind.change("nodes", "kind-worker", lambda obj: obj["spec"].update(unschedulable=True), "")
    kind.deployment("web", replicas=4)
    kind.settle()
    assert {each["spec"]["nodeName"] for each in kind.pods("web")} == {"kind-worker2"}
    taints = kind.get("nodes", "kind-worker", "")["spec"]["taints"]
    assert [(each["key"], each["effect"]) for each in taints] == [("node.kubernetes.io/unschedulable", "NoSchedule")]


def test_a_static_pod_follows_its_file(vagrant: Lab) -> None:
    manifest = "/etc/kubernetes/manifests/web.yaml"
    files = vagrant.cluster.nodes["k8smaster"].files
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: nginx}]}\n"
    files.write(manifest, text)
    vagrant.settle()
    mirror = vagrant.get("pods", "web-k8smaster")
    assert mirror["status"]["phase"] == "Running"
    assert objects.annotations(mirror)["kubernetes.io/config.source"] == "file"
    # Deleting what the API shows deletes no static pod.
    vagrant.api.delete("pods", "web-k8smaster", "default")
    vagrant.settle()
    again = vagrant.get("pods", "web-k8smaster")
    assert objects.uid(again) != objects.uid(mirror)
    assert (
        again["status"]["containerStatuses"][0]["containerID"]
        == mirror["status"]["containerStatuses"][0]["containerID"]
    )
    files.write(manifest, text.replace("image: nginx", "image: nginx:1.27"))
    vagrant.settle()
    assert vagrant.state("web-k8smaster")["image"] == "nginx:1.27"
    files.remove(manifest)
    vagrant.settle()
    assert vagrant.find("pods", "web-k8smaster") is None


def test_calico_gives_each_pod_a_link_of_its_own(vagrant: Lab) -> None:
    vagrant.pod("web")
    vagrant.settle()
    address = vagrant.get("pods", "web")["status"]["podIP"]
    assert address.startswith("192.168.16.")
    assert vagrant.shell("ip route", "pod/web") in ("", "sh: ip: not found\n", "bash: ip: command not found\n")
    pod = vagrant.cluster.machine("pod/web").net
    assert [str(each) for each in pod.routes.all()] == [
        "default via 169.254.1.1 dev eth0",
        "169.254.1.1 dev eth0 scope link",
    ]
    node = [str(each) for each in vagrant.cluster.nodes["k8smaster"].net.routes.all()]
    assert "blackhole 192.168.16.128/26 proto bird" in node
    assert any(each.startswith(f"{address} dev cali") and each.endswith("scope link") for each in node)


def test_kindnet_routes_to_the_other_nodes(kind: Lab) -> None:
    node = [str(each) for each in kind.cluster.nodes["kind-worker"].net.routes.all()]
    assert "10.244.2.0/24 via 172.18.0.2 dev eth0" in node
    kind.api.delete("nodes", "kind-worker2")
    kind.settle()
    node = [str(each) for each in kind.cluster.nodes["kind-worker"].net.routes.all()]
    assert "10.244.2.0/24 via 172.18.0.2 dev eth0" not in node
