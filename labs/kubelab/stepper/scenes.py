"""From a trace to scenes: the moments of a packet's way that deserve a look of their own.

Theory of operation
-------------------
A walk meets dozens of rules, and most decide nothing.  A scene is made for what has a consequence: the packet is sent,
routed to another host, rewritten, ended or taken; and for each rule on the *path of jumps* that led to a rewrite or an
end (PREROUTING to KUBE-SERVICES to KUBE-SVC-... to KUBE-SEP-...).  Rules of the same chain that were looked at before and did
not match stay with their scene, with the reason.  Everything else is folded: named and counted in the next scene, so
that nothing that happened is hidden.

Scenes are plain values without markup; `html` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kubelab import rules, words
from kubelab.stepper import telling
from kubesim.net.packet import Packet
from kubesim.net.trace import Hop, Kind, Step, Trace, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A rule that was looked at and did not apply, and why."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moment.

    `question` is asked in predict mode before the rest is shown; `folded` says what was passed by; `note` stands in for the
    packet while there is none yet.
    """

    way: str  # "request" or "reply"
    host: str
    kind: Kind
    title: str
    before: Packet
    after: Packet
    place: str = ""
    text: str = ""
    rule: str = ""
    question: str = ""
    missed: tuple[Missed, ...] = ()
    folded: str = ""
    note: str = ""
    verdict: Verdict | None = None

    @property
    def changed(self) -> bool:
        return bool(words.rewrite(self.before, self.after))


def of(trace: Trace) -> list[Scene]:
    """The request's scenes, and the reply's if one came back."""
    scenes = list(_resolved(trace))
    scenes += _way(trace, "request")
    if trace.reply is not None:
        scenes += _way(trace.reply, "reply")
    return scenes


def hosts(trace: Trace) -> list[Hop]:
    """The hosts in the order of the request, each once; a reply may add some."""
    seen: dict[str, Hop] = {}
    for hop in (*trace.hops, *(trace.reply.hops if trace.reply else ())):
        seen.setdefault(hop.host, hop)
    return list(seen.values())


def _resolved(trace: Trace) -> Iterator[Scene]:
    asked = trace.lookups[0] if trace.lookups else None
    for name, address in trace.resolved:
        text = "A packet carries no names, so the name is asked of DNS first. The answer is one address."
        if asked is not None and asked.flow.dst != asked.final.dst:
            text += (
                f" (DNS is a Service too: the question went to {words.destination(asked.flow)} and was rewritten on its way,"
                f" to {words.destination(asked.final)}.)"
            )
        yield Scene(
            way="request",
            host=trace.hops[0].host,
            kind=Kind.RESOLVE,
            title=f"The name {name} becomes {address}",
            text=text,
            note=f"{name} is {address}",
            question=f"What does DNS answer for {name}: the address of a pod, or something else?",
            before=trace.flow,
            after=trace.flow,
        )


def _way(trace: Trace, way: str) -> list[Scene]:
    scenes: list[Scene] = []
    packet = trace.flow
    # A packet that was lost, and that no rule had given another destination: which rules were there, and why not them?
    puzzling = way == "request" and trace.verdict is not Verdict.DELIVERED and trace.final.dst == trace.flow.dst
    for index, hop in enumerate(trace.hops):
        last = index == len(trace.hops) - 1
        teller = _Teller(way, hop, "" if last else trace.hops[index + 1].host, trace if last else None)
        teller.puzzling = puzzling
        packet = teller.tell(packet)
        puzzling = teller.puzzling
        scenes += teller.scenes
    return scenes


