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
from dataclasses import dataclass

from kubelab import rules, words
from kubesim.net.packet import Packet
from kubesim.net.trace import Hop, Kind, Step, Trace, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A rule that was looked at and did not apply, and why."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One moment.  `question` is asked in predict mode before the rest is shown; `folded` says what was passed by."""

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
    for name, address in trace.resolved:
        yield Scene(
            way="request",
            host=trace.hops[0].host,
            kind=Kind.RESOLVE,
            title=f"The name becomes {address}",
            text=f"{name} is asked of the cluster's DNS. The answer is one address; a packet carries no names.",
            question=f"What does DNS answer for {name}: the address of a pod, or something else?",
            before=trace.flow,
            after=trace.flow,
        )


def _way(trace: Trace, way: str) -> list[Scene]:
    scenes: list[Scene] = []
    packet = trace.flow
    for index, hop in enumerate(trace.hops):
        last = index == len(trace.hops) - 1
        made, packet = _hop(hop, packet, way, trace if last else None, trace.hops[index + 1].host if not last else "")
        scenes += made
    return scenes


def _hop(hop: Hop, packet: Packet, way: str, ending: Trace | None, onward: str) -> tuple[list[Scene], Packet]:
    """The scenes of one host.  `ending` is the trace if its verdict falls here; `onward` the next host's name."""
    steps = hop.steps
    path = _jump_path(steps, ended=ending is not None and ending.verdict in (Verdict.REJECTED, Verdict.DROPPED))
    scenes: list[Scene] = []
    passed: list[Step] = []
    route: Step | None = None
    for index, step in enumerate(steps):
        after = step.after if step.after is not None else packet
        common = {"way": way, "host": hop.host, "before": packet, "after": after, "kind": step.kind}
        if step.kind is Kind.SEND:
            scenes.append(Scene(**common, **_send(step, after, way)))
        elif step.kind is Kind.RULE and index in path:
            missed = tuple(
                Missed(rule=each.rule, why=each.why)
                for each in passed
                if each.kind is Kind.RULE and not each.matched and (each.table, each.chain) == (step.table, step.chain)
            )
            passed = [each for each in passed if (each.table, each.chain) != (step.table, step.chain)]
            scenes.append(
                Scene(
                    **common,
                    place=words.place(step),
                    rule=step.rule,
                    missed=missed,
                    folded=_fold(passed),
                    **_rule(step, missed),
                )
            )
            passed = []
        elif step.kind is Kind.NAT and words.rewrite(packet, after):
            _rewritten(scenes, step, hop, packet, after, way)
        elif step.kind is Kind.ROUTE:
            route = step
        elif step.kind is Kind.LINK:
            scenes.append(
                Scene(**{**common, "kind": Kind.ROUTE}, folded=_fold(passed), **_leave(hop, route, onward, step))
            )
            passed = []
        elif step.kind is Kind.DELIVER and ending is not None:
            scenes.append(
                Scene(**common, folded=_fold(passed), verdict=ending.verdict, **_deliver(step, after, ending, way))
            )
            passed = []
        else:
            passed.append(step)
        packet = after
    if ending is not None and not (scenes and scenes[-1].verdict is not None):
        _end(scenes, ending, hop, packet, way, passed)
    return scenes, packet


def _jump_path(steps: Sequence[Step], *, ended: bool) -> set[int]:
    """The indices of the rules that led, jump by jump, to each rewrite, and to the end if a rule made it."""
    matched = [index for index, step in enumerate(steps) if step.kind is Kind.RULE and step.matched]
    effects = [
        max((each for each in matched if each < index), default=-1)
        for index, step in enumerate(steps)
        if step.kind is Kind.NAT
        and step.before is not None
        and step.after is not None
        and words.rewrite(step.before, step.after)
    ]
    if ended and matched:
        effects.append(matched[-1])
    path: set[int] = set()
    for effect in effects:
        at = effect
        # A NAT that conntrack did by itself (a reply) has no rule before it.
        if at < 0 or (at != effects[-1] and steps[at].table not in ("", "nat")):
            continue
        while at >= 0 and at not in path:
            path.add(at)
            here = steps[at]
            at = max(
                (
                    each
                    for each in matched
                    if each < at
                    and steps[each].table == here.table
                    and rules.chain_target(steps[each].rule) == here.chain
                ),
                default=-1,
            )
    return path


def _send(step: Step, packet: Packet, way: str) -> dict[str, str]:
    if way == "reply":
        return {
            "title": f"The answer sets out from {words.source(packet)}",
            "text": step.why or "The program answers to the source address it saw.",
            "question": "The program answers. From which address, and to which?",
        }
    return {
        "title": f"A packet for {words.destination(packet)}",
        "text": step.why,
        "question": "Which destination does the program write into the packet?",
    }


