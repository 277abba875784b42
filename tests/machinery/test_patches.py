"""The three patches and what kubectl apply makes them from.  The schema's facts are given by hand here."""

import pytest

from kubesim import errors
from kubesim.machinery import patches
from kubesim.machinery.patches import fields

FACTS = {
    ("Pod", "spec"): fields.Meta("PodSpec"),
    ("Pod", "metadata"): fields.Meta("ObjectMeta"),
    ("ObjectMeta", "finalizers"): fields.Meta("", "merge"),
    ("PodSpec", "containers"): fields.Meta("Container", "merge", "name"),
    ("PodSpec", "volumes"): fields.Meta("Volume", "merge", "name", True),
    ("PodSpec", "tolerations"): fields.Meta("Toleration"),
    ("Container", "ports"): fields.Meta("ContainerPort", "merge", "containerPort"),
    ("PodSpec", "strategy"): fields.Meta("Strategy", "", "", True),
}


def lookup(type_name, field):
    return FACTS.get((type_name, field), fields.Meta())


def strategic(document, patch):
    return patches.strategic(document, patch, "Pod", lookup)


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


class TestStrategic:
    def test_lists_with_a_merge_key_merge_by_it(self):
        before = pod({"name": "a", "image": "1", "args": ["x"]}, {"name": "b"})
        after = strategic(before, pod({"name": "a", "image": "2"}, {"name": "c"}))
        assert after == pod({"name": "a", "image": "2", "args": ["x"]}, {"name": "c"}, {"name": "b"})
        assert before == pod({"name": "a", "image": "1", "args": ["x"]}, {"name": "b"})

    def test_other_lists_are_replaced(self):
        assert strategic(pod(tolerations=[{"key": "a"}]), {"spec": {"tolerations": [{"key": "b"}]}}) == pod(
            tolerations=[{"key": "b"}]
        )

    def test_null_deletes(self):
        assert strategic({"spec": {"a": 1, "b": 2}}, {"spec": {"a": None, "c": None}}) == {"spec": {"b": 2}}

    def test_delete_an_element(self):
        assert strategic(pod({"name": "a"}, {"name": "b"}), pod({"name": "a", "$patch": "delete"})) == pod(
            {"name": "b"}
        )

    def test_replace_a_list_and_a_map(self):
        assert strategic(pod({"name": "a"}), pod({"$patch": "replace"}, {"name": "z"})) == pod({"name": "z"})
        assert strategic({"spec": {"a": 1}}, {"spec": {"$patch": "replace", "b": 1}}) == {"spec": {"b": 1}}
        assert strategic({"spec": {"a": 1}}, {"spec": {"$patch": "delete"}}) == {"spec": {}}

    def test_order_is_the_patchs_and_foreign_elements_keep_their_place(self):
        before = pod({"name": "a"}, {"name": "sidecar"}, {"name": "b"})
        patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": []}}
        assert [c["name"] for c in strategic(before, patch)["spec"]["containers"]] == ["sidecar", "b", "a"]

    def test_scalars_merge_and_are_taken_out(self):
        before = {"metadata": {"finalizers": ["a", "b"]}}
        patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
        assert strategic(before, patch) == {"metadata": {"finalizers": ["c", "b"]}}

    def test_retain_keys(self):
        before = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
        patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
        assert strategic(before, patch) == {"spec": {"strategy": {"type": "Recreate"}}}

    def test_an_element_without_its_merge_key(self):
        with pytest.raises(errors.ApiError) as raised:
            strategic(pod({"name": "c"}), pod({"image": "z"}))
        assert (raised.value.code, raised.value.message) == (
            500,
            "map: map[image:z] does not contain declared merge key: name",
        )


