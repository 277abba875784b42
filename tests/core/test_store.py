"""The store: revisions, order, conflicts, history, watchers."""

from __future__ import annotations

from typing import Any

import pytest

from kubesim.store.store import Compacted, Conflict, Event, Store
from kubesim.world import World


def obj(name: str, namespace: str = "default", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, **fields}


@pytest.fixture
def store() -> Store:
    return Store(World())


def names(objects: list[dict[str, Any]]) -> list[str]:
    return [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in objects]


def test_lists_are_in_the_order_of_their_keys(store: Store) -> None:
    for namespace, name in [("b", "x"), ("a", "z"), ("a-b", "y"), ("a", "b")]:
        store.create("pods", obj(name, namespace))
    assert names(store.list("pods")) == ["a/b", "a/z", "a-b/y", "b/x"]
    assert names(store.list("pods", "a")) == ["a/b", "a/z"]
    assert store.list("pods", "none") == store.list("services") == []


def test_every_write_takes_the_next_revision(store: Store) -> None:
    first = store.create("pods", obj("a"))
    second = store.create("services", obj("a"))
    third = store.update("pods", {**first, "spec": 1}, expected="1")
    last = store.delete("services", "default", "a")
    assert [each["metadata"]["resourceVersion"] for each in (first, second, third, last)] == ["1", "2", "3", "4"]
    assert "spec" not in first, "what a reader holds never changes"


def test_conflicts(store: Store) -> None:
    stored = store.create("pods", obj("a"))
    with pytest.raises(Conflict):
        store.create("pods", obj("a"))
    store.update("pods", stored, expected="1")
    with pytest.raises(Conflict):
        store.update("pods", stored, expected="1")
    with pytest.raises(Conflict):
        store.update("pods", obj("b"))
    with pytest.raises(Conflict):
        store.delete("pods", "default", "b")
    assert store.revision == 2


def test_watchers_are_told_each_in_a_turn_of_its_own(store: Store) -> None:
    seen: list[Event] = []
    watcher = store.watch("pods", seen.append)
    stored = store.create("pods", obj("a"))
    store.create("services", obj("s"))
    assert not seen
    store.world.drain()
    store.update("pods", {**stored, "spec": 1})
    store.delete("pods", "default", "a")
    store.world.drain()
    assert [(event.type, event.revision) for event in seen] == [("ADDED", 1), ("MODIFIED", 3), ("DELETED", 4)]
    assert seen[1].before == stored
    store.create("pods", obj("b"))
    watcher.close()
    store.world.drain()
    assert len(seen) == 3


def test_history_until_it_is_compacted(store: Store) -> None:
    for name in "abc":
        store.create("pods", obj(name))
    assert [event.obj["metadata"]["name"] for event in store.events("pods", since=1)] == ["b", "c"]
    store.compact()
    assert list(store.events("pods", since=3)) == []
    with pytest.raises(Compacted):
        store.events("pods", since=2)
