"""Custom resources: our kubectl and a real one, the same commands on the same server, each in a namespace of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import overhttp
import pytest
import test_against_real as against

pytestmark = [pytest.mark.kubectl, pytest.mark.slow]

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Tags, type: string, jsonPath: .spec.tags, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        description: A table of times.
        type: object
        properties:
          spec:
            description: What is wanted.
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^[0-9* ]+$', description: When to run.}
              image: {type: string}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
              tags: {type: array, items: {type: string}, x-kubernetes-list-type: set}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              port: {x-kubernetes-int-or-string: true}
          status: {type: object, properties: {replicas: {type: integer}}}
"""
OBJECT = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: my, labels: {a: b}}
spec: {cronSpec: "* * * * 5", image: web, tags: [a, b], free: {x: {z: 1}}, port: 80}
"""
FILES = {
    "object.yaml": OBJECT,
    "changed.yaml": OBJECT.replace("image: web", "image: other").replace("tags: [a, b]", "tags: [b]"),
    "unknown.yaml": OBJECT.replace("image: web", "nope: web"),
    "invalid.yaml": OBJECT.replace("* * * * 5", "never").replace("image: web", "replicas: 20"),
    "twice.yaml": OBJECT.replace("[a, b]", "[a, a]"),
    "second.yaml": OBJECT.replace("name: my", "name: second"),
}
COMMANDS = """
get ct
apply -f {f}/object.yaml
apply -f {f}/object.yaml
get ct
get ct -o wide
get crontab my -o name
get crontabs.stable.example.com my -o jsonpath={.spec}
get crontabs.v1.stable.example.com -o yaml
get ct my -o json
get ct nope
get all
describe ct my
explain ct
explain ct.spec
explain ct.spec.cronSpec
explain ct.spec.nope
explain ct --recursive
api-resources --api-group=stable.example.com
get crd crontabs.stable.example.com
apply -f {f}/changed.yaml --dry-run=server
apply -f {f}/changed.yaml
get ct my -o jsonpath={.spec.tags}
apply -f {f}/unknown.yaml --validate=ignore
create -f {f}/unknown.yaml
create -f {f}/invalid.yaml
apply -f {f}/invalid.yaml
create -f {f}/twice.yaml --dry-run=server
patch ct my --type=merge -p {"spec":{"image":"merged"}}
patch ct my --type=json -p [{"op":"replace","path":"/spec/image","value":"json"}]
patch ct my --type=strategic -p {"spec":{"image":"x"}}
get ct my -o jsonpath={.spec.image}
scale ct/my --replicas=3
scale ct/my --replicas=3 --current-replicas=5
label ct my c=d
annotate ct my e=f
get ct -l c=d --no-headers
get ct --field-selector metadata.name=my -o name
get ct --field-selector spec.image=x
apply --server-side -f {f}/second.yaml
apply --server-side -f {f}/object.yaml
apply --server-side --force-conflicts -f {f}/object.yaml
wait --for=jsonpath={.spec.image}=web ct/my --timeout=5s
auth can-i delete ct
replace -f {f}/changed.yaml
delete ct second
delete -f {f}/object.yaml
delete ct --all
get ct
""".strip().splitlines()


def masked(text: str) -> str:
    return re.sub(r"Resource Version: \d+", "RV", against.masked(text))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[against.Server]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "definition.yaml").write_text(DEFINITION)
    yield from against.serving(tmp_path)


def test_the_same_bytes(server: against.Server) -> None:
    binary = against._binary(33)
    for args in (["create", "namespace", "real"], ["create", "namespace", "ours"], ["apply", "-f", "definition.yaml"]):
        assert overhttp.run(args, server.kubeconfig, against.VERSION, server.files)[0] == 0
    failures = []
    for line in COMMANDS:
        args = server.words(line)
        there = against.real(binary, [args[0], "-n", "real", *args[1:]], server)
        here = overhttp.run([args[0], "-n", "ours", *args[1:]], server.kubeconfig, against.VERSION, server.files)
        if [there[0], *map(masked, there[1:])] != [here[0], *map(masked, here[1:])]:
            failures.append(
                f"$ kubectl {line}\n--- real [{there[0]}]\n{there[1]}{there[2]}--- ours [{here[0]}]\n{here[1]}{here[2]}"
            )
    assert not failures, f"{len(failures)} of {len(COMMANDS)} differ\n" + "\n".join(failures)
