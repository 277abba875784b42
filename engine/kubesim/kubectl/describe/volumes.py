"""The volumes of a pod."""

from __future__ import annotations

from typing import Any

from kubesim.kubectl.describe.page import Page

Object = dict[str, Any]

# source: (what it is called, its fields as (title, key))
_KINDS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "hostPath": ("HostPath (bare host directory volume)", (("Path", "path"), ("HostPathType", "type"))),
    "emptyDir": (
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
        (("Medium", "medium"), ("SizeLimit", "sizeLimit")),
    ),
    "secret": ("Secret (a volume populated by a Secret)", (("SecretName", "secretName"), ("Optional", "optional"))),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", (("Name", "name"), ("Optional", "optional"))),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        (("ClaimName", "claimName"), ("ReadOnly", "readOnly")),
    ),
    "nfs": (
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        (("Server", "server"), ("Path", "path"), ("ReadOnly", "readOnly")),
    ),
}
_WHEN_ABSENT = {"optional": "false", "readOnly": "false", "sizeLimit": "<unset>"}


def volumes(page: Page, found: list[Object], space: str) -> None:
    if not found:
        page.line(0, f"{space}Volumes:\t<none>")
        return
    page.line(0, f"{space}Volumes:")
    for volume in found:
        page.line(1, f"{' ' if space else ''}{volume['name']}:")
        _volume(page, volume)


def _volume(page: Page, volume: Object) -> None:
    if volume.get("projected") is not None:
        _projected(page, volume["projected"])
        return
    if volume.get("downwardAPI") is not None:
        page.field("Type", "DownwardAPI (a volume populated by information about the pod)", 2)
        page.line(2, "Items:")
        for item in volume["downwardAPI"].get("items") or ():
            if item.get("fieldRef"):
                page.line(3, f"{item['fieldRef']['fieldPath']} -> {item['path']}")
            else:
                page.line(3, f"{item['resourceFieldRef']['resource']} -> {item['path']}")
        return
    for key, (title, fields) in _KINDS.items():
        if volume.get(key) is not None:
            page.field("Type", title, 2)
            for name, field in fields:
                page.field(name, _value(volume[key].get(field), field), 2)
            return
    page.line(1, "<unknown>")


def _value(value: Any, field: str) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _WHEN_ABSENT.get(field, "") if value is None else value


def _projected(page: Page, projected: Object) -> None:
    page.field("Type", "Projected (a volume that contains injected data from multiple sources)", 2)
    # Until 1.32 an unset `optional` was shown as a Go pointer, under a title of its own for ConfigMaps.
    old = page.of.minor < 33
    for source in projected.get("sources") or ():
        if source.get("secret") is not None:
            page.field("SecretName", source["secret"].get("name", ""), 2)
            page.field("SecretOptionalName" if old else "Optional", _optional(source["secret"], old), 2)
        elif source.get("downwardAPI") is not None:
            page.field("DownwardAPI", "true", 2)
        elif source.get("configMap") is not None:
            page.field("ConfigMapName", source["configMap"].get("name", ""), 2)
            page.field("ConfigMapOptional" if old else "Optional", _optional(source["configMap"], old), 2)
        elif source.get("serviceAccountToken") is not None:
            page.field("TokenExpirationSeconds", source["serviceAccountToken"].get("expirationSeconds", 0), 2)


def _optional(source: Object, old: bool) -> str:
    if source.get("optional") is None:
        return "<nil>" if old else "false"
    return "true" if source["optional"] else "false"
