"""What real kubectl 1.36 printed, and what ours prints for the same commands on the same objects (../shared/golden/kubectl).

Every second command of that session is kept aside; SETUP makes up for those whose effect the others need.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from test_against_real import masked

# Before the recording of that number.
SETUP: dict[int, list[str]] = {
    9: ["node node-1", "node node-2", "node node-3", "label node node-1 topology.kubernetes.io/zone=zone-a"],
    11: ["create namespace demo"],
    17: ["pods"],
    27: [
        "create service clusterip my-cs --tcp=5678",
        "create service loadbalancer my-lb --tcp=5678:8080",
        "apply {hl}",
    ],
    89: ["scale deploy web --replicas=5", "pods"],
    91: ["set image deploy/web nginx=nginx:1.26", "pods"],
    97: ["pods"],
    99: ["rollout pause deploy/web"],
    101: ["label svc web tier=front"],
    111: ["pods"],
    113: ["create ingress ing --class=traefik --rule=foo.com/bar=web:80"],
    117: [
        "patch svc web -p {port}",
        "create ingress ing2 --rule=foo.com/*=web:http,tls=sec --default-backend=web:80",
    ],
    123: [],
    127: ["taint node node-3 k=v:NoSchedule"],
    133: ["delete ingress ing ing2"],
}
FILES = {
    "{hl}": "apiVersion: v1\nkind: Service\nmetadata: {name: my-hl}\n"
    "spec: {clusterIP: None, selector: {app: web-hl}, ports: [{port: 80}]}\n",
    "{port}": '{"spec":{"ports":[{"port":80,"name":"http"}]}}',
}

# Those whose objects cannot be made here, each with its reason.
LEFT_OUT = {
    5: "the build of kubectl and of the server",
    13: "the node's capacity and conditions, which the recorder's kubelet wrote",
    69: "the recorder's own kubeconfig",
    91: "a rollout is followed step by step; the steps are the recorder's kubelet's",
    95: "the third revision of that rollout",
    97: "a rollout is followed step by step; the steps are the recorder's kubelet's",
    111: "the events and the placement of a pod, which the recorder's kubelet and scheduler wrote",
}
# What differs and may, each with its reason.
DIFFERS = {
    83: "the server's words for an unknown field in a patch",
    61: "the field's description, which is in our own words",
}


def _comparable(text: str) -> str:
    text = re.sub(r"IP(:80)?(,IP(:80)?)*( \+ \d+ more\.\.\.)?", "IPs", masked(text))
    text = re.sub(r"(my-\w\w|web(-np)?)-[a-z0-9]{5}\b", r"\1-SUFFIX", text)
    text = re.sub(r":3[0-2]\d{3}/|\b3[0-2]\d{3}/TCP", "NODEPORT", text)
    text = re.sub(r"zone-[ab]\b", "ZONE", text)
    text = re.sub(r"\bnode-[123]\b", "NODE", text)
    return re.sub(r"(pod-template-hash=|web-)[0-9a-f]{8,10}\b", r"\1HASH", text)


def _columns(text: str) -> str:
    """Rows of a table by what they begin with: the recorded order of random names is not ours."""
    lines = text.splitlines()
    return "\n".join([*lines[:1], *sorted(lines[1:])]) if "SUFFIX" in text and "Name:" not in text else text


def test_what_real_kubectl_printed(bench, shared: Path) -> None:
    bench.kubectl_version = "v1.36.2"
    compared, same, report = 0, 0, []
    for path in sorted((shared / "golden/kubectl").glob("*.json")):
        number = int(path.name[:3])
        recorded = json.loads(path.read_text())
        for step in SETUP.get(number, []):
            _prepare(bench, step)
        if number == 91:
            continue
        line = recorded["command"].removeprefix("kubectl ").removesuffix(" -v=8")
        result = bench.kubectl(_in_demo(line), recorded.get("stdin") or "")
        if number in LEFT_OUT:
            continue
        theirs = [recorded["exit"], recorded["stdout"], recorded.get("stderr", "")]
        ours = [result.code, result.out, result.err]
        if "http_trace" in recorded:
            # With -v=8 standard error is the trace, and nothing else was kept.
            theirs[2] = ours[2] = ""
        compared += 1
        if theirs[:1] + [_columns(_comparable(each)) for each in theirs[1:]] == ours[:1] + [
            _columns(_comparable(each)) for each in ours[1:]
        ]:
            same += 1
            assert number not in DIFFERS, f"{number} no longer differs"
        elif number not in DIFFERS:
            said = [f"--- {who} {each[0]}\n{each[1]}{each[2]}" for who, each in (("recorded", theirs), ("ours", ours))]
            report.append("\n".join([f"{number} $ kubectl {line}", *said]))
    print(f"{same} of {compared} recordings are the same ({100 * same / compared:.0f} %)")
    assert not report, f"{same} of {compared} are the same\n" + "\n".join(report)


def _in_demo(line: str) -> str:
    """The recorder named the namespace in every command; before "--", where there is one."""
    return f"-n demo {line}" if line.split()[0] in ("config", "version") else f"{line} -n demo"


def _prepare(bench, step: str) -> None:
    verb, _, rest = step.partition(" ")
    if verb == "node":
        bench.node(rest)
    elif verb == "pods":
        bench.run_pods("demo")
    elif verb == "apply":
        bench.ok("create -n demo -f -", FILES[rest])
    else:
        words = [FILES.get(word, word) for word in shlex.split(step)]
        bench.ok(_in_demo(shlex.join(words)))
