"""kubectl against our own API server: what it prints, and what it says when something is wrong."""

from __future__ import annotations

import json

from kubesim.kubectl import podtargets

SERVICE = (
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: applied\nspec:\n  selector: {app: web}\n  ports:\n  - port: 80\n"
)


def test_a_deployment_and_its_service(bench):
    assert bench.ok("create deployment web --image=nginx") == "deployment.apps/web created\n"
    bench.node("node-1")
    bench.run_pods()
    assert bench.ok("expose deployment web --port=80") == "service/web exposed\n"
    assert bench.ok("scale --replicas=3 deployment/web") == "deployment.apps/web scaled\n"
    bench.run_pods()
    assert bench.ok("get deploy web --no-headers").split()[:4] == ["web", "3/3", "3", "3"]
    assert bench.ok("rollout status deploy/web") == 'deployment "web" successfully rolled out\n'
    described = bench.ok("describe svc web")
    assert "Selector:                 app=web\n" in described
    assert "Endpoints:                10.244.1.2:80,10.244.1.3:80,10.244.1.4:80\n" in described


def test_tables(bench):
    assert bench.ok("get svc") == (
        "NAME         TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE\n"
        "kubernetes   ClusterIP   10.96.0.1    <none>        443/TCP   0s\n"
    )
    assert (
        bench.ok("get svc -A --no-headers") == "default   kubernetes   ClusterIP   10.96.0.1   <none>   443/TCP   0s\n"
    )
    assert bench.ok("get svc,ns -o name").splitlines()[:2] == ["service/kubernetes", "namespace/default"]
    result = bench.kubectl("get pods")
    assert (result.code, result.out, result.err) == (0, "", "No resources found in default namespace.\n")


def test_output_formats(bench):
    assert bench.ok("get svc kubernetes -o jsonpath='{.spec.clusterIP}'") == "10.96.0.1"
    assert bench.ok("get ns -o custom-columns=N:.metadata.name --no-headers").split()[0] == "default"
    assert json.loads(bench.ok("get svc -o json"))["kind"] == "List"
    assert "    port: 443\n" in bench.ok("get svc kubernetes -o yaml")
    assert (
        bench.ok("get svc kubernetes -o go-template='{{range .spec.ports}}{{.name}}={{.port}}{{end}}'") == "https=443"
    )


def test_apply_three_ways(bench):
    assert bench.ok("apply -f -", SERVICE) == "service/applied created\n"
    assert bench.ok("apply -f -", SERVICE) == "service/applied unchanged\n"
    bench.ok("label svc applied mine=yes")
    changed = SERVICE.replace("port: 80", "port: 81")
    assert bench.ok("apply -f -", changed) == "service/applied configured\n"
    assert bench.ok("get svc applied -o jsonpath='{.spec.ports[*].port} {.metadata.labels.mine}'") == "81 yes"


def test_a_dry_run_changes_nothing(bench):
    assert bench.ok("apply --dry-run=client -f -", SERVICE) == "service/applied created (dry run)\n"
    assert bench.ok("create deployment d --image=x --dry-run=client -o name") == "deployment.apps/d\n"
    assert "NotFound" in bench.fails("get svc applied")


def test_the_old_dry_run(bench):
    bench.kubectl_version = "v1.16.3"
    bench.ok("create deployment web --image=nginx")
    result = bench.kubectl("expose deployment web --port=80 --type=ClusterIP --dry-run -o yaml")
    assert "  selector:\n    app: web\n  type: ClusterIP\n" in result.out
    assert result.err == ""


def test_deletion_names_the_namespace_since_1_34(bench):
    bench.ok("create configmap a --from-literal=x=y")
    bench.ok("create configmap b --from-literal=x=y")
    assert bench.ok("delete cm a") == 'configmap "a" deleted from default namespace\n'
    bench.kubectl_version = "v1.33.1"
    assert bench.ok("delete cm b") == 'configmap "b" deleted\n'


