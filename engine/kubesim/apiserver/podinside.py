"""Requests for the inside of a pod, passed on to the kubelet of its node: log, exec, attach, portforward; and proxy.

Sources: `pkg/registry/core/pod/strategy.go` (LogLocation, streamLocation), `pkg/registry/core/pod/rest`.
"""

from __future__ import annotations

import re
from typing import Any

from kubesim import http
from kubesim.apiserver import fielderrors, messages, proxying, wire
from kubesim.errors import ApiError

Object = dict[str, Any]


def handle(handler: Any, name: str) -> http.Response:
    match name:
        case "log":
            return _log(handler)
        case "proxy":
            return proxying.handle(handler)
    return _stream(handler, name)


def _pod(handler: Any) -> Object:
    found: Object = handler.registry.get(handler.resource, handler.call.namespace, handler.call.name)
    return found


def _container(handler: Any, pod: Object) -> str:
    """Which container is meant: the one named, the only one, or the annotated default."""
    spec, pod_name = pod["spec"], handler.call.name
    wanted = handler.request.param("container")
    every = [
        *(spec.get("containers") or ()),
        *spec.get("initContainers", ()),
        *spec.get("ephemeralContainers", ()),
    ]
    known = [each["name"] for each in every]
    if wanted:
        if wanted not in known:
            raise messages.bad_request(f"container {wanted} is not valid for pod {pod_name}")
        return wanted
    default = pod["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/default-container")
    if default in known:
        return str(default)
    main = [each["name"] for each in spec.get("containers") or ()]
    if len(main) == 1:
        return str(main[0])
    text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(main)}]"
    initial = [each["name"] for each in spec.get("initContainers", ())]
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    raise messages.bad_request(text)


def _kubelet(handler: Any, pod: Object) -> Any:
    node = pod["spec"].get("nodeName", "")
    kubelet = handler.server.kubelets.get(node)
    if kubelet is None:
        raise messages.internal(f"error dialing backend: dial tcp: lookup {node}: no such host")
    return kubelet


def _number(handler: Any, name: str) -> int | None:
    text = handler.request.param(name)
    if not text:
        return None
    if not re.fullmatch(r"-?\d+", text):
        raise messages.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _truth(handler: Any, name: str) -> bool:
    return handler.request.param(name).lower() in ("1", "true")


def _log(handler: Any) -> http.Response:
    pod = _pod(handler)
    tail, since = _number(handler, "tailLines"), _number(handler, "sinceSeconds")
    errors = []
    for field, value, lowest in (("tailLines", tail, 0), ("sinceSeconds", since, 1)):
        if value is not None and value < lowest:
            detail = "must be greater than or equal to 0" if lowest == 0 else "must be greater than 0"
            errors.append(fielderrors.invalid(field, value, detail))
    if errors:
        raise messages.invalid("PodLogOptions", "", handler.call.name, errors)
    container = _container(handler, pod)
    if not pod["spec"].get("nodeName"):
        # Upstream answers a pod that is not scheduled yet with an empty log.
        return wire.text("")
    found = _kubelet(handler, pod).logs(
        handler.call.namespace,
        handler.call.name,
        container,
        follow=_truth(handler, "follow"),
        tail=tail,
        since=float(since) if since is not None else _since_time(handler),
        previous=_truth(handler, "previous"),
        timestamps=_truth(handler, "timestamps"),
    )
    headers = [wire.CACHE, ("Content-Type", "text/plain")]
    if isinstance(found, bytes):
        return http.Response(headers=headers, body=found)
    return http.Response(headers=headers, stream=found)


def _since_time(handler: Any) -> float | None:
    from kubesim import ids

    text = handler.request.param("sinceTime")
    return handler.server.world.now - ids.parse_timestamp(text) if text else None


def _stream(handler: Any, name: str) -> http.Response:
    pod = _pod(handler)
    namespace, pod_name = handler.call.namespace, handler.call.name
    if name == "portforward":
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            raise messages.bad_request(f"cannot forward ports of a pod that is {pod['status']['phase']}")
        ports = [
            int(part) for value in handler.request.params("ports") for part in value.split(",") if part.isdecimal()
        ]
        return http.Response(status=101, session=_kubelet(handler, pod).portforward(namespace, pod_name, ports))
    container = _container(handler, pod)
    if not pod["spec"].get("nodeName"):
        raise messages.bad_request(f"pod {pod_name} does not have a host assigned")
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        text = f"cannot exec into a container in a completed pod; current phase is {pod['status']['phase']}"
        raise ApiError(500, "", text)
    stdin, tty = _truth(handler, "stdin"), _truth(handler, "tty")
    kubelet = _kubelet(handler, pod)
    if name == "attach":
        return http.Response(status=101, session=kubelet.attach(namespace, pod_name, container, stdin, tty))
    command = handler.request.params("command")
    if not command:
        error = fielderrors.required("command")
        raise messages.invalid("PodExecOptions", "", pod_name, [error])
    return http.Response(status=101, session=kubelet.exec(namespace, pod_name, container, command, stdin, tty))
