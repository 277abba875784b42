"""A preset's wires and machines: the LAN, the nodes on it, the computer outside, the internet beyond.

What stands on a node's disk before a kubelet runs there is written here too: its names, its resolver, the learner's
kubeconfig and, on a control plane, the static pods' manifests.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from kubesim import managed
from kubesim.errors import LearnerError
from kubesim.files import FileSystem
from kubesim.informer import Informers
from kubesim.machine import Machine
from kubesim.node.config import KubeletConfig
from kubesim.presets import manifests
from kubesim.presets.preset import NodeSpec, Preset
from kubesim.programs import authority

if TYPE_CHECKING:
    from kubesim.cluster import Cluster
    from kubesim.net.host import Host
    from kubesim.net.link import Segment

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    server: https://{server}
contexts:
- name: kubernetes-admin@{name}
  context:
    cluster: {name}
    user: kubernetes-admin
current-context: kubernetes-admin@{name}
users:
- name: kubernetes-admin
  user: {{}}
"""


def lay_out(cluster: Cluster) -> Machine:
    """Make the LAN, the nodes (into `cluster.nodes`) and the internet; give the machine outside."""
    from kubesim.dns import internet

    preset, network = cluster.preset, cluster.network
    lan = network.switch("lan")
    outside = network.host(preset.outside_name, "outside")
    lan.attach(outside, "eth0")
    length = ipaddress.ip_network(preset.lan).prefixlen
    address = preset.outside_address or preset.gateway
    outside.add_address("eth0", f"{address}/{length}")
    outside.sysctls["net.ipv4.ip_forward"] = 1
    resolver = internet.build(network, outside, preset.records)
    if preset.control_plane:
        managed.lay_out(cluster, lan, outside)
    if preset.cloud:
        _start_cloud(cluster, lan, outside)
    for spec in preset.nodes:
        host = network.host(spec.name, "node")
        lan.attach(host, spec.interface)
        host.add_address(spec.interface, f"{spec.address}/{length}")
        host.routes.add("default", spec.interface, preset.gateway)
        host.sysctls["net.ipv4.ip_forward"] = 1
        cluster.nodes[spec.name] = _node(cluster, spec, resolver)
    _publish(cluster, outside)
    if preset.boxes:
        from kubesim.loadbalancer import bigip

        cluster.boxes = bigip.lay_out(cluster, lan)
    return _outside(cluster, resolver)


def _publish(cluster: Cluster, outside: Host) -> None:
    """The ports of nodes that the computer outside publishes as its own."""
    from kubesim.loadbalancer import relay

    addresses = {each.name: each.address for each in cluster.preset.nodes}
    for text in cluster.preset.forwards:
        port, node, target = relay.parse(text, next(iter(addresses), ""))
        if node not in addresses:
            raise LearnerError(f"forwards: {text!r}: no node {node!r}", f"Nodes: {', '.join(addresses)}.")
        cluster.world.spawn(relay.serve(cluster.world, outside, port, addresses[node], target), f"port {port}")


def _start_cloud(cluster: Cluster, lan: Segment, router: Host) -> None:
    """The cloud's load balancers, and the loop that gives Services one."""
    from kubesim.loadbalancer import balancer, clouds, controller

    preset, world = cluster.preset, cluster.world
    cloud = clouds.find(preset.cloud)
    machine = balancer.Balancer(cluster.network, lan, router, preset.lan, cloud)
    client = cluster.api.client(controller.ServiceController.name)
    loop = controller.ServiceController(world, client, Informers(client), preset.minor, machine, cloud)
    loop.start()
    cluster.controllers.append(loop)
    if preset.cloud == "gke":
        from kubesim.loadbalancer import gce

        client = cluster.api.client(gce.IngressController.name)
        ingress = gce.IngressController(
            world, client, Informers(client), preset.minor, cluster.network, lan, router, preset.lan
        )
        ingress.start()
        cluster.controllers.append(ingress)


def _hosts(preset: Preset) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{node.address} {node.hostname or node.name}" for node in preset.nodes]
    return "\n".join(lines) + "\n"


def _resolv(preset: Preset, resolver: str) -> str:
    search = f"search {' '.join(preset.search)}\n" if preset.search else ""
    return f"{search}nameserver {resolver}\n"


def _home(user: str) -> str:
    return "/root" if user == "root" else f"/home/{user}"


