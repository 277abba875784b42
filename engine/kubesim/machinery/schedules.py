"""Cron schedules: `*/5 * * * *`, `@hourly` (github.com/robfig/cron, ParseStandard).

A day fits when both its day of the month and its day of the week do, unless both are restricted: then one is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(_MONTHS, 1)}
DAYS = {name: i for i, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
# Name, lowest, highest, names of values; in the order in which they are written.
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 6, DAYS),
)
# A schedule that never comes (the 30th of February) is given up after so many days.
HORIZON = 5 * 366


class ScheduleError(ValueError):
    """It is no schedule; the message is robfig/cron's."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values that fit, by field; `any_day` says for the day of the month and of the week whether it was a star."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: tuple[bool, bool]

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment` that fits; None when there is none within five years."""
        at = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for _ in range(HORIZON):
            if at.month in self.months and self._fits(at):
                found = self._within(at)
                if found is not None:
                    return found
            at = at.replace(hour=0, minute=0) + timedelta(days=1)
        return None

    def _fits(self, day: datetime) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month and in_week if any(self.any_day) else in_month or in_week

    def _within(self, at: datetime) -> datetime | None:
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                if (hour, minute) >= (at.hour, at.minute):
                    return at.replace(hour=hour, minute=minute)
        return None


def parse(text: str) -> Schedule:
    """Raises ScheduleError."""
    words = MACROS.get(text, text).split()
    if text.startswith("@") and text not in MACROS:
        raise ScheduleError(f"unrecognized descriptor: {text}")
    if len(words) != len(FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    minutes, hours, days, months, weekdays = (
        _values(word, *field) for word, field in zip(words, FIELDS, strict=True)
    )
    any_day = words[2].startswith(("*", "?")), words[4].startswith(("*", "?"))
    return Schedule(minutes, hours, days, months, weekdays, any_day)


def _values(text: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        first_text, dash, last_text = span.partition("-")
        if first_text in ("*", "?"):
            first, last = low, high
        else:
            first = _number(first_text, names)
            last = _number(last_text, names) if dash else high if slash else first
        step = _number(step_text, {}) if slash else 1
        if first < low:
            raise ScheduleError(f"beginning of range ({first}) below minimum ({low}): {part}")
        if last > high:
            raise ScheduleError(f"end of range ({last}) above maximum ({high}): {part}")
        if first > last:
            raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        if step == 0:
            raise ScheduleError(f"step of range should be a positive number: {part}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdecimal():
        raise ScheduleError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def zone(name: str) -> tzinfo:
    """A time zone by its name.  Raises KeyError."""
    import zoneinfo

    return zoneinfo.ZoneInfo(name)
