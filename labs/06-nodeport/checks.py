"""What lab 06 looks at."""

from __future__ import annotations

from kubelab import checks, words
from kubelab.port import Port

OPEN = """kubectl patch service web --type=merge -p '{"spec":{"type":"NodePort"}}'"""
LOCAL = """kubectl patch service web -p '{"spec":{"externalTrafficPolicy":"Local"}}'"""
# For another cluster, whose kube-proxy writes nftables: one must not change it under everybody's feet.
NFTABLES = """
kubectl -n kube-system get configmap kube-proxy -o yaml | sed 's/mode: iptables/mode: nftables/' | kubectl replace -f - &&
kubectl -n kube-system rollout restart daemonset kube-proxy && kubectl -n kube-system rollout status daemonset kube-proxy
kubectl create deployment web --image=gcr.io/google-samples/hello-app:1.0 && kubectl rollout status deployment web
kubectl create service nodeport web --tcp=80:8080 --node-port=30080
"""


def ask(port: Port, url: str, on: str = "") -> tuple[int, str]:
    """curl's exit code and what came back, from the laptop or from a node."""
    command = f"curl -s -m 3 {url}"
    done = port.run_on_node(on, command) if on else port.run_outside(command)
    return done.exit_code, done.stdout.strip()


def workers(port: Port) -> dict[str, str]:
    """The addresses of the nodes that take ordinary pods, by name."""
    nodes = [each for each in port.objects("Node") if not each["spec"].get("taints")]
    return {each["metadata"]["name"]: each["status"]["addresses"][0]["address"] for each in nodes}


def door(port: Port) -> tuple[str, str, str]:
    """Open Service “web”, and give the node where its pod runs, a worker where it does not, and the URL of that one's door."""
    port.run_outside(OPEN)
    port.settle()
    home = port.objects("Pod", labels="app=web")[0]["spec"]["nodeName"]
    number = port.objects("Service", fields="metadata.name=web")[0]["spec"]["ports"][0]["nodePort"]
    entry, address = next((name, address) for name, address in workers(port).items() if name != home)
    return home, entry, f"http://{address}:{number}"


def laptop(port: Port, url: str) -> str:
    """The address that the laptop calls from."""
    return port.trace("outside", url).flow.src


def seen(port: Port, url: str, on: str = "") -> str:
    """The address that the program behind the URL sees, "" if it does not answer."""
    return ask(port, f"{url}/clientip", on)[1].rpartition(":")[0]


def who_knocks(port: Port) -> checks.Outcome:
    """The laptop calls a node without a pod: whose address does the pod see?"""
    home, entry, url = door(port)
    address = seen(port, url)
    answers = {laptop(port, url): "laptop"}
    for name, word in ((home, "home"), (entry, "entry")):
        for each in port.run_on_node(name, "hostname -I").stdout.split():
            answers.setdefault(each, word)
    return checks.Outcome(
        answer=answers.get(address, address or "no answer"),
        because=f"The pod saw {address}, an address of {entry}. That node rewrote the destination, so only it can turn the "
        "answer back; it put its own address in, that the answer may come by.",
        trace=port.trace("outside", url),
    )


def behind_the_wall(port: Port) -> checks.Outcome:
    """externalTrafficPolicy Local, and a node without a pod."""
    home, entry, url = door(port)
    port.run_outside(LOCAL)
    port.settle()
    code, _ = ask(port, url)
    answers = {7: "refused", 28: "timeout"}
    if code == 0:
        answer = "answer-laptop" if seen(port, url) == laptop(port, url) else "answer-node"
    else:
        answer = answers.get(code, f"curl's exit code {code}")
    return checks.Outcome(
        answer=answer,
        because=f"The pod runs on {home}. On {entry} the policy leaves no endpoint, and the rule “has no local endpoints” drops "
        "the packet: no answer, not even a refusal.",
        trace=port.trace("outside", url),
    )


