"""Images on a node: pulling once, the back-off after a failure, and the kubelet's words for all of it.

Sources: `pkg/kubelet/images/image_manager.go`, `types.go`; containerd's words for what a registry refuses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kubesim.client import Object
from kubesim.node.config import KubeletConfig
from kubesim.programs import images
from kubesim.programs.image import Image
from kubesim.world import Future, World

# imageBackOff: 10 s, doubled up to 5 minutes.
FIRST_BACKOFF = 10.0
LONGEST_BACKOFF = 300.0


class CannotPull(Exception):
    """No image: `reason` is the waiting reason (ErrImagePull, ErrImageNeverPull, InvalidImageName), the text its message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def reference(name: str) -> str:
    """The full name: "docker.io/library/nginx:latest" of "nginx"."""
    digest = "@" in name
    first, slash, _ = name.partition("/")
    if not slash or ("." not in first and ":" not in first and first != "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    return name if digest or ":" in name.rpartition("/")[2] else f"{name}:latest"


def _digest(name: str) -> str:
    """What stands for the content's hash: the same for the same name everywhere."""
    return hashlib.sha256(name.encode()).hexdigest()


def size(name: str) -> int:
    """A plausible size in bytes, 10 to 110 MB, the same for the same name."""
    return 10_000_000 + int(_digest(name)[:8], 16) % 100_000_000


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image that is on the node.  `seconds` is how long the pull took; 0.0 when it was there already."""

    image: Image
    seconds: float


class ImageManager:
    """The images of one node."""

    def __init__(self, world: World, config: KubeletConfig) -> None:
        self._world = world
        self._config = config
        self._present: dict[str, Image] = {}
        self._pulling: dict[str, Future[None]] = {}
        self._delays: dict[tuple[str, str], tuple[float, float]] = {}

    def present(self) -> list[str]:
        return sorted(self._present)

    def has(self, name: str) -> bool:
        return reference(name) in self._present

    def shown(self, name: str) -> str:
        """The name that a container's status has: with containerd the full one."""
        if not self._config.docker:
            return reference(name)
        return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"

    def image_id(self, name: str) -> str:
        """The imageID of a container's status."""
        full = reference(name)
        repository = full.partition("@")[0]
        repository = repository.rpartition(":")[0] or repository
        digest = full.partition("@sha256:")[2] or _digest(full)
        if self._config.docker:
            return f"docker-pullable://{repository.removeprefix('docker.io/library/').removeprefix('docker.io/')}@sha256:{digest}"
        return f"{repository}@sha256:{digest}"

    async def pull(self, name: str, policy: str) -> Pulled:
        """Have the image here, by the container's imagePullPolicy.  Takes time; raises CannotPull."""
        full = reference(name)
        found = self._find(name)
        if full in self._present and policy != "Always":
            return Pulled(self._present[full], 0.0)
        if policy == "Never":
            raise CannotPull("ErrImageNeverPull", f'Container image "{name}" is not present with pull policy of Never')
        began = self._world.now
        # --serialize-image-pulls matters little; but the same image is pulled once for all who wait for it.
        while full in self._pulling:
            await self._pulling[full]
        rng = self._world.rng("pull")
        if found is None:
            await self._world.sleep(0.4 + 0.4 * rng.random())
            raise CannotPull("ErrImagePull", self._refused(name))
        # An image that is there is only asked for again: one request to the registry.
        seconds = 0.3 if full in self._present else found.seconds
        done = self._pulling[full] = self._world.future()
        try:
            await self._world.sleep(seconds * (0.9 + 0.2 * rng.random()))
            self._present[full] = found
        finally:
            del self._pulling[full]
            done.resolve(None)
        return Pulled(found, self._world.now - began)

    def _find(self, name: str) -> Image | None:
        try:
            return images.find(name)
        except ValueError:
            raise CannotPull("InvalidImageName", self._unparsable(name)) from None

    @staticmethod
    def _unparsable(name: str) -> str:
        why = f'couldn\'t parse image name "{name}": invalid reference format'
        return f'Failed to apply default image tag "{name}": {why}'

    def _refused(self, name: str) -> str:
        full = reference(name)
        known = ", ".join(images.known())
        if self._config.docker:
            short = name.partition(":")[0]
            refusal = (
                f"rpc error: code = Unknown desc = Error response from daemon: pull access denied for {short}, repository "
                "does not exist or may require 'docker login': denied: requested access to the resource is denied"
            )
        else:
            path = full.rpartition(":")[0].partition("/")[2]
            refusal = (
                f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": pull access denied, '
                "repository does not exist or may require authorization: server message: insufficient_scope: "
                f"authorization failed ({path})"
            )
        # What no registry says: the embedded cluster has no other images.
        return f"{refusal}; the embedded cluster knows these images: {known}"

    # -- back-off -------------------------------------------------------------------------------------------

    def failed(self, pod: Object, name: str) -> float:
        """A pull for this pod failed: how long to wait before the next."""
        key = (pod["metadata"]["uid"], name)
        _, last = self._delays.get(key, (0.0, 0.0))
        delay = min(last * 2, LONGEST_BACKOFF) if last else FIRST_BACKOFF
        self._delays[key] = (self._world.now, delay)
        return delay

    def forget(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        self._delays = {key: value for key, value in self._delays.items() if key[0] != uid}

    # -- words ----------------------------------------------------------------------------------------------

    def pulled_message(self, name: str, pulled: Pulled) -> str:
        """The event `Pulled`, in the words of the release."""
        if not pulled.seconds:
            return f'Container image "{name}" already present on machine'
        message = f'Successfully pulled image "{name}"'
        if self._config.minor < 19:
            return message
        took = _duration(pulled.seconds)
        message += f" in {took}"
        if self._config.minor >= 27:
            message += f" ({took} including waiting)"
        if self._config.minor >= 30:
            message += f". Image size: {size(name)} bytes."
        return message


def _duration(seconds: float) -> str:
    """Go's Duration, rounded to milliseconds."""
    milliseconds = max(1, round(seconds * 1000))
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