def test_errors_are_the_servers_and_kubectls_own(bench):
    assert bench.fails("get svc nope") == 'Error from server (NotFound): services "nope" not found\n'
    assert bench.fails("get widgets") == 'error: the server doesn\'t have a resource type "widgets"\n'
    assert bench.fails("foo") == 'error: unknown command "foo" for "kubectl"\n\nDid you mean this?\n\ttop\n'
    assert bench.fails("get pods --bogus") == "error: unknown flag: --bogus\nSee 'kubectl get --help' for usage.\n"
    assert bench.fails("create -f -", "not yaml: [") == (
        "error: error parsing STDIN: error converting YAML to JSON: yaml: line 1: did not find expected node content\n"
    )
    two = SERVICE.replace("  - port: 80\n", "  - port: 80\n  - port: 81\n")
    assert bench.fails("create -f -", two) == (
        'The Service "applied" is invalid: \n* spec.ports[0].name: Required value\n* spec.ports[1].name: Required value\n'
    )
    assert "NotFound" in bench.fails("get svc applied")


def test_no_server(bench):
    from dataclasses import replace

    from kubesim.kubectl import main

    err: list[bytes] = []
    into = replace(bench.io([], err), transport=None)
    assert bench.world.run(main.run(["get", "pods"], into)) == 1
    assert b"".join(err) == (
        b"The connection to the server localhost:8080 was refused - did you specify the right host or port?\n"
    )


def test_a_context_keeps_its_namespace(bench):
    bench.ok("config set-context me --namespace=kube-system")
    assert bench.ok("config use-context me") == 'Switched to context "me".\n'
    assert bench.kubectl("get pods").err == "No resources found in kube-system namespace.\n"
    assert bench.ok("config set-context --current --namespace=default") == 'Context "me" modified.\n'


def test_what_is_not_simulated_says_so(bench):
    assert "not simulated" in bench.fails("apply -k .")
    assert bench.fails("top pods") == "error: Metrics API not available\n"
    assert "not simulated" in bench.fails("cluster-info dump")


def test_waiting(bench):
    bench.ok("create deployment web --image=nginx")
    assert bench.fails("wait --for=condition=Nope deploy/web --timeout=1s") == (
        "error: timed out waiting for the condition on deployments/web\n"
    )
    assert bench.ok("wait --for=jsonpath='{.spec.replicas}'=1 deploy/web") == "deployment.apps/web condition met\n"
    # Without a value anything that is there will do, a list too.
    assert bench.ok("wait --for=jsonpath='{.spec.template}' deploy/web") == "deployment.apps/web condition met\n"


def test_rolling_back(bench):
    bench.ok("create deployment web --image=nginx:1")
    bench.node("node-1")
    bench.run_pods()
    assert bench.ok("set image deploy/web nginx=nginx:2") == "deployment.apps/web image updated\n"
    assert bench.ok("rollout history deploy/web").splitlines()[1:] == [
        "REVISION  CHANGE-CAUSE",
        "1         <none>",
        "2         <none>",
        "",
    ]
    assert bench.ok("rollout undo deploy/web") == "deployment.apps/web rolled back\n"
    assert bench.ok("get deploy web -o jsonpath='{.spec.template.spec.containers[0].image}'") == "nginx:1"


def test_of_two_ready_pods_the_one_that_is_being_deleted_comes_last():
    def made(name, **metadata):
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-02T08:00:05Z"}]
        status = {"phase": "Running", "conditions": conditions}
        return {"metadata": {"name": name, **metadata}, "spec": {"nodeName": "node-1"}, "status": status}

    leaving, staying = made("a", deletionTimestamp="2026-11-02T08:01:00Z"), made("b")
    assert [each["metadata"]["name"] for each in sorted([leaving, staying], key=podtargets.rank)] == ["b", "a"]


def test_a_hook_does_not_sleep_longer_than_the_pod_has_to_end(bench):
    bench.ok("create deployment web --image=nginx")
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","lifecycle":{"preStop":{"sleep":{"seconds":%d}}}}]}}}}'
    assert bench.kubectl(f"patch deployment web -p '{patch % 31}'").err == (
        'The Deployment "web" is invalid: spec.template.spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: '
        "must be non-negative and less than terminationGracePeriodSeconds (30)\n"
    )
    assert bench.ok(f"patch deployment web -p '{patch % 30}'") == "deployment.apps/web patched\n"
