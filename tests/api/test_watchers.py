"""Whatever clients do, and in whatever order: who watches knows what a list would say, and no version goes backwards."""

from __future__ import annotations

import json
from typing import Any

import replaying
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kubesim import http, snapshot

Object = dict[str, Any]
NAMES = st.sampled_from(["a", "b", "c"])
NAMESPACES = st.sampled_from(["default", "other"])
VALUES = st.sampled_from(["x", "y", None])
USERS = st.sampled_from(["ann", "bob"])
RESOURCES = st.sampled_from(["configmaps", "services"])
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}
# The collections that are watched: all, one namespace, what a label selects, what a field selects.
COLLECTIONS = [
    "/api/v1/configmaps",
    "/api/v1/services",
    "/api/v1/namespaces/other/configmaps",
    "/api/v1/configmaps?labelSelector=tier%3Dx",
    "/api/v1/services?labelSelector=tier",
    "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Da",
]


def new(resource: str, name: str, tier: str | None) -> Object:
    metadata: Object = {"name": name, **({"labels": {"tier": tier}} if tier else {})}
    return {
        "metadata": metadata,
        **({"spec": {"ports": [{"port": 80}]}} if resource == "services" else {"data": {"n": "0"}}),
    }


class Watch:
    """One watch of a collection, from `since` on, and what it has made known."""

    def __init__(self, server: Any, collection: str) -> None:
        self.server, self.collection = server, collection
        listed = server.handle(http.request("GET", collection)).json()
        # client-go's reflector: list, then watch from the list's version.
        self.version = int(listed["metadata"]["resourceVersion"])
        self.known = {self.key(each): each for each in listed["items"]}
        mark = "&" if "?" in collection else "?"
        url = (
            f"{collection}{mark}watch=true&timeoutSeconds=86400&allowWatchBookmarks=true&resourceVersion={self.version}"
        )
        self.stream = server.handle(http.request("GET", url)).stream

    @staticmethod
    def key(obj: Object) -> tuple[str, str]:
        return (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def read(self) -> None:
        for line in (self.stream.read() or b"").splitlines():
            event = json.loads(line)
            obj, kind = event["object"], event["type"]
            version = int(obj["metadata"]["resourceVersion"])
            assert version >= self.version, f"{kind} at {version} after {self.version}"
            assert version > self.version or kind == "BOOKMARK"
            self.version = version
            if kind == "BOOKMARK":
                continue
            key = self.key(obj)
            assert (key in self.known) == (kind != "ADDED"), f"{kind} of {key}"
            if kind == "DELETED":
                del self.known[key]
            else:
                self.known[key] = {field: value for field, value in obj.items() if field not in ("kind", "apiVersion")}

    def check(self) -> None:
        self.read()
        listed = self.server.handle(http.request("GET", self.collection)).json()["items"]
        assert [each for _, each in sorted(self.known.items())] == listed, self.collection


class Clients(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = 0
        bare = replaying.Bare(controllers=False)
        bare.api.handle(http.request("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}}))
        self.start(bare)
        # What each client last read of an object: it may be old by the time it writes.
        self.read: dict[tuple[str, str], Object] = {}

    def start(self, bare: replaying.Bare) -> None:
        self.bare, self.world, self.store, self.server = bare, bare.world, bare.store, bare.api
        self.watches = [Watch(self.server, each) for each in COLLECTIONS]

    def ask(self, method: str, url: str, body: Any = None, kind: str = "application/json", user: str = "ann") -> Object:
        data = None if body is None else json.dumps(body).encode()
        who = http.User(name=user, groups=("system:masters",))
        answer = self.server.handle(http.request(method, url, data, {"content-type": kind}, who))
        assert answer.status < 500, answer.body
        return answer.json()

    def url(self, resource: str, namespace: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{namespace}/{resource}" + (f"/{name}" if name else "")

    @rule(user=USERS, resource=RESOURCES, namespace=NAMESPACES, name=NAMES, tier=VALUES)
    def create(self, user: str, resource: str, namespace: str, name: str, tier: str | None) -> None:
        self.ask("POST", self.url(resource, namespace), new(resource, name, tier), user=user)

    @rule(user=USERS, resource=RESOURCES, namespace=NAMESPACES, name=NAMES)
    def get(self, user: str, resource: str, namespace: str, name: str) -> None:
        url = self.url(resource, namespace, name)
        self.read[user, url] = self.ask("GET", url, user=user)

    @rule(user=USERS, resource=RESOURCES, namespace=NAMESPACES, name=NAMES, tier=VALUES)
    def update(self, user: str, resource: str, namespace: str, name: str, tier: str | None) -> None:
        """Write back what was read, perhaps long ago; then it is refused."""
        url = self.url(resource, namespace, name)
        mine = self.read.get((user, url))
        if mine is None or mine["kind"] == "Status":
            return
        there = self.ask("GET", url)
        labels = {"tier": tier} if tier else {}
        answer = self.ask("PUT", url, {**mine, "metadata": {**mine["metadata"], "labels": labels}}, user=user)
        fresh = there["metadata"].get("resourceVersion") == mine["metadata"]["resourceVersion"]
        assert (answer["kind"] != "Status") == fresh, answer

    @rule(
        user=USERS,
        resource=RESOURCES,
        namespace=NAMESPACES,
        name=NAMES,
        tier=VALUES,
        form=st.sampled_from(sorted(PATCHES)),
    )
    def patch(self, user: str, resource: str, namespace: str, name: str, tier: str | None, form: str) -> None:
        body: Any = {"metadata": {"labels": {"tier": tier}}}
        if form == "json":
            body = [{"op": "add", "path": "/metadata/labels", "value": {"tier": tier} if tier else {}}]
        self.ask("PATCH", self.url(resource, namespace, name), body, PATCHES[form], user)

    @rule(resource=RESOURCES, namespace=NAMESPACES, name=NAMES, held=st.booleans())
    def hold(self, resource: str, namespace: str, name: str, held: bool) -> None:
        """A finalizer keeps a deleted object; without it, it goes."""
        body = {"metadata": {"finalizers": ["example.com/held"] if held else None}}
        self.ask("PATCH", self.url(resource, namespace, name), body, PATCHES["merge"])

    @rule(resource=RESOURCES, namespace=NAMESPACES, name=NAMES)
    def delete(self, resource: str, namespace: str, name: str) -> None:
        self.ask("DELETE", self.url(resource, namespace, name))

    @rule(resource=RESOURCES, namespace=NAMESPACES, selector=st.sampled_from(["", "?labelSelector=tier%3Dx"]))
    def delete_many(self, resource: str, namespace: str, selector: str) -> None:
        self.ask("DELETE", self.url(resource, namespace) + selector)

    @rule(number=st.integers(0, len(COLLECTIONS) - 1))
    def watch_anew(self, number: int) -> None:
        self.watches[number].stream.close()
        self.watches[number] = Watch(self.server, COLLECTIONS[number])

    @rule(seconds=st.sampled_from([1, 61]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    def everything(self) -> list[Object]:
        """All lists, without the Service that a server makes anew for itself when it starts, and its address."""
        lists = [self.ask("GET", each) for each in (*COLLECTIONS, "/apis/networking.k8s.io/v1/ipaddresses")]
        found = [each for one in lists for each in one["items"]]
        return [each for each in found if each["metadata"]["name"] not in ("kubernetes", "10.96.0.1")]

    @rule()
    def restart(self) -> None:
        """The server ends, and begins again with what was saved: the same lists; who watched lists and watches anew."""
        before = self.everything()
        bare = replaying.Bare(controllers=False, saved=snapshot.read(snapshot.take(self.bare, {}), "state"))
        self.start(bare)
        assert self.everything() == before
        old = f"/api/v1/configmaps?watch=true&resourceVersion={self.revision - 1}"
        told = self.server.handle(http.request("GET", old))
        assert json.loads(told.stream.read())["object"]["code"] == 410

    @invariant()
    def every_view_is_what_a_list_gives(self) -> None:
        assert self.store.revision >= self.revision
        self.revision = self.store.revision
        self.world.drain()
        for each in self.watches:
            each.check()


def test_watchers_know_what_a_list_would_say() -> None:
    run_state_machine_as_test(
        Clients, settings=settings(max_examples=50, stateful_step_count=30, derandomize=True, deadline=None)
    )
