"""kube-proxy in its pod: reads its configuration and keeps the rules of its node (`kubesim.proxy`)."""

from __future__ import annotations

from kubesim.errors import LearnerError
from kubesim.klog import logger
from kubesim.programs import disks
from kubesim.programs.image import Image, Process


async def main(process: Process) -> int:
    from kubesim.proxy import config, proxier

    try:
        settings = config.load(process.args[1:], process.machine.files.read)
        proxy = proxier.KubeProxy(process.world, process.api, process.node, settings, process.log, version=process.tag)
        return await proxy.run()
    except LearnerError as error:
        told = f"{error.message}. {error.remedy}" if error.remedy else error.message
        logger(process)(f'"command failed" err="{told}"', "run.go:72", "E")
        return 1


IMAGES = [
    Image(
        names=("registry.k8s.io/kube-proxy",),
        program=main,
        programs=("kube-proxy",),
        entrypoint=("kube-proxy",),
        tools=disks.commands("sh iptables iptables-save ip6tables conntrack"),
        seconds=1.2,
    )
]
