"""kubectl create deployment, job, cronjob.

Source: kubectl `pkg/cmd/create/create_deployment.go`, `create_job.go`, `create_cronjob.go`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import creating, fail, flags, making, session
from kubesim.kubectl.command import Command

Object = dict[str, Any]


async def deployment(of: session.Session) -> None:
    name = creating.one_name(of)
    images, command = of.flags["image"], creating.after_dash(of)
    if len(images) > 1 and command:
        raise fail.Failed("error: cannot specify multiple --image options and command")
    if of.flags["replicas"] < 0:
        raise fail.Failed(
            f'error: invalid value "{of.flags["replicas"]}" for --replicas flag, must be greater than or equal to 0'
        )
    containers: list[Object] = []
    for image in images:
        container: Object = {"name": making.container_name(image), "image": image}
        if command:
            container["command"] = command
        if of.flags["port"] >= 0 and not containers and "port" in of.flags.changed:
            container["ports"] = [{"containerPort": of.flags["port"]}]
        container["resources"] = {}
        containers.append(container)
    labels = {"app": name}
    made = making.obj(of, "apps/v1", "Deployment", name, labels)
    made["spec"] = {
        "replicas": of.flags["replicas"],
        "selector": {"matchLabels": labels},
        "template": making.template(of, labels, {"containers": containers}),
        "strategy": {},
    }
    made["status"] = {}
    creating.finish(of, made, "deployments.apps", "failed to create deployment: ")


def _job_spec(of: session.Session, name: str, restart: str) -> Object:
    container: Object = {"name": name, "image": of.flags["image"]}
    if creating.after_dash(of):
        container["command"] = creating.after_dash(of)
    container["resources"] = {}
    return {"template": making.template(of, None, {"containers": [container], "restartPolicy": restart})}


async def job(of: session.Session) -> None:
    name = creating.one_name(of)
    source = of.flags["from"]
    if bool(of.flags["image"]) == bool(source):
        raise fail.Failed("error: either --image or --from must be specified")
    made = making.obj(of, "batch/v1", "Job", name)
    if source:
        made = _from_cron_job(of, name, source)
    else:
        made["spec"] = _job_spec(of, name, "Never")
        made["status"] = {}
    creating.finish(of, made, "jobs.batch", "failed to create job: ")


def _from_cron_job(of: session.Session, name: str, source: str) -> Object:
    kind, _, cron_name = source.partition("/")
    mapping = of.discovery.find(kind)
    if mapping.kind != "CronJob":
        raise fail.Failed(f"error: from must be an existing cronjob: {mapping.kind} is not supported")
    cron = of.get(mapping, cron_name, of.namespace)
    template = cron["spec"]["jobTemplate"]
    made = making.obj(of, "batch/v1", "Job", name, (template.get("metadata") or {}).get("labels"))
    annotations = {
        "cronjob.kubernetes.io/instantiate": "manual",
        **(template.get("metadata") or {}).get("annotations", {}),
    }
    made["metadata"]["annotations"] = annotations
    made["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": cron_name,
            "uid": cron["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    made["spec"] = template["spec"]
    made["status"] = {}
    return made


async def cronjob(of: session.Session) -> None:
    name = creating.one_name(of)
    made = making.obj(of, "batch/v1", "CronJob", name)
    meta: Object = {"name": name}
    if of.minor < 34:
        meta["creationTimestamp"] = None
    made["spec"] = {
        "schedule": of.flags["schedule"],
        "jobTemplate": {"metadata": meta, "spec": _job_spec(of, name, of.flags["restart"] or "OnFailure")},
    }
    made["status"] = {}
    creating.finish(of, made, "cronjobs.batch", "failed to create cronjob: ")


COMMANDS = (
    Command(
        "deployment",
        "Create a deployment with the specified name.",
        deployment,
        (*creating.FLAGS, *flags.define("image:list", "port:int32=-1", "replicas,r:int32=1")),
        "NAME --image=image -- [COMMAND] [args...] [options]",
        aliases=("deploy",),
        required=("image",),
    ),
    Command(
        "job",
        "Create a job with the specified name.",
        job,
        (*creating.FLAGS, *flags.define("image", "from")),
        "NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...] [options]",
    ),
    Command(
        "cronjob",
        "Create a cron job with the specified name.",
        cronjob,
        (*creating.FLAGS, *flags.define("image", "schedule", "restart")),
        "NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [options]",
        aliases=("cj",),
        required=("image", "schedule"),
    ),
)
