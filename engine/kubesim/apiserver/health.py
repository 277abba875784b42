"""/healthz, /livez, /readyz, /version and the index of paths (apiserver `pkg/server/healthz`, `pkg/server/routes`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubesim import http
from kubesim.apiserver import wire

if TYPE_CHECKING:
    from kubesim.apiserver.server import ApiServer

# In the order in which they are reported; a star marks those of `readyz` alone, `!` those that it has not.
CHECKS = (
    "ping", "log", "!loopback-serving-certificate", "!etcd", "informer-sync*",
    "poststarthook/start-apiserver-admission-initializer", "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer", "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook", "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers", "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller", "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector", "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller", "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles", "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer", "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller", "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller", "poststarthook/apiservice-wait-for-first-sync",
    "poststarthook/apiservice-discovery-controller", "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion", "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller", "shutdown*",
)  # fmt: skip
PATHS = ("/healthz", "/livez", "/readyz")


def answer(server: ApiServer, request: http.Request) -> http.Response | None:
    path = request.path
    if path == "/version" or path == "/version/":
        return wire.answer(version(server.version))
    if path == "/":
        return wire.answer({"paths": index(server)})
    if path == "/.well-known/openid-configuration":
        return _openid(server)
    for prefix in PATHS:
        if path == prefix:
            return _checks(prefix, request)
        if path.startswith(prefix + "/") and path[len(prefix) + 1 :] in _names(prefix):
            return wire.text("ok")
    return None


def _names(prefix: str) -> list[str]:
    ready = prefix == "/readyz"
    return [
        each.strip("*!") for each in CHECKS if not each.startswith("!" if ready else "*") and (ready or each[-1] != "*")
    ]


def _checks(prefix: str, request: http.Request) -> http.Response:
    if not any(key == "verbose" for key, _ in request.query):
        return wire.text("ok")
    excluded = request.params("exclude")
    lines = [f"[+]{name} excluded: ok" if name in excluded else f"[+]{name} ok" for name in _names(prefix)]
    return wire.text("\n".join(lines) + f"\n{prefix[1:]} check passed\n")


def version(git: str) -> dict[str, str]:
    """version.Info.  The commit and the date are those of no build: this is none."""
    major, minor, *_ = git.lstrip("v").split(".")
    found = {"major": major, "minor": minor}
    if int(minor) >= 33:
        found |= {
            "emulationMajor": major,
            "emulationMinor": minor,
            "minCompatibilityMajor": major,
            "minCompatibilityMinor": str(int(minor) - 1),
        }
    return found | {
        "gitVersion": git,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.24.0",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def index(server: ApiServer) -> list[str]:
    """The paths there are, as `GET /` lists them."""
    paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/"]
    for group, versions in server.served.groups().items():
        if group:
            paths.append(f"/apis/{group}")
            paths += [f"/apis/{group}/{version}" for version in versions]
    for prefix in PATHS:
        paths.append(prefix)
        paths += [f"{prefix}/{name}" for name in _names(prefix)]
    debugging = ("/flagz", "/metrics", "/metrics/slis", "/openid/v1/jwks", "/statusz")
    return sorted([*paths, *debugging, "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/version"])


def _openid(server: ApiServer) -> http.Response:
    settings = server.settings
    response = wire.answer(
        {
            "issuer": "https://kubernetes.default.svc.cluster.local",
            "jwks_uri": f"https://{settings.advertise or '192.168.0.2'}:{settings.port}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    )
    response.headers[0] = ("Cache-Control", "public, max-age=3600")
    return response
