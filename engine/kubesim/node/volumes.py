"""A pod's volumes: what their files hold, and where they appear in a container.

Sources: `pkg/volume/{configmap,secret,projected,downwardapi,emptydir,hostpath}`; the words of what fails are
`pkg/kubelet/volumemanager`'s.

The files of a ConfigMap, Secret, projected or downward volume are the kubelet's: it writes them again when their source
changes.  An emptyDir is one directory for all containers of the pod; a hostPath is the node's.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Mapping

from kubesim.client import Object
from kubesim.files import FileSystem
from kubesim.machinery import objects
from kubesim.node import env
from kubesim.programs import tokens
from kubesim.world import World


class NotReady(Exception):
    """The volume cannot be set up (yet): FailedMount, with this message."""


class Source:
    """Where volumes come from: the API, the node and the pod."""

    def __init__(self, world: World, find: env.Find, node_files: FileSystem, allocatable: Mapping[str, str]) -> None:
        self.world = world
        self.find = find
        self.node_files = node_files
        self.allocatable = allocatable


def written(pod: Object, volume: Object, source: Source) -> dict[str, bytes] | None:
    """The files of a volume that the kubelet writes, by relative path; None for one that is a directory of its own.

    Raises NotReady.
    """
    try:
        for kind, plural in (("configMap", "configmaps"), ("secret", "secrets")):
            if volume.get(kind) is not None:
                given = volume[kind]
                name = given.get("name") or given.get("secretName", "")
                return _keys(kind, plural, name, given, pod, source)
        if volume.get("projected") is not None:
            found: dict[str, bytes] = {}
            for each in volume["projected"].get("sources") or ():
                found.update(_projected(each, pod, source))
            return found
        if volume.get("downwardAPI") is not None:
            return _downward(volume["downwardAPI"], pod, source)
    except env.ConfigError as error:
        raise NotReady(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from None
    return None


def _projected(each: Object, pod: Object, source: Source) -> dict[str, bytes]:
    for kind, plural in (("configMap", "configmaps"), ("secret", "secrets")):
        if each.get(kind) is not None:
            return _keys(kind, plural, each[kind]["name"], each[kind], pod, source)
    if each.get("downwardAPI") is not None:
        return _downward(each["downwardAPI"], pod, source)
    if each.get("serviceAccountToken") is not None:
        account = pod["spec"].get("serviceAccountName", "default")
        token = tokens.issue(source.world, objects.namespace(pod), account, pod=pod)
        return {each["serviceAccountToken"]["path"]: token.encode()}
    raise env.ConfigError(f"projected volume source {', '.join(each)} is not known to the embedded cluster")


def _keys(kind: str, plural: str, name: str, given: Object, pod: Object, source: Source) -> dict[str, bytes]:
    obj = source.find(plural, name, objects.namespace(pod))
    if obj is None:
        if given.get("optional"):
            return {}
        raise env.ConfigError(f'{kind.lower()} "{name}" not found')
    data = {key: value.encode() for key, value in env.data_of(kind, obj).items()}
    if kind == "configMap":
        data.update({key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()})
    if not given.get("items"):
        return data
    found = {}
    for item in given["items"]:
        if item["key"] in data:
            found[item["path"]] = data[item["key"]]
        elif not given.get("optional"):
            raise env.ConfigError(f"{kind.lower()} references non-existent {kind.lower()} key: {item['key']}")
    return found


def _downward(given: Object, pod: Object, source: Source) -> dict[str, bytes]:
    found = {}
    for item in given.get("items") or ():
        if item.get("fieldRef"):
            text = env.field(pod, item["fieldRef"]["fieldPath"], [""], [])
        else:
            text = env.resource(pod, pod["spec"]["containers"][0], item["resourceFieldRef"], source.allocatable)
        found[item["path"]] = text.encode()
    return found


def put(files: FileSystem, mount_path: str, sub_path: str, contents: Mapping[str, bytes]) -> None:
    """Write a volume's files where a container mounts it; a subPath is one file (or directory) of it."""
    if sub_path and sub_path in contents:
        files.mkdir(posixpath.dirname(mount_path), parents=True)
        files.write(mount_path, contents[sub_path])
        return
    prefix = f"{sub_path}/" if sub_path else ""
    files.mkdir(mount_path, parents=True)
    for path in sorted(contents):
        if path.startswith(prefix):
            target = posixpath.join(mount_path, path.removeprefix(prefix))
            files.mkdir(posixpath.dirname(target), parents=True)
            if not files.exists(target) or files.read_bytes(target) != contents[path]:
                files.write(target, contents[path])
