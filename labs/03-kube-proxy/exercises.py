"""Exercises of lab 03: what heals, what goes stale, what a mode says."""

from __future__ import annotations

import random
import re

from kubelab import checks, words
from kubelab.exercises import Exercise
from kubelab.port import Port
from kubesim.net.trace import Verdict

WORKERS = ("kind-worker", "kind-worker2")

# Deployment and Service; `%s` are name, replicas and name again.
BEHIND = """kubectl create deployment %s --image=gcr.io/google-samples/hello-app:1.0 --replicas=%s
kubectl rollout status deployment %s
"""
EXPOSE = "kubectl expose deployment %s --port=%s --target-port=8080\n"
# kube-proxy goes from one node, which keeps the rules that it has; START brings it back everywhere.
STOP = """kubectl label nodes --all --overwrite kube-proxy=on
kubectl -n kube-system patch daemonset kube-proxy -p '{"spec":{"template":{"spec":{"nodeSelector":{"kube-proxy":"on"}}}}}'
kubectl -n kube-system rollout status daemonset kube-proxy
kubectl label node NODE kube-proxy-
sleep 3
"""
START = """kubectl label nodes --all --overwrite kube-proxy=on
kubectl -n kube-system rollout status daemonset kube-proxy
"""
# The client's node, and where it is not.
CLIENT_S_NODE = "$(kubectl get pod client -o jsonpath='{.spec.nodeName}')"
MODE = """kubectl -n kube-system get configmap kube-proxy -o yaml | sed 's/ mode: .*/ mode: %s/' | kubectl replace -f -
kubectl -n kube-system rollout restart daemonset kube-proxy
kubectl -n kube-system rollout status daemonset kube-proxy
"""


def said(port: Port, command: str) -> str:
    return port.run_outside(command).stdout.strip()


def what_is_stale(dice: random.Random) -> Exercise:
    """kube-proxy stops on the client's node, then pods come and go: how many can still be reached, and how many are lost?"""
    name, before = dice.choice(("radio", "bank", "mill", "forge")), dice.randint(2, 6)
    gone, grown = dice.randint(0, before - 1), dice.randint(0, 4)
    lost = dice.random() < 0.5
    replace = f"""for pod in $(kubectl get pods -l app={name} -o name | head -n {gone}); do kubectl delete $pod --wait=false; done
kubectl rollout status deployment {name}
sleep 40
"""
    grow = f"kubectl scale deployment {name} --replicas={before + grown}\nkubectl rollout status deployment {name}\n"
    setup = BEHIND % (name, before, name) + EXPOSE % (name, 80) + "sleep 3\n" + STOP.replace("NODE", CLIENT_S_NODE)
    setup += (replace if gone else "") + (grow if grown else "")
    told = [f"{gone} of them {'is' if gone == 1 else 'are'} deleted and replaced by new ones"] if gone else []
    told += [f"the Deployment is scaled up to {before + grown}"] if grown else []
    ask = (
        "How many of the pods that run **now** can answer a call of pod `client`?"
        if not lost
        else "To how many addresses, at which nobody is any more, may a call of pod `client` be sent?"
    )

    def experiment(port: Port) -> checks.Outcome:
        address = said(port, f"kubectl get service {name} -o jsonpath='{{.spec.clusterIP}}'")
        ways = port.traces("pod/client", f"http://{address}")
        dead = {each.final.dst for each in ways if each.verdict is not Verdict.DELIVERED}
        well = {each.final.dst for each in ways if each.verdict is Verdict.DELIVERED}
        return checks.Outcome(
            answer=str(len(dead) if lost else len(well)),
            because=f"The node's rules are those of the moment when kube-proxy stopped: {before} addresses, "
            f"{len(dead)} of them dead by now. Pods that came later are in no rule of this node.",
            trace=next((each for each in ways if each.final.dst in dead), ways[0]),
        )

    return Exercise(
        title="Gone stale",
        asks=f"Service `{name}` has {before} pods. kube-proxy stops on the node of pod `client`. Then "
        f"{', and '.join(told) or 'nothing changes'}. {ask}",
        setup=setup,
        experiment=experiment,
        wrong={"0": "Rules do not vanish when kube-proxy stops, and they do not follow the pods either."},
        hints=[
            "Which addresses stand in the node's rules? Those of the moment when kube-proxy stopped.",
            "Which of these exist?",
        ],
    )