def _rule(step: Step, missed: tuple[Missed, ...]) -> dict[str, str]:
    target = rules.target(step.rule)
    chain = rules.chain_target(step.rule)
    about = rules.comment(step.rule)
    why = step.why[:1].upper() + step.why[1:] + "." if step.why else ""
    drawn = any(rules.is_draw(each.rule) for each in missed) or rules.is_draw(step.rule)
    if drawn and chain:
        odds = rules.chance(step.probability) if step.probability < 1 else ""
        article = "an" if odds.startswith(("8", "11 ", "18 ")) else "a"
        return {
            "title": f"The dice choose {chain}",
            "text": f"{why} The rules of this chain are asked from the top, each rolls its own dice"
            + (f"; all in all this endpoint had {article} {odds} chance." if odds else "."),
            "question": f"{step.chain} has a rule for each endpoint. Which will take the packet, and how likely was that?",
        }
    if chain:
        return {
            "title": f"{step.chain} hands it to {chain}",
            "text": " ".join(each for each in (why, f"The rule says of itself: “{about}”." if about else "") if each),
            "question": f"Which rule of {step.chain} takes this packet, and where does it go on?",
        }
    if target in ("REJECT", "DROP"):
        return {
            "title": f"{step.chain}: {target}" + (f", for “{about}”" if about else ""),
            "text": f"{why} "
            + ("The node answers at once with an ICMP error." if target == "REJECT" else "Nobody is told."),
            "question": f"{step.chain} looks at it. What does it do?",
        }
    return {
        "title": f"{step.chain}: {target}" if target else step.chain,
        "text": why,
        "question": f"{step.chain} looks at it. What changes?",
    }


def _rewritten(scenes: list[Scene], step: Step, hop: Hop, before: Packet, after: Packet, way: str) -> None:
    """Merge a rewrite with the rule that made it, or show it alone (conntrack undoing it)."""
    title = "The " + words.rewrite(before, after).split(" ", 1)[0] + " is rewritten"
    change = words.rewrite(before, after)
    if scenes and scenes[-1].host == hop.host and scenes[-1].rule and scenes[-1].kind is Kind.RULE:
        scene = scenes.pop()
        text = f"{change[:1].upper()}{change[1:]}. Conntrack notes it, so that the answer can be turned back."
        question = f"{scene.place.split()[-1]} has one thing to do. What does the header look like afterwards?"
        fields = {name: getattr(scene, name) for name in ("way", "host", "place", "rule", "missed", "folded")}
        scenes.append(
            Scene(**fields, kind=Kind.NAT, title=title, text=text, question=question, before=before, after=after)
        )
        return
    text = (
        f"No rule is asked: conntrack knows the connection and turns the {change}."
        if way == "reply"
        else f"Conntrack turns the {change}."
    )
    scenes.append(
        Scene(
            way=way,
            host=hop.host,
            kind=Kind.NAT,
            title="Conntrack turns it back" if way == "reply" else title,
            place=words.place(step),
            text=text,
            question="Whom must the answer seem to come from, so that the client accepts it?",
            before=before,
            after=after,
        )
    )


def _leave(hop: Hop, route: Step | None, onward: str, link: Step) -> dict[str, str]:
    why = (route.why if route else "") or link.why
    return {
        "title": f"On to {onward}" if onward else "On to the next host",
        "place": "routing",
        "text": why[:1].upper() + why[1:] + "." if why else "",
        "rule": route.rule if route else "",
        "question": f"{hop.host} looks at the destination and its routes. Who gets the packet next?",
    }


def _deliver(step: Step, packet: Packet, ending: Trace, way: str) -> dict[str, str]:
    said = step.why or ending.reason
    text = said[:1].upper() + said[1:] + "." if said else ""
    if ending.verdict is Verdict.DELIVERED:
        title = f"The client hears {words.source(packet)}" if way == "reply" else "The program takes it"
        if way == "request":
            text += f" It sees the source {words.source(packet)}."
    else:
        title = "The kernel answers for a program that is not there"
        text += " A kernel that has no socket for the port answers with a reset (RST)."
    question = (
        "Does the client recognise the answer as belonging to its connection?"
        if way == "reply"
        else "The packet is there. Who answers: a program, or the kernel alone?"
    )
    return {"title": title, "text": text, "question": question}


def _end(scenes: list[Scene], ending: Trace, hop: Hop, packet: Packet, way: str, passed: list[Step]) -> None:
    """Close with the verdict: on the rule's own scene if a rule made the end, else on one more."""
    if scenes and scenes[-1].host == hop.host and scenes[-1].kind is Kind.RULE:
        scene = scenes.pop()
        fields = {name: getattr(scene, name) for name in scene.__slots__}
        felt = words.FELT.get(ending.verdict, "")
        fields |= {
            "verdict": ending.verdict,
            "text": f"{scene.text} {felt[:1].upper()}{felt[1:]}.".strip() if felt else scene.text,
        }
        scenes.append(Scene(**fields))
        return
    scenes.append(
        Scene(
            way=way,
            host=hop.host,
            kind=Kind.DELIVER,
            title=words.LABELS[ending.verdict].capitalize(),
            text=ending.reason[:1].upper() + ending.reason[1:] + ".",
            question="What becomes of the packet?",
            before=packet,
            after=packet,
            folded=_fold(passed),
            verdict=ending.verdict,
        )
    )


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
