"""What lab 07 looks at."""

from __future__ import annotations

import ipaddress
from typing import Any

from kubelab import checks, words
from kubelab.checks.state import read
from kubelab.port import Port
from kubesim.net.trace import Verdict

# It asks for a controller that is not there: so looks every Service of this type where there is none at all.
NOBODY = """kubectl apply -f - <<'END'
apiVersion: v1
kind: Service
metadata: {name: lonely}
spec:
  type: LoadBalancer
  loadBalancerClass: example.com/nobody
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
END
"""
BALANCED = """kubectl patch service web --type=merge -p '{"spec":{"type":"LoadBalancer"}}' &&
kubectl wait --for=jsonpath='{.status.loadBalancer.ingress}' service/web --timeout=5m
"""
# One pod, and Local: two nodes of three have no local endpoint.
LOCAL = """kubectl scale deployment web --replicas=1 && kubectl rollout status deployment web &&
kubectl patch service web -p '{"spec":{"externalTrafficPolicy":"Local"}}'
"""


# A plain kind cluster with MetalLB in it, a pool of addresses, and no advertisement.
AT_HOME = """kubectl create deployment web --image=gcr.io/google-samples/hello-app:1.0 --replicas=2
kubectl expose deployment web --type=LoadBalancer --port=80 --target-port=8080
kubectl apply -f https://raw.githubusercontent.com/metallb/metallb/v0.15.2/config/manifests/metallb-native.yaml
kubectl -n metallb-system rollout status deployment controller
kubectl apply -f - <<'END'
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: home, namespace: metallb-system}
spec:
  addresses: [172.18.255.200-172.18.255.250]
END
kubectl wait --for=jsonpath='{.status.loadBalancer.ingress}' service/web --timeout=5m
"""


def answers(port: Port, url: str, *, within: str = "") -> bool:
    """Whether curl gets an answer, from the laptop or from the pod `within`."""
    command = f"curl -s -m 3 -o /dev/null {url}"
    return port.run_outside(f"kubectl exec {within} -- {command}" if within else command).exit_code == 0


def field(port: Port, service: str, path: str) -> str:
    """A field of a Service, by kubectl's JSONPath."""
    return port.run_outside(f"kubectl get service {service} -o jsonpath='{{{path}}}'").stdout.strip()


def external(port: Port, service: str) -> str:
    """The external address of a Service, "" if it has none."""
    return field(port, service, ".status.loadBalancer.ingress[0].ip")


def node_address(port: Port) -> str:
    said = port.run_outside("kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}'")
    return said.stdout.strip()


def nobody_comes(port: Port) -> checks.Outcome:
    """A Service of type LoadBalancer that no controller takes."""
    port.run_outside(NOBODY)
    port.settle()
    inside = answers(port, f"http://{field(port, 'lonely', '.spec.clusterIP')}", within="client")
    door = f"http://{node_address(port)}:{field(port, 'lonely', '.spec.ports[0].nodePort')}"
    outside = answers(port, door)
    words_ = {(True, True): "both", (True, False): "cluster-ip", (False, True): "node-port"}
    return checks.Outcome(
        answer=words_.get((inside, outside), "nothing"),
        because="The API server gave it a ClusterIP and a node port at once, and kube-proxy wrote rules for "
        "both. Only the external address waits for somebody from outside, who never comes; that is no error, and "
        "nothing reports one.",
        trace=port.trace("outside", door),
    )


def ping_it(port: Port) -> checks.Outcome:
    """ping to an external address that answers HTTP."""
    port.run_outside(BALANCED)
    port.settle()
    address = external(port, "web")
    done = port.run_outside(f"ping -c 1 -W 1 {address}")
    if " 0 received" not in done.stdout and done.exit_code == 0:
        answer = "balancer"
    else:
        answer = "refused" if "nreachable" in done.stdout else "silence"
    return checks.Outcome(
        answer=answer,
        because="The balancer was told to pass on what the Service lists: TCP port 80. An ICMP echo is nothing "
        "of that, so it is dropped.",
        trace=port.trace("outside", f"icmp://{address}"),
    )


def from_inside(port: Port) -> checks.Outcome:
    """A pod calls the external address, from a node that runs no pod of the Service."""
    port.run_outside(BALANCED + LOCAL)
    port.settle()
    home = {each["spec"]["nodeName"] for each in port.objects("Pod", labels="app=web")}
    nodes = [each["metadata"]["name"] for each in port.objects("Node")]
    empty = next(each for each in nodes if each not in home)
    overrides = f'{{"spec":{{"nodeName":"{empty}"}}}}'
    image = "registry.k8s.io/e2e-test-images/agnhost:2.53"
    port.run_outside(f"kubectl run caller --image={image} --overrides='{overrides}' -- pause")
    port.settle()
    url = f"http://{external(port, 'web')}"
    done = port.run_outside(f"kubectl exec caller -- curl -s -m 3 -o /dev/null {url}")
    trace = port.trace("pod/caller", url)
    if done.exit_code:
        answer = {7: "refused", 28: "timeout"}.get(done.exit_code, f"curl's exit code {done.exit_code}")
    else:
        answer = "balancer" if any(hop.kind == "cloud" for hop in trace.hops) else "short"
    return checks.Outcome(
        answer=answer,
        because=f"{empty} has rules for the external address as every node has, and they take the packet before "
        f"it leaves. To them a pod of the node is no external client, so the policy Local does not bind it: any "
        f"endpoint will do.",
        trace=trace,
    )