def does_it_heal(dice: random.Random) -> Exercise:
    """Some chain is emptied, something happens, and then?"""
    name = dice.choice(("river", "bridge", "ferry", "canal"))
    what = dice.choice(("services", "own", "everything"))
    then = dice.choice(("wait", "other", "same", "restart"))
    seconds = dice.choice((40, 60, 90, 120))
    empty = {
        "services": "iptables -t nat -F KUBE-SERVICES",
        "own": f"iptables -t nat -F $(iptables-save -t nat | grep '{name} cluster IP' | grep -o "
        "'KUBE-SVC-[A-Z0-9]*' | head -n 1)",
        "everything": "for t in mangle nat filter; do iptables -t $t -F; iptables -t $t -X; done",
    }[what]
    happens = {
        "wait": f"sleep {seconds}",
        "other": "kubectl create service clusterip another --tcp=80:80; sleep 5",
        "same": f"kubectl scale deployment {name} --replicas=3; kubectl rollout status deployment {name}; sleep 5",
        "restart": "kubectl -n kube-system rollout restart daemonset kube-proxy; "
        "kubectl -n kube-system rollout status daemonset kube-proxy; sleep 5",
    }[then]
    told = {
        "services": "the chain `KUBE-SERVICES` is emptied",
        "own": f"the Service's own chain `KUBE-SVC-…` is emptied (the one of `{name}`)",
        "everything": "all rules and all chains are thrown away, in every table",
    }[what]
    after = {
        "wait": f"{seconds} seconds go by, and nothing happens",
        "other": "five seconds after another Service was created",
        "same": f"five seconds after Deployment `{name}` was scaled to three",
        "restart": "five seconds after kube-proxy was restarted on every node",
    }[then]

    def experiment(port: Port) -> checks.Outcome:
        node = said(port, "kubectl get pod client -o jsonpath='{.spec.nodeName}'")
        address = said(port, f"kubectl get service {name} -o jsonpath='{{.spec.clusterIP}}'")
        port.run_on_node(node, empty)
        port.run_outside(happens)
        done = port.run_outside(f"kubectl exec client -- curl -s -m 2 -o /dev/null http://{address}")
        because = {
            "services": "KUBE-SERVICES is written anew with every change of any Service; an empty chain by "
            "itself nobody notices.",
            "own": "A Service's own chain is written when that Service or its endpoints change (or at a restart, "
            "or once an hour): other Services do not matter to it.",
            "everything": "With everything the canary is gone, too. kube-proxy looks for it every half minute, "
            "and then writes all.",
        }[what]
        return checks.Outcome(
            answer="no" if done.exit_code else "yes",
            because=because,
            trace=port.trace("pod/client", f"http://{address}"),
        )

    return Exercise(
        title="Does it heal?",
        asks=f"On the node of pod `client` {told}. Then: {after}. Does `http://{name}` answer pod `client` again "
        f"(called by its address)?",
        setup=BEHIND % (name, 2, name) + EXPOSE % (name, 80) + "sleep 3\n",
        choices={"yes": "yes", "no": "no"},
        experiment=experiment,
        wrong={
            "yes": "Nobody told kube-proxy of it. It writes what has changed in the API, and looks for its canary, no more.",
            "no": "Something made kube-proxy write just these rules again.",
        },
        hints=[
            "What wakes kube-proxy: a change in the API, a missing canary, its own start.",
            "And what does it write then: all, or only what changed?",
        ],
    )


def which_chance(dice: random.Random) -> Exercise:
    """The probability in one of the rules."""
    name, pods = dice.choice(("dice", "coin", "cards", "wheel")), dice.randint(2, 9)
    number = dice.randint(1, pods - 1)
    left = pods - number + 1
    seen = "The first rule sees every packet." if number == 1 else f"This rule sees what is left for {left} endpoints."

    def experiment(port: Port) -> checks.Outcome:
        rules = [
            line
            for line in port.node_rules(WORKERS[0]).splitlines()
            if line.startswith("-A KUBE-SVC-") and f"{name} ->" in line
        ]
        found = re.search(r"--probability ([\d.]+)", rules[number - 1])
        assert found is not None
        return checks.Outcome(
            answer=f"{float(found.group(1)):.2f}",
            because=f"{seen} One in {left}. In the end each endpoint gets one in {pods}.",
        )

    return Exercise(
        title="Which chance?",
        asks=f"Service `{name}` has {pods} ready endpoints, and kube-proxy writes in iptables mode. Which "
        f"probability stands in rule number **{number}** of its chain `KUBE-SVC-…` that chooses an endpoint? Two "
        f"digits after the point, as in 0.05.",
        setup=BEHIND % (name, pods, name) + EXPOSE % (name, 80) + "sleep 3\n",
        experiment=experiment,
        wrong={f"{1 / pods:.2f}": "Only the first rule sees all packets. The others see what is left."}
        if number > 1
        else {},
        hints=["The rules are asked one after the other. How many endpoints are left when this one is asked?"],
    )


