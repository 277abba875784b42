"""Services: families, cluster addresses, node ports, and what a change of type takes away.

Sources: `pkg/registry/core/service/storage/{storage,alloc}.go`, `pkg/registry/core/service/strategy.go`.  Allocation comes before
validation and hides it: a Service with a bad family and a bad port hears of the family only.
"""

from __future__ import annotations

from typing import Any

from kubesim.apiserver import allocators, messages
from kubesim.apiserver.call import Call
from kubesim.apiserver.fielderrors import FieldError, forbidden, invalid
from kubesim.apiserver.strategies import base, families
from kubesim.apiserver.validation import services as rules
from kubesim.machinery import names

Object = dict[str, Any]

EXTERNAL_NAME, CLUSTER_IP, NODE_PORT, LOAD_BALANCER = "ExternalName", "ClusterIP", "NodePort", "LoadBalancer"
NONE = "None"
OWNED = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}


def headless(spec: Object) -> bool:
    return bool(spec.get("clusterIP") == NONE)


def needs_ports(spec: Object) -> bool:
    """shouldAllocateNodePorts."""
    if spec["type"] == NODE_PORT:
        return True
    return bool(spec["type"] == LOAD_BALANCER and spec.get("allocateLoadBalancerNodePorts", True))


def needs_health_check(spec: Object) -> bool:
    return bool(spec["type"] == LOAD_BALANCER and spec.get("externalTrafficPolicy") == "Local")