def _node(cluster: Cluster, spec: NodeSpec, resolver: str) -> Machine:
    preset = cluster.preset
    hostname = spec.hostname or spec.name
    home = _home(preset.user)
    disk = {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": _hosts(preset),
        "/etc/resolv.conf": _resolv(preset, resolver),
        "/etc/kubernetes/admin.conf": _kubeconfig(preset),
        authority.BUNDLE: authority.bundle(),
        f"{home}/.kube/config": _kubeconfig(preset),
    }
    if spec.control_plane:
        for name, text in manifests.static_pods(preset, spec).items():
            disk[f"/etc/kubernetes/manifests/{name}"] = text
    files = FileSystem(disk, clock=lambda: cluster.world.now)
    for folder in ("/etc/kubernetes/manifests", "/tmp", "/var/log", home):
        files.mkdir(folder, parents=True)
    return Machine(
        world=cluster.world,
        name=spec.name,
        hostname=hostname,
        kind="node",
        net=cluster.network.hosts[spec.name],
        files=files,
        user=preset.user,
        home=home,
        cwd=home,
        tools=_tools(preset.tools),
        aliases={"k": "kubectl"},
        api=cluster.reach,
        api_addresses=_api_addresses(preset),
        prompt=preset.prompt,
        machines=cluster.machine,
        power=lambda on: cluster.power(spec.name, on),
    )


def _outside(cluster: Cluster, resolver: str) -> Machine:
    preset = cluster.preset
    home = "/home/learner"
    disk = {
        "/etc/hostname": f"{preset.outside_name}\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/resolv.conf": f"nameserver {resolver}\n",
        f"{home}/.kube/config": _kubeconfig(preset),
        authority.BUNDLE: authority.bundle(),
    }
    files = FileSystem(disk, clock=lambda: cluster.world.now)
    files.mkdir("/tmp", parents=True)
    return Machine(
        world=cluster.world,
        name="outside",
        hostname=preset.outside_name,
        kind="outside",
        net=cluster.network.hosts[preset.outside_name],
        files=files,
        user="learner",
        home=home,
        cwd=home,
        tools=_tools("outside"),
        aliases={"k": "kubectl"},
        api=cluster.reach,
        api_addresses=_api_addresses(preset),
        prompt="{user}@{hostname}:{cwd}$ ",
        machines=cluster.machine,
    )


def _tools(name: str) -> frozenset[str]:
    from kubesim.shell import tools

    return tools.BY_NAME[name]


def _api_addresses(preset: Preset) -> frozenset[str]:
    """Where the API server is heard: at its own address, and at that of the Service `kubernetes`."""
    return frozenset({f"{preset.api_server or '127.0.0.1'}:{preset.api_port}", f"{preset.api_address}:443"})


def _kubeconfig(preset: Preset) -> str:
    server = f"{preset.api_server or '127.0.0.1'}:{preset.api_port}".removesuffix(":443")
    name = preset.name if preset.name == "kind" or preset.control_plane else "kubernetes"
    return KUBECONFIG.format(name=name, server=server)


def kubelet_config(preset: Preset, spec: NodeSpec) -> KubeletConfig:
    """How the kubelet of that node is set up."""
    labels = dict(spec.labels)
    taints: tuple[dict[str, str], ...] = ()
    if spec.control_plane:
        # kubeadm's label and taint changed their name with 1.24 (kubeadm, KEP-2067).
        role = "node-role.kubernetes.io/master" if preset.minor < 24 else "node-role.kubernetes.io/control-plane"
        labels[role] = ""
        if not spec.schedulable:
            taints = ({"key": role, "effect": "NoSchedule"},)
    return KubeletConfig(
        node_name=spec.name,
        address=spec.address,
        hostname=spec.hostname or spec.name,
        interface=spec.interface,
        version=preset.version,
        pod_cidr=spec.pod_cidr,
        pool=preset.pod_cidr,
        cluster_dns=(preset.dns_address,),
        cluster_domain=preset.cluster_domain,
        cni=preset.cni,
        labels=labels,
        taints=taints,
        provider_id=f"kind://docker/{preset.name}/{spec.name}" if preset.tools == "kind" else "",
        cpus=spec.cpus,
        memory=spec.memory,
        os_image=preset.os_image,
        kernel=preset.kernel,
        runtime=preset.runtime,
        registry=preset.registry,
    )
