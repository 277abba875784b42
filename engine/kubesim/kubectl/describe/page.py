"""The sheet that a description is written on, and the sections that all kinds share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kubesim import ids
from kubesim.kubectl import fail, session, tabs
from kubesim.machinery import objects

Object = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATION_WIDTH = 140  # describe.go maxAnnotationLen


class Page:
    """Lines with tabs, made columns at the end.  `of` asks the server for what belongs to the object."""

    def __init__(self, of: session.Session) -> None:
        self.of = of
        self._lines: list[str] = []

    def line(self, level: int, text: str) -> None:
        self._lines.append("  " * level + text)

    def field(self, name: str, value: Any, level: int = 0) -> None:
        self.line(level, f"{name}:\t{value}")

    def raw(self) -> str:
        """With its tabs (rollout history shows it so)."""
        return "\n".join(self._lines) + "\n"

    def text(self) -> str:
        return tabs.align(self.raw())

    # -- shared sections ----------------------------------------------------------------------------------------

    def labels(self, name: str, labels: Mapping[str, str] | None) -> None:
        self._many(name, [f"{key}={value}" for key, value in sorted((labels or {}).items())])

    def annotations(self, name: str, notes: Mapping[str, str] | None) -> None:
        lines: list[str] = []
        for key, value in sorted((notes or {}).items()):
            if key == LAST_APPLIED and self.of.minor >= 20:
                continue
            value = value.removesuffix("\n")
            if len(value) + len(key) + 2 > ANNOTATION_WIDTH or "\n" in value:
                lines.append(f"{key}:")
                lines += [f"  {_shorten(each)}" for each in value.split("\n")]
            else:
                lines.append(f"{key}: {value}")
        self._many(name, lines)

    def _many(self, name: str, lines: list[str]) -> None:
        """The first beside its name, the others below it."""
        if not lines:
            self.field(name, "<none>")
            return
        self.field(name, lines[0])
        for line in lines[1:]:
            self.line(0, f"\t{line}")

    def head(self, obj: Object, namespaced: bool = True) -> None:
        """Name, namespace, labels, annotations."""
        self.field("Name", objects.name(obj))
        if namespaced:
            self.field("Namespace", objects.namespace(obj))
        self.labels("Labels", objects.labels(obj))
        self.annotations("Annotations", objects.annotations(obj))

    def tolerations(self, name: str, tolerations: Iterable[Object]) -> None:
        lines = []
        for each in sorted(tolerations, key=lambda toleration: toleration.get("key") or ""):
            text = each.get("key") or ""
            text += f"={each['value']}" if each.get("value") else ""
            text += f":{each['effect']}" if each.get("effect") else ""
            if each.get("operator") == "Exists" and not each.get("value"):
                text += " op=Exists" if text else "op=Exists"
            if each.get("tolerationSeconds") is not None:
                text += f" for {each['tolerationSeconds']}s"
            lines.append(text)
        self._many(name, lines)

    def taints(self, taints: Iterable[Object]) -> None:
        lines = []
        for each in sorted(taints, key=lambda taint: (taint.get("effect", ""), taint["key"])):
            value = f"={each['value']}" if each.get("value") else ""
            lines.append(f"{each['key']}{value}:{each['effect']}")
        self._many("Taints", lines)

    def conditions(self, conditions: list[Object]) -> None:
        """Type, status, reason (workloads)."""
        if not conditions:
            return
        self.line(0, "Conditions:")
        self.line(1, "Type\tStatus\tReason")
        self.line(1, "----\t------\t------")
        for each in conditions:
            self.line(1, f"{each['type']} \t{each['status']}\t{each.get('reason', '')}")

    def events(self, obj: Object) -> None:
        """The Events of this object, oldest first."""
        if not self.of.flags.get("show-events", True):
            return
        found = self._events_of(obj)
        if not found:
            self.field("Events", "<none>")
            return
        self.line(0, "Events:")
        self.line(1, "Type\tReason\tAge\tFrom\tMessage")
        self.line(1, "----\t------\t----\t----\t-------")
        for event in sorted(found, key=lambda each: each.get("lastTimestamp") or ""):
            source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
            message = str(event.get("message", "")).strip()
            self.line(
                1, f"{event.get('type', '')}\t{event.get('reason', '')}\t{self._when(event)}\t{source}\t{message}"
            )

    def _when(self, event: Object) -> str:
        first = self.of.age(event.get("eventTime") or event.get("firstTimestamp"))
        series = event.get("series")
        if series:
            return f"{self.of.age(series.get('lastObservedTime'))} (x{series.get('count', 0)} over {first})"
        if (event.get("count") or 0) > 1:
            return f"{self.of.age(event.get('lastTimestamp'))} (x{event['count']} over {first})"
        return first

    def _events_of(self, obj: Object) -> list[Object]:
        fields = {"involvedObject.name": objects.name(obj), "involvedObject.namespace": objects.namespace(obj)}
        fields["involvedObject.kind"] = obj.get("kind", "")
        fields["involvedObject.uid"] = objects.uid(obj)
        if obj.get("kind") == "Node":
            # A kubelet's events name the node itself as their uid.
            fields.pop("involvedObject.uid")
        selector = ",".join(f"{key}={value}" for key, value in fields.items() if value)
        space = objects.namespace(obj)
        return self.of.list(self.of.discovery.find("events"), space, fields=selector)

    def find(self, resource: str, name: str, namespace: str = "") -> Object | None:
        """Another object, None where there is none."""
        try:
            return self.of.get(self.of.discovery.find(resource), name, namespace)
        except (fail.StatusError, fail.NoResource):
            return None

    def list(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        return self.of.list(self.of.discovery.find(resource), namespace, labels, fields)


def _shorten(text: str) -> str:
    limit = ANNOTATION_WIDTH - 2
    return text[:limit] + "..." if len(text) > limit else text


def date(timestamp: str | None) -> str:
    """RFC1123Z: Fri, 20 Nov 2026 10:09:17 +0000."""
    if not timestamp:
        return "Mon, 01 Jan 0001 00:00:00 +0000"
    when = datetime.fromtimestamp(ids.parse_timestamp(timestamp), UTC)
    return f"{_DAYS[when.weekday()]}, {when.day:02d} {_MONTHS[when.month - 1]} {when:%Y %H:%M:%S} +0000"


# strftime would take the locale's.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def pairs(labels: Mapping[str, str] | None) -> str:
    """ "a=1,b=2", or "<none>" (labels.FormatLabels)."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def selector(obj: Object | None) -> str:
    """A LabelSelector as text (metav1.FormatLabelSelector)."""
    from kubesim.machinery import selectors

    found = selectors.from_label_selector(obj)
    if found.nothing:
        return "<none>"
    return str(found) or "<none>"


def controller(obj: Object) -> str:
    """ "ReplicaSet/web-57794f8f99", or ""."""
    reference = objects.owner(obj)
    return f"{reference['kind']}/{reference['name']}" if reference else ""
