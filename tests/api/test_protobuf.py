"""Bodies in protobuf: hand-made bytes, every type there and back, damaged bytes, and what real kubectl sends."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubesim import http, schema
from kubesim.apiserver import decoding, protobuf
from kubesim.apiserver.server import ApiServer
from kubesim.schema import numbers
from kubesim.store.store import Store
from kubesim.world import World

PROTOBUF = {"content-type": "application/vnd.kubernetes.protobuf", "accept": "application/json"}
# `kubectl create deployment xx --image=nginx`, as kubectl 1.32.5 sends it (-v=8).
DEPLOYMENT = bytes.fromhex(
    "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412a7010a1d0a02787812001a0022002a0032003800"
    "42005a090a036170701202787812780801120b0a090a03617070120278781a5f0a1b0a0012001a0022002a0032003800"
    "42005a090a0361707012027878124012220a056e67696e7812056e67696e782a0042006a007200800100880100900100"
    "a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a00280038001a0c08001000180020"
    "00280038001a002200"
)


# -- writing messages by hand -----------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field: numbers as varints (a float as eight bytes), the rest with their length."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def read(api_version: str, kind: str, raw: bytes) -> dict[str, Any]:
    found = protobuf.decode(protobuf.envelope(body(api_version, kind, raw)))
    assert (found.pop("apiVersion"), found.pop("kind")) == (api_version, kind)
    return found


# -- vectors ----------------------------------------------------------------------------------------------------


def test_what_kubectl_create_deployment_sends() -> None:
    found = decoding.decode("apps.v1.Deployment", protobuf.decode(protobuf.envelope(DEPLOYMENT)))
    labels = {"app": "xx"}
    assert found == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "xx", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "nginx", "image": "nginx", "resources": {}}]},
            },
            "strategy": {},
        },
        "status": {},
    }


def test_a_pointer_s_zero_stays_and_a_value_s_zero_goes() -> None:
    spec = field(1, 0) + field(3, field(2, field(11, 0) + field(4, 0) + field(3, "")))
    found = decoding.decode("apps.v1.Deployment", read("apps/v1", "Deployment", field(2, spec)))
    assert found["spec"]["replicas"] == 0
    # hostNetwork is a value, terminationGracePeriodSeconds a pointer.
    assert found["spec"]["template"]["spec"] == {"containers": None, "terminationGracePeriodSeconds": 0}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            field(1, "v") + field(2, field(2, b"")), {"name": "v", "emptyDir": {}}, id="an empty message is there"
        ),
        pytest.param(field(1, "a") + field(1, "b"), {"name": "b"}, id="the later one holds"),
        pytest.param(
            field(2, field(19, field(1, field(1, "cm")))) + field(2, field(19, field(3, 0o644))),
            {"configMap": {"name": "cm", "defaultMode": 0o644}},
            id="embedded structs vanish and twice-sent messages merge",
        ),
        pytest.param(
            field(2, field(2, field(2, field(1, "1Gi")))),
            {"emptyDir": {"sizeLimit": "1Gi"}},
            id="a quantity is its text",
        ),
        pytest.param(field(99, "x") + field(98, 7) + field(97, 1.5), {}, id="unknown fields are passed over"),
        pytest.param(b"\x9b\x06\x08\x01\x13\x14\x9c\x06" + field(1, "v"), {"name": "v"}, id="groups are passed over"),
        pytest.param(field(1, b"\xff\xfe"), {"name": "��"}, id="text is not checked"),
    ],
)
def test_volumes(raw: bytes, expected: dict[str, Any]) -> None:
    found = read("v1", "Pod", field(2, field(1, raw)))
    assert found["spec"]["volumes"] == [expected]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(field(1, 0) + field(2, 8080) + field(3, ""), 8080, id="a number"),
        pytest.param(field(1, 1) + field(2, 0) + field(3, "http"), "http", id="a name"),
        pytest.param(field(1, 0) + field(2, -1), -1, id="negative"),
        pytest.param(field(1, 0) + field(2, (1 << 32) + 80), 80, id="cut to 32 bits"),
        pytest.param(b"", 0, id="empty"),
    ],
)
def test_target_ports(raw: bytes, expected: int | str) -> None:
    found = read("v1", "Service", field(2, field(1, field(4, raw))))
    assert found["spec"]["ports"] == [{"targetPort": expected}]


def test_times() -> None:
    moment = field(1, 1_700_000_000) + field(2, 123_456_789)
    found = read("v1", "Event", field(6, moment) + field(10, moment) + field(7, b""))
    assert found == {"firstTimestamp": "2023-11-14T22:13:20Z", "eventTime": "2023-11-14T22:13:20.123456Z"}


def test_lists_maps_and_bytes() -> None:
    entry = field(1, "k") + field(2, b"\x00\x01\xff")
    secret = read("v1", "Secret", field(2, entry) + field(2, field(1, "empty")))
    assert secret == {"data": {"k": base64.b64encode(b"\x00\x01\xff").decode(), "empty": ""}}
    one = field(4, 1000) + field(4, 2000)
    packed = field(4, varint(1000) + varint(2000))
    for groups in (one, packed):
        assert read("v1", "Pod", field(2, field(14, groups)))["spec"] == {
            "securityContext": {"supplementalGroups": [1000, 2000]}
        }
    quota = read("v1", "ResourceQuota", field(2, field(1, field(1, "pods") + field(2, field(1, "5")))))
    assert quota == {"spec": {"hard": {"pods": "5"}}}


def test_lists_inside_of_maps_are_messages() -> None:
    extra = field(5, field(1, "scopes") + field(2, field(1, "a") + field(1, "b")))
    found = read("authorization.k8s.io/v1", "SubjectAccessReview", field(2, extra))
    assert found == {"spec": {"extra": {"scopes": ["a", "b"]}}}


def test_documents_inside_of_messages() -> None:
    document = field(1, b'{"spec":{"replicas":2}}')
    found = read("apps/v1", "ControllerRevision", field(2, document) + field(3, 7))
    assert found == {"data": {"spec": {"replicas": 2}}, "revision": 7}
    inner = body("v1", "Namespace", field(1, field(1, "n")))
    found = read("apps/v1", "ControllerRevision", field(2, field(1, inner)))
    assert found["data"] == {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}
    managed = read("v1", "ConfigMap", field(1, field(17, field(7, field(1, b'{"f:data":{}}')))))
    assert managed == {"metadata": {"managedFields": [{"fieldsV1": {"f:data": {}}}]}}


def test_schemas_of_custom_resources_hold_one_of_two() -> None:
    string = field(5, "string")
    properties = (
        field(24, field(1, string))
        + field(30, field(1, 0))
        + field(29, field(1, "a") + field(2, field(24, field(2, string) + field(2, string)) + field(9, 1.5)))
        + field(32, field(1, "d") + field(2, field(2, "x")))
        + field(38, 1)
        + field(20, field(1, b'"one"'))
    )
    version = field(1, "v1") + field(4, field(1, properties))
    found = read("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, field(7, version)))
    assert found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "items": {"type": "string"},
        "additionalProperties": False,
        "properties": {"a": {"items": [{"type": "string"}, {"type": "string"}], "maximum": 1.5}},
        "dependencies": {"d": ["x"]},
        "x-kubernetes-preserve-unknown-fields": True,
        "enum": ["one"],
    }


@pytest.mark.parametrize(("number", "expected"), [(1.5, 1.5), (2.0, 2), (-1e3, -1000)])
def test_numbers_with_a_point(number: float, expected: float) -> None:
    found = repr(maximum(number))
    assert found == repr(expected)


@pytest.mark.parametrize(("number", "word"), [(float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf")])
def test_numbers_that_json_does_not_have(number: float, word: str) -> None:
    with pytest.raises(protobuf.BadMessage, match=f"json: unsupported value: {re.escape(word)}"):
        maximum(number)


def maximum(number: float) -> Any:
    """spec.versions[0].schema.openAPIV3Schema.maximum of a CustomResourceDefinition."""
    raw = field(2, field(7, field(4, field(1, field(9, number)))))
    found = read("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw)
    return found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["maximum"]


def test_bodies_that_are_no_resource() -> None:
    policy = field(1, 30) + field(4, "Foreground") + field(2, field(1, "u")) + field(5, "All")
    expected = {
        "gracePeriodSeconds": 30, "propagationPolicy": "Foreground", "preconditions": {"uid": "u"}, "dryRun": ["All"],
    }  # fmt: skip
    for version in ("v1", "apps/v1", "policy/v1beta1"):
        assert read(version, "DeleteOptions", policy) == expected
    for version in ("policy/v1", "policy/v1beta1"):
        eviction = read(version, "Eviction", field(1, field(1, "p")) + field(2, policy))
        assert eviction == {"metadata": {"name": "p"}, "deleteOptions": expected}
    assert read("autoscaling/v1", "Scale", field(2, field(1, 0))) == {"spec": {"replicas": 0}}
    token = field(1, "api") + field(4, 600) + field(3, field(1, "Pod") + field(3, "p"))
    assert read("authentication.k8s.io/v1", "TokenRequest", field(2, token)) == {
        "spec": {"audiences": ["api"], "expirationSeconds": 600, "boundObjectRef": {"kind": "Pod", "name": "p"}}
    }


# -- every type -------------------------------------------------------------------------------------------------


def sample(kind: str, depth: int) -> tuple[Any, bytes | int | float]:
    """A value of a kind, and how it is written."""
    match kind:
        case "string":
            return "é", "é".encode()
        case "bool":
            return True, 1
        case "int32" | "int64":
            return -5, -5
        case "float64":
            return 0.25, 0.25
        case "bytes":
            return base64.b64encode(b"\xff").decode(), b"\xff"
        case "Quantity":
            return "250m", field(1, "250m")
        case "IntOrString":
            return "25%", field(1, 1) + field(3, "25%")
        case "Time":
            return "2001-09-09T01:46:40Z", field(1, 1_000_000_000)
        case "MicroTime":
            return "2001-09-09T01:46:40.000001Z", field(1, 1_000_000_000) + field(2, 1000)
        case "any":
            return {"x": [1, None]}, field(1, b'{"x":[1,null]}')
    if kind.startswith("[]"):
        value, raw = sample(kind[2:], depth)
        return [value, value], field(1, raw) + field(1, raw)
    return message(kind, numbers.of(kind) or {}, depth)


def message(type_name: str, fields: dict[int, numbers.Numbered], depth: int) -> tuple[dict[str, Any], bytes]:
    """A type's message with every field set, down to a depth."""
    out: dict[str, Any] = {}
    raw = b""
    for number, each in fields.items():
        if each.inside is not None:
            inner, written = message(type_name, each.inside, depth)
            out |= inner
            raw += field(number, written)
            continue
        found = schema.field(type_name, each.name)
        assert found is not None, f"{type_name} has no field {each.name}"
        if each.choice or (found.shape != "scalar" and depth == 0):
            continue
        if found.shape == "list":
            value, one = sample(found.of, depth - 1)
            out[each.name] = [value, value]
            raw += field(number, one) * 2
        elif found.shape == "map":
            value, one = sample(found.of, depth - 1)
            out[each.name] = {"k": value}
            raw += field(number, field(1, "k") + field(2, one))
        else:
            out[each.name], one = sample(found.kind, depth - 1)
            raw += field(number, one)
    return out, raw