def what_a_mode_does(dice: random.Random) -> Exercise:
    """A mode, and a question whose answer depends on it."""
    mode = dice.choice(("iptables", "nftables", "ipvs"))
    name, port_ = dice.choice(("canteen", "laundry", "garage", "office")), dice.choice((80, 8000, 9000))
    other = port_ + dice.randint(1, 99)
    question = dice.choice(("port", "interface", "turn"))
    asks = {
        "port": f"Pod `client` calls the ClusterIP of Service `{name}` at port {other}, which the Service does not have.",
        "interface": f"`ip addr` on the node of pod `client`: is the ClusterIP of Service `{name}` on one of its interfaces?",
        "turn": f"Pod `client` makes nine connections to Service `{name}`, which has three pods. Does each pod "
        "get exactly three?",
    }[question]
    choices = (
        {"refused": "refused, at once", "timeout": "nothing, until curl gives up"}
        if question == "port"
        else {"yes": "yes", "no": "no"}
    )

    def experiment(port: Port) -> checks.Outcome:
        address = said(port, f"kubectl get service {name} -o jsonpath='{{.spec.clusterIP}}'")
        if question == "interface":
            node = said(port, "kubectl get pod client -o jsonpath='{.spec.nodeName}'")
            there = address in port.run_on_node(node, "ip addr").stdout
            why = "Only IPVS must think that the address is the machine's own; so kube-proxy puts it on kube-ipvs0."
            return checks.Outcome(answer="yes" if there else "no", because=why)
        if question == "port":
            done = port.run_outside(f"kubectl exec client -- curl -s -m 3 -o /dev/null http://{address}:{other}")
            why = {
                "iptables": "No rule is for that port, so the packet keeps an address that nobody has, and gets lost.",
                "nftables": "A rule rejects what comes to a ClusterIP at any port but the Service's own.",
                "ipvs": "The address is on the node's own interface: the packet is at home there, and nobody listens.",
            }[mode]
            trace = port.trace("pod/client", f"http://{address}:{other}")
            return checks.Outcome(answer={7: "refused", 28: "timeout"}[done.exit_code], because=why, trace=trace)
        script = f"for i in 1 2 3 4 5 6 7 8 9; do kubectl exec client -- curl -s http://{address}:{port_} | grep Hostname; done"
        answers = port.run_outside(script).stdout.splitlines()
        even = len(set(answers[:3])) == 3 and answers[3:] == answers[:-3]
        why = "IPVS counts (rr): one after the other." if mode == "ipvs" else "Each connection throws the dice anew."
        return checks.Outcome(answer="yes" if even else "no", because=why)

    return Exercise(
        title="In which language?",
        asks=f"kube-proxy runs in **{mode}** mode. {asks}",
        setup=BEHIND % (name, 3, name)
        + EXPOSE % (name, port_)
        + (MODE % mode if mode != "iptables" else "")
        + "sleep 3\n",
        choices=choices,
        experiment=experiment,
        wrong={
            "refused": "To refuse, somebody would have to answer for that address.",
            "timeout": "In this mode somebody answers for the address, whatever the port.",
        }
        if question == "port"
        else {},
        hints=["What stands for a Service in this mode: a chain, a map, or a table of the kernel's own load balancer?"],
    )


def mend_the_node(dice: random.Random) -> Exercise:
    """One node does not know what the others know: one of three reasons."""
    name, port_ = dice.choice(("post", "school", "clinic", "court")), dice.choice((80, 8080, 9090))
    fault = dice.choice(("stopped", "services", "own"))
    made = BEHIND % (name, 2, name) + EXPOSE % (name, port_) + "sleep 3\n"
    node = CLIENT_S_NODE
    setup = {
        "stopped": STOP.replace("NODE", node) + made,
        "services": made + f"docker exec {node} iptables -t nat -F KUBE-SERVICES\n",
        "own": made
        + f"docker exec {node} iptables -t nat -F $(docker exec {node} iptables-save -t nat | grep '{name} cluster IP' "
        "| grep -o 'KUBE-SVC-[A-Z0-9]*' | head -n 1)\n",
    }[fault]
    restart = """kubectl -n kube-system rollout restart daemonset kube-proxy
kubectl -n kube-system rollout status daemonset kube-proxy
"""

    def answers(source: str) -> checks.Check:
        def check(subject: checks.Subject) -> checks.Finding:
            address = said(subject.port, f"kubectl get service {name} -o jsonpath='{{.spec.clusterIP}}'")
            ways = subject.port.traces(source, f"http://{address}:{port_}")
            lost = next((each for each in ways if each.verdict is not Verdict.DELIVERED), None)
            told = (
                f"{source.replace('/', ' ')} gets {'no answer' if lost else 'its answer'} from http://{name}:{port_}."
            )
            return checks.Finding(
                passed=lost is None,
                message=told[0].upper() + told[1:],
                explanation=words.explain(lost or ways[0]),
                trace=lost or ways[0],
            )

        return check

    return Exercise(
        title="One node knows nothing",
        asks=f"`http://{name}:{port_}` answers pod `edge`, and it does not answer pod `client`, on another node. "
        f"Service, pods and EndpointSlice are well. Mend it.",
        setup=setup,
        checks=[answers("pod/client"), checks.required(answers("pod/edge"))],
        hints=[
            "Follow both packets (by address, if names do not resolve). Which rules has the one node that the other has not?",
            "Does kube-proxy run there? kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide; get nodes "
            "--show-labels",
            "If it runs and the rules are wrong: what makes it write all of them again?",
        ],
        solve=(START if fault == "stopped" else restart) + "sleep 3\n",
    )


EXERCISES = (what_is_stale, mend_the_node, does_it_heal, which_chance, what_a_mode_does)
