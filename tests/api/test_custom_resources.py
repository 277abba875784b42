"""What a CustomResourceDefinition adds to the API."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
import yaml

from kubesim import http
from kubesim.cluster import Cluster

DEFINITION = r"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.labelSelector
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Tags, type: string, jsonPath: .spec.tags, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema: &schema
        type: object
        properties:
          spec:
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^(\d+|\*)( (\d+|\*)){4}$', description: When to run.}
              image: {type: string, minLength: 2, maxLength: 8}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
              port: {x-kubernetes-int-or-string: true}
              mode: {type: string, enum: [slow, fast]}
              when: {type: boolean}
              tags: {type: array, items: {type: string}, x-kubernetes-list-type: set, maxItems: 3}
              steps:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, seconds: {type: integer, default: 30}}
              env: {type: object, additionalProperties: {type: string}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              either: {type: object, oneOf: [{required: [a]}, {required: [b]}], properties: {a: &s {type: string}, b: *s}}
          status:
            type: object
            properties: {replicas: {type: integer}, labelSelector: {type: string}}
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: {openAPIV3Schema: *schema}
"""
OBJECT = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: my}
spec: {cronSpec: "* * * * 5", image: web, tags: [a, b], steps: [{name: one}, {name: two, seconds: 5}]}
"""
BASE = "/apis/stable.example.com/v1/namespaces/default/crontabs"


def shell(cluster: Cluster, script: str) -> str:
    result = cluster.shell(script)
    return str(result.stdout + result.stderr)


def apply(cluster: Cluster, text: str, *flags: str) -> str:
    return shell(cluster, f"kubectl apply {' '.join(flags)} -f - <<'EOF'\n{text}\nEOF\n")


def ask(cluster: Cluster, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
    raw, _, query = path.partition("?")
    pairs = [(part.partition("=")[0], part.partition("=")[2]) for part in query.split("&") if part]
    answer = cluster.api.handle(
        http.Request(
            method=method,
            path=raw,
            query=pairs,
            headers={"content-type": kind},
            body=json.dumps(body).encode() if body is not None else b"",
        )
    )
    return answer.status, json.loads(answer.body) if answer.body.startswith(b"{") else answer.body.decode()


@pytest.fixture(scope="module")
def defined() -> Cluster:
    """A cluster with the definition and one object; tests leave both as they are."""
    cluster = Cluster("bare")
    assert (
        apply(cluster, DEFINITION)
        == "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created\n"
    )
    assert apply(cluster, OBJECT) == "crontab.stable.example.com/my created\n"
    return cluster


def test_a_definition_is_established(defined: Cluster) -> None:
    conditions = shell(
        defined,
        "kubectl get crd crontabs.stable.example.com -o "
        """jsonpath='{range .status.conditions[*]}{.type} {.status} {.reason}: {.message}{"\\n"}{end}{.status.storedVersions}'""",
    )
    assert conditions == (
        "NamesAccepted True NoConflicts: no conflicts found\n"
        "Established True InitialNamesAccepted: the initial names have been accepted\n"
        '["v1"]'
    )
    assert shell(defined, "kubectl wait --for=condition=established crd/crontabs.stable.example.com") == (
        "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com condition met\n"
    )


def test_its_versions_are_discovered(defined: Cluster) -> None:
    assert shell(defined, "kubectl api-resources --api-group=stable.example.com").split() == [
        "NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND",
        "crontabs", "ct", "stable.example.com/v1", "true", "CronTab",
    ]  # fmt: skip
    assert ask(defined, "GET", "/apis/stable.example.com")[1]["versions"] == [
        {"groupVersion": "stable.example.com/v1", "version": "v1"},
        {"groupVersion": "stable.example.com/v1beta1", "version": "v1beta1"},
    ]
    found = ask(defined, "GET", "/apis/stable.example.com/v1")[1]["resources"]
    assert [(each["name"], each["kind"]) for each in found] == [
        ("crontabs", "CronTab"),
        ("crontabs/scale", "Scale"),
        ("crontabs/status", "CronTab"),
    ]
    assert "stable.example.com/v1" in shell(defined, "kubectl api-versions")
    assert "v1.stable.example.com" in shell(defined, "kubectl get apiservices")


def test_it_is_listed_with_its_own_columns(defined: Cluster) -> None:
    assert shell(defined, "kubectl get ct") == "NAME   SPEC        REPLICAS   AGE\nmy     * * * * 5   1          0s\n"
    wide = shell(defined, "kubectl get crontab -o wide --no-headers").split()
    assert wide == ["my", "*", "*", "*", "*", "5", "1", '["a","b"]', "0s"]
    assert "crontab.stable.example.com/my   * * * * 5" in shell(defined, "kubectl get all")


def test_explain_reads_its_schema(defined: Cluster) -> None:
    assert shell(defined, "kubectl explain ct.spec.cronSpec") == (
        "GROUP:      stable.example.com\nKIND:       CronTab\nVERSION:    v1\n\nFIELD: cronSpec <string>\n\n\n"
        "DESCRIPTION:\n    When to run.\n    \n\n"
    )
    swagger = ask(defined, "GET", "/openapi/v2")[1]["definitions"]["com.example.stable.v1.CronTab"]
    assert swagger["x-kubernetes-group-version-kind"] == [
        {"group": "stable.example.com", "kind": "CronTab", "version": "v1"}
    ]
    item = ask(defined, "GET", "/openapi/v3/apis/stable.example.com/v1")[1]["paths"][
        f"{BASE}/{{name}}".replace("default", "{namespace}")
    ]
    # kubectl reads here that it must not send strategic merge patches.
    assert sorted(item["patch"]["requestBody"]["content"]) == [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
    ]
    # v2 says nothing of what may be anything.
    assert swagger["properties"]["spec"]["properties"]["free"] == {"x-kubernetes-preserve-unknown-fields": True}


def test_another_version_differs_in_its_name_only(defined: Cluster) -> None:
    old = ask(defined, "GET", BASE.replace("/v1/", "/v1beta1/") + "/my")[1]
    new = ask(defined, "GET", BASE + "/my")[1]
    assert old == {**new, "apiVersion": "stable.example.com/v1beta1"}
    out = shell(defined, "kubectl get crontabs.v1beta1.stable.example.com")
    assert "Warning: stable.example.com/v1beta1 CronTab is deprecated" in out


# A field beside cronSpec -> the path, the value as the message has it, what is said of it.
IN_BODY = [
    ("cronSpec: bad", "cronSpec", '"bad"', r"should match '^(\d+|\*)( (\d+|\*)){4}$'"),
    ("replicas: 11", "replicas", "11", "should be less than or equal to 10"),
    ("replicas: 0", "replicas", "0", "should be greater than or equal to 1"),
    ("replicas: many", "replicas", '"string"', 'must be of type integer: "string"'),
    ("image: x", "image", '"x"', "should be at least 2 chars long"),
    ("env: {A: 1}", "env.A", '"integer"', 'must be of type string: "integer"'),
    ("port: true", "port", '"boolean"', 'must be of type integer,string: "boolean"'),
    ("when: maybe", "when", '"string"', 'must be of type boolean: "string"'),
    ("steps: [{name: a}, 5]", "steps[1]", '"integer"', 'must be of type object: "integer"'),
]
INVALID = [
    ("mode: idle", 'mode: Unsupported value: "idle": supported values: "slow", "fast"'),
    ("tags: [a, a]", 'tags[1]: Duplicate value: "a"'),
    ("tags: [a, b, c, d]", "tags: Too many: 4: must have at most 3 items"),
    ("steps: [{name: a}, {name: a}]", 'steps[1]: Duplicate value: {"name":"a"}'),
    ("steps: [{seconds: 1}]", "steps[0].name: Required value"),
    (
        "either: {a: x, b: y}",
        'either: Invalid value: "": "spec.either" must validate one and only one schema (oneOf). '
        "Found 2 valid alternatives",
    ),
    *((field, f"{path}: Invalid value: {value}: spec.{path} in body {words}") for field, path, value, words in IN_BODY),
]


def crontab(name: str, spec: str) -> str:
    return f"apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {{name: {name}}}\nspec: {spec}"


@pytest.mark.parametrize(("field", "words"), INVALID)
def test_what_breaks_the_schema_is_refused(defined: Cluster, field: str, words: str) -> None:
    spec = field if field.startswith("cronSpec") else f'cronSpec: "* * * * *", {field}'
    assert apply(defined, crontab("x", f"{{{spec}}}")) == f'The CronTab "x" is invalid: spec.{words}\n'


def test_all_that_is_wrong_is_told(defined: Cluster) -> None:
    assert apply(defined, crontab("x", "{mode: idle, replicas: 20}")) == (
        'The CronTab "x" is invalid: \n'
        "* spec.cronSpec: Required value\n"
        '* spec.mode: Unsupported value: "idle": supported values: "slow", "fast"\n'
        "* spec.replicas: Invalid value: 20: spec.replicas in body should be less than or equal to 10\n"
    )


def test_unknown_fields(defined: Cluster) -> None:
    body = {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": "u"},
        "spec": {"cronSpec": "* * * * *", "nope": 1, "free": {"any": [1]}, "steps": [{"name": "a", "what": 1}]},
    }
    status, answer = ask(defined, "POST", f"{BASE}?fieldValidation=Strict", body)
    assert (status, answer["message"]) == (
        400,
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.nope", '
        'unknown field "spec.steps[0].what"',
    )
    status, answer = ask(defined, "POST", f"{BASE}?dryRun=All", body)
    assert status == 201
    # Pruned, and the defaults put in.
    assert answer["spec"] == {
        "cronSpec": "* * * * *",
        "free": {"any": [1]},
        "replicas": 1,
        "steps": [{"name": "a", "seconds": 30}],
    }


def test_the_wrong_kind_or_version(defined: Cluster) -> None:
    body: dict[str, Any] = {"apiVersion": "stable.example.com/v1", "kind": "Other", "metadata": {"name": "u"}}
    body["spec"] = {"cronSpec": "* * * * *"}
    answer = ask(defined, "POST", BASE, body)[1]
    assert (
        answer["message"] == 'CronTab.stable.example.com "u" is invalid: kind: Invalid value: "Other": must be CronTab'
    )
    answer = ask(defined, "POST", BASE, {**body, "kind": "CronTab", "apiVersion": "stable.example.com/v1beta1"})[1]
    assert answer["message"] == (
        "the API version in the data (stable.example.com/v1beta1) does not match the expected API version "
        "(stable.example.com/v1)"
    )


def test_patches_and_status(defined: Cluster) -> None:
    cluster = defined
    apply(cluster, OBJECT.replace("name: my", "name: p"))
    assert ask(cluster, "GET", f"{BASE}/p")[1]["metadata"]["generation"] == 1
    merge = "application/merge-patch+json"
    changed = ask(cluster, "PATCH", f"{BASE}/p", {"spec": {"replicas": 2}, "status": {"replicas": 9}}, merge)[1]
    assert (changed["metadata"]["generation"], changed["spec"]["replicas"], "status" in changed) == (2, 2, False)
    body = {
        "status": {"replicas": 1, "labelSelector": "app=x"},
        "spec": {"replicas": 7},
        "metadata": {"labels": {"a": "b"}},
    }
    changed = ask(cluster, "PATCH", f"{BASE}/p/status", body, merge)[1]
    assert (changed["spec"]["replicas"], changed["status"]["replicas"]) == (2, 1)
    assert (changed["metadata"]["generation"], "labels" in changed["metadata"]) == (2, False)
    status, answer = ask(cluster, "PATCH", f"{BASE}/p", {}, "application/strategic-merge-patch+json")
    assert (status, answer["reason"]) == (415, "UnsupportedMediaType")
    scale = ask(cluster, "GET", f"{BASE}/p/scale")[1]
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 1, "selector": "app=x"},
    )
    assert shell(cluster, "kubectl scale ct/p --replicas=4") == "crontab.stable.example.com/p scaled\n"
    assert shell(cluster, "kubectl get ct p -o jsonpath='{.spec.replicas}'") == "4"
    assert shell(cluster, "kubectl delete ct p") == 'crontab.stable.example.com "p" deleted from default namespace\n'


def test_server_side_apply_knows_keys_and_conflicts(defined: Cluster) -> None:
    text = OBJECT.replace("name: my", "name: s")
    assert (
        apply(defined, text, "--server-side --field-manager=one") == "crontab.stable.example.com/s serverside-applied\n"
    )
    mine = crontab("s", "{steps: [{name: three}], image: other}")
    out = apply(defined, mine, "--server-side --field-manager=two")
    assert 'Apply failed with 1 conflict: conflict with "one": .spec.image' in out
    apply(defined, mine.replace(", image: other", ""), "--server-side --field-manager=two")
    assert sorted(shell(defined, "kubectl get ct s -o jsonpath='{.spec.steps[*].name}'").split()) == [
        "one",
        "three",
        "two",
    ]
    fields = shell(
        defined, "kubectl get ct s -o jsonpath='{.metadata.managedFields[1].fieldsV1}' --show-managed-fields"
    )
    assert json.loads(fields) == {"f:spec": {"f:steps": {'k:{"name":"three"}': {".": {}, "f:name": {}}}}}
    shell(defined, "kubectl delete ct s")


def test_watches_see_it(defined: Cluster) -> None:
    answer = defined.api.handle(http.Request(method="GET", path=BASE, query=[("watch", "1")]))
    apply(defined, OBJECT.replace("name: my", "name: w"))
    shell(defined, "kubectl delete ct w")
    assert answer.stream is not None
    lines = [json.loads(line) for line in (answer.stream.read() or b"").splitlines()]
    answer.stream.close()
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in lines] == [
        ("ADDED", "my"), ("ADDED", "w"), ("DELETED", "w"),
    ]  # fmt: skip


def test_roles_count(defined: Cluster) -> None:
    shell(
        defined,
        "kubectl create clusterrole reader --verb=get,list --resource=crontabs.stable.example.com\n"
        "kubectl create clusterrolebinding readers --clusterrole=reader --user=jane",
    )
    assert shell(defined, "kubectl get ct --as jane -o name") == "crontab.stable.example.com/my\n"
    assert shell(defined, "kubectl delete ct my --as jane") == (
        'Error from server (Forbidden): crontabs.stable.example.com "my" is forbidden: User "jane" cannot delete resource '
        '"crontabs" in API group "stable.example.com" in the namespace "default"\n'
    )


def test_owners_and_namespaces_take_them_along(defined: Cluster) -> None:
    uid = shell(defined, "kubectl get ct my -o jsonpath='{.metadata.uid}'")
    owner = f"ownerReferences: [{{apiVersion: stable.example.com/v1, kind: CronTab, name: my, uid: {uid}}}]"
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "
    apply(defined, f"{text}owned, {owner}}}")
    apply(defined, f"{text}lost, {owner.replace(uid, 'none')}}}")
    shell(defined, "sleep 5")
    assert "owned" in (names := shell(defined, "kubectl get cm -o name"))
    assert "lost" not in names
    shell(defined, "kubectl create namespace brief")
    apply(defined, OBJECT, "--namespace=brief")
    assert shell(defined, "kubectl delete namespace brief") == 'namespace "brief" deleted\n'
    assert defined.store.get("crontabs.stable.example.com", "brief", "my") is None


SCHEMA = "spec.versions[0].schema.openAPIV3Schema"
REFUSED = [
    # what is changed in the definition -> what is said of it
    (
        ("crontabs.stable", "crons.stable"),
        """metadata.name: Invalid value: "crons.stable.example.com": must be spec.names.plural+"."+spec.group""",
    ),
    (
        ("scope: Namespaced", "scope: Planet"),
        'spec.scope: Unsupported value: "Planet": supported values: "Cluster", "Namespaced"',
    ),
    (("storage: false", "storage: true"), "must have exactly one version marked as storage version"),
    (
        ("mode: {type: string,", "mode: {"),
        f"{SCHEMA}.properties[spec].properties[mode].type: Required value: must not be empty for specified object fields",
    ),
    (
        ("jsonPath: .spec.cronSpec", "jsonPath: spec.cronSpec"),
        'additionalPrinterColumns[0].jsonPath: Invalid value: "spec.cronSpec": must be a simple json path starting with .',
    ),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_definitions_that_are_refused(defined: Cluster, change: tuple[str, str], words: str) -> None:
    text = DEFINITION.replace(*change)
    assert text != DEFINITION
    assert words in apply(defined, text, "--dry-run=server")


def test_a_protected_group_wants_an_approval() -> None:
    cluster = Cluster("bare")
    text = DEFINITION.replace("stable.example.com", "stable.k8s.io")
    assert (
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "
        '"api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
    ) in apply(cluster, text)


def test_names_in_use_are_not_accepted(defined: Cluster) -> None:
    text = DEFINITION.replace("plural: crontabs", "plural: others").replace("crontabs.stable", "others.stable")
    apply(defined, text)
    out = shell(
        defined,
        "kubectl get crd others.stable.example.com -o "
        """jsonpath='{range .status.conditions[*]}{.type} {.status} {.reason}: {.message}{"\\n"}{end}'""",
    )
    assert out == (
        'NamesAccepted False ShortNamesConflict: "ct" is already in use\n'
        "Established False NotAccepted: not all names are accepted\n"
    )
    assert ask(defined, "GET", "/apis/stable.example.com/v1/others")[0] == 404
    shell(defined, "kubectl delete crd others.stable.example.com")


def test_rules_in_cel_are_said_not_to_be_simulated() -> None:
    cluster = Cluster("bare")
    before = "\n            properties:\n              cronSpec:"
    before = before.replace("\n            properties", "\n            required: [cronSpec]\n            properties")
    rule = '\n            x-kubernetes-validations: [{rule: "self.replicas > 0"}]'
    out = apply(cluster, DEFINITION.replace(before, rule + before))
    words = "not simulated: the 1 rules in CEL (x-kubernetes-validations) of crontabs.stable.example.com v1"
    assert f"Warning: {words}: objects that break them are taken\n" in out


def test_a_definition_takes_its_objects_along() -> None:
    cluster = Cluster("bare")
    apply(cluster, DEFINITION)
    apply(cluster, OBJECT)
    apply(cluster, OBJECT.replace("{name: my}", "{name: held, finalizers: [example.com/hold]}"))
    shell(cluster, "kubectl delete crd crontabs.stable.example.com --wait=false; sleep 1")
    definition = cluster.store.get("customresourcedefinitions.apiextensions.k8s.io", "", "crontabs.stable.example.com")
    assert definition is not None
    assert definition["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    terminating = definition["status"]["conditions"][-1]
    assert (terminating["type"], terminating["status"], terminating["reason"]) == (
        "Terminating", "True", "InstanceDeletionInProgress",
    )  # fmt: skip
    assert shell(cluster, "kubectl get ct -o name") == "crontab.stable.example.com/held\n"
    assert "create not allowed while custom resource definition is terminating" in apply(cluster, OBJECT)
    shell(cluster, """kubectl patch ct held --type=merge -p '{"metadata":{"finalizers":null}}'; sleep 1""")
    assert shell(cluster, "kubectl get crd") == "No resources found\n"
    assert ask(cluster, "GET", "/apis/stable.example.com/v1/crontabs")[0] == 404
    # It may come again, and starts empty.
    apply(cluster, DEFINITION)
    assert shell(cluster, "kubectl get ct") == "No resources found in default namespace.\n"


VALUES: list[Any] = [None, 0, -1, 1.5, "", "x", True, [], {}, [None], ["a"], {"a": 1}, {"type": "string"}, "[", 10**30]


def mutated(rng: random.Random, value: Any) -> Any:
    """A copy with one to three of its parts replaced or gone."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        places: list[tuple[Any, Any]] = []
        todo = [value]
        while todo:
            at = todo.pop()
            inside = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
            for key, item in inside:
                places.append((at, key))
                todo.append(item)
        if not places:
            break
        at, key = rng.choice(places)
        if rng.random() < 0.25:
            del at[key]
        else:
            at[key] = json.loads(json.dumps(rng.choice(VALUES)))
    return value


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_sent_is_answered(seed: int) -> None:
    """Definitions and objects that are broken by chance: no traceback, and 500 only where upstream has it too."""
    rng, cluster = random.Random(seed), Cluster("bare")
    definition, obj = yaml.safe_load(DEFINITION), yaml.safe_load(OBJECT)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    one = f"{BASE}/my"
    answers = []

    def send(method: str, path: str, body: Any = None, kind: str = "application/json") -> int:
        status, answer = ask(cluster, method, path, body, kind)
        cluster.settle(5)
        answers.append((status, answer.get("message", "") if isinstance(answer, dict) else ""))
        return status

    for _ in range(20):
        if send("POST", definitions, mutated(rng, definition) if rng.random() < 0.5 else definition) != 201:
            continue
        for _ in range(4):
            send("POST", BASE, mutated(rng, obj))
            send("PATCH", f"{one}?fieldManager=a&force=1", mutated(rng, obj), "application/apply-patch+yaml")
            send("PATCH", one, {"spec": rng.choice(VALUES)}, "application/merge-patch+json")
            send("PUT", one, mutated(rng, obj))
            send("GET", BASE)
            send("GET", f"{one}/scale")
        send("GET", "/openapi/v2")
        send("PUT", f"{definitions}/crontabs.stable.example.com", mutated(rng, definition))
        send("DELETE", f"{definitions}/crontabs.stable.example.com")
    failed = {message for status, message in answers if status >= 500}
    assert all(re.search("failed to create typed patch object|the spec replicas field", each) for each in failed), (
        failed
    )
    assert sum(status == 201 for status, _ in answers) > 10


def test_it_lasts_over_a_restart() -> None:
    from kubesim import snapshot

    cluster = Cluster("bare")
    apply(cluster, DEFINITION)
    apply(cluster, OBJECT)
    again = Cluster(saved=snapshot.read(snapshot.take(cluster, {}), "state"))
    assert shell(again, "kubectl get ct") == shell(cluster, "kubectl get ct")
    assert apply(again, OBJECT.replace("image: web", "image: other")) == "crontab.stable.example.com/my configured\n"
