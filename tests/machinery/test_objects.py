"""Copies, paths, owner references."""

from kubesim.machinery import objects

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "b", "uid": "u1", "labels": {"x.y/z": "1"}},
    "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}], "hostNetwork": False},
}


def test_a_copy_shares_nothing():
    twin = objects.copy(POD)
    assert twin == POD
    twin["spec"]["containers"][0]["ports"].append({})
    twin["metadata"]["labels"]["x.y/z"] = "2"
    assert POD["spec"]["containers"][0]["ports"] == [{"containerPort": 80}]
    assert objects.labels(POD) == {"x.y/z": "1"}


def test_paths():
    assert objects.get(POD, "spec.containers.0.ports.0.containerPort") == 80
    assert objects.get(POD, "spec.containers.1.name", "none") == "none"
    assert objects.get(POD, "spec.hostNetwork", True) is False
    assert objects.get(POD, "metadata.name.first") is None
    made: dict = {}
    objects.put(made, "spec.template.spec", {})
    assert made == {"spec": {"template": {"spec": {}}}}


def test_keys():
    assert objects.key(POD) == "b/a"
    assert objects.key({"metadata": {"name": "n"}}) == "n"
    assert objects.split_key("b/a") == ("b", "a")
    assert objects.split_key("n") == ("", "n")


def test_the_owner_is_the_reference_that_controls():
    reference = objects.new_controller_ref(POD)
    assert reference == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "a",
        "uid": "u1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    child = {"metadata": {"ownerReferences": [objects.owner_reference({**POD, "kind": "Other"}), reference]}}
    assert objects.owner(child) is reference
    assert objects.owned_by(child, POD)
    assert objects.owner(POD) is None