@pytest.mark.parametrize("resource", schema.RESOURCES.values(), ids=lambda resource: resource.name)
def test_every_field_of_every_kind(resource: schema.Resource) -> None:
    for version in resource.versions:
        type_name = resource.type(version)
        fields = numbers.of(type_name)
        assert fields, f"{type_name} has no message"
        expected, raw = message(type_name, fields, depth=7)
        assert read(resource.group_version(version), resource.kind, raw) == expected


# -- what is wrong ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api() -> ApiServer:
    world = World(1, 1_800_000_000)
    found = ApiServer(world, Store(world), version="v1.36.2")
    world.settle()
    return found


def post(api: ApiServer, raw: bytes, path: str = "/apis/apps/v1/namespaces/default/deployments") -> tuple[int, Any]:
    query = (("dryRun", "All"), ("fieldValidation", "Strict"))
    answer = api.handle(http.Request(method="POST", path=path, query=query, headers=PROTOBUF, body=raw))
    return answer.status, json.loads(answer.body)


UNRECOGNIZED = "the object provided is unrecognized (must be of type Deployment): "
REFUSED = 'Deployment in version "v1" cannot be handled as a Deployment: '


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", UNRECOGNIZED + "empty data (<empty>)"),
        (b"k8s\0", UNRECOGNIZED + "empty body (6b387300)"),
        (
            b'{"kind": "Deployment", "apiVersion": "apps/v1"}',
            UNRECOGNIZED + "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] "
            "(7b226b696e64223a20224465706c6f796d656e74222c2022617069566572 ...)",
        ),
        (b"k8s\0\x0a\x05a", UNRECOGNIZED + "unexpected EOF (6b3873000a0561)"),
        (b"k8s\0\x0a", UNRECOGNIZED + "unexpected EOF (6b3873000a)"),
        (b"k8s\0\x08\x01", UNRECOGNIZED + "proto: wrong wireType = 0 for field TypeMeta (6b3873000801)"),
        (b"k8s\0\x0c", UNRECOGNIZED + "proto: Unknown: wiretype end group for non-group (6b3873000c)"),
        (body("apps/v1", "Deployment", b"\x00\x00"), REFUSED + "proto: Deployment: illegal tag 0 (wire type 0)"),
        (body("apps/v1", "Deployment", b"\xff" * 11), REFUSED + "proto: integer overflow"),
        (
            body("apps/v1", "Deployment", b"\x0a" + varint(1 << 63)),
            REFUSED + "proto: negative length found during unmarshaling",
        ),
        (
            body("apps/v1", "Deployment", field(2, field(1, "x"))),
            REFUSED + "proto: wrong wireType = 2 for field Replicas",
        ),
        (body("apps/v1", "Deployment", b"\xfb\x06\x0f"), REFUSED + "proto: illegal wireType 7"),
        (
            body("apps/v1", "Nonsense", b""),
            'Nonsense in version "v1" cannot be handled as a Deployment: no kind "Nonsense" is registered for version '
            '"apps/v1" in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            body("v1", "Pod", b""),
            'Pod in version "v1" cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): unknown conversion',
        ),
    ],
)
def test_refusals(api: ApiServer, raw: bytes, expected: str) -> None:
    status, answer = post(api, raw)
    assert (status, answer["reason"], answer["message"]) == (400, "BadRequest", expected)