class _Teller:
    """Makes the scenes of one host.  `ending` is the trace if its verdict falls here, `onward` the next host's name."""

    def __init__(self, way: str, hop: Hop, onward: str, ending: Trace | None) -> None:
        self.way = way
        self.hop = hop
        self.onward = onward
        self.ending = ending
        self.scenes: list[Scene] = []
        # Whether it is still to be told that no rule gave the packet another destination.
        self.puzzling = False
        # Steps that have had no consequence so far.
        self._passed: list[Step] = []

    def tell(self, packet: Packet) -> Packet:
        """Go through the steps; the packet as it leaves."""
        steps = self.hop.steps
        by_rule = self.ending is not None and self.ending.verdict in (Verdict.REJECTED, Verdict.DROPPED)
        if any(step.kind is Kind.IPVS and step.matched for step in steps):
            # Here it was not for rules to give it another destination, and none ended it.
            by_rule = by_rule and steps[-1].kind is Kind.RULE
            self.puzzling = False
        path = _jump_path(steps, ended=by_rule)
        route: Step | None = None
        for index, step in enumerate(steps):
            after = step.after if step.after is not None else packet
            if step.kind is Kind.SEND:
                self._add(step, packet, after, telling.send(after, step, self.way))
            elif step.kind is Kind.RULE and index in path:
                self._rule(step, packet)
            elif step.kind is Kind.NAT and words.rewrite(packet, after):
                self._rewrite(step, packet, after)
            elif step.kind is Kind.IPVS and step.matched:
                self._add(step, packet, after, telling.balance(step, packet, after, self.way))
            elif step.kind is Kind.ROUTE:
                self._nothing_matched(packet)
                route = step
            elif step.kind is Kind.LINK and step.matched:
                self._add(route or step, packet, after, telling.leave(self.hop, route, self.onward, step))
            elif step.kind is Kind.DELIVER and self.ending is not None:
                self._add(step, packet, after, telling.deliver(step, after, self.ending, self.way), self.ending.verdict)
            else:
                self._passed.append(step)
            packet = after
        if self.ending is not None and not (self.scenes and self.scenes[-1].verdict is not None):
            self._end(self.ending, packet)
        return packet

    def _add(
        self, step: Step, before: Packet, after: Packet, told: telling.Told, verdict: Verdict | None = None
    ) -> None:
        self.scenes.append(
            Scene(
                way=self.way,
                host=self.hop.host,
                kind=step.kind,
                before=before,
                after=after,
                title=told.title,
                text=told.text,
                question=told.question,
                place=told.place,
                rule=told.rule,
                folded=_fold(self._passed),
                verdict=verdict,
            )
        )
        self._passed = []

    def _rule(self, step: Step, packet: Packet) -> None:
        """A rule on the path: with those of its chain that were asked before it."""
        here = (step.table, step.chain)
        beside = [each for each in self._passed if (each.table, each.chain) == here]
        self._passed = [each for each in self._passed if (each.table, each.chain) != here]
        missed = tuple(
            Missed(rule=each.rule, why=each.why) for each in beside if each.kind is Kind.RULE and not each.matched
        )
        drawn = rules.is_draw(step.rule) or any(rules.is_draw(each.rule) for each in missed)
        self._add(step, packet, packet, telling.rule(step, drawn=drawn))
        self.scenes[-1] = replace(self.scenes[-1], missed=missed)

    def _nothing_matched(self, packet: Packet) -> None:
        """Tell once that the nat rules (of nftables: those of kube-proxy's chain `services`) all passed the packet by."""
        missed = [each for each in self._passed if each.kind is Kind.RULE and not each.matched]
        looked = [each for each in missed if each.chain == "services" and rules.nft(each.rule)]
        looked = looked or [each for each in missed if each.table == "nat"]
        if not self.puzzling or not looked:
            return
        self.puzzling = False
        chain = looked[-1].chain
        self._passed = [each for each in self._passed if each.table != "nat" and each not in looked]
        told = telling.Told(
            title=f"No rule of {chain} is for this packet",
            place=words.place(looked[-1]),
            text=f"{len(looked)} rules were asked. None wants {words.wanted(packet)}; so nothing is rewritten, and the packet "
            f"goes on to {packet.dst} as it is.",
            question=f"Which rule of {chain} takes this packet?",
        )
        self._add(looked[-1], packet, packet, told)
        self.scenes[-1] = replace(
            self.scenes[-1], missed=tuple(Missed(rule=each.rule, why=each.why) for each in looked)
        )

    def _rewrite(self, step: Step, before: Packet, after: Packet) -> None:
        """A rewrite: one scene with the rule that made it, or one alone (conntrack turning it back)."""
        change = words.rewrite(before, after)
        if self.scenes and self.scenes[-1].kind is Kind.RULE:
            last = self.scenes[-1]
            chain = last.place.split()[-1]
            # iptables throws its dice rule by rule, before; nft's rule does it in one.
            dice = f"{last.text} " if rules.is_draw(last.rule) else ""
            self.scenes[-1] = replace(
                last,
                kind=Kind.NAT,
                title=f"The {change.split(' ', 1)[0]} is rewritten",
                text=f"{dice}{telling.sentence(change)} Conntrack notes it, so that the answer can be turned back.",
                question=f"{chain} has one thing to do. What does the header look like afterwards?",
                before=before,
                after=after,
            )
            return
        told = telling.Told(
            title="Conntrack turns it back" if self.way == "reply" else f"The {change.split(' ', 1)[0]} is rewritten",
            place=words.place(step),
            text=f"No rule is asked: conntrack knows the connection, and turns the {change}.",
            question="Whom must the answer seem to come from, so that the client accepts it?"
            if self.way == "reply"
            else "This connection is known already. What happens to the header?",
        )
        self._add(step, before, after, told)

    def _end(self, ending: Trace, packet: Packet) -> None:
        """Close with the verdict: on the rule's own scene if a rule made the end, else on one more."""
        felt = telling.sentence(words.felt_as(ending))
        if self.scenes and self.scenes[-1].kind in (Kind.RULE, Kind.IPVS):
            last = self.scenes[-1]
            self.scenes[-1] = replace(last, verdict=ending.verdict, text=f"{last.text} {felt}".strip())
            return
        told = telling.Told(
            title=words.LABELS[ending.verdict].capitalize(),
            text=f"{telling.sentence(ending.reason)} {felt}".strip(),
            question="What becomes of the packet?",
        )
        step = next((each for each in reversed(self.hop.steps) if not each.matched), self.hop.steps[-1])
        self._add(step, packet, packet, told, ending.verdict)


