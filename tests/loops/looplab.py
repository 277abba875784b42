"""A cluster with short ways to say what it should hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubesim.cluster import Cluster
from kubesim.machinery import objects

Object = dict[str, Any]


class Lab:
    """A cluster and its admin, with helpers that read like kubectl."""

    def __init__(self, preset: str) -> None:
        self.cluster = Cluster(preset)
        self.api = self.cluster.api.client("kubernetes-admin")
        self.world = self.cluster.world

    def apply(self, resource: str, obj: Object) -> Object:
        obj.setdefault("metadata", {}).setdefault("namespace", "default")
        return self.api.create(resource, obj)

    def change(self, resource: str, name: str, change: Callable[[Object], None], namespace: str = "default") -> Object:
        obj = objects.copy(self.api.get(resource, name, namespace))
        change(obj)
        return self.api.update(resource, obj)

    def settle(self) -> None:
        assert self.cluster.settle(), "it has not come to rest"

    def busy(self) -> bool:
        """Is anything still to come that somebody waits for?"""
        return bool(self.world._ready or self.world._foreground)

    def deployment(self, name: str, image: str = "nginx", replicas: int = 1, **spec: Any) -> Object:
        container = {"name": name, "image": image, **spec.pop("container", {})}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], **spec.pop("pod", {})}}
        return self.apply(
            "deployments.apps",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"app": name}},
                    "template": template,
                    **spec,
                },
            },
        )

    def pod(self, name: str, image: str = "nginx", labels: dict[str, str] | None = None, **spec: Any) -> Object:
        container = {"name": name, "image": image, **spec.pop("container", {})}
        return self.apply(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": labels or {"app": name}},
                "spec": {"containers": [container], **spec},
            },
        )

    def service(self, name: str, app: str = "", **spec: Any) -> Object:
        ports = spec.pop("ports", [{"port": 80}])
        return self.apply(
            "services",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"app": app or name}, "ports": ports, **spec},
            },
        )

    def get(self, resource: str, name: str, namespace: str = "default") -> Object:
        return self.api.get(resource, name, namespace)

    def find(self, resource: str, name: str, namespace: str = "default") -> Object | None:
        return self.api.find(resource, name, namespace)

    def pods(self, app: str = "", namespace: str = "default") -> list[Object]:
        return self.api.list("pods", namespace, labels=f"app={app}" if app else "")

    def names(self, resource: str, namespace: str = "default") -> list[str]:
        return [objects.name(each) for each in self.api.list(resource, namespace)]

    def state(self, pod: str) -> Object:
        """The first container's status."""
        return self.get("pods", pod)["status"]["containerStatuses"][0]

    def condition(self, resource: str, name: str, kind: str, namespace: str = "default") -> Object:
        listed = self.get(resource, name, namespace)["status"]["conditions"]
        return next(each for each in listed if each["type"] == kind)

    def events(self, name: str, namespace: str = "default") -> list[str]:
        """ "Reason: message" of the events about an object, in the order in which they came."""
        found = [each for each in self.api.list("events", namespace) if each["involvedObject"]["name"] == name]
        found.sort(key=lambda each: int(each["metadata"]["resourceVersion"]))
        return [f"{each['reason']}: {each['message']}" for each in found]

    def shell(self, script: str, place: str = "") -> str:
        """What a script prints on a machine (default: the first node)."""
        result = self.cluster.shell(script, self.cluster.terminal(place))
        return result.stdout + result.stderr
