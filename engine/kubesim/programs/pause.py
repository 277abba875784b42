"""The container that holds a pod's namespaces: does nothing until it is told to stop."""

from __future__ import annotations

from kubesim.programs.image import Image, Process
from kubesim.world import Cancelled


async def main(process: Process) -> int:
    try:
        await process.world.future()
    except Cancelled:
        # It handles SIGTERM: kubernetes/build/pause, sigdown.
        process.log("Shutting down, got signal: Terminated")
    return 0


IMAGES = [
    Image(
        names=("registry.k8s.io/pause",),
        program=main,
        programs=("pause",),
        entrypoint=("/pause",),
        user="65535",
        seconds=0.3,
    )
]