class Service(base.Strategy):
    has_status = True
    returns_deleted = True
    creates_on_update = True

    def __init__(self, registry: Any) -> None:
        super().__init__(registry)
        self.addresses = {
            network.family: network
            for network in (allocators.Addresses(registry.world, each) for each in registry.settings.networks)
        }
        self.ports = allocators.Ports(registry.world, registry.settings.ports)
        for obj in registry.store.list("services"):
            self._occupy(obj["spec"])
        # What this request has allocated, to give back when it fails.
        self._addresses_taken: list[str] = []
        self._ports_taken: list[int] = []

    def ranges_changed(self) -> None:
        """Node ports are drawn from another range from now on; those that are given out stay given out."""
        taken = self.ports.taken
        self.ports = allocators.Ports(self.registry.world, self.registry.settings.ports)
        self.ports.taken = taken

    def check_name(self, name: str) -> list[str]:
        """From 1.34 on a Service's name may begin with a digit (KEP-5311)."""
        return names.dns1123_label(name) if self.minor >= 34 else names.dns1035_label(name)

    def shown(self, obj: Object) -> Object:
        """An ExternalName keeps its internalTrafficPolicy to itself until it is something else again."""
        spec = obj["spec"]
        if spec.get("type") == EXTERNAL_NAME and "internalTrafficPolicy" in spec:
            return {**obj, "spec": {key: value for key, value in spec.items() if key != "internalTrafficPolicy"}}
        return obj

    # -- creating -------------------------------------------------------------------------------------------

    def begin_create(self, call: Call, obj: Object) -> None:
        spec = obj["spec"]
        _sync_addresses(spec, None)
        families.settle(self._families(), obj, None, self.minor)
        self._transaction(lambda: self._allocate(obj, None, call.dry_run))

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["status"] = {"loadBalancer": {}}

    def initial_status(self, obj: Object) -> Object:
        return {"loadBalancer": {}}

    def validate(self, call: Call, obj: Object) -> list[FieldError]:
        return rules.service(obj, self.registry.settings)

    def warnings(self, call: Call, new: Object, old: Object | None) -> None:
        if new["spec"].get("externalIPs") and self.minor >= 36:
            call.warn("spec.externalIPs is deprecated and may no longer be implemented in some clusters")

    def created(self, call: Call, obj: Object) -> None:
        self._settle_transaction()
        self._write_addresses(call, obj, None)

    def abandon(self) -> None:
        """The request was refused: nothing is kept."""
        for text in self._addresses_taken:
            self._network(text).release(text)
        self.ports.taken.difference_update(self._ports_taken)
        self._settle_transaction()

    def _settle_transaction(self) -> None:
        self._addresses_taken, self._ports_taken = [], []

    def _transaction(self, work: Any) -> None:
        self._settle_transaction()
        try:
            work()
        except BaseException:
            self.abandon()
            raise

    # -- updating -------------------------------------------------------------------------------------------

    def begin_update(self, call: Call, new: Object, old: Object) -> None:
        if call.subresource == "status":
            return
        if "ports" in new["spec"]:
            # What is allocated is the server's, not the sender's: the submitted ports stay as they were sent.
            new["spec"]["ports"] = [dict(port) for port in new["spec"]["ports"]]
        _keep_allocated(new["spec"], old["spec"])
        _sync_addresses(new["spec"], old["spec"])
        families.settle(self._families(), new, old, self.minor)
        self._transaction(lambda: self._allocate(new, old, call.dry_run))

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_update(call, new, old)
        _drop_unused(new, old)

    def validate_update(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.service_update(new, old, self.registry.settings)

    def validate_status(self, call: Call, new: Object, old: Object) -> list[FieldError]:
        return rules.load_balancer_status(new)

    def updated(self, call: Call, new: Object, old: Object) -> None:
        if call.subresource == "status":
            return
        self._settle_transaction()
        kept = set(_allocated(new["spec"]))
        for text in _allocated(old["spec"]):
            if text not in kept:
                self._network(text).release(text)
        self.ports.taken.difference_update(set(_node_ports(old["spec"])) - set(_node_ports(new["spec"])))
        self._write_addresses(call, new, old)

    def deleted(self, call: Call, obj: Object) -> None:
        for text in _allocated(obj["spec"]):
            self._network(text).release(text)
        self.ports.taken.difference_update(_node_ports(obj["spec"]))
        self._write_addresses(call, None, obj)

    # -- allocation -----------------------------------------------------------------------------------------

    def _families(self) -> tuple[str, ...]:
        return tuple(self.addresses)

    def _network(self, text: str) -> allocators.Addresses:
        return self.addresses["IPv6" if ":" in text else "IPv4"]

    def _occupy(self, spec: Object) -> None:
        for text in _allocated(spec):
            self._network(text).take(text)
        self.ports.taken.update(_node_ports(spec))

    def _allocate(self, new: Object, old: Object | None, dry_run: bool) -> None:
        spec = new["spec"]
        before = old["spec"] if old else None
        self._allocate_addresses(new, before, dry_run)
        if needs_ports(spec) or spec["type"] == LOAD_BALANCER:
            self._allocate_ports(new, before)
        if not needs_health_check(spec):
            return
        if not (before and needs_health_check(before) and before.get("healthCheckNodePort")):
            self._allocate_health_check(new)
        elif spec.get("healthCheckNodePort") != before["healthCheckNodePort"]:
            raise self._invalid(new, [forbidden("spec.healthCheckNodePort", "field is immutable")])

    def _allocate_addresses(self, new: Object, before: Object | None, dry_run: bool) -> None:
        spec = new["spec"]
        if spec["type"] == EXTERNAL_NAME or headless(spec):
            return
        held = set(_allocated(before)) if before else set()
        wanted = list(spec.get("clusterIPs", ()))
        given: list[str] = []
        if not new["metadata"].get("name") and self.minor >= 33:
            raise self._nameless(new, spec)
        for index, family in enumerate(spec.get("ipFamilies", ())):
            text = wanted[index] if index < len(wanted) else ""
            if text and text in held:
                given.append(text)
                continue
            pool = self.addresses[family]
            if text:
                self._take(new, pool, text, index)
            elif dry_run:
                # A dry run draws nothing: upstream shows the network's own address.
                text = str(pool.network.network_address)
            else:
                try:
                    text = pool.next()
                except allocators.Full:
                    raise messages.internal("failed to allocate a serviceIP: range is full") from None
                pool.take(text)
                self._addresses_taken.append(text)
            given.append(text)
        if given:
            spec["clusterIPs"], spec["clusterIP"] = given, given[0]

    def _nameless(self, obj: Object, spec: Object) -> Any:
        """Without a name the IPAddress of the Service has no parent, and that is what one hears of."""
        wanted = spec.get("clusterIP", "")
        text = wanted or self.addresses[spec["ipFamilies"][0]].next()
        what = f"failed to allocate IP {wanted}" if wanted else "failed to allocate IP"
        why = f'{what}: IPAddress.networking.k8s.io "{text}" is invalid: spec.parentRef.name: Required value'
        return self._invalid(obj, [invalid("spec.clusterIPs", [wanted], why)])

    def _take(self, obj: Object, pool: allocators.Addresses, text: str, index: int) -> None:
        """An address that was asked for."""
        why = ""
        if not pool.contains(text):
            why = f"failed to allocate IP {text}: the provided network does not match the current range"
            if self.minor < 33:
                why = f"failed to allocate IP {text}: the provided IP ({text}) is not in the valid range. The range of "
                why += f"valid IPs is {pool.network}"
        elif not pool.free(text):
            why = f"failed to allocate IP {text}: provided IP is already allocated"
        if why:
            raise self._invalid(obj, [invalid("spec.clusterIPs", [text], why)])
        pool.take(text)
        self._addresses_taken.append(text)

    def _invalid(self, obj: Object, errors: list[FieldError]) -> Any:
        return messages.invalid("Service", "", obj["metadata"].get("name", ""), errors)

    def _allocate_ports(self, new: Object, before: Object | None) -> None:
        """Each port its node port.  In a new Service ports of one number (TCP and UDP of DNS) share one (allocNodePorts);
        in an update every port that has none draws its own (updateNodePorts)."""
        spec = new["spec"]
        held = {port.get("nodePort", 0) for port in before.get("ports") or ()} if before else set()
        shared: dict[int, int] = {}
        given: set[int] = set()
        for index, port in enumerate(spec.get("ports", ())):
            number = port.get("nodePort", 0)
            if not number:
                continue
            if before is None:
                if shared.get(port["port"]) != number:
                    self._take_port(new, number, index)
                shared.setdefault(port["port"], number)
            elif number not in held and number not in given:
                self._take_port(new, number, index)
            given.add(number)
        if not needs_ports(spec):
            return
        for port in spec.get("ports", ()):
            if not port.get("nodePort"):
                number = shared.get(port["port"]) or self._draw_port()
                port["nodePort"] = number
                if before is None:
                    shared[port["port"]] = number

    def _draw_port(self) -> int:
        try:
            number = self.ports.draw()
        except allocators.Full:
            raise messages.internal("failed to allocate a nodePort: range is full") from None
        self.ports.taken.add(number)
        self._ports_taken.append(number)
        return number

    def _take_port(self, obj: Object, number: int, index: int) -> None:
        settings = self.registry.settings
        why = ""
        if not self.ports.holds(number):
            why = f"provided port is not in the valid range. The range of valid ports is {settings.node_port_range}"
        elif number in self.ports.taken:
            why = "provided port is already allocated"
        if why:
            raise self._invalid(obj, [invalid(f"spec.ports[{index}].nodePort", number, why)])
        self.ports.taken.add(number)
        self._ports_taken.append(number)

    def _allocate_health_check(self, obj: Object) -> None:
        spec = obj["spec"]
        number = spec.get("healthCheckNodePort", 0)
        if number:
            if not self.ports.holds(number):
                valid = self.registry.settings.node_port_range
                why = f"failed to allocate requested HealthCheck NodePort {number}: provided port is not in the valid range. "
                why += f"The range of valid ports is {valid}"
                raise messages.internal(why)
            if number in self.ports.taken:
                why = f"failed to allocate requested HealthCheck NodePort {number}: provided port is already allocated"
                raise messages.internal(why)
            self.ports.taken.add(number)
            self._ports_taken.append(number)
        else:
            spec["healthCheckNodePort"] = self._draw_port()

    # -- IPAddress objects ----------------------------------------------------------------------------------

    def _write_addresses(self, call: Call, new: Object | None, old: Object | None) -> None:
        """An IPAddress for each cluster address (KEP-1880, from 1.33 on the allocator's own store)."""
        if self.minor < 33:
            return
        after = _allocated(new["spec"]) if new else []
        before = _allocated(old["spec"]) if old else []
        store = self.registry.store
        for text in before:
            if text not in after and store.get("ipaddresses.networking.k8s.io", "", text) is not None:
                store.delete("ipaddresses.networking.k8s.io", "", text)
        for text in after:
            if text not in before and new is not None:
                self._write_address(text, new["metadata"])

    def _write_address(self, text: str, metadata: Object) -> None:
        resource = self.registry.resource("ipaddresses.networking.k8s.io")
        from kubesim import http

        call = Call(user=http.User(name="system:apiserver"), resource=resource, version="v1", manager="kube-apiserver")
        family = "IPv6" if ":" in text else "IPv4"
        obj = {
            "metadata": {
                "name": text,
                "labels": {"ipaddress.kubernetes.io/ip-family": family, **OWNED},
            },
            "spec": {
                "parentRef": {
                    "resource": "services",
                    "namespace": metadata.get("namespace", ""),
                    "name": metadata["name"],
                }
            },
        }
        self.registry.create(call, self.registry.decode(call, obj))


def _allocated(spec: Object) -> list[str]:
    """The addresses that a Service holds."""
    if spec.get("type") == EXTERNAL_NAME:
        return []
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [text for text in found if text != NONE]


def _node_ports(spec: Object) -> list[int]:
    found = [port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")]
    return [*found, spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else found


def _sync_addresses(spec: Object, before: Object | None) -> None:
    """normalizeClusterIPs: clusterIP and clusterIPs[0] are one, whichever the user changed."""
    first, all_ = spec.get("clusterIP", ""), spec.get("clusterIPs", [])
    if before is None:
        if first and not all_:
            spec["clusterIPs"] = [first]
        return
    old_first, old_all = before.get("clusterIP", ""), before.get("clusterIPs", [])
    changed, changed_all = first != old_first, all_ != old_all
    if changed and (not changed_all or not all_):
        if first:
            spec["clusterIPs"] = [first]
        else:
            spec.pop("clusterIPs", None)


def _keep_allocated(spec: Object, before: Object) -> None:
    """patchAllocatedValues: a PUT that says nothing of what was allocated keeps it."""
    if before["type"] != EXTERNAL_NAME and spec["type"] != EXTERNAL_NAME:
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            if before.get("clusterIP"):
                spec["clusterIP"] = before["clusterIP"]
            if before.get("clusterIPs"):
                spec["clusterIPs"] = before["clusterIPs"]
        elif not spec.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
            spec["clusterIP"] = before.get("clusterIP", "")
        elif (
            spec.get("clusterIP") == before.get("clusterIP") and not spec.get("clusterIPs") and before.get("clusterIPs")
        ):
            spec["clusterIPs"] = before["clusterIPs"]
    if needs_ports(before) and needs_ports(spec):
        # By name: whatever else of the port has changed, it is the same one.
        numbers = {port.get("name", ""): port.get("nodePort", 0) for port in before.get("ports", ())}
        taken = {port["nodePort"] for port in spec.get("ports", ()) if port.get("nodePort")}
        for port in spec.get("ports", ()):
            known = numbers.get(port.get("name", ""), 0)
            if not port.get("nodePort") and known and known not in taken:
                port["nodePort"] = known
    if needs_health_check(before) and needs_health_check(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)


def _drop_unused(new: Object, old: Object) -> None:
    """dropTypeDependentFields: what the new type has not, and the user did not set anew."""
    spec, before = new["spec"], old["spec"]
    kind, was = spec["type"], before["type"]
    if (
        was != EXTERNAL_NAME
        and kind == EXTERNAL_NAME
        and _same(spec, before, "clusterIP")
        and _same(spec, before, "clusterIPs")
    ):
        _pop(spec, "clusterIP", "clusterIPs")
    if was != EXTERNAL_NAME and kind == EXTERNAL_NAME:
        if _same(spec, before, "ipFamilies"):
            _pop(spec, "ipFamilies")
        if _same(spec, before, "ipFamilyPolicy"):
            _pop(spec, "ipFamilyPolicy")
    if needs_ports(before) and not _uses_ports(spec) and _ports_same(spec, before):
        for port in spec.get("ports", ()):
            port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(spec) and _same(spec, before, "healthCheckNodePort"):
        _pop(spec, "healthCheckNodePort")
    if was == LOAD_BALANCER and kind != LOAD_BALANCER:
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if _same(spec, before, field):
                _pop(spec, field)
    if _has_external_policy(before) and not _has_external_policy(spec) and _same(spec, before, "externalTrafficPolicy"):
        _pop(spec, "externalTrafficPolicy")
    if kind != LOAD_BALANCER and was == LOAD_BALANCER and new.get("status", {}).get("loadBalancer"):
        new["status"] = {**new["status"], "loadBalancer": {}}


def _uses_ports(spec: Object) -> bool:
    return spec["type"] in (NODE_PORT, LOAD_BALANCER)


def _has_external_policy(spec: Object) -> bool:
    return spec["type"] in (NODE_PORT, LOAD_BALANCER) or (spec["type"] == CLUSTER_IP and bool(spec.get("externalIPs")))


def _same(spec: Object, before: Object, field: str) -> bool:
    return bool(spec.get(field) == before.get(field))


def _ports_same(spec: Object, before: Object) -> bool:
    """sameNodePorts: none was given anew."""
    return {p.get("nodePort") for p in spec.get("ports", ()) if p.get("nodePort")} <= {
        p.get("nodePort") for p in before.get("ports", ())
    }


def _pop(spec: Object, *fields: str) -> None:
    for field in fields:
        spec.pop(field, None)


STRATEGIES: dict[str, type[base.Strategy]] = {"services": Service}
