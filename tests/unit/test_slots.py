"""Slots that calls of one key share: never more keys than slots, and nobody waits for ever."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.slots import Slots


class Crowd:
    """Calls that hold a slot until they are told to leave, and what was seen of them."""

    def __init__(self, num_slots: int) -> None:
        self.slots = Slots(num_slots)
        self.inside: list[str] = []
        self.order: list[str] = []
        self.calls: list[tuple[str, asyncio.Event, asyncio.Task[None]]] = []

    async def come(self, key: str) -> None:
        leave = asyncio.Event()
        self.calls.append((key, leave, asyncio.create_task(self._call(key, leave))))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    async def _call(self, key: str, leave: asyncio.Event) -> None:
        async with self.slots.hold(key):
            self.inside.append(key)
            self.order.append(key)
            try:
                await leave.wait()
            finally:
                self.inside.remove(key)


async def test_calls_of_one_key_share_a_slot():
    crowd = Crowd(1)
    for _ in range(3):
        await crowd.come("a")
    assert crowd.inside == ["a", "a", "a"]
    await end(crowd)


async def test_a_busy_key_does_not_keep_a_rare_one_waiting_for_ever():
    crowd = Crowd(1)
    for key in ("a", "b", "a"):
        await crowd.come(key)
    assert crowd.inside == ["a"]
    assert crowd.slots.num_waiting == 2
    crowd.calls[0][1].set()
    await crowd.settle()
    assert crowd.inside == ["b"]
    await end(crowd)
    assert crowd.order == ["a", "b", "a"]


async def test_who_gives_up_waiting_takes_no_slot():
    crowd = Crowd(1)
    for key in ("a", "b", "a"):
        await crowd.come(key)
    crowd.calls[1][2].cancel()
    await crowd.settle()
    assert crowd.inside == ["a", "a"]
    await end(crowd)


async def end(crowd: Crowd) -> None:
    for _, leave, _ in crowd.calls:
        leave.set()
    await asyncio.gather(*(task for _, _, task in crowd.calls), return_exceptions=True)
    assert crowd.slots.num_waiting == 0
    assert not crowd.slots._users


Act = st.one_of(st.sampled_from("abc"), st.integers(0, 20))


@given(num_slots=st.integers(1, 3), acts=st.lists(Act, max_size=30), is_cancel=st.lists(st.booleans(), min_size=30))
def test_no_more_keys_than_slots_and_all_are_served_in_turn(num_slots, acts, is_cancel):
    async def live() -> None:
        crowd = Crowd(num_slots)
        for act, cancels in zip(acts, is_cancel, strict=False):
            if isinstance(act, str):
                await crowd.come(act)
            elif act < len(crowd.calls):
                _, leave, task = crowd.calls[act]
                # A call that is admitted and cancelled in the same turn gives its slot back.
                leave.set()
                if cancels:
                    task.cancel()
                await crowd.settle()
            assert len(set(crowd.inside)) <= num_slots
        await end(crowd)

    asyncio.run(live())


async def test_a_slot_granted_to_a_call_that_is_cancelled_in_that_turn_goes_to_the_next():
    crowd = Crowd(1)
    for key in ("a", "b", "c"):
        await crowd.come(key)
    crowd.calls[0][2].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    crowd.calls[1][2].cancel()
    await crowd.settle()
    assert crowd.inside == ["c"]
    with pytest.raises(asyncio.CancelledError):
        await crowd.calls[1][2]
    await end(crowd)
