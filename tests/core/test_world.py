"""The world's clock: order, leaps, rest, tasks."""

from __future__ import annotations

import pytest

from kubesim.world import Cancelled, Stalled, TimedOut, World


@pytest.fixture
def world() -> World:
    return World(seed=1, start=1000.0)


def test_due_work_goes_in_order_of_time_then_of_asking(world: World) -> None:
    seen: list[str] = []
    world.call_later(2, seen.append, "two")
    world.call_later(1, seen.append, "one")
    world.call_later(1, seen.append, "one, later")
    world.call_soon(seen.append, "now")
    while world.step():
        pass
    assert seen == ["now", "one", "one, later", "two"]
    assert world.now == 1002.0


def test_advance_stops_at_its_end_and_leaves_the_rest(world: World) -> None:
    seen: list[float] = []
    for delay in (1, 5, 6):
        world.call_later(delay, lambda: seen.append(world.now))
    world.advance(5)
    assert seen == [1001.0, 1005.0]
    assert world.now == 1005.0
    world.advance(0.5)
    assert world.now == 1005.5


def test_settle_waits_for_the_foreground_only(world: World) -> None:
    beats: list[float] = []

    def beat() -> None:
        beats.append(world.now)
        world.call_later(10, beat, background=True)

    beat()
    world.call_later(25, lambda: None)
    assert world.settle()
    assert world.now == 1025.0
    assert beats == [1000.0, 1010.0, 1020.0]


def test_settle_says_when_rest_does_not_come(world: World) -> None:
    def again() -> None:
        world.call_later(10, again)

    again()
    assert not world.settle(timeout=60)


def test_a_cancelled_timer_is_not_waited_for(world: World) -> None:
    timer = world.call_later(100, lambda: None)
    timer.cancel()
    timer.cancel()
    assert world.settle()
    assert world.now == 1000.0


def test_run_leaps_and_returns_the_value(world: World) -> None:
    async def nap() -> str:
        await world.sleep(30)
        return "rested"

    assert world.run(nap()) == "rested"
    assert world.now == 1030.0


def test_wait_for_gives_up_in_virtual_time_and_cancels(world: World) -> None:
    ended: list[str] = []

    async def long() -> None:
        try:
            await world.sleep(100)
        except Cancelled:
            ended.append("cancelled")
            raise

    async def main() -> None:
        with pytest.raises(TimedOut):
            await world.wait_for(long(), 3)
        await world.sleep(0)

    world.run(main())
    assert world.now == 1003.0
    assert ended == ["cancelled"]


def test_an_error_in_a_task_reaches_who_awaits_it(world: World) -> None:
    async def broken() -> None:
        raise ValueError("broken")

    async def main() -> str:
        task = world.spawn(broken())
        try:
            await task
        except ValueError as error:
            return str(error)
        return ""

    assert world.run(main()) == "broken"


def test_an_error_that_nobody_awaits_is_not_swallowed(world: World) -> None:
    async def broken() -> None:
        raise ValueError("broken")

    world.spawn(broken())
    with pytest.raises(ValueError, match="broken"):
        world.settle()


def test_waiting_for_nothing_is_stalled_not_hung(world: World) -> None:
    async def forever() -> None:
        await world.future()

    def beat() -> None:
        world.call_later(10, beat, background=True)

    beat()
    with pytest.raises(Stalled):
        world.run(forever())


def test_streams_of_chance_do_not_shift_each_other() -> None:
    one, other = World(seed=7), World(seed=7)
    other.rng("names").random()
    assert one.rng("ports").random() == other.rng("ports").random()
    assert World(seed=8).rng("ports").random() != World(seed=7).rng("ports").random()
