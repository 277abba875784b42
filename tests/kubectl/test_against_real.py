"""Our kubectl and a real one, the same commands on the same server, each in a namespace of its own: the same bytes."""

from __future__ import annotations

import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import overhttp
import pytest

pytestmark = [pytest.mark.kubectl, pytest.mark.slow]

# In order; `{f}` is where the manifests are.
COMMANDS = """
get pods
get svc
get all
get nope
get svc nope
get svc nope1 nope2
get
get pods --bogus
get pods -Q
foo
gett pods
create deployment web --image=nginx --replicas=2 --port=80
create deployment web --image=nginx
create deployment web
create deployment
create deployment BAD_ --image=nginx
create foo
get deploy
get deploy,rs
get deploy web -o name
get deploy web -o wide --no-headers
get deploy --show-labels
get deploy -L app,nope
get rs -o wide
get deploy -o jsonpath={.items[*].metadata.name}
get deploy web -o jsonpath={.spec.replicas}
get deploy web -o jsonpath={.spec.template}
get deploy web -o jsonpath={.items[
get deploy web -o jsonpath={.spec[3]}
get deploy -o custom-columns=NAME:.metadata.name,IMAGE:.spec.template.spec.containers[*].image,X:.no.such
get deploy -o custom-columns=NAME
get deploy -o foo
get deploy web -o go-template={{.metadata.name}}
get deploy/web svc/nope
get deploy web/x
get deploy/web/x
get deploy/ web
get deploy/web rs
get svc,deploy web
get deploy -l app=web
get deploy -l app=no
get deploy -l app=
get deploy web -l app=web
get pods --field-selector status.phase=Pending --no-headers -o custom-columns=P:.status.phase
get pods --field-selector nope=1
get deploy --sort-by=.metadata.name
get deploy --sort-by={.nope}
expose deployment web
get svc web
expose deployment web --port=80
expose deployment web --name=web2 --port=8080 --target-port=http --type=NodePort
expose deployment web --name=web3 --port=80 --type=LoadBalancer --session-affinity=ClientIP
expose deployment web --name=web4 --cluster-ip=None --port=80
expose deployment web --name=bad --port=x
expose deployment web --name=bad --port=99999
expose deployment nope --port=80
expose namespace default --port=80
expose deployment web --port=80 --name=dry --dry-run=client -o yaml
expose deployment web --port=80 --name=dry --dry-run=client
create service nodeport np --tcp=5678:8080
create service clusterip cip --tcp=80 --dry-run=client -o yaml
create service externalname en --external-name=bar.com
create service nodeport np --tcp=1
create service nodeport np
create configmap cm --from-literal=a=b --from-literal=c=d
create configmap cm --from-literal=a=b
create secret generic sec --from-literal=k=v
create serviceaccount robot
create role reader --verb=get,list --resource=pods,deployments
create rolebinding rb --role=reader --serviceaccount=default:robot
create job hello --image=busybox -- echo hi
create ingress i --rule=foo.com/bar=svc:80
create -f {f}/svc.yaml
create -f {f}/svc.yaml
create -f {f}/bad.yaml
create -f {f}/typo.yaml
create -f {f}/broken.yaml
create -f {f}/tabs.yaml
create -f {f}/unknown.yaml
create -f {f}/nokind.yaml
create -f {f}/absent.yaml
create
apply
apply -f {f}/svc.yaml
apply -f {f}/svc.yaml
apply -f {f}/svc2.yaml
apply -f {f}/two.yaml
apply -f {f}/two.yaml
apply -f {f}/bad.yaml
apply -f {f}/typo.yaml
apply -f {f}/two.yaml --dry-run=server
apply -f {f}/two.yaml --dry-run=client -o name
apply -f {f}/pod.yaml
apply -f {f}/ing.yaml
apply --server-side -f {f}/svc.yaml
apply --server-side --force-conflicts -f {f}/two.yaml
apply -f {f}/one-port.yaml
apply -f {f}/two-protocols.yaml
get svc talk -o yaml
apply -f {f}/two-protocols.yaml
apply -f {f}/one-port.yaml
apply --server-side --force-conflicts -f {f}/two-protocols.yaml
get svc talk -o yaml
apply -f {f}/two-protocols.yaml
delete svc talk
apply view-last-applied svc/applied
apply view-last-applied svc/applied -o json
get svc applied -o yaml
get cm one two -o name
get ingress
describe svc web
describe svc web2
describe svc web3
describe svc en
describe svc nope
describe deploy web
describe rs -l app=web
describe pod full
describe cm two
describe secret sec
describe sa robot
describe role reader
describe rolebinding rb
describe ingress ing
describe ingress i
describe endpointslice -l kubernetes.io/service-name=np
describe job hello
describe nope
describe
describe ns default
scale deploy web --replicas=3
scale deploy web --replicas=1 --current-replicas=7
scale deploy nope --replicas=1
scale deploy web
label svc web tier=front
label svc web tier=back
label svc web tier=back --overwrite
label svc web tier-
label svc web tier-
label svc web
label svc web bad=-x-
annotate svc web note=hello
annotate svc web note=other
annotate svc web note-
patch svc web -p {"spec":{"sessionAffinity":"ClientIP"}}
patch svc web -p {"spec":{"clusterIP":"10.96.3.3"}}
patch svc web -p {"spec":{"sessionAffinity":"ClientIP"}}
patch svc web --type=json -p [{"op":"replace","path":"/spec/sessionAffinity","value":"None"}]
patch svc web --type=json -p [{"op":"remove","path":"/nope"}]
patch svc web --type=foo -p {}
patch svc web
patch svc nope -p {}
set image deploy/web nginx=nginx:1.25
set image deploy/web nope=nginx:1.25
set image deploy/web nginx=nginx:1.25
set env deploy/web A=b
set env deploy/web --list
set env deploy/web A-
set resources deploy/web --limits=cpu=1
rollout history deploy/web
rollout history deploy/web --revision=1
rollout history deploy/web --revision=99
rollout pause deploy/web
rollout pause deploy/web
rollout resume deploy/web
rollout resume deploy/web
rollout undo deploy/web --to-revision=1
rollout undo deploy/web --to-revision=77
rollout status deploy/web --timeout=1s
rollout status
rollout status deploy/nope
wait --for=condition=Nope deploy/web --timeout=1s
wait --for=condition=Progressing deploy/web --timeout=5s
wait --for=jsonpath={.spec.replicas}=3 deploy/web --timeout=5s
wait --for=delete pod/nope --timeout=1s
wait --for=delete deploy/web --timeout=1s
wait deploy/web
run tmp --image=busybox --restart=Never
run tmp --image=busybox
run tmp2 --image=busybox --dry-run=client -o yaml --env=A=b --port=80 --labels=a=b -- sleep 1
run tmp3 --image=busybox --command --dry-run=client -o yaml -- sleep 1
run
run x
run BAD_ --image=x
exec
exec tmp
exec nope -- ls
exec tmp -- ls
logs
logs nope
logs tmp
auth can-i create pods
auth can-i
auth can-i get nodes
api-versions
config current-context
config view
config get-contexts
config use-context nope
replace -f {f}/svc.yaml
replace -f {f}/typo.yaml
autoscale deploy web --max=5
autoscale deploy web --max=0
cordon nope
cordon
taint nodes
taint nodes nope a=b:NoSchedule
top pods
delete svc nope
delete svc
delete
delete svc web2 web3
delete svc web --dry-run=client
delete -f {f}/two.yaml
delete -f {f}/two.yaml
delete -f {f}/two.yaml --ignore-not-found
delete deploy,svc --all --wait=false
delete cm one two --ignore-not-found
get cm
version --client
get --raw /version
get pods -n
get events --field-selector reason=Nope
port-forward
port-forward nope
port-forward nope 80
port-forward tmp 80
port-forward svc/nope 80
cp
cp a b
cp nope:/x y
attach
attach nope
edit
edit svc nope
diff
logs -l app=none
api-resources --api-group=apps
api-resources -o name --namespaced=false
api-resources --verbs=list,patch --no-headers
api-resources -o foo
""".strip().splitlines()


