"""Images by name.

The table says which module holds an image, so that nothing is imported before it is pulled and a browser build needs no
directory listing.  To add an image: write its module with `IMAGES`, and a line here (a test compares the two).
"""

from __future__ import annotations

import importlib
import re
from functools import cache

from kubesim.programs.image import Image

MODULES = {
    "nginx": ("nginx",),
    "hello_app": (
        "gcr.io/google-samples/hello-app",
        "us-docker.pkg.dev/google-samples/containers/gke/hello-app",
    ),
    "node_apps": (
        "luksa/kubia",
        "pgolard/ms-hello",
        "pgolard/ms-bye",
        "pgolard/multcont-morning",
        "pgolard/multcont-afternoon",
    ),
    "agnhost": ("registry.k8s.io/e2e-test-images/agnhost",),
    "tools": (
        "busybox",
        "alpine",
        "debian",
        "ubuntu",
        "curlimages/curl",
        "nicolaka/netshoot",
        "registry.k8s.io/e2e-test-images/jessie-dnsutils",
    ),
    "pause": ("registry.k8s.io/pause",),
    "etcd": ("registry.k8s.io/etcd",),
    "kube_apiserver": ("registry.k8s.io/kube-apiserver",),
    "control_plane": ("registry.k8s.io/kube-controller-manager", "registry.k8s.io/kube-scheduler"),
    "kube_proxy": ("registry.k8s.io/kube-proxy",),
    "coredns": ("coredns/coredns", "registry.k8s.io/coredns", "registry.k8s.io/coredns/coredns"),
    "cni": (
        "kindest/kindnetd",
        "calico/node",
        "calico/kube-controllers",
        "rancher/mirrored-flannelcni-flannel",
        "flannel/flannel",
    ),
    "traefik": ("traefik",),
    "whoami": ("traefik/whoami",),
    "haproxy_router": ("quay.io/openshift/origin-haproxy-router",),
    "metallb": ("quay.io/metallb/controller", "quay.io/metallb/speaker"),
    "local_path": ("kindest/local-path-provisioner", "rancher/local-path-provisioner"),
}

# Other ways to the same images: what a name may begin with, and what it then means.
MIRRORS = {
    "docker.io/": "",
    "index.docker.io/": "",
    "registry-1.docker.io/": "",
    "mirror.gcr.io/": "",
    "quay.io/calico/": "calico/",
    "public.ecr.aws/docker/": "",
    "public.ecr.aws/eks-distro/kubernetes/": "registry.k8s.io/",
    "k8s.gcr.io/": "registry.k8s.io/",
    "gcr.io/google-containers/": "registry.k8s.io/",
    "gcr.io/google_containers/": "registry.k8s.io/",
    "gke.gcr.io/": "registry.k8s.io/",
    "mcr.microsoft.com/oss/kubernetes/": "registry.k8s.io/",
    "registry.aliyuncs.com/google_containers/": "registry.k8s.io/",
}

# distribution/reference: the parts that matter.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?:[A-Za-z0-9.-]+(?:\.[A-Za-z0-9-]+|:[0-9]+)|localhost)(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?"
)


def split(image: str) -> tuple[str, str]:
    """Repository and tag: ("nginx", "1.27") of "docker.io/library/nginx:1.27".  ValueError when it is no image name
    (the kubelet: InvalidImageName)."""
    match = _NAME.fullmatch(image)
    if match is None:
        raise ValueError(f'couldn\'t parse image name "{image}": invalid reference format')
    name = image.partition("@")[0]
    tag = match["tag"] or ""
    name = name.removesuffix(f":{tag}") if tag else name
    for prefix, meaning in MIRRORS.items():
        if name.startswith(prefix):
            name = meaning + name[len(prefix) :]
            break
    return name.removeprefix("library/"), tag or "latest"


def find(image: str) -> Image | None:
    """The image that a name and tag stand for; None when there is no such image (or no such tag of it).

    ValueError for what is no image name at all.
    """
    repository, tag = split(image)
    found = _load().get(repository)
    if found is None:
        return None
    for each in importlib.import_module(f"kubesim.programs.{found}").IMAGES:
        if repository in each.names and (not each.tags or tag in each.tags):
            assert isinstance(each, Image)
            return each
    return None


def known() -> list[str]:
    """The repositories there are, in order of the alphabet."""
    return sorted(_load())


@cache
def _load() -> dict[str, str]:
    return {name: module for module, names in MODULES.items() for name in names}
