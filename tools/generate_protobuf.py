"""Make kubesim/schema/protobuf.txt: which number each field has in Kubernetes' protobuf messages.

Programs in Go carry the descriptors (FileDescriptorProto, gzipped) of the messages that they were built with: a released
`kubectl` has those of every API group.  Where binaries disagree the last one holds; names and kinds of fields come from
types.txt, so that only the numbers are kept here.  Facts that no given binary has yet stand in LATER and PROMOTED; what is
still without a number is printed, and so are fields that have another kind in types.txt.

    tools/generate_protobuf.py engine/kubesim/schema KUBECTL...
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubesim import schema
from kubesim.schema import types

GZIP = b"\x1f\x8b\x08"
# More than the largest descriptor (core/v1), packed and unpacked.
PACKED, UNPACKED = 400_000, 3_000_000
PACKAGES = ("k8s.io.api.", "k8s.io.apimachinery.pkg.apis.", "k8s.io.apiextensions_apiserver.pkg.apis.")
# FieldDescriptorProto.Type and Label.
WIRE = {1: "float64", 3: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes"}
REPEATED = 3
# Bodies that are no resource's own kind.
BODIES = (
    "autoscaling.v1.Scale",
    "policy.v1.Eviction",
    "authentication.v1.TokenRequest",
    "meta.v1.DeleteOptions",
    "meta.v1.Status",
)
# Where types.txt and the descriptors name one message differently: "type or beginning": what the descriptors have.
PROMOTED = {
    "admissionregistration.v1.": "admissionregistration.v1alpha1.",
    "authorization.v1.FieldSelectorRequirement": "meta.v1.FieldSelectorRequirement",
    "resource.v1.": "resource.v1beta2.",
    "storage.v1.TopologySelector": "core.v1.TopologySelector",
    "storage.v1.VolumeAttributesClass": "storage.v1beta1.VolumeAttributesClass",
}
# Fields that are younger than the binaries at hand, and the messages of kube-aggregator, which no client is built with
# (kubernetes/kubernetes: the `protobuf:"..."` tags of types.go).
LATER = {
    "apiregistration.v1.APIService": "1=metadata 2=spec 3=status",
    "apiregistration.v1.APIServiceCondition": "1=type 2=status 3=lastTransitionTime 4=reason 5=message",
    "apiregistration.v1.APIServiceSpec": "1=service 2=group 3=version 4=insecureSkipTLSVerify 5=caBundle "
    "7=groupPriorityMinimum 8=versionPriority",
    "apiregistration.v1.APIServiceStatus": "1=conditions",
    "apiregistration.v1.ServiceReference": "1=namespace 2=name 3=port",
    "apiextensions.v1.CustomResourceDefinitionVersion": "9=selectableFields",
    "apiextensions.v1.SelectableField": "1=jsonPath",
    "apiextensions.v1.ValidationRule": "3=messageExpression 4=reason 5=fieldPath 6=optionalOldSelf",
    "core.v1.Container": "25=restartPolicyRules",
    "core.v1.ContainerRestartRule": "1=action 2=exitCodes",
    "core.v1.ContainerRestartRuleOnExitCodes": "1=operator 2=values",
    "core.v1.EnvVarSource": "5=fileKeyRef",
    "core.v1.EphemeralContainer": "1.25=restartPolicyRules",
    "core.v1.FileKeySelector": "1=volumeName 2=path 3=key 4=optional",
    "core.v1.PodCertificateProjection": "1=signerName 2=keyType 3=maxExpirationSeconds 4=credentialBundlePath 5=keyPath "
    "6=certificateChainPath 7=userAnnotations",
    "core.v1.PodSpec": "41=hostnameOverride",
    "core.v1.VolumeProjection": "6=podCertificate",
    "resource.v1.AllocatedDeviceStatus": "7=shareID",
    "resource.v1.AllocationResult": "5=allocationTimestamp",
    "resource.v1.CapacityRequestPolicy": "1=default 3=validValues 4=validRange",
    "resource.v1.CapacityRequestPolicyRange": "1=min 2=max 3=step",
    "resource.v1.CapacityRequirements": "1=requests",
}
# Kinds that types.txt calls `any` and that are a choice of two in protobuf.
CHOICES = {
    "JSONSchemaPropsOrArray": "schema|array",
    "JSONSchemaPropsOrBool": "bool|schema",
    "JSONSchemaPropsOrStringArray": "schema|strings",
}


@dataclass(frozen=True)
class Field:
    number: int
    name: str
    # What types.txt would call it: a scalar, or the short name of its message.
    kind: str
    message: str


def numbers(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, undecoded.  Raises ValueError or IndexError on what is none."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    at = 0
    while at < len(data):
        tag = varint()
        match tag & 7:
            case 0:
                yield tag >> 3, varint()
            case 2:
                length = varint()
                if at + length > len(data):
                    raise ValueError("cut short")
                yield tag >> 3, data[at : at + length]
                at += length
            case other:
                raise ValueError(f"wire type {other}")


def text(fields: list[tuple[int, int | bytes]], number: int) -> str:
    return next((value.decode() for key, value in fields if key == number and isinstance(value, bytes)), "")


def short(name: str) -> str:
    """.k8s.io.api.core.v1.Service -> core.v1.Service; older programs were built with a vendored copy of the packages."""
    name = name.lstrip(".").rpartition("vendor.")[2]
    for package in PACKAGES:
        if name.startswith(package):
            return name.removeprefix(package)
    return name


def descriptors(program: bytes) -> Iterator[tuple[str, dict[str, Field]]]:
    """Every message that the program has a descriptor of: its short name, and its fields by name."""
    for start in re.finditer(re.escape(GZIP), program):
        try:
            found = zlib.decompressobj(31).decompress(program[start.start() : start.start() + PACKED], UNPACKED)
            file = list(numbers(found))
            if not text(file, 1).endswith("/generated.proto"):
                continue
        except (zlib.error, ValueError, IndexError):
            continue
        for number, value in file:
            if number == 4 and isinstance(value, bytes):
                yield from described(text(file, 2), value)


def described(package: str, message: bytes) -> Iterator[tuple[str, dict[str, Field]]]:
    """A message, and those that are declared in it (the entries of its maps)."""
    parts = list(numbers(message))
    name = f"{package}.{text(parts, 1)}"
    fields = [parsed(value) for key, value in parts if key == 2 and isinstance(value, bytes)]
    yield short(name), {field.name: field for field in fields}
    for key, value in parts:
        if key == 3 and isinstance(value, bytes):
            yield from described(name, value)


def parsed(field: bytes) -> Field:
    """A FieldDescriptorProto."""
    parts = list(numbers(field))
    number, label, wire = (next(int(value) for key, value in parts if key == wanted) for wanted in (3, 4, 5))
    message = short(text(parts, 6))
    last = message.rsplit(".", 1)[-1]
    kind = WIRE.get(wire) or (last if last in types.SCALARS else message)
    return Field(number, text(parts, 1), f"[]{kind}" if label == REPEATED else kind, message)


class Table:
    def __init__(self, messages: dict[str, dict[str, Field]]) -> None:
        self.messages = messages
        self.lines: dict[str, str] = {}
        self.missing: list[str] = []
        self.doubtful: list[str] = []

    def fields(self, name: str) -> dict[str, Field]:
        """The message of a type, under its own name or the one that it had before."""
        if name in self.messages:
            return self.messages[name]
        for ours, theirs in PROMOTED.items():
            if name.startswith(ours) and (found := self.messages.get(name.replace(ours, theirs, 1))):
                return found
        return {}

    def add(self, name: str) -> None:
        """A type's line, and those of all that it holds."""
        found = schema.find_type(name)
        if name in self.lines or found is None:
            return
        self.lines[name] = ""
        entries = dict(self.entries(found, self.fields(name), ""))
        entries |= dict(entry.split("=") for entry in LATER.get(name, "").split())
        self.lines[name] = "\t".join(
            [name, *(f"{number}={text}" for number, text in sorted(entries.items(), key=order))]
        )
        known = {text.split(":")[0] for text in entries.values()}
        self.missing += [f"{name}.{field}" for field in found.fields if field not in known | {"kind", "apiVersion"}]
        for field in found.fields.values():
            self.add(field.kind.replace("[]", "").replace("{}", ""))

    def entries(self, type_: schema.Type, fields: dict[str, Field], prefix: str) -> Iterator[tuple[str, str]]:
        """(number, name); of a struct that Go embeds, and JSON does not show, the fields, with its number before theirs."""
        names = {re.sub(r"\W|^x-kubernetes", "", name).lower(): name for name in type_.fields}
        for field in fields.values():
            name = names.get(field.name.lower().removeprefix("xkubernetes"))
            if name is not None:
                self.compare(type_, name, field)
                choice = CHOICES.get(self.value(field.message).rsplit(".", 1)[-1], "")
                yield f"{prefix}{field.number}", f"{name}:{choice}" if choice else name
            elif field.message:
                yield from self.entries(type_, self.fields(field.message), f"{prefix}{field.number}.")

    def compare(self, type_: schema.Type, name: str, field: Field) -> None:
        """Note where types.txt has another kind; maps are messages here, and what it calls `any` has many."""
        ours = type_.fields[name].kind
        if ours.startswith("{}") or ours.endswith("any"):
            return
        if ours.rsplit(".", 1)[-1] != field.kind.rsplit(".", 1)[-1]:
            self.doubtful.append(f"{type_.name}.{name}: {ours} in types.txt, {field.kind} in protobuf")

    def value(self, message: str) -> str:
        """Of a map's entry the message that its values have."""
        if message.endswith("Entry"):
            return next((each.message for each in self.fields(message).values() if each.name == "value"), "")
        return message


def order(entry: tuple[str, str]) -> list[int]:
    return [int(part) for part in entry[0].split(".")]


def main(folder: Path, programs: list[Path]) -> None:
    messages: dict[str, dict[str, Field]] = {}
    for program in programs:
        messages |= dict(descriptors(program.read_bytes()))
    table = Table(messages)
    for resource in schema.RESOURCES.values():
        for version in resource.versions:
            table.add(resource.type(version))
    for name in BODIES:
        table.add(name)
    lines = [table.lines[name] for name in types.names() if "\t" in table.lines.get(name, "")]
    (folder / "protobuf.txt").write_text("".join(line + "\n" for line in lines))
    print(len(lines), "types; without a number:", *table.missing, sep="\n  ")
    print("of another kind:", *table.doubtful, sep="\n  ")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