@dataclass
class Server:
    kubeconfig: str
    files: str

    def words(self, line: str) -> list[str]:
        return line.replace("{f}", self.files).split(" ") if "{" in line else shlex.split(line)


def _binary(minor: int) -> str:
    main = shutil.which("kubectl")
    if main is None:
        pytest.skip("no kubectl is installed: nothing to compare with")
    beside = Path(main).resolve().parent / f"kubectl.1.{minor}"
    if not beside.exists():
        pytest.skip(f"kubectl 1.{minor} is not beside {main}")
    return str(beside)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for each in (Path(__file__).parent / "manifests").iterdir():
        shutil.copy(each, tmp_path)
    yield from serving(tmp_path)


def serving(folder: Path) -> Iterator[Server]:
    """A server without machines, with its kubeconfig in the folder."""
    kubeconfig = folder / "config"
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "kubesim"), "serve", "--preset", "bare", "--kubeconfig", str(kubeconfig)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "KUBECONFIG" in line:
                break
        yield Server(str(kubeconfig), str(folder))
    finally:
        process.terminate()
        process.wait(10)


def real(binary: str, args: list[str], server: Server) -> tuple[int, str, str]:
    env = {**os.environ, "KUBECONFIG": server.kubeconfig, "HOME": server.files}
    done = subprocess.run(
        [binary, *args], capture_output=True, text=True, env=env, cwd=server.files, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


_MASKS = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000", "DATE"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r'resourceVersion(": |":)"\d+"', "RV"),
    (r'resourceVersion: "\d+"', "RV"),
    (r"kubectl\.1\.\d+", "kubectl"),
    (r"\b10\.\d+\.\d+\.\d+\b", "IP"),
    (r"\b3[0-2]\d{3}/", "PORT/"),
    (r"nodePort: \d+", "nodePort"),
    (r"(web|np|hello|kube-api-access)-([0-9a-f]{8,10}-)?[a-z0-9]{5}\b", r"\1-SUFFIX"),
    (r"\b\d+(m\d+)?s\b", "AGE"),
    # Its watch cache complains when a watch ends within the second; that depends on the moment.
    (r"^I\d{4} .*reflector.*\n", ""),
    (r"^[WIE]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ", "KLOG "),
    (r"\b(ours|real)\b", "NS"),
    (r" +", " "),
    (r"-{4,}", "----"),
)