def _jump_path(steps: Sequence[Step], *, ended: bool) -> set[int]:
    """The indices of the rules that led, jump by jump, to each rewrite, and to the end if a rule made it."""
    matched = [index for index, step in enumerate(steps) if step.kind is Kind.RULE and step.matched]
    effects = []
    for index, step in enumerate(steps):
        if (
            step.kind is Kind.NAT
            and step.before is not None
            and step.after is not None
            and words.rewrite(step.before, step.after)
        ):
            # The rule right before it made it; a NAT that conntrack does by itself (a reply) has none.
            made = index - 1
            if made in matched and rules.target(steps[made].rule) in rules.REWRITING:
                effects.append(made)
    if ended and matched:
        effects.append(matched[-1])
    path: set[int] = set()
    for at in effects:
        while at >= 0 and at not in path:
            path.add(at)
            here = steps[at]
            at = max(
                (
                    each
                    for each in matched
                    if each < at
                    and steps[each].table == here.table
                    and rules.leads_to(steps[each].rule, steps[each].why) == here.chain
                ),
                default=-1,
            )
    return path


def _fold(steps: Sequence[Step]) -> str:
    """What was passed by without consequence, in one line: "mangle PREROUTING, filter FORWARD (4 rules)"."""
    places: dict[str, int] = {}
    for step in steps:
        name = words.place(step)
        if name:
            places[name] = places.get(name, 0) + (step.kind is Kind.RULE)
    return ", ".join(
        name + (f" ({count} rule{'s' if count > 1 else ''})" if count else "") for name, count in places.items()
    )
