"""What lab 03 looks at."""

from __future__ import annotations

from kubelab import checks, words
from kubelab.checks import places
from kubelab.checks.state import read
from kubelab.port import Port
from kubesim.net.trace import Verdict

CLIENT, EDGE = "pod/client", "pod/edge"
# kube-proxy runs where the label is; the others keep the rules that they have.
STOP = """kubectl label nodes --all --overwrite kube-proxy=on &&
kubectl -n kube-system patch daemonset kube-proxy -p '{"spec":{"template":{"spec":{"nodeSelector":{"kube-proxy":"on"}}}}}' &&
kubectl -n kube-system rollout status daemonset kube-proxy && kubectl label node NODE kube-proxy-
"""
START = """kubectl label nodes --all --overwrite kube-proxy=on &&
kubectl -n kube-system patch daemonset kube-proxy -p '{"spec":{"template":{"spec":{"nodeSelector":{"kube-proxy":null}}}}}' &&
kubectl -n kube-system rollout status daemonset kube-proxy && kubectl label nodes --all kube-proxy-
"""


def said(port: Port, command: str) -> str:
    return port.run_outside(command).stdout.strip()


def node_of_client(port: Port) -> str:
    return said(port, "kubectl get pod client -o jsonpath='{.spec.nodeName}'")


def url(port: Port) -> str:
    """Service “web” by its address: where KUBE-SERVICES is empty, DNS is gone, too."""
    return "http://" + said(port, "kubectl get service web -o jsonpath='{.spec.clusterIP}'")


def works(port: Port, target: str) -> bool:
    return port.run_outside(f"kubectl exec client -- curl -s -m 2 -o /dev/null {target}").exit_code == 0


def empty_chain(port: Port) -> checks.Outcome:
    """KUBE-SERVICES emptied on the client's node: at once, a minute later, after a change elsewhere."""
    target, node = url(port), node_of_client(port)
    port.run_on_node(node, "iptables -t nat -F KUBE-SERVICES")
    port.settle()
    at_once = works(port, target)
    trace = port.trace(CLIENT, target)
    port.run_outside("sleep 60")
    later = works(port, target)
    port.run_outside("kubectl create service clusterip unrelated --tcp=80:80; sleep 5")
    port.settle()
    changed = works(port, target)
    return checks.Outcome(
        answer="works" if at_once else "soon" if later else "change" if changed else "restart",
        because="kube-proxy is told by the API server when Services and EndpointSlices change, and writes then. "
        "Nobody told it of the empty chain. Any change will do, for KUBE-SERVICES is written anew each time; "
        "without one it would be an hour.",
        trace=trace,
    )


def thirty_requests(port: Port) -> checks.Outcome:
    """Thirty requests over one connection."""
    answers = said(port, "kubectl exec client -- curl -s 'http://web/hostname?[1-30]' -w '\\n'").split()
    counts = sorted(answers.count(each) for each in set(answers))
    return checks.Outcome(
        answer="one" if len(counts) == 1 else "even" if counts == [10, 10, 10] else "random",
        because="The dice fall for the first packet of a connection. All the others are conntrack's, which "
        "remembers what was decided; they never meet the rules of the Service.",
        trace=port.trace(CLIENT, "http://web"),
    )


def calls_itself(port: Port) -> checks.Outcome:
    """The only pod of a Service calls it."""
    port.run_outside("kubectl scale deployment web --replicas=1 && kubectl rollout status deployment web && sleep 2")
    port.settle()
    pod = said(port, "kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}'")
    own = said(port, f"kubectl get pod {pod} -o jsonpath='{{.status.podIP}}'")
    seen = said(port, f"kubectl exec {pod} -- curl -s -m 3 http://web/clientip").rpartition(":")[0]
    words_ = {own: "itself", url(port).removeprefix("http://"): "clusterip"}
    return checks.Outcome(
        answer=words_.get(seen, "node"),
        because=f"It saw {seen}. With its own address as the source its kernel would not take the packet, nor "
        f"would the answer ever come by the node that has to turn it back. So a rule of the endpoint's own chain "
        f"marks such packets for masquerading.",
        trace=port.trace(f"pod/{pod}", "http://web"),
    )


def nobody_writes(port: Port) -> checks.Outcome:
    """kube-proxy stops on the client's node, then a pod is replaced."""
    port.run_outside(STOP.replace("NODE", node_of_client(port)))
    port.settle()
    pod = said(port, "kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}'")
    port.run_outside(f"kubectl delete pod {pod} && kubectl rollout status deployment web")
    port.settle()
    ways = port.traces(CLIENT, "http://web")
    lost = [each for each in ways if each.verdict is not Verdict.DELIVERED]
    share = sum(each.probability for each in lost)
    answer = "fine" if not lost else "third" if 0.2 < share < 0.5 else "none"
    port.run_outside(START)
    return checks.Outcome(
        answer=answer,
        because=f"{share * 100:.0f} % of the connections are lost: the rules still name the pod that is gone, "
        f"and not the one that came. Nothing else on the node has changed, so the other two thirds work.",
        trace=lost[0] if lost else ways[0],
    )