def test_a_body_that_does_not_name_its_kind_has_the_path_s(api: ApiServer) -> None:
    named = protobuf.envelope(DEPLOYMENT)
    status, answer = post(api, b"k8s\0" + field(2, named.raw))
    assert (status, answer["kind"], answer["spec"]["replicas"]) == (201, "Deployment", 1)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_damaged_bodies_are_refused_or_taken(api: ApiServer, data: st.DataObject) -> None:
    """Whatever the bytes, the answer is one of the API's own."""
    raw = bytearray(DEPLOYMENT)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw)))
        match data.draw(st.sampled_from(("change", "cut", "insert"))):
            case "change" if at < len(raw):
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 20))]
            case _:
                raw[at:at] = data.draw(st.binary(max_size=12))
    status, answer = post(api, bytes(raw))
    assert status in (201, 400, 403, 404, 422), answer


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=80), resource=st.sampled_from(sorted(schema.RESOURCES)))
def test_any_bytes_as_any_kind(raw: bytes, resource: str) -> None:
    found = schema.RESOURCES[resource]
    try:
        value = protobuf.decode(protobuf.Envelope(found.api_version, found.kind, raw))
    except protobuf.BadMessage:
        return
    json.dumps(value)


# -- real kubectl -----------------------------------------------------------------------------------------------

