"""Cron schedules, with the next times as crontab.guru and robfig/cron have them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kubesim.machinery import schedules


@pytest.mark.parametrize(
    ("text", "since", "following"),
    [
        ("* * * * *", "2026-11-02 08:00:30", "2026-11-02 08:01"),
        ("*/15 * * * *", "2026-11-02 08:00", "2026-11-02 08:15"),
        ("5/20 * * * *", "2026-11-02 08:26", "2026-11-02 08:45"),
        ("0 9-17 * * mon-fri", "2026-11-06 17:00", "2026-11-09 09:00"),
        ("30 4 1,15 * *", "2026-11-02 00:00", "2026-11-15 04:30"),
        ("0 0 13 * 5", "2026-11-07 00:00", "2026-11-13 00:00"),  # a Friday or a 13th
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("@hourly", "2026-11-02 08:00", "2026-11-02 09:00"),
        ("@weekly", "2026-11-02 08:00", "2026-11-08 00:00"),
    ],
)
def test_the_next_time(text: str, since: str, following: str) -> None:
    found = schedules.parse(text).after(datetime.fromisoformat(since).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(following).replace(tzinfo=UTC)


def test_a_day_that_never_comes() -> None:
    assert schedules.parse("0 0 30 2 *").after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "@never"])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(schedules.ScheduleError):
        schedules.parse(text)
