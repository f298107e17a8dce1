"""What the crash matrix attacks: for each scenario a preparation without faults, and the step whose calls fail.

Behind every step there is work left in the lane that it works on, so that an order that suffers is seen.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.faults import Fate, at
from tests.support.world import Host, World, wrong

Step = Callable[[World, Host], Awaitable[None]]

FOREIGN = 'not ours: <b attr="1">&amp;</b>'


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`fresh`: the attacked host is not the one that prepared, and so not the incumbent."""

    prepare: Step
    attacked: Step
    fresh: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)
    refusals: Mapping[int, Sequence[str]] = field(default_factory=dict)
    failed: Sequence[int] = ()
    poison: Sequence[str] = ()


async def carry_on(
    world: World, scenario: Scenario, survivor: Host | None, *, wait: Callable[[], Awaitable[None]]
) -> list[str]:
    """New hosts, and the one that lived on, bring everything to its end; return what is wrong then.

    A message whose receiver failed is out of sight for a while: `wait` lets a part of that pass.
    """
    try:
        another = world.host(create=scenario.prepare is nothing)
        await world.send_again(another)
        if survivor:
            await survivor.tick()
            await another.tick()
            await survivor.tick()
        await world.drain(another)
        if await another.recover():
            await world.drain(another)
        found = await wrong(world, another, failed=scenario.failed, poison=scenario.poison)
        for _ in range(10):
            if not any("messages are left" in one for one in found):
                break
            await wait()
            await world.drain(another)
            found = await wrong(world, another, failed=scenario.failed, poison=scenario.poison)
        return found
    finally:
        await world.close()


async def nothing(_world: World, _host: Host) -> None:
    """Leave the account as it was found: empty."""


async def tick(_world: World, host: Host) -> None:
    """Fire the timer once."""
    await host.tick()


async def first_start(_world: World, host: Host) -> None:
    """The very first request, on an account without tables and queues."""
    await host.post([1, 2, 3, 4], "MEDIUM")


async def one_of_each(_world: World, host: Host) -> None:
    """Two of one lane, the first with two batches, and one of the lowest."""
    await host.post([1, 2, 3, 4], "HIGH")
    await host.post([11], "HIGH")
    await host.post([21], "LOW")


async def accept_one(_world: World, host: Host) -> None:
    """The caller has no key."""
    await host.post([101], "HIGH")


async def accept_several_with_a_key(_world: World, host: Host) -> None:
    """The caller tries again at once where the answer is a 503."""
    for _ in range(2):
        if await host.post([101, 102, 103, 104], "HIGH", key="a key", request=101):
            return


async def one_lane(_world: World, host: Host) -> None:
    """Three of one batch each in the lowest lane."""
    for first in (1, 11, 21):
        await host.post([first], "LOW")


async def two_in_flight(world: World, host: Host) -> None:
    """The first batch of two has run."""
    await one_of_each(world, host)
    await host.tick()


async def finished_in_front(world: World, host: Host) -> None:
    """The message of a finished ingestion is still in front of unfinished ones, as after a crash."""
    await host.post([1], "HIGH")
    await host.put(_message_of(world, 1))
    for first in (11, 21, 31):
        await host.post([first], "HIGH")
    await host.tick()


async def foreign_in_front(_world: World, host: Host) -> None:
    """Somebody else's message is in front of three ingestions."""
    await host.put(FOREIGN)
    for first in (1, 11, 21):
        await host.post([first], "HIGH")


async def lost_messages(world: World, host: Host) -> None:
    """Two callers had no answer and gave up: a row in an empty lane, and one from long before another of its lane."""
    early = world.host(create=True, wrong_by=-120.0)
    await early.recover()
    for first, lane in ((1, "HIGH"), (11, "LOW")):
        early.faults.plan = at(len(early.faults.calls) + 2, Fate.REFUSED)
        await early.post([first, first + 1, first + 2, first + 3], lane, gives_up=True)
    await host.post([21], "LOW")


async def recover(_world: World, host: Host) -> None:
    """Fire the recovery timer."""
    await host.recover()


def _message_of(world: World, request: int) -> str:
    acknowledged = world.ledger.events("acknowledged")
    ingestion_id = next(event["ingestion_id"] for event in acknowledged if event["request"] == request)
    return json.dumps({"format": 1, "ingestion_id": ingestion_id})


SCENARIOS: Mapping[str, Scenario] = {
    "accept_on_an_empty_account": Scenario(prepare=nothing, attacked=first_start),
    "accept_one": Scenario(prepare=one_of_each, attacked=accept_one),
    "accept_several_with_a_key": Scenario(prepare=one_of_each, attacked=accept_several_with_a_key),
    "first_tick_of_all": Scenario(prepare=one_of_each, attacked=tick),
    "tick_high_by_another_host": Scenario(prepare=two_in_flight, attacked=tick, fresh=True),
    "tick_last_batch": Scenario(prepare=two_in_flight, attacked=tick),
    "tick_low": Scenario(prepare=one_lane, attacked=tick),
    "tick_attempt_failed": Scenario(prepare=one_of_each, attacked=tick, refusals={2: ["failed", "failed"]}),
    "tick_failed_for_good": Scenario(
        prepare=one_of_each,
        attacked=tick,
        settings={"max_attempts": 1},
        refusals={4: ["failed"] * 9, 1: ["failed"] * 9},
        failed=[1],
        poison=["the API answered 500"],
    ),
    "tick_held": Scenario(prepare=one_of_each, attacked=tick, refusals={3: ["held"]}),
    "tick_sweeps_a_finished_one": Scenario(prepare=finished_in_front, attacked=tick),
    "tick_sweeps_a_foreign_one": Scenario(prepare=foreign_in_front, attacked=tick, poison=[FOREIGN]),
    "recover": Scenario(prepare=lost_messages, attacked=recover),
}
