"""Sets of manifests that come along, as YAML: Traefik 3, its custom resources, the Gateway API.

A preset's add-on installs one (`kind+traefik`), `kubesim manifests traefik` prints it, and kubectl reads it where the project
itself publishes its own (`kubectl apply -f https://...`).  Definitions say what is honoured here; their words are our own.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from kubesim.errors import LearnerError

Object = dict[str, Any]

HERE = Path(__file__).resolve().parent / "bundles"
# name -> its files, in the order in which they are applied.
BUNDLES: dict[str, tuple[str, ...]] = {
    "traefik": ("traefik-crds", "traefik"),
    "traefik-crds": ("traefik-crds",),
    "traefik-gateway": ("traefik-gateway",),
    "gateway-api": ("gateway-api",),
    "openshift-router": ("openshift-router",),
    "metallb": ("metallb",),
}
# Where the projects publish theirs, whatever the release: a pattern, and the files that stand for it.
PUBLISHED = (
    (r"https://raw\.githubusercontent\.com/traefik/traefik/.*/kubernetes-crd-definition-v1\.ya?ml", "traefik-crds"),
    (r"https://raw\.githubusercontent\.com/metallb/metallb/[^/]+/config/manifests/metallb-native\.yaml", "metallb"),
    (r"https://github\.com/kubernetes-sigs/gateway-api/releases/download/[^/]+/standard-install\.yaml", "gateway-api"),
)


def text(name: str) -> str:
    """The YAML of a bundle.  LearnerError names the known ones."""
    files = BUNDLES.get(name)
    if files is None:
        raise LearnerError(f"no manifests called {name!r}", f"There are: {', '.join(BUNDLES)}.")
    return "---\n".join(_file(each) for each in files)


def published(url: str) -> str | None:
    """The YAML at that address, None for one that is not known."""
    return next((_file(name) for pattern, name in PUBLISHED if re.fullmatch(pattern, url)), None)


@cache
def _file(name: str) -> str:
    if name == "traefik-gateway":
        # Traefik with the Gateway API's provider, and its class: for a cluster that has both sets of definitions.
        return "---\n".join((_file("gateway-class"), _with_gateway(_file("traefik"))))
    return (HERE / f"{name}.yaml").read_text(encoding="utf-8")


# What Traefik is told where the Gateway API is to be served.
GATEWAY_FLAGS = ("--providers.kubernetesgateway", "--providers.kubernetesgateway.statusaddress.hostname=localhost")


def _with_gateway(text: str) -> str:
    last = "        - --providers.kubernetescrd.allowemptyservices=true\n"
    return text.replace(last, last + "".join(f"        - {flag}\n" for flag in GATEWAY_FLAGS))


def objects(name: str) -> list[Object]:
    """The objects of a bundle, new ones each time."""
    return [each for file in BUNDLES[name] for each in file_objects(file)]


def file_objects(name: str) -> list[Object]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(_file(name), Loader=loader) if each is not None]