class TestThreeWayStrategic:
    def patch(self, original, modified, current):
        made = patches.three_way_strategic(original, modified, current, "Pod", lookup)
        return made, strategic(current, made)

    def test_nothing_to_do(self):
        doc = pod({"name": "a", "image": "1"})
        current = pod({"name": "a", "image": "1", "imagePullPolicy": "Always"}, nodeName="n")
        assert self.patch(doc, doc, current) == ({}, current)

    def test_what_others_added_stays_and_what_was_dropped_goes(self):
        original = pod({"name": "a", "image": "1"}, {"name": "old"}, hostNetwork=True)
        modified = pod({"name": "a", "image": "2"}, {"name": "new"})
        current = pod({"name": "a", "image": "1", "tty": True}, {"name": "old"}, {"name": "injected"}, hostNetwork=True)
        made, after = self.patch(original, modified, current)
        assert made == {
            "spec": {
                "hostNetwork": None,
                "$setElementOrder/containers": [{"name": "a"}, {"name": "new"}],
                "containers": [
                    {"name": "old", "$patch": "delete"},
                    {"name": "a", "image": "2"},
                    {"name": "new"},
                ],
            }
        }
        assert after == pod({"name": "a", "image": "2", "tty": True}, {"name": "new"}, {"name": "injected"})

    def test_two_elements_of_one_key_are_told_apart_by_their_turn(self):
        ports = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
        doc = pod({"name": "a", "ports": ports})
        assert self.patch(doc, doc, doc)[0] == {}

    def test_a_second_element_of_one_key_comes_first_in_the_patch_and_the_server_makes_one_of_them(self):
        tcp, udp = {"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}
        original, modified = (pod({"name": "a", "ports": ports}) for ports in ([tcp], [tcp, udp]))
        made, after = self.patch(original, modified, original)
        assert made["spec"]["containers"] == [
            {
                "name": "a",
                "$setElementOrder/ports": [{"containerPort": 53}, {"containerPort": 53}],
                "ports": [udp, tcp],
            }
        ]
        assert after == original

    def test_the_order_is_set_where_others_added_an_element(self):
        doc = pod({"name": "a"})
        made, after = self.patch(doc, doc, pod({"name": "a"}, {"name": "injected"}))
        assert made == {"spec": {"$setElementOrder/containers": [{"name": "a"}]}}
        assert after == pod({"name": "a"}, {"name": "injected"})

    def test_finalizers(self):
        made, after = self.patch(
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
            {"metadata": {"finalizers": ["a", "x"]}},
        )
        assert made["metadata"]["$deleteFromPrimitiveList/finalizers"] == ["a"]
        assert after == {"metadata": {"finalizers": ["b", "x"]}}


class TestMergePatch:
    def test_rfc_7386(self):
        document = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
        assert patches.merge_patch(document, {"a": {"b": None, "c": [3]}, "e": {"f": None, "g": 1}}) == {
            "a": {"c": [3]},
            "d": 1,
            "e": {"g": 1},
        }

    def test_not_an_object(self):
        with pytest.raises(errors.ApiError, match="Invalid JSON Patch"):
            patches.merge_patch({}, None)

    def test_three_way(self):
        made = patches.three_way_merge({"a": 1, "b": {"c": 1}}, {"a": 2, "b": {}}, {"a": 1, "b": {"c": 1}, "own": True})
        assert made == {"a": 2, "b": {"c": None}}


class TestJsonPatch:
    def test_operations(self):
        document = {"a": [1, 2], "b": {"c/d": 1, "e~f": 2}}
        after = patches.json_patch(
            document,
            [
                {"op": "add", "path": "/a/-", "value": 3},
                {"op": "add", "path": "/a/0", "value": 0},
                {"op": "replace", "path": "/b/c~1d", "value": 9},
                {"op": "test", "path": "/b/e~0f", "value": 2},
                {"op": "copy", "from": "/a", "path": "/z"},
                {"op": "move", "from": "/b/e~0f", "path": "/m"},
                {"op": "remove", "path": "/a/1"},
            ],
        )
        assert after == {"a": [0, 2, 3], "b": {"c/d": 9}, "z": [0, 1, 2, 3], "m": 2}
        assert document == {"a": [1, 2], "b": {"c/d": 1, "e~f": 2}}

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/a", "value": True},
            {"op": "remove", "path": "/nope"},
            {"op": "replace", "path": "/nope", "value": 1},
            {"op": "add", "path": "/x/y", "value": 1},
            {"op": "frob", "path": "/a"},
            {"op": "add", "path": "a", "value": 1},
        ],
    )
    def test_refused(self, operation):
        with pytest.raises(errors.ApiError) as raised:
            patches.json_patch({"a": 1}, [operation])
        assert raised.value.status()["message"] == "the server rejected our request due to an error in our request"
        assert raised.value.status()["details"] == {}
        assert raised.value.code == 422
