"""What lab 09 looks at."""

from __future__ import annotations

from kubelab import checks
from kubelab.checks.state import read
from kubelab.port import Port

CLIENT = "pod/client"
SLICE = """\
kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Service
metadata: {name: demo}
spec: {ports: [{port: 80, targetPort: 9376}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: demo-by-hand, labels: {kubernetes.io/service-name: demo}}
addressType: IPv4
ports: [{port: 8443, protocol: TCP}]
endpoints: [{addresses: [ADDRESS]}]
EOF
"""


def machine(port: Port, name: str) -> str:
    """The address of one of the machines beside the cluster."""
    return port.run_outside(f"kubectl get pod {name} -o jsonpath='{{.status.hostIP}}'").stdout.strip()


def which_port(port: Port) -> checks.Outcome:
    """The experiment behind the first prediction: targetPort says one thing, the slice another."""
    port.run_outside(SLICE.replace("ADDRESS", machine(port, "ledger-machine")))
    port.settle()
    trace = port.trace(CLIENT, "http://demo")
    return checks.Outcome(
        answer=str(trace.final.dport),
        because="kube-proxy takes address and port from the slice. A targetPort is read by the controller that "
        "writes slices for a "
        "selector; here there is no selector, you wrote the slice, and so nobody read it.",
        trace=trace,
    )


def edited(port: Port) -> checks.Outcome:
    """The experiment behind the second prediction: an address is put into a slice that a controller keeps."""
    port.run_outside(
        "kubectl create deployment web --image=nginx --replicas=2; kubectl expose deployment web --port=80; "
        "kubectl rollout status deployment web"
    )
    port.settle()
    name = port.run_outside("kubectl get endpointslices -l kubernetes.io/service-name=web -o name").stdout.strip()
    patch = '[{"op":"add","path":"/endpoints/-","value":{"addresses":["192.0.2.7"]}}]'
    done = port.run_outside(f"kubectl patch {name} --type=json -p '{patch}'")
    if done.exit_code:
        return checks.Outcome(answer="refused", because=done.stderr.strip())
    port.run_outside("sleep 10")
    port.settle()
    there = "192.0.2.7" in port.run_outside(f"kubectl get {name} -o yaml").stdout
    return checks.Outcome(
        answer="stays" if there else "gone",
        because="The slice is kept by the EndpointSlice controller: it is the answer to the Service's selector. The "
        "controller saw that the "
        "slice was no longer what it had written, and wrote it again. The API does not stop you; it is the "
        "controller who has the last word.",
        trace=port.trace(CLIENT, "http://web"),
    )


def no_selector(name: str) -> checks.Check:
    """The Service asks for no pods."""

    def check(subject: checks.Subject) -> checks.Finding:
        found = read(subject, "Service", name)
        if found is not None and found["spec"].get("selector"):
            return checks.Finding(
                passed=False,
                message=f"Service “{name}” has a selector.",
                explanation="Then a controller writes its slices, from the pods that carry those labels; a machine "
                "beside the cluster carries none.",
            )
        return checks.Finding(passed=True, message="It has no selector.")

    return check


def same_service(subject: checks.Subject) -> checks.Finding:
    """Service “archive” is as it was."""
    found = read(subject, "Service", "archive")
    ports = found["spec"].get("ports") if found is not None else None
    if not ports or (ports[0].get("name"), ports[0].get("port")) != ("web", 80) or len(ports) != 1:
        return checks.Finding(
            passed=False,
            message="Service “archive” was to stay as it is: others rely on its port's name. Mend the slice.",
        )
    return checks.Finding(passed=True, message="The Service is as it was.")


CHECKS = {
    "port": [
        checks.predicts(
            "port",
            which_port,
            wrong={
                "80": "That is what the client called. The rule rewrites it to what the slice says.",
                "9376": "Who would have read the targetPort? The controller that does it works for selectors only.",
            },
        )
    ],
    "ledger": [checks.reaches(CLIENT, "http://ledger"), checks.required(no_selector("ledger"))],
    "repair": [checks.reaches(CLIENT, "http://archive"), checks.required(same_service)],
    "edit": [
        checks.predicts(
            "edit",
            edited,
            wrong={
                "stays": "Something watches that slice, and knows what it should hold.",
                "refused": "You may write it: the API has no rule against that. It is undone a moment later.",
            },
        )
    ],
}