def not_announced(_port: Port) -> checks.Outcome:
    """MetalLB gave an address, and nobody announces it.  Always on a simulated kind cluster: this lab's has no MetalLB."""
    from kubelab.embedded import Embedded

    home = Embedded("kind", 7)
    home.run_outside(AT_HOME)
    home.settle()
    url = f"http://{external(home, 'web')}"
    done = home.run_outside(f"curl -s -m 20 -o /dev/null {url}")
    trace = home.trace("outside", url)
    seven = "no-route" if trace.verdict is Verdict.NO_ROUTE else "refused"
    return checks.Outcome(
        answer={0: "answer", 7: seven, 28: "timeout"}.get(done.exit_code, f"curl's exit code {done.exit_code}"),
        because="The controller has written an address into the Service's status; that is one half. A node has "
        "to answer when the neighbours ask who has it, and without an L2Advertisement none does. The laptop's "
        "own kernel gives up after three seconds.",
        trace=trace,
    )


def reachable(service: str) -> checks.Check:
    """The laptop gets an answer at the Service's external address, port 80."""

    def check(subject: checks.Subject) -> checks.Finding:
        address = external(subject.port, service)
        if not address:
            return checks.Finding(passed=False, message=f"Service “{service}” has no external address.")
        url = f"http://{address}"
        well = answers(subject.port, url)
        trace = subject.port.trace("outside", url)
        told = f"{address} answers the laptop." if well else f"The laptop called {address} and got no answer."
        return checks.Finding(passed=well, message=told, explanation=words.explain(trace), trace=trace)

    return check


def no_node_ports(service: str) -> checks.Check:
    """The Service has no node port, and asks for none."""

    def check(subject: checks.Subject) -> checks.Finding:
        found = read(subject, "Service", service)
        if found is None:
            return checks.Finding(passed=False, message=f"There is no Service “{service}”.")
        spec: dict[str, Any] = found["spec"]
        number = next((each["nodePort"] for each in spec["ports"] if each.get("nodePort")), 0)
        if number:
            url = f"http://{node_address(subject.port)}:{number}"
            trace = subject.port.trace("outside", url)
            return checks.Finding(
                passed=False,
                message=f"There is another way in: node port {number}, on every node.",
                explanation=words.explain(trace),
                trace=trace,
            )
        if spec.get("allocateLoadBalancerNodePorts", True):
            return checks.Finding(
                passed=False, message="The next change may bring the node port back: nothing says that none is wanted."
            )
        return checks.Finding(passed=True, message="No node port stands open.")

    return check


def only_staff(subject: checks.Subject) -> checks.Finding:
    """The source ranges are the office's and the laptop's, and no wider."""
    found = read(subject, "Service", "staff")
    ranges = (found or {"spec": {}})["spec"].get("loadBalancerSourceRanges") or ["0.0.0.0/0"]
    office = ipaddress.ip_network("203.0.113.0/24")
    nets = [ipaddress.ip_network(each.strip(), strict=False) for each in ranges]
    if not any(net.supernet_of(office) for net in nets if net.version == 4):
        return checks.Finding(passed=False, message="The office's range 203.0.113.0/24 is not let in any more.")
    wide = [str(net) for net in nets if net != office and net.num_addresses > 1]
    if wide:
        return checks.Finding(passed=False, message=f"{wide[0]} lets in many more than the staff and your laptop.")
    return checks.Finding(passed=True, message="The list names the staff and your laptop.")


CHECKS = {
    "pending": [
        checks.predicts(
            "pending",
            nobody_comes,
            wrong={
                "nothing": "A Service of this type has all that the simpler types have, from the first moment on.",
                "cluster-ip": "It has a node port as well, and it works like any node port.",
                "node-port": "Every Service with a selector and an address has a ClusterIP that works.",
            },
        )
    ],
    "ping": [
        checks.predicts(
            "ping",
            ping_it,
            wrong={
                "balancer": "This balancer owns the address, but it passes packets on; it answers nothing by itself.",
                "node": "No node is ever sent that packet: the balancer passes on what the Service's ports list.",
                "refused": "To say no, somebody would have to answer. What is not listed is dropped.",
            },
        )
    ],
    "inside": [
        checks.predicts(
            "inside",
            from_inside,
            wrong={
                "balancer": "It never gets there: the node's own rules know the external address.",
                "timeout": "Local binds callers from outside. A pod on the node gets any endpoint, as at the ClusterIP.",
                "refused": "The Service has an endpoint, though on another node: nobody refuses.",
            },
        )
    ],
    "announced": [
        checks.predicts(
            "announced",
            not_announced,
            wrong={
                "answer": "EXTERNAL-IP says that a controller wrote an address down. Nobody on the network has been told.",
                "refused": "To refuse, somebody would have to have the address.",
                "timeout": "That is how a lost packet looks. This one was never sent: the laptop did not learn to whom.",
            },
        )
    ],
    "front": [
        checks.state(
            "Service",
            "shop",
            {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
            failure="Service “shop” should be of type LoadBalancer, with port 80.",
        ),
        no_node_ports("shop"),
        reachable("shop"),
    ],
    "guard": [
        checks.required(only_staff),
        reachable("staff"),
        no_node_ports("staff"),
    ],
}
