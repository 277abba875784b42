"""Every namespace has a ServiceAccount `default`.

Source: `pkg/controller/serviceaccount/serviceaccounts_controller.go`.
"""

from __future__ import annotations

from kubesim.client import Object
from kubesim.controllers.controller import Controller
from kubesim.machinery import objects

NAME = "default"


class ServiceAccountController(Controller):
    name = "service-account-controller"

    def start(self) -> None:
        self.watch("namespaces")
        self.informers.of("serviceaccounts").on_event(self._account_changed)

    def _account_changed(self, kind: str, account: Object, _before: Object | None) -> None:
        if kind == "DELETED" and objects.name(account) == NAME:
            self.enqueue(objects.namespace(account))

    def reconcile(self, key: str) -> None:
        namespace = self.client.find("namespaces", key)
        if namespace is None or objects.deleting(namespace):
            return
        if self.client.find("serviceaccounts", NAME, key) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": key}}
            self.client.create("serviceaccounts", account, key)
