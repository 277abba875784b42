"""Images that bring tools and no program of their own: what runs in them is what the container's command says."""

from __future__ import annotations

from kubesim.programs import disks
from kubesim.programs.image import Image

# How /etc/os-release begins on each.
_DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
_UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nNAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n'
_ALPINE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.2\nPRETTY_NAME="Alpine Linux v3.22"\n'

# The resolver takes the presence of musl's loader for its C library.
ALPINE_FILES = {**disks.CERTIFICATES, "/etc/os-release": _ALPINE, "/lib/ld-musl-x86_64.so.1": ""}

IMAGES = [
    Image(names=("busybox",), command=("sh",), tools=disks.BUSYBOX, seconds=0.6),
    Image(
        names=("alpine",), command=("/bin/sh",), tools=disks.ALPINE, files=ALPINE_FILES, seconds=0.7
    ),
    Image(names=("debian",), command=("bash",), tools=disks.DEBIAN, files={"/etc/os-release": _DEBIAN}, seconds=2.0),
    Image(
        names=("ubuntu",),
        command=("/bin/bash",),
        tools=disks.DEBIAN | {"ps", "top"},
        files={"/etc/os-release": _UBUNTU},
        seconds=1.8,
    ),
    Image(
        names=("curlimages/curl",),
        entrypoint=("/entrypoint.sh",),
        command=("curl",),
        wrapper="entrypoint.sh",
        wrapped="curl",
        tools=disks.ALPINE | {"curl"},
        files=ALPINE_FILES,
        user="curl_user",
        seconds=0.9,
    ),
    Image(
        names=("nicolaka/netshoot",),
        command=("zsh",),
        tools=disks.NETSHOOT | {"zsh"},
        files=ALPINE_FILES,
        workdir="/root",
        seconds=4.0,
    ),
    Image(
        names=("registry.k8s.io/e2e-test-images/jessie-dnsutils",),
        command=("sleep", "infinity"),
        tools=disks.DEBIAN | disks.commands("dig host nslookup nc ping curl ps"),
        seconds=3.0,
    ),
]