def mode_is_written(subject: checks.Subject) -> checks.Finding:
    """The ConfigMap asks for nftables."""
    found = read(subject, "ConfigMap", "kube-system/kube-proxy") or {"data": {"config.conf": ""}}
    lines = [line.strip() for line in found["data"]["config.conf"].splitlines()]
    mode = next((line.partition(":")[2].strip().strip('"') for line in lines if line.startswith("mode:")), "")
    well = mode == "nftables"
    told = "The ConfigMap says nftables." if well else f"The ConfigMap says mode “{mode}”."
    return checks.Finding(passed=well, message=told)


def mode_is_spoken(subject: checks.Subject) -> checks.Finding:
    """Every node has kube-proxy's nftables table, and no chains of its iptables mode."""
    for node in places.nodes(subject):
        chains = sum(line.startswith(":KUBE-SVC-") for line in subject.port.node_rules(node).splitlines())
        tables = subject.port.run_on_node(node, "nft list tables").stdout
        if chains or "table ip kube-proxy" not in tables:
            there = f"{chains} chains KUBE-SVC-…" if chains else "no table of kube-proxy's"
            return checks.Finding(
                passed=False,
                message=f"The kernel of {node} has {there}.",
                explanation="kube-proxy reads its configuration when it starts. Has it started since?",
            )
    return checks.Finding(
        passed=True, message="Every node's kernel has kube-proxy's nftables table, and no KUBE-SVC chain."
    )


def answers(source: str) -> checks.Check:
    """http://parcel answers this pod, whichever of its two pods is drawn."""
    name = source.removeprefix("pod/")

    def check(subject: checks.Subject) -> checks.Finding:
        target = "http://" + said(subject.port, "kubectl get service parcel -o jsonpath='{.spec.clusterIP}'")
        ways = subject.port.traces(source, target)
        lost = [each for each in ways if each.verdict is not Verdict.DELIVERED]
        taken = {each.final.dst for each in ways} - {each.final.dst for each in lost}
        shown = (lost or ways)[0]
        if lost or len(taken) < 2:
            told = f"Pod “{name}” asked http://parcel: {len(taken)} of its 2 pods could answer."
            return checks.Finding(passed=False, message=told, explanation=words.explain(shown), trace=shown)
        return checks.Finding(passed=True, message=f"Pod “{name}” gets its answer from either pod.", trace=shown)

    return check


def runs_everywhere(subject: checks.Subject) -> checks.Finding:
    """kube-proxy runs on each node, and will on the next."""
    nodes = places.nodes(subject)
    found = read(subject, "DaemonSet", "kube-system/kube-proxy") or {"status": {}}
    ready = found["status"].get("numberReady", 0)
    if ready < len(nodes):
        told = f"kube-proxy runs on {ready} of {len(nodes)} nodes: the others' rules will not follow the next change."
        return checks.Finding(passed=False, message=told)
    return checks.Finding(passed=True, message="kube-proxy runs on every node.")


CHECKS = {
    "flush": [
        checks.predicts(
            "flush",
            empty_chain,
            wrong={
                "works": "The rules do the work. Without them the packet leaves for an address that nobody has.",
                "soon": "It notices by itself only if everything was thrown away (it leaves a chain as a canary "
                "in each table). One empty chain it does not see.",
                "restart": "A restart helps, but less is enough: it writes whenever a Service or its endpoints change.",
            },
        )
    ],
    "requests": [
        checks.predicts(
            "requests",
            thirty_requests,
            wrong={
                "even": "Nothing counts requests. And even connections do not take turns here.",
                "random": "That would be thirty connections. These requests share one.",
            },
        )
    ],
    "itself": [
        checks.predicts(
            "itself",
            calls_itself,
            wrong={
                "itself": "A packet that comes in from outside and claims to come from oneself is a martian: the "
                "kernel drops it.",
                "clusterip": "The ClusterIP is only ever a destination; on the way back it is the source of the answer.",
            },
        )
    ],
    "stopped": [
        checks.predicts(
            "stopped",
            nobody_writes,
            wrong={
                "none": "The rules are the kernel's. They work as long as what they name exists.",
                "fine": "Rules follow nobody. kube-proxy follows, and it has stopped here.",
                "dead": "Nothing times out in the rules: they stay until somebody writes others.",
            },
        )
    ],
    "mode": [
        mode_is_written,
        mode_is_spoken,
        checks.required(checks.reaches(CLIENT, "http://web")),
    ],
    "parcel": [answers(CLIENT), runs_everywhere, checks.required(answers(EDGE))],
}