COMMANDS = [
    "create clusterrole typed --verb=get,list --resource=pods,deployments.apps --resource-name=a",
    "create clusterrole typed --verb=get --non-resource-url=/healthz",
    "create clusterrole typed --aggregation-rule=a=b",
    "create clusterrolebinding typed --clusterrole=view --user=u --group=g --serviceaccount=default:default",
    "create configmap typed --from-literal=a=b --from-literal=c=d",
    "create configmap typed --from-file=binary={folder}/binary",
    "create cronjob typed --image=busybox --schedule='*/5 * * * *' --restart=Never -- date -u",
    "create deployment typed --image=nginx --image=redis --replicas=0 --port=80",
    "create deployment typed --image=nginx --replicas=2 -- sleep 1d",
    "create ingress typed --class=c --rule=h.example/a*=svc:http,tls=s --rule=h.example/b=svc:80 --annotation=x=y",
    "create ingress typed --default-backend=svc:80",
    "create job typed --image=busybox -- echo hello",
    "create namespace typed",
    "create poddisruptionbudget typed --selector=app=x --min-available=50%",
    "create poddisruptionbudget typed --selector=app=x --max-unavailable=1",
    "create priorityclass typed --value=1000 --preemption-policy=Never --description=words",
    "create quota typed --hard=cpu=1,memory=1Gi,pods=2 --scopes=BestEffort",
    "create role typed --verb=get,watch --resource=pods/log,services --resource-name=r",
    "create rolebinding typed --role=r --serviceaccount=default:default --user=u",
    "create secret generic typed --from-literal=password=secret --type=custom/kind",
    "create secret generic typed --from-file=binary={folder}/binary",
    "create secret docker-registry typed --docker-username=u --docker-password=p --docker-email=e@example.com",
    "create secret tls typed --cert={folder}/tls.crt --key={folder}/tls.key",
    "create service clusterip typed --tcp=80:8080 --tcp=443:https",
    "create service clusterip typed --clusterip=None",
    "create service nodeport typed --tcp=80 --node-port=31234",
    "create service loadbalancer typed --tcp=80:8080",
    "create service externalname typed --external-name=example.com",
    "create serviceaccount typed",
]
KINDS = {"quota": "resourcequota"}


