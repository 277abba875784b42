"""The words of scenes: for each kind of moment a title, a few sentences, and the question that predict mode asks first.

In the voice of the course: short sentences, what happened before why, no word that has not been met.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubelab import rules, words
from kubesim.net.packet import Packet
from kubesim.net.trace import Hop, Step, Trace, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The words of a scene."""

    title: str
    text: str
    question: str
    place: str = ""
    rule: str = ""


def send(packet: Packet, step: Step, way: str) -> Told:
    if way == "request":
        return Told(
            title=f"A packet for {words.destination(packet)}",
            text="It is a SYN, the first packet of a connection." if packet.flags == "S" else sentence(step.why),
            question="Which destination does the program write into the packet?",
        )
    if packet.icmp and packet.icmp != "echo-reply":
        title, text = f"An ICMP {packet.icmp} goes back", "Nobody will take the packet, and its sender is told at once."
    elif packet.flags.startswith("R"):
        title, text = "A reset (RST) goes back", "The kernel refuses the connection, and says so at once."
    else:
        title, text = (
            f"The answer sets out from {words.source(packet)}",
            "The program answers to the source address that it saw.",
        )
    return Told(title=title, text=text, question="An answer goes back. From which address, and to which?")


def rule(step: Step, *, drawn: bool) -> Told:
    target, chain, about = rules.target(step.rule), rules.chain_target(step.rule), rules.comment(step.rule)
    place = words.place(step)
    # The walk says of a match where it leads ("on to KUBE-SVC-..."), which the title says already.
    why = "" if step.why.startswith("on to ") else sentence(step.why)
    found = rules.looked_up(step.why)
    if found is not None:
        name, key, leads = found
        return Told(
            title=f"{step.chain} looks it up: {leads}",
            text=f"One look-up in the map {name}, however much is in it. It has {key}, and says where to go on.",
            question=f"{step.chain} looks the packet up in a map. Where does it go on?",
            place=place,
            rule=step.rule,
        )
    if chain and drawn:
        odds = rules.chance(step.probability) if step.probability < 1 else ""
        article = "an" if odds.startswith("8") else "a"
        return Told(
            # kube-proxy's comment says where the chain leads, "default/web -> 10.244.2.7:8080"; 1.16 wrote none.
            title=f"The dice choose {about.partition(' -> ')[2] or chain}",
            text=f"{why} The rules of {step.chain} are asked from the top, and each rolls its own dice".strip()
            + (f"; all in all this endpoint had {article} {odds} chance." if odds else "."),
            question=f"{step.chain} has a rule for each endpoint. Which will take the packet, and how likely was that?",
            place=place,
            rule=step.rule,
        )
    if chain:
        asked = rules.wants(step.rule)
        met = (
            f"It is what this rule asks for: {asked}."
            if asked
            else "This rule asks for nothing: every packet goes this way."
        )
        if " -m " in step.rule.replace(" -m comment", "") and not asked:
            met = why
        return Told(
            title=f"{step.chain} hands it to {chain}",
            text=" ".join(each for each in (met, f"It says of itself: “{about}”." if about else "") if each),
            question=f"Which rule of {step.chain} takes this packet, and where does it go on?",
            place=place,
            rule=step.rule,
        )
    says = {"REJECT": "The host answers at once, in the name of the destination.", "DROP": "Nobody is told."}.get(
        target, ""
    )
    return Told(
        title=f"{step.chain}: {target or _says(step.why)}" + (f", for “{about}”" if about and says else ""),
        text=f"{why} {says}".strip(),
        question=f"{step.chain} looks at the packet. What does it do?",
        place=place,
        rule=step.rule,
    )


def balance(step: Step, before: Packet, after: Packet, way: str) -> Told:
    """What IPVS did with it; the step's rule is the virtual server, as `ipvsadm -S` prints it."""
    asked = f"{words.destination(before)} is an address of this node's own, and IPVS has a virtual server for it."
    if way == "reply":
        title, text = "IPVS turns it back", f"No rule is asked: IPVS knows the connection. {sentence(step.why)}"
        question = "Whom must the answer seem to come from, so that the client accepts it?"
    elif words.rewrite(before, after):
        title = f"IPVS gives it to {words.destination(after)}"
        odds = (
            f" In the long run that is {rules.chance(step.probability)} of all connections."
            if step.probability < 1
            else ""
        )
        text = f"{sentence(step.why)}{odds} IPVS remembers the connection, so that the answer can be turned back."
        question = f"{asked} Which real server gets the packet, and by dice or by turns?"
    else:
        title, text = "IPVS has nobody to give it to", f"{sentence(step.why)} Its sender is told at once."
        question = f"{asked} What does it do with a packet when no pod is behind it?"
    return Told(title=title, text=text, question=question, place="IPVS", rule=step.rule)


def _says(why: str) -> str:
    """What a rule without a target of its own comes to: nft's verdict maps say "@NAME has KEY: VERDICT"."""
    return f"the map says “{why.rpartition(': ')[2]}”" if why.startswith("@") else "a rule"


def leave(hop: Hop, route: Step | None, onward: str, link: Step) -> Told:
    return Told(
        title=f"On to {onward}" if onward else "On to the next host",
        place="routing",
        text=sentence((route.why if route else "") or link.why),
        rule=route.rule if route else "",
        question=f"{hop.host} looks at the destination and at its routes. Who gets the packet next?",
    )


def deliver(step: Step, packet: Packet, ending: Trace, way: str) -> Told:
    said = sentence(step.why or ending.reason)
    if way == "reply":
        title = (
            f"The client hears of it from {words.source(packet)}"
            if packet.icmp
            else f"The client hears {words.source(packet)}"
        )
        if ending.verdict is not Verdict.DELIVERED:
            title = f"The client never called {words.source(packet)}"
        return Told(title=title, text=said, question="Does the client recognise this as an answer to its own packet?")
    question = "The packet is there. Who answers: a program, or the kernel alone?"
    if ending.verdict is Verdict.DELIVERED:
        return Told(
            title="The packet is taken",
            text=f"{said} It sees the source {words.source(packet)}.".strip(),
            question=question,
        )
    return Told(
        title="The kernel answers for a program that is not there",
        text=f"{said} A kernel that has no socket for the port answers with a reset (RST).".strip(),
        question=question,
    )


def sentence(text: str) -> str:
    """A reason as a sentence.  Names keep their case: only a word of small letters is capitalised."""
    if not text:
        return ""
    first = text.split(" ", 1)[0]
    text = text[:1].upper() + text[1:] if first.isalpha() else text
    return text if text.endswith((".", "?", "!")) else text + "."
