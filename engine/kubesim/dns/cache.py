"""CoreDNS's *cache*: answers, and denials, kept for as long as their TTLs allow and no longer than told.

Upstream: plugin/cache.  What is kept is asked for by name (lower-case) and type.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kubesim.dns.answers import Answer, Question, within

# plugin/cache: maxTTL and maxNTTL, minTTL and minNTTL, and how many of each are kept (setup.go: defaultCap).
MAX_TTL = 3600
MAX_DENIAL_TTL = 1800
MIN_TTL = 5
CAPACITY = 9984


@dataclass(slots=True, kw_only=True)
class Cache:
    """`success` and `denial` are the longest times to keep either, in seconds; the zones in `no_success` and `no_denial` are not
    kept (`disable success cluster.local`)."""

    success: int = MAX_TTL
    denial: int = MAX_DENIAL_TTL
    minimum: int = MIN_TTL
    capacity: int = CAPACITY
    no_success: tuple[str, ...] = ()
    no_denial: tuple[str, ...] = ()
    hits: int = 0
    misses: int = 0
    _kept: dict[Question, tuple[float, int, Answer]] = field(default_factory=dict)

    def get(self, question: Question, now: float) -> Answer | None:
        """What is kept, with TTLs run down by the time it lay here."""
        found = self._kept.get(_key(question))
        if found is None or now >= found[0] + found[1]:
            self.misses += 1
            return None
        self.hits += 1
        # plugin/cache, item.toMsg: clients exist that throw away what is not authoritative.
        return replace(found[2].aged(int(now - found[0])), authoritative=True)

    def put(self, question: Question, answer: Answer, now: float) -> Answer:
        """Keep it if it may be kept, and give it back with the TTLs that clients shall see."""
        if answer.truncated or answer.rcode not in ("NOERROR", "NXDOMAIN"):
            return answer
        denied = answer.rcode == "NXDOMAIN" or not answer.answer
        excepted = self.no_denial if denied else self.no_success
        if any(within(question.name, zone) for zone in excepted):
            return answer
        records = answer.authority if denied else answer.answer
        longest = self.denial if denied else self.success
        ttl = max(min([each.ttl for each in records] or [self.minimum]), self.minimum)
        ttl = min(ttl, longest)
        if len(self._kept) >= self.capacity:
            self._kept.pop(next(iter(self._kept)))
        self._kept[_key(question)] = (now, ttl, answer)

        def shown(section: tuple) -> tuple:
            return tuple(replace(each, ttl=min(each.ttl, ttl)) for each in section)

        return replace(answer, answer=shown(answer.answer), authority=shown(answer.authority))

    def __len__(self) -> int:
        return len(self._kept)


def _key(question: Question) -> Question:
    return Question(question.name.lower(), question.type)