def through_localhost(port: Port) -> checks.Outcome:
    """127.0.0.1 at the node port, in iptables mode and, on a simulated cluster, in nftables mode."""
    from kubelab.embedded import Embedded

    _home, entry, url = door(port)
    local = f"http://127.0.0.1:{url.rpartition(':')[2]}"
    works = {"iptables": ask(port, local, entry)[0] == 0}
    trace = port.trace(f"node/{entry}", local)
    other = Embedded("kind", 6)
    other.run_outside(NFTABLES)
    other.settle()
    works["nftables"] = ask(other, "http://127.0.0.1:30080", "kind-worker")[0] == 0
    named = [name for name, well in works.items() if well]
    return checks.Outcome(
        answer={0: "neither", 2: "both"}.get(len(named)) or named[0],
        because="In iptables mode kube-proxy allows loopback packets to leave the node (route_localnet), and its rules take "
        "them. In nftables mode node ports are open at the node's primary address only, so the node's own kernel refuses.",
        trace=trace,
    )


def everywhere(number: int) -> checks.Check:
    """The laptop gets an answer at this node port of every node."""

    def check(subject: checks.Subject) -> checks.Finding:
        nodes = subject.port.objects("Node")
        for node in nodes:
            url = f"http://{node['status']['addresses'][0]['address']}:{number}"
            code, _ = ask(subject.port, url)
            if code:
                trace = subject.port.trace("outside", url)
                return checks.Finding(
                    passed=False,
                    message=f"The laptop called {node['metadata']['name']} at {number}, and got no answer.",
                    explanation=words.explain(trace),
                    trace=trace,
                )
        return checks.Finding(passed=True, message=f"Node port {number} answers on all {len(nodes)} nodes.")

    return check


def knows_visitors(number: int, *, everywhere: bool) -> checks.Check:
    """The program behind the node port sees the laptop's own address: at each worker that answers, or at every worker."""

    def check(subject: checks.Subject) -> checks.Finding:
        port = subject.port
        asked = 0
        for name, address in workers(port).items():
            url = f"http://{address}:{number}"
            source = seen(port, url)
            asked += bool(source)
            trace = port.trace("outside", url)
            if (source and source != trace.flow.src) or (not source and everywhere):
                told = (
                    f"Through {name} the program saw {source}, not the laptop's {trace.flow.src}."
                    if source
                    else f"Worker {name} does not answer at {number}."
                )
                return checks.Finding(passed=False, message=told, explanation=words.explain(trace), trace=trace)
        if not asked:
            return checks.Finding(passed=False, message=f"No worker answers at node port {number}.")
        told = "Every worker lets visitors in." if everywhere else "The program sees its visitors as they are."
        return checks.Finding(passed=True, message=told)

    return check


CHECKS = {
    "client": [
        checks.predicts(
            "client",
            who_knocks,
            wrong={
                "laptop": "Then the pod would answer to the laptop directly, and the laptop has never called the pod.",
                "home": "The node where the pod runs only passed the packet on: another one had rewritten it.",
                "clusterip": "The ClusterIP is in no packet here: the node port's rules lead straight to the pod.",
            },
        )
    ],
    "local": [
        checks.predicts(
            "local",
            behind_the_wall,
            wrong={
                "answer-laptop": "To keep the laptop's address the packet must not take a second node: Local forbids it.",
                "answer-node": "Local never falls back to a pod of another node: that would be the policy Cluster.",
                "refused": "A refusal would be somebody's answer. The rule is DROP: nobody says anything.",
            },
        )
    ],
    "localhost": [
        checks.predicts(
            "localhost",
            through_localhost,
            wrong={
                "both": "nftables mode opens node ports at the node's primary address, not at loopback.",
                "nftables": "It is the other way round: what older clusters allowed, the newer mode does not.",
                "neither": "iptables mode allows it, for IPv4: kube-proxy switches route_localnet on.",
            },
        )
    ],
    "door": [
        checks.state(
            "Service",
            "shop",
            {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30070}]}},
            failure="Service “shop” should be of type NodePort, with port 80 and node port 30070.",
        ),
        everywhere(30070),
    ],
    "visits": [
        knows_visitors(30090, everywhere=False),
        knows_visitors(30090, everywhere=True),
    ],
}
