"""kind's storage provisioner: it waits for claims, and nothing here makes any."""

from __future__ import annotations

from kubesim import ids
from kubesim.programs import disks
from kubesim.programs.image import Image, Process


async def main(process: Process) -> int:
    stamp = ids.timestamp(process.world.now)
    process.log(f'time="{stamp}" level=debug msg="Applied config: local-path-config"')
    process.log(f'time="{stamp}" level=info msg="Provisioner started"')
    await process.world.future()
    return 0


IMAGES = [
    Image(
        names=("kindest/local-path-provisioner", "rancher/local-path-provisioner"),
        program=main,
        programs=("local-path-provisioner",),
        entrypoint=("local-path-provisioner",),
        tools=disks.DISTROLESS,
        seconds=1.0,
    )
]