def masked(text: str) -> str:
    for pattern, word in _MASKS:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text


VERSION = "v1.33.1"


def _mine(server: Server) -> list[tuple[int, str, str]]:
    return [
        overhttp.run([args[0], "-n", "ours", *args[1:]], server.kubeconfig, VERSION, server.files)
        for args in map(server.words, COMMANDS)
    ]


def test_the_same_bytes(server: Server) -> None:
    """Both at once, each in its namespace: they do not see each other."""
    binary = _binary(33)
    for space in ("real", "ours"):
        assert overhttp.run(["create", "namespace", space], server.kubeconfig, VERSION)[0] == 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        mine = pool.submit(_mine, server)
        theirs = [real(binary, [args[0], "-n", "real", *args[1:]], server) for args in map(server.words, COMMANDS)]
    failures = [
        f"$ kubectl {line}\n--- real [{there[0]}]\n{there[1]}{there[2]}--- ours [{here[0]}]\n{here[1]}{here[2]}"
        for line, there, here in zip(COMMANDS, theirs, mine.result(), strict=True)
        if [there[0], *map(masked, there[1:])] != [here[0], *map(masked, here[1:])]
    ]
    assert len(COMMANDS) >= 150
    assert not failures, f"{len(failures)} of {len(COMMANDS)} differ\n" + "\n".join(failures)
