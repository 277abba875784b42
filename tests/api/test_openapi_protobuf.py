"""OpenAPI v2 in protobuf: the same document as in JSON, and kubectls that ask for nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubesim import http
from kubesim.apiserver import openapipb
from kubesim.apiserver.server import ApiServer
from kubesim.store.store import Store
from kubesim.world import World


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, int or bytes) of a message's fields."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            at += 1
            value |= (data[at - 1] & 0x7F) << shift
            shift += 7
            if data[at - 1] < 0x80:
                return value

    at = 0
    while at < len(data):
        tag = varint()
        length = varint()
        if tag & 7 == 0:
            yield tag >> 3, length
            continue
        assert tag & 7 == 2
        yield tag >> 3, data[at : at + length]
        at += length


def named(data: bytes, number: int = 1) -> dict[str, bytes]:
    """A message of NamedXs as a dict."""
    pairs = [dict(fields(value)) for key, value in fields(data) if key == number]
    return {pair[1].decode(): pair[2] for pair in pairs}


@pytest.fixture(scope="module")
def api() -> ApiServer:
    world = World(1, 1_800_000_000)
    found = ApiServer(world, Store(world), version="v1.36.2")
    world.settle()
    return found


def get(api: ApiServer, accept: str) -> http.Response:
    return api.handle(http.Request(method="GET", path="/openapi/v2", headers={"accept": accept}))


def media(answer: http.Response) -> str:
    return dict(answer.headers)["Content-Type"]


def test_a_small_document() -> None:
    extension = {"group": "", "kind": "Pod", "version": "v1"}
    pod = {
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": {"$ref": "#/definitions/S"}, "names": {"type": "array", "items": {"type": "string"}}},
        "x-kubernetes-group-version-kind": [extension],
    }
    found = dict(
        fields(openapipb.encode({"swagger": "2.0", "info": {"title": "t", "version": "v"}, "definitions": {"P": pod}}))
    )
    assert found[1] == b"2.0"
    assert dict(fields(found[2])) == {1: b"t", 2: b"v"}
    schema = dict(fields(named(found[9])["P"]))
    assert schema[19] == b"spec"
    assert dict(fields(schema[22])) == {1: b"object"}
    properties = named(schema[25])
    assert dict(fields(properties["spec"])) == {1: b"#/definitions/S"}
    names = dict(fields(properties["names"]))
    assert dict(fields(dict(fields(names[23]))[1])) == {22: b"\x0a\x06string"}
    kinds = dict(fields(dict(fields(schema[31]))[2]))[2]
    assert json.loads(kinds) == [extension]


def test_a_parameter_is_in_the_body_the_query_or_the_path() -> None:
    parameters = [
        {"name": "body", "in": "body", "required": True, "schema": {"type": "object"}},
        {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True},
        {"name": "name", "in": "path", "required": True, "type": "string"},
    ]
    encoded = openapipb.encode({"paths": {"/p": {"post": {"parameters": parameters}}}})
    item = dict(fields(named(dict(fields(encoded))[8], 2)["/p"]))
    written = [dict(fields(dict(fields(value))[1])) for number, value in fields(item[4]) if number == 8]
    body, query, path = written
    assert dict(fields(body[1])) == {2: b"body", 3: b"body", 4: 1, 5: b"\xb2\x01\x08\x0a\x06object"}
    assert dict(fields(dict(fields(query[2]))[3])) == {2: b"query", 4: b"dryRun", 6: b"string", 20: 1}
    assert dict(fields(dict(fields(path[2]))[4])) == {1: 1, 2: b"path", 4: b"name", 5: b"string"}


def test_what_the_table_does_not_know_is_not_dropped() -> None:
    with pytest.raises(KeyError, match="discriminator"):
        openapipb.encode({"definitions": {"P": {"discriminator": "kind"}}})


def test_it_is_the_document_that_json_has(api: ApiServer) -> None:
    text = get(api, "application/json")
    binary = get(api, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert media(text) == "application/json"
    assert media(binary) == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    document, found = json.loads(text.body), dict(fields(binary.body))
    assert list(named(found[8], 2)) == list(document["paths"])
    definitions = named(found[9])
    assert list(definitions) == list(document["definitions"])
    for name, definition in document["definitions"].items():
        schema = dict(fields(definitions[name]))
        assert schema.get(4, b"").decode() == definition.get("description", "")
        assert list(named(schema.get(25, b""))) == list(definition.get("properties", ()))


def test_the_first_form_that_is_spoken_is_given(api: ApiServer) -> None:
    binary = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert media(get(api, "")) == "application/json"
    assert media(get(api, f"application/json, {binary}")) == "application/json"
    assert "protobuf" in media(get(api, f"text/html, {binary}, */*"))
    assert get(api, "text/html").status == 406


def test_references_keep_their_descriptions_beside_them(api: ApiServer) -> None:
    """kubectl knows nothing of `allOf`: fields behind it would be of any type."""
    definitions = json.loads(get(api, "application/json").body)["definitions"]
    spec = definitions["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]
    assert spec["$ref"] == "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"
    assert not any("allOf" in field for each in definitions.values() for field in each.get("properties", {}).values())


@pytest.mark.parametrize(("version", "there"), [("v1.16.1", False), ("v1.22.0", False), ("v1.23.0", True)])
def test_field_validation_is_offered_from_1_23_on(version: str, there: bool) -> None:
    world = World(1, 1_800_000_000)
    old = ApiServer(world, Store(world), version=version)
    paths = json.loads(get(old, "application/json").body)["paths"]
    patch = paths["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert ("fieldValidation" in [each["name"] for each in patch["parameters"]]) == there


@pytest.fixture(scope="module", params=["kind", "vagrant"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A preset's name, and the kubeconfig of a server that has booted it."""
    found = tmp_path_factory.mktemp("serve") / "kubeconfig"
    program = Path(sys.executable).parent / "kubesim"
    server = subprocess.Popen(
        [program, "serve", "--preset", request.param, "--kubeconfig", found], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    while "KUBECONFIG" not in server.stdout.readline():
        assert server.poll() is None, "kubesim serve ended"
    yield request.param, found
    server.send_signal(signal.SIGINT)
    server.wait(10)


@pytest.mark.kubectl
@pytest.mark.xdist_group("protobuf")
@pytest.mark.parametrize("minor", [27, 32])
def test_real_kubectl_reads_it(minor: int, served: tuple[str, Path], tmp_path: Path) -> None:
    """1.27 asks for v2 at every `apply` and `explain`; 1.32 for kinds that v3 does not have, and where there is no v3."""
    preset, kubeconfig = served
    main = shutil.which("kubectl")
    program = Path(main).resolve().parent / f"kubectl.1.{minor}" if main else Path("/nowhere")
    if not program.exists():
        pytest.skip(f"no kubectl 1.{minor} here: whether it reads the document is not tried")

    def kubectl(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
        return subprocess.run(
            [program, *args], input=stdin, capture_output=True, text=True, timeout=60, env=environment, check=False
        )

    explained = kubectl("explain", "deployment.spec.template.spec.volumes.emptyDir.sizeLimit")
    expected = "FIELD: sizeLimit <Quantity>" if preset == "kind" else "FIELD:    sizeLimit <string>"
    assert expected in explained.stdout, explained.stderr
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n"
    assert kubectl("apply", "-f", "-", stdin=config).returncode == 0
    assert kubectl("apply", "-f", "-", stdin=config).stdout == "configmap/x unchanged\n"
    kubectl("delete", "configmap", "x")
    unknown = kubectl("apply", "-f", "-", stdin="apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n")
    assert 'no matches for kind "Nonsense" in version "v1"' in unknown.stderr
    misspelt = kubectl("create", "-f", "-", stdin=config.replace("data:", "dat:"))
    # A server of 1.16 does not look for unknown fields: kubectl does, with what it read.
    unknown_field = {
        "kind": 'unknown field "dat"',
        "vagrant": 'ValidationError(ConfigMap): unknown field "dat" in io.k8s.api',
    }
    assert unknown_field[preset] in misspelt.stderr
