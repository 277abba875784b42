"""kubectl scale, autoscale.

Source: kubectl `pkg/cmd/scale/scale.go`, `pkg/scale`, `pkg/cmd/autoscale`.
"""

from __future__ import annotations

from typing import Any

from kubesim.kubectl import builder, fail, flags, making, printers, rest, session, watching
from kubesim.kubectl.command import Command
from kubesim.machinery import objects

Object = dict[str, Any]


async def scale(of: session.Session) -> None:
    replicas = of.flags["replicas"]
    if replicas < 0:
        raise fail.Failed("error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    try:
        infos = await builder.infos(of, of.args)
    except fail.StatusError as error:
        why = f" {error.message}" if of.minor >= 31 else ""
        raise fail.Failed(f"error: no objects passed to scale{why}") from None
    if not infos:
        raise fail.Failed("error: no objects passed to scale")
    if of.flags["resource-version"] and len(infos) > 1:
        raise fail.Failed("error: cannot use --resource-version with multiple resources")

    def one(info: builder.Info) -> None:
        path = info.mapping.path(info.namespace, info.name, "scale")
        if dry_run != "client":
            if of.flags["current-replicas"] != -1:
                now = objects.get(of.rest.ask("GET", path), "spec.replicas", 0)
                if now != of.flags["current-replicas"]:
                    raise fail.Failed(f"error: Expected replicas to be {of.flags['current-replicas']}, was {now}")
            patch: Object = {"spec": {"replicas": replicas}}
            if of.flags["resource-version"]:
                patch["metadata"] = {"resourceVersion": of.flags["resource-version"]}
            query = [("dryRun", "All")] if dry_run == "server" else []
            of.rest.ask("PATCH", path, body=patch, query=query, content_type=rest.PATCH_TYPES["merge"])
        obj = of.get(info.mapping, info.name, info.namespace) if of.flags["output"] not in ("", "name") else info.obj
        deeds.done(obj or {}, "scaled", dry_run)

    builder.visit(infos, one)
    if of.flags["timeout"] and dry_run == "none":
        await _wait(of, infos, replicas)


async def _wait(of: session.Session, infos: list[builder.Info], replicas: int) -> None:
    for info in infos:

        def there(state: Object | None) -> bool:
            return state is None or objects.get(state, "status.replicas", 0) == replicas

        try:
            await watching.until(of, info.mapping, info.namespace, info.name, there, of.flags["timeout"])
        except watching.TimedOut:
            raise fail.Failed(f'error: timed out waiting for "{info.name}" to be synced') from None


async def autoscale(of: session.Session) -> None:
    high, low = of.flags["max"], of.flags["min"]
    if high < 1:
        raise fail.Failed(f"error: --max=MAXPODS is required and must be at least 1, max: {high}")
    if high < low:
        raise fail.Failed(f"error: --max=MAXPODS must be larger or equal to --min=MINPODS, max: {high}, min: {low}")
    dry_run = of.dry_run()
    deeds = printers.Deeds(of)
    for info in await builder.infos(of, of.args):
        made: Object = {
            "kind": "HorizontalPodAutoscaler",
            "apiVersion": "autoscaling/v2",
            "metadata": making.metadata(of, of.flags["name"] or info.name),
            "spec": {
                "scaleTargetRef": {
                    "kind": info.mapping.kind,
                    "name": info.name,
                    "apiVersion": info.mapping.api_version,
                },
                **({"minReplicas": low} if low > 0 else {}),
                "maxReplicas": high,
            },
            "status": {"desiredReplicas": 0, "currentMetrics": None},
        }
        if of.flags["cpu-percent"] >= 0:
            target = {"type": "Utilization", "averageUtilization": of.flags["cpu-percent"]}
            made["spec"]["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        served = False
        if dry_run != "client":
            mapping = of.discovery.find("horizontalpodautoscalers.autoscaling")
            query = [("dryRun", "All")] if dry_run == "server" else []
            query.append(("fieldManager", "kubectl-autoscale"))
            made = {**made, "apiVersion": mapping.api_version}
            made = of.rest.ask("POST", mapping.path(of.namespace), body=made, query=query)
            served = True
        deeds.done(made, "autoscaled", dry_run, served)


COMMANDS = {
    "scale": Command(
        "scale",
        "Set a new size for a deployment, replica set, replication controller, or stateful set.",
        scale,
        (
            *builder.FILES,
            *builder.SELECT,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *flags.define("replicas:int", "current-replicas:int=-1", "resource-version", "timeout:duration"),
        ),
        "[--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME) [options]",
        required=("replicas",),
    ),
    "autoscale": Command(
        "autoscale",
        "Creates an autoscaler that automatically chooses and sets the number of pods that run in a Kubernetes cluster.",
        autoscale,
        (
            *builder.FILES,
            *printers.OUTPUT,
            *session.DRY_RUN,
            *flags.define("min:int32=-1", "max:int32=-1", "cpu-percent:int32=-1", "name", "save-config:bool"),
        ),
        "(-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu-percent=CPU] [options]",
    ),
}
