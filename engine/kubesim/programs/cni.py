"""The network plug-ins' pods: kindnetd, calico-node, calico-kube-controllers, flanneld.

The wires themselves are laid by the node (`node.cni`) when a pod starts; what these pods add is what a real one shows beside -
a few lines of log and their health - and what they do for NetworkPolicies (`policy.kindnet`, `policy.felix`).
"""

from __future__ import annotations

from kubesim import ids, klog
from kubesim.programs import disks, entry, http
from kubesim.programs.image import Image, Process


async def kindnetd(process: Process) -> int:
    say = klog.logger(process)
    env = process.machine.env
    say(f"hostIP = {env.get('HOST_IP', '')}", "main.go:139")
    say(f"podIP = {env.get('POD_IP', '')}", "main.go:140")
    say("setting mtu 1500 for CNI", "main.go:148")
    say("kindnetd IP family: \"ipv4\"", "main.go:178")
    say(f"noMask IPv4 subnets: [{env.get('POD_SUBNET', '')}]", "main.go:182")
    nodes = process.api.list("nodes")
    own = process.node.name
    for node in sorted(nodes, key=lambda each: each["metadata"]["name"]):
        name = node["metadata"]["name"]
        if name == own:
            say("handling current node", "main.go:301")
            continue
        addresses = [each["address"] for each in node.get("status", {}).get("addresses", ()) if each["type"] == "InternalIP"]
        say(f"Handling node with IPs: map[{' '.join(f'{each}:{{}}' for each in addresses)}]", "main.go:297")
        say(f"Node {name} has CIDR [{node['spec'].get('podCIDR', '')}] ", "main.go:324")
    from kubesim.policy import kindnet  # no other image needs it

    agent = kindnet.Agent(process.world, process.api, process.node, say)
    try:
        await process.world.future()
    finally:
        agent.stop()
    return 0


async def calico_node(process: Process) -> int:
    def say(source: str, words: str) -> None:
        now = process.world.now
        process.log(f"{ids.utc(now):%Y-%m-%d %H:%M:%S}.{int(now % 1 * 1000):03d} [INFO][9] startup/{source}: {words}")

    async def health(request: http.Request) -> http.Response:
        # Felix: /liveness and /readiness, on the node's loopback.
        if request.path in ("/liveness", "/readiness"):
            return http.Response(status=204)
        return http.text("404 page not found\n", 404)

    node = process.node.name
    say("startup.go 427", f"Determined node name: {node}")
    say("startup.go 106", f"Starting node {node} with version {process.tag}")
    pool = process.machine.env.get("CALICO_IPV4POOL_CIDR", "")
    say("startup.go 717", f"Using node IP pool {pool}" if pool else "No IP pool configured")
    say("startup.go 216", f"Using node name: {node}")
    process.log("Calico node started successfully")
    from kubesim.policy import felix  # no other image needs it

    agent = felix.Felix(process.world, process.api, process.node)
    try:
        await http.Server(process.world, health).serve(process.machine.net.listen("tcp", "127.0.0.1", 9099))
    finally:
        agent.stop()
    return 0


async def calico_kube_controllers(process: Process) -> int:
    async def run() -> int:
        for source, words in (
            ("main.go 92", "Loaded configuration from environment"),
            ("main.go 115", "Ensuring Calico datastore is initialized"),
            ("main.go 207", "Starting controllers"),
            ("watchersyncer.go 89", "Start called"),
        ):
            now = process.world.now
            process.log(f"{ids.utc(now):%Y-%m-%d %H:%M:%S}.{int(now % 1 * 1000):03d} [INFO][1] {source}: {words}")
        await process.world.future()
        return 0

    return await entry.first_process(process, run())


async def flanneld(process: Process) -> int:
    say = klog.logger(process)
    device = next((name for name in process.node.net.interfaces if name != "lo"), "")
    address = process.pod.get("status", {}).get("hostIP") or process.node.net.addresses()[0]
    say("Determining IP address of default interface", "main.go:462")
    say(f"Using interface with name {device} and address {address}", "main.go:540")
    say("Created subnet manager: Kubernetes Subnet Manager - " + process.node.name, "main.go:275")
    node = process.api.get("nodes", process.node.name)
    say("Setting up masking rules", "main.go:367")
    say("Changing default FORWARD chain policy to ACCEPT", "main.go:388")
    say(f"Local subnet: {node['spec'].get('podCIDR', '')}", "main.go:396")
    say("Running backend.", "main.go:412")
    await process.world.future()
    return 0


IMAGES = [
    Image(
        names=("kindest/kindnetd",),
        program=kindnetd,
        programs=("kindnetd",),
        entrypoint=("/bin/kindnetd",),
        tools=disks.DISTROLESS,
        seconds=1.0,
    ),
    Image(
        names=("calico/node",),
        program=calico_node,
        programs=("start_runit",),
        entrypoint=("start_runit",),
        tools=disks.commands("sh"),
        seconds=2.5,
    ),
    Image(
        names=("rancher/mirrored-flannelcni-flannel", "flannel/flannel"),
        program=flanneld,
        programs=("flanneld",),
        entrypoint=("/opt/bin/flanneld",),
        tools=disks.commands("sh ip"),
        seconds=1.5,
    ),
    Image(
        names=("calico/kube-controllers",),
        program=calico_kube_controllers,
        programs=("kube-controllers",),
        entrypoint=("/usr/bin/kube-controllers",),
        tools=disks.DISTROLESS,
        seconds=1.5,
    ),
]
