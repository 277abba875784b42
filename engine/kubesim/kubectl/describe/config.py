"""Config maps, secrets, service accounts, namespaces."""

from __future__ import annotations

import base64
from typing import Any

from kubesim.kubectl import fail
from kubesim.kubectl.describe.page import Page
from kubesim.machinery import objects

Object = dict[str, Any]


def config_map(page: Page, obj: Object) -> None:
    page.head(obj)
    page.line(0, "\nData\n====")
    for key, value in sorted((obj.get("data") or {}).items()):
        page.line(0, f"{key}:\n----")
        # Newer kubectls leave one more line free (1.30 does not).
        page.line(0, f"{value}\n" if page.of.minor >= 31 else value)
    if page.of.minor >= 22:
        page.line(0, "\nBinaryData\n====")
        for key, value in sorted((obj.get("binaryData") or {}).items()):
            page.line(0, f"{key}: {len(base64.b64decode(value))} bytes")
        page.line(0, "")
    page.events(obj)


def secret(page: Page, obj: Object) -> None:
    page.head(obj)
    page.line(0, f"\nType:\t{obj.get('type', '')}")
    page.line(0, "\nData\n====")
    for key, value in sorted((obj.get("data") or {}).items()):
        data = base64.b64decode(value)
        if key == "token" and obj.get("type") == "kubernetes.io/service-account-token":
            page.field(key, data.decode("utf-8", "replace"))
        else:
            page.field(key, f"{len(data)} bytes")


def service_account(page: Page, obj: Object) -> None:
    page.head(obj)
    name = objects.name(obj)
    tokens = [
        objects.name(each)
        for each in page.list("secrets", objects.namespace(obj))
        if each.get("type") == "kubernetes.io/service-account-token"
        and objects.annotations(each).get("kubernetes.io/service-account.name") == name
    ]
    for title, names in (
        ("Image pull secrets", [each["name"] for each in obj.get("imagePullSecrets") or ()]),
        ("Mountable secrets", [each["name"] for each in obj.get("secrets") or ()]),
        ("Tokens", tokens),
    ):
        page.field(title, names[0] if names else "<none>")
        for each in names[1:]:
            page.line(0, f"\t{each}")
    page.events(obj)


def namespace(page: Page, obj: Object) -> None:
    page.head(obj, namespaced=False)
    page.field("Status", (obj.get("status") or {}).get("phase", ""))
    conditions = (obj.get("status") or {}).get("conditions") or []
    if conditions:
        page.line(0, "Conditions:")
        page.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage")
        page.line(1, "----\t------\t------------------\t------\t-------")
        for each in conditions:
            page.line(
                1,
                f"{each['type']} \t{each['status']} \t{each.get('lastTransitionTime', '')} \t{each.get('reason', '')} \t"
                f"{each.get('message', '')}",
            )
    name = objects.name(obj)
    if not _quotas(page, name):
        page.line(0, "\nNo resource quota.")
    if not _any(page, "limitranges", name):
        page.line(0, "\nNo LimitRange resource.")


def _any(page: Page, resource: str, namespace: str) -> list[Object]:
    try:
        return page.list(resource, namespace)
    except (fail.StatusError, fail.NoResource):
        return []


def _quotas(page: Page, namespace: str) -> bool:
    found = _any(page, "resourcequotas", namespace)
    if not found:
        return False
    page.line(0, "\nResource Quotas")
    for quota in found:
        page.field("Name", objects.name(quota), 1)
        page.line(1, "Resource\tUsed\tHard")
        page.line(1, "--------\t---\t---")
        status = quota.get("status") or {}
        for name, hard in sorted((status.get("hard") or {}).items()):
            page.line(1, f"{name}\t{(status.get('used') or {}).get(name, 0)}\t{hard}")
    return True
