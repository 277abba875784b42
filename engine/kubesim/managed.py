"""A control plane that is no node: the cloud runs it on a machine of its own, and shows the API server's address only.

What runs there is the same program as in a kube-apiserver pod; the loops of the control plane are in the core anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim import http
from kubesim.files import FileSystem
from kubesim.machine import Machine

if TYPE_CHECKING:
    from kubesim.cluster import Cluster
    from kubesim.net.host import Host
    from kubesim.net.link import Segment

NAME = "control-plane"


def lay_out(cluster: Cluster, lan: Segment, router: Host) -> Machine:
    """Put the control plane behind the cloud's router, under its public address, and start the API server there."""
    from kubesim.programs import images
    from kubesim.programs.image import Process

    preset = cluster.preset
    host = cluster.network.host(NAME, "cloud")
    lan.attach(host, "eth0")
    host.add_address("eth0", f"{preset.control_plane}/32")
    host.routes.add(preset.lan, "eth0", scope="link")
    host.routes.add("default", "eth0", preset.gateway)
    router.routes.add(f"{preset.control_plane}/32", "eth0", scope="link")
    machine = Machine(
        world=cluster.world,
        name=NAME,
        hostname=NAME,
        kind="cloud",
        net=host,
        files=FileSystem({"/etc/hostname": f"{NAME}\n"}),
    )
    name = f"registry.k8s.io/kube-apiserver:{preset.version}"
    image = images.find(name)
    assert image is not None
    process = Process(
        machine=machine,
        args=[
            "kube-apiserver",
            f"--advertise-address={preset.control_plane}",
            f"--secure-port={preset.api_port}",
            f"--service-node-port-range={preset.node_port_range}",
        ],
        log=lambda _line: None,
        pod={},
        spec={"image": name},
        node=machine,
        api=cluster.api.client(http.User()),
        cluster=cluster,
    )
    cluster.world.spawn(image.main(process), NAME).retrieved = True
    return machine