def binaries() -> list[Path]:
    """The released kubectls that stand beside the one in the path, and send protobuf."""
    found = shutil.which("kubectl")
    folder = Path(found).resolve().parent if found else Path("/nowhere")
    return [folder / f"kubectl.1.{minor}" for minor in (32, 33)]


class Kubectl:
    def __init__(self, program: Path, environment: dict[str, str]) -> None:
        self.program = program
        self.environment = environment

    def __call__(self, line: str, stdin: str = "") -> str:
        done = subprocess.run(
            [self.program, *shlex.split(line)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {line}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr * ("-v=8" in line)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("serve") / "kubeconfig"
    server = subprocess.Popen(
        [Path(sys.executable).parent / "kubesim", "serve", "--kubeconfig", found, "--speed", "5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    while "KUBECONFIG" not in server.stdout.readline():
        assert server.poll() is None, "kubesim serve ended"
    yield found
    server.send_signal(signal.SIGINT)
    server.wait(10)


@pytest.fixture(scope="module", params=binaries(), ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    if not request.param.exists():
        pytest.skip(f"no {request.param.name} here: what it sends is not tried")
    home = str(tmp_path_factory.mktemp("home"))
    return Kubectl(request.param, {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": home})


def comparable(obj: dict[str, Any]) -> dict[str, Any]:
    """An object without its name and what the server makes anew for each."""
    metadata = obj["metadata"]
    text = json.dumps(obj).replace(metadata["uid"], "UID").replace(metadata["name"], "NAME")
    found: dict[str, Any] = json.loads(text)
    for key in ("resourceVersion", "creationTimestamp"):
        del found["metadata"][key]
    found.pop("status", None)
    spec = found.get("spec", {})
    if spec.get("clusterIP") not in (None, "None"):
        del spec["clusterIP"], spec["clusterIPs"]
        for port in spec["ports"]:
            port.pop("nodePort", None)
    return found


@pytest.mark.kubectl
@pytest.mark.xdist_group("protobuf")
@pytest.mark.parametrize("line", COMMANDS)
def test_kubectl_create_stores_what_its_json_would(kubectl: Kubectl, line: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    make_certificate(tmp_path)
    command, dashes, rest = line.format(folder=tmp_path).partition(" -- ")
    kind = command.split()[1]
    kind = KINDS.get(kind, kind)
    form = kubectl(f"{command} --dry-run=client -o json{dashes}{rest}")
    try:
        sent = kubectl(f"{command} -v=8{dashes}{rest}")
        assert "Content-Type: application/vnd.kubernetes.protobuf" in sent
        # Two Services cannot have one node port.
        kubectl("create -f -", stdin=form.replace('"typed"', '"plain"').replace("31234", "31235"))
        typed, plain = json.loads(kubectl(f"get {kind} typed plain -o json"))["items"]
        assert comparable(typed) == comparable(plain)
    finally:
        kubectl(f"delete {kind} typed plain --ignore-not-found")


def make_certificate(folder: Path) -> None:
    """A pair that kubectl takes; nothing is ever signed with it."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "tls.key", "-out",
         folder / "tls.crt", "-subj", "/CN=test", "-days", "1"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@pytest.mark.kubectl
@pytest.mark.xdist_group("protobuf")
def test_other_typed_bodies(kubectl: Kubectl) -> None:
    """Tokens, dry runs, scales, autoscalers, evictions."""
    assert kubectl("create token default --audience=api --duration=10m").startswith("eyJ")
    shown = json.loads(kubectl("create deployment dry --image=nginx --dry-run=server -o json"))
    assert shown["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"
    kubectl("create deployment web --image=nginx --replicas=1")
    try:
        kubectl("scale deployment web --replicas=2")
        assert kubectl("get deployment web -o jsonpath={.spec.replicas}") == "2"
        kubectl("autoscale deployment web --min=2 --max=3 --cpu-percent=50")
        scaler = json.loads(kubectl("get hpa web -o json"))
        assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 3)
        kubectl("rollout status deployment web")
        node = kubectl("get pods -l app=web -o jsonpath={.items[0].spec.nodeName}")
        drained = kubectl(f"drain {node} --ignore-daemonsets --force --delete-emptydir-data --pod-selector=app=web")
        assert "evicting pod default/web-" in drained
        assert f"node/{node} drained" in drained
        kubectl(f"uncordon {node}")
    finally:
        kubectl("delete deployment,hpa web --ignore-not-found")
