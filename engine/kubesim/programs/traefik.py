"""Traefik, in its two generations: 1.7 (`traefik_v1`) and 3 (`traefik_v3`); which one runs is the image's tag."""

from __future__ import annotations

import re

from kubesim.programs import disks
from kubesim.programs.image import Image, Process

NEWEST = "3.6.2"


def version(tag: str) -> str:
    """The release that a tag means: v2.10 is some 2.10, no number the newest."""
    match = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", tag)
    if match is None or (match[1] == "3" and match[2] is None):
        return NEWEST
    major, minor, patch = match.groups()
    # The last of each line.
    return f"{major}.{minor or {'1': '7', '2': '11'}.get(major, '0')}.{patch or ('34' if major == '1' else '0')}"


async def main(process: Process) -> int:
    release = version(process.tag)
    if release.startswith("1."):
        from kubesim.programs import traefik_v1

        return await traefik_v1.Traefik(process, release).run()
    from kubesim.programs import traefik_v3

    return await traefik_v3.main(process, release)


IMAGES = [
    Image(
        names=("traefik",),
        program=main,
        programs=("traefik",),
        entrypoint=("/entrypoint.sh",),
        command=("traefik",),
        wrapper="entrypoint.sh",
        wrapped="traefik",
        tools=disks.ALPINE,
        seconds=2.0,
    )
]
