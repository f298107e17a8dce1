"""Tests of the gate: one process's writes of its row, with others' writes and lost answers in between."""

import asyncio
from dataclasses import replace

import pytest

from ingest_core.dispatch.gate import Gate
from ingest_core.errors import StorageUnavailable
from ingest_core.models import Priority
from ingest_core.storage.gate_row import PARTITION_KEY, ROW_KEY, GateRow, GateTable, Pause, StoredGate
from ingest_core.storage.memory import Account, MemoryStorage
from tests.support.dispatching import INTERVAL, Wire, in_virtual_time, storage_over
from tests.support.virtual_time import EPOCH, HostClock

PAUSE = Pause(since=EPOCH, reason="a person")


class Gates:
    """An account and the gates of several processes on it; `table` sees the row without faults."""

    def __init__(self) -> None:
        self.account = Account(now=HostClock().now)
        self.table = GateTable(MemoryStorage(self.account).dispatch)

    def gate(self, *, base: float = 0.0, rate: float = 1.0) -> tuple[Gate, HostClock, Wire]:
        """A process that has just started, its clock and its way to storage."""
        clock, wire = HostClock(base=base, rate=rate), Wire()
        table = GateTable(storage_over(self.account, wire).dispatch)
        return Gate(table, clock, interval=INTERVAL), clock, wire

    async def stored(self) -> StoredGate:
        """The row as it is stored."""
        return await self.table.read()

    async def pause(self, pause: Pause | None) -> None:
        """Pause or resume the HIGH lane."""
        await self.table.set_pause("HIGH", pause, gate=GateRow(slot=0, token="none", age=0.0, due=0.0))

    async def owned(self) -> tuple[Gate, HostClock, Wire]:
        """A process that has waited for the first slot, taken it and started a batch."""
        gate, clock, wire = self.gate()
        await gate.look()
        await asyncio.sleep(gate.due_at() - clock.monotonic() + 0.01)
        assert await gate.take(gate.view, sweeps=False)
        gate.record_start()
        return gate, clock, wire


@in_virtual_time
async def test_a_missing_row_is_made_and_counts_as_taken_at_that_moment() -> None:
    """Whoever lost it may have started a batch just before."""
    gates = Gates()
    gate, clock, _ = gates.gate(base=500.0)
    view = await gate.look()
    assert view.is_owner
    assert (view.row.slot, view.row.age, view.row.due) == (0, 0.0, 6.0)
    assert gate.due_at() - clock.monotonic() == pytest.approx(6.0, abs=0.01)


@in_virtual_time
async def test_two_processes_that_make_the_row_together_have_one_owner() -> None:
    """The other one waits for due."""
    gates = Gates()
    (one, _, _), (two, clock, _) = gates.gate(), gates.gate(base=100.0)
    views = await asyncio.gather(one.look(), two.look())
    assert sorted(view.is_owner for view in views) == [False, True]
    assert two.due_at() - clock.monotonic() >= 6.0 - 0.01


@in_virtual_time
async def test_a_take_counts_a_slot_and_keeps_the_others_out() -> None:
    """They wait for the start budget and the interval."""
    gates = Gates()
    gate, _, _ = await gates.owned()
    row = (await gates.stored()).gate
    assert (row.slot, row.token) == (1, gate.token)
    assert row.due == pytest.approx(row.age + 1.0 + INTERVAL)


@in_virtual_time
async def test_the_owner_starts_again_after_exactly_the_interval_and_reads_nothing() -> None:
    """It knows its own last start on its own clock, so it needs no margin."""
    gate, clock, wire = await Gates().owned()
    assert gate.due_at() - clock.monotonic() == pytest.approx(INTERVAL, abs=0.001)
    wire.calls.clear()
    await gate.look()
    assert await gate.take(gate.view, sweeps=False)
    assert wire.calls == ["dispatch merge"]


@in_virtual_time
async def test_anybody_else_waits_for_due_from_the_moment_it_first_sees_the_version() -> None:
    """Seeing it again does not prolong the wait."""
    gates = Gates()
    await gates.owned()
    other, clock, _ = gates.gate(base=9000.0)
    await other.look()
    due_at = other.due_at()
    assert due_at - clock.monotonic() == pytest.approx(6.0 / 0.998, abs=0.01)
    await asyncio.sleep(3)
    await other.look()
    assert other.due_at() == due_at


@in_virtual_time
async def test_a_take_fails_if_the_gate_has_changed_since_it_was_decided() -> None:
    """The batch may have been started by whoever changed it."""
    gates = Gates()
    await gates.owned()
    (one, _, _), (two, _, _) = gates.gate(), gates.gate()
    views = await one.look(), await two.look()
    await asyncio.sleep(7)
    assert await one.take(views[0], sweeps=False)
    assert not await two.take(views[1], sweeps=False)
    assert not await two.take(views[1], sweeps=False)
    assert (await gates.stored()).gate.slot == 2


@in_virtual_time
async def test_a_pause_between_the_look_and_the_take_makes_the_take_fail() -> None:
    """The owner stays the owner, sees the pause, and looks again."""
    gates = Gates()
    gate, _, _ = await gates.owned()
    view = await gate.look()
    await asyncio.sleep(3)
    age = gate.age()
    await gates.pause(PAUSE)
    assert not await gate.take(view, sweeps=False)
    assert gate.is_paused(Priority.HIGH)
    assert not gate.is_paused(Priority.LOW)
    assert gate.view.is_owner
    assert gate.age() >= age
    assert await gate.take(gate.view, sweeps=False)


@in_virtual_time
async def test_an_owner_whose_view_shows_a_pause_sees_the_resume_at_its_next_look() -> None:
    """Without a pause it does not read."""
    gates = Gates()
    gate, _, wire = await gates.owned()
    await gates.pause(PAUSE)
    assert not await gate.take(gate.view, sweeps=False)
    await gates.pause(None)
    await gate.look()
    assert not gate.is_paused(Priority.HIGH)
    wire.calls.clear()
    await gate.look()
    assert wire.calls == []


@in_virtual_time
async def test_the_owners_writes_leave_a_pause_alone() -> None:
    """They never contain one, so that neither write overwrites the other."""
    gates = Gates()
    gate, _, _ = await gates.owned()
    await gates.pause(PAUSE)
    await gate.read()
    assert await gate.take(gate.view, sweeps=True)
    await gate.release()
    assert (await gates.stored()).pauses == {"HIGH": PAUSE}


@in_virtual_time
async def test_a_pause_ends_at_the_time_that_the_person_has_set() -> None:
    """The host's wall clock judges it."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    await gates.pause(replace(PAUSE, until=clock.now().replace(microsecond=0)))
    await gate.read()
    assert not gate.is_paused(Priority.HIGH)


@in_virtual_time
async def test_a_take_whose_answer_was_lost_is_recognised_by_its_token() -> None:
    """It was written once, and counts."""
    gates = Gates()
    gate, _, wire = await gates.owned()
    wire.losing.add("dispatch merge")
    assert await gate.take(gate.view, sweeps=False)
    assert gate.view.is_owner
    assert (await gates.stored()).gate.slot == 2
    assert (await gates.stored()).gate.token == gate.token


@in_virtual_time
async def test_a_take_that_can_neither_be_written_nor_read_is_recognised_later() -> None:
    """The process finds itself the owner, and does not start before it might."""
    gates = Gates()
    gate, clock, wire = gates.gate(base=70.0)
    other, other_clock, _ = gates.gate()
    await other.look()
    await gate.look()
    await asyncio.sleep(7)
    wire.losing.add("dispatch merge")
    wire.failing.add("dispatch get")
    with pytest.raises(StorageUnavailable):
        await gate.take(gate.view, sweeps=False)
    wire.losing.clear()
    wire.failing.clear()
    await gate.read()
    assert gate.view.is_owner
    assert gate.due_at() <= clock.monotonic()
    await other.read()
    assert not other.view.is_owner
    assert other.due_at() > other_clock.monotonic() + 5.9


@in_virtual_time
async def test_a_take_that_never_arrived_is_not_mistaken_for_one() -> None:
    """The call failed before it had an effect, so it is written again."""
    gates = Gates()
    gate, _, wire = await gates.owned()
    wire.failing.add("dispatch merge")

    async def recover() -> None:
        wire.failing.clear()

    wire.once["dispatch get"] = recover
    assert await gate.take(gate.view, sweeps=False)
    assert (await gates.stored()).gate.slot == 2


@in_virtual_time
async def test_the_start_budget_counts_from_the_moment_at_which_the_take_is_sent() -> None:
    """A slow answer uses it up."""
    gate, _, wire = await Gates().owned()
    wire.seconds["dispatch merge"] = 0.9
    assert await gate.take(gate.view, sweeps=False)
    assert gate.has_start_budget()
    wire.seconds["dispatch merge"] = 1.1
    assert await gate.take(gate.view, sweeps=False)
    assert not gate.has_start_budget()


@in_virtual_time
async def test_a_release_lets_others_take_as_soon_as_the_owner_could() -> None:
    """The time to its own next start is all that is left; a second release writes nothing."""
    gates = Gates()
    gate, _, wire = await gates.owned()
    await asyncio.sleep(2)
    await gate.release()
    row = (await gates.stored()).gate
    assert row.due - row.age == pytest.approx(3.0, abs=0.01)
    wire.calls.clear()
    await gate.release()
    assert wire.calls == []


@in_virtual_time
async def test_whoever_is_not_the_owner_releases_nothing() -> None:
    """The gate is not its own."""
    gates = Gates()
    await gates.owned()
    other, _, wire = gates.gate()
    await other.look()
    wire.calls.clear()
    await other.release()
    assert wire.calls == []


@in_virtual_time
async def test_a_released_gate_still_keeps_the_interval_between_the_starts_of_two_processes() -> None:
    """A fast clock of the owner and a fast one of the successor change nothing."""
    gates = Gates()
    gate, clock, _ = gates.gate(rate=1.0005)
    await gate.look()
    await asyncio.sleep(7)
    assert await gate.take(gate.view, sweeps=False)
    gate.record_start()
    started_at = clock.monotonic() / 1.0005
    await gate.release()
    other, other_clock, _ = gates.gate(rate=1.0005)
    await other.look()
    assert other.due_at() / 1.0005 - started_at >= INTERVAL * 0.999
    assert other_clock.monotonic() < other.due_at()


@in_virtual_time
async def test_a_throttle_is_written_for_everybody_by_whoever_learns_of_it() -> None:
    """Also by a process that does not own the gate; it becomes the owner and may start no earlier than due."""
    gates = Gates()
    await gates.owned()
    other, clock, _ = gates.gate(base=300.0)
    await other.look()
    other.throttle_until(clock.monotonic() + 60, "429")
    assert other.due_at() == pytest.approx(clock.monotonic() + 60)
    await other.write_throttle()
    stored = (await gates.stored()).gate
    assert other.view.is_owner
    assert stored.due - stored.age == pytest.approx(60.0, abs=0.01)
    assert stored.throttled_reason == "429"
    assert stored.slot == 1
    assert other.is_throttled()
    assert other.due_at() >= other.view.due_for_all()


@in_virtual_time
async def test_a_throttle_never_opens_the_gate_earlier() -> None:
    """A shorter one leaves due where it is, but for what the conversion between clocks adds."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    gate.throttle_until(clock.monotonic() + 60, "429")
    await gate.write_throttle()
    due = (await gates.stored()).gate.due
    gate.throttle_until(clock.monotonic() + 10, "429 again")
    await gate.write_throttle()
    assert due <= (await gates.stored()).gate.due <= due * 1.004
    assert gate.due_at() - clock.monotonic() > 59


@in_virtual_time
async def test_a_throttle_meets_the_takes_of_others() -> None:
    """It is written on top of a take that came between."""
    gates = Gates()
    gate, clock, wire = await gates.owned()
    other, _, _ = gates.gate()
    await other.look()
    await asyncio.sleep(7)

    async def take() -> None:
        assert await other.take(other.view, sweeps=False)

    wire.once["dispatch merge"] = take
    gate.throttle_until(clock.monotonic() + 60, "429")
    await gate.write_throttle()
    stored = (await gates.stored()).gate
    assert stored.slot == 2
    assert stored.token == gate.token
    assert stored.due - stored.age >= 59.9


@in_virtual_time
async def test_a_shorter_wait_that_comes_later_does_not_shorten_the_first() -> None:
    """Although neither can be written: the API has answered two batches."""
    gate, clock, _ = await Gates().owned()
    until = clock.monotonic() + 60
    gate.throttle_until(until, "busy")
    gate.throttle_until(clock.monotonic() + 1, "busy")
    assert gate.due_at() == until


@in_virtual_time
async def test_a_longer_wait_that_comes_while_a_throttle_is_written_is_written_next() -> None:
    """Otherwise only this process would know of it."""
    gates = Gates()
    gate, clock, wire = await gates.owned()

    async def ask_for_longer() -> None:
        gate.throttle_until(clock.monotonic() + 120, "busy")

    wire.once["dispatch merge"] = ask_for_longer
    gate.throttle_until(clock.monotonic() + 60, "busy")
    for seconds in (60, 120):
        await gate.write_throttle()
        row = (await gates.stored()).gate
        assert row.due - row.age == pytest.approx(seconds, abs=0.1)
    assert not gate.has_unwritten_throttle


@in_virtual_time
async def test_a_process_writes_the_gate_once_at_a_time() -> None:
    """A throttle that comes during the process's own take is computed from the version that the take has written."""
    gates = Gates()
    gate, clock, wire = await gates.owned()
    await asyncio.sleep(INTERVAL)
    wire.seconds["dispatch merge"] = 0.5
    wire.calls.clear()
    gate.throttle_until(clock.monotonic() + 60, "busy")
    taken, _ = await asyncio.gather(gate.take(gate.view, sweeps=False), gate.write_throttle())
    row = (await gates.stored()).gate
    assert (taken, wire.calls) == (True, ["dispatch merge", "dispatch get", "dispatch merge"])
    assert (row.slot, round(row.due - row.age)) == (2, 59)


@in_virtual_time
async def test_a_throttle_that_cannot_be_written_holds_for_its_own_process() -> None:
    """It is written as soon as storage allows it."""
    gates = Gates()
    gate, clock, wire = await gates.owned()
    wire.failing.update({"dispatch merge", "dispatch get"})
    gate.throttle_until(clock.monotonic() + 60, "429")
    with pytest.raises(StorageUnavailable):
        await gate.write_throttle()
    assert gate.due_at() - clock.monotonic() > 59
    wire.failing.clear()
    await gate.write_throttle()
    assert gate.is_throttled()
    wire.calls.clear()
    await gate.write_throttle()
    assert wire.calls == []


@in_virtual_time
async def test_a_row_that_is_made_anew_contains_a_throttle_that_could_not_be_written() -> None:
    """Whoever reads the new row before the throttle is written waits as long."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    gate.throttle_until(clock.monotonic() + 60, "429")
    await MemoryStorage(gates.account).dispatch.delete(PARTITION_KEY, ROW_KEY)
    await gate.read()
    row = (await gates.stored()).gate
    assert row.due - row.age == pytest.approx(60.0, abs=0.1)


@in_virtual_time
async def test_a_fresh_process_knows_a_throttle_at_its_first_look() -> None:
    """Ages outlive every process."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    gate.throttle_until(clock.monotonic() + 60, "429")
    await gate.write_throttle()
    other, other_clock, _ = gates.gate(base=77.0)
    await other.look()
    assert other.is_throttled()
    assert other.due_at() - other_clock.monotonic() >= 60 - 0.02


@in_virtual_time
async def test_a_note_writes_the_age_and_nothing_else() -> None:
    """Due and slot stay as they are."""
    gates = Gates()
    gate, _, _ = await gates.owned()
    before = (await gates.stored()).gate
    await asyncio.sleep(2.5)
    await gate.note()
    after = (await gates.stored()).gate
    assert after.age - before.age == pytest.approx(2.5 * 0.998, abs=0.01)
    assert (after.slot, after.due) == (before.slot, before.due)


@pytest.mark.parametrize(
    ("is_owner", "quiet", "writes"), [(True, 1.9, 0), (True, 2.1, 1), (False, 6.9, 0), (False, 7.1, 1)]
)
@in_virtual_time
async def test_a_note_is_written_only_when_the_row_has_been_quiet(*, is_owner: bool, quiet: float, writes: int) -> None:
    """For two seconds where its owner writes, else for the interval and two seconds."""
    gates = Gates()
    gate, _, wire = await gates.owned()
    if not is_owner:
        gate, _, wire = gates.gate()
        await gate.look()
    await asyncio.sleep(quiet)
    wire.calls.clear()
    await gate.note()
    assert wire.calls == ["dispatch merge"] * writes


@pytest.mark.parametrize("write", ["note", "sweep", "raise_age"])
@in_virtual_time
async def test_whoever_becomes_the_owner_without_a_start_starts_no_earlier_than_due(write: str) -> None:
    """It has no start of its own that it could count from."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    gate.throttle_until(clock.monotonic() + 60, "429")
    await gate.write_throttle()
    other, other_clock, _ = gates.gate()
    await other.look()
    await asyncio.sleep(8)
    match write:
        case "note":
            await other.note()
        case "sweep":
            await other.take_for_sweep(other.view)
        case "raise_age":
            await other.raise_age(other.age() + 1)
    assert other.view.is_owner
    assert other.due_at() - other_clock.monotonic() > 51.9
    row = (await gates.stored()).gate
    assert row.due - row.age > 51.9


@in_virtual_time
async def test_processes_that_live_for_seconds_get_through_a_long_throttle() -> None:
    """Each adds what it has measured, so the wait of a minute ends after little more."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    gate.throttle_until(clock.monotonic() + 60, "429")
    await gate.write_throttle()
    lives = 0
    while True:
        heir, heir_clock, _ = gates.gate(base=lives * 1000.0)
        await heir.look()
        if heir.due_at() - heir_clock.monotonic() < 10:
            break
        await asyncio.sleep(10)
        await heir.note()
        lives += 1
    assert lives == 6


@in_virtual_time
async def test_a_mark_that_is_ahead_raises_age_and_due_by_the_same_amount() -> None:
    """Storage has lost the gate's last seconds: nobody may start earlier because of it."""
    gates = Gates()
    gate, _, _ = await gates.owned()
    before = (await gates.stored()).gate
    await gate.raise_age(before.age + 100)
    after = (await gates.stored()).gate
    assert after.age >= before.age + 100
    assert after.due - after.age == pytest.approx(before.due - before.age, abs=0.01)
    await gate.raise_age(before.age)
    assert (await gates.stored()).gate == after


@pytest.mark.parametrize("broken", [{"age": "old"}, {"due": -1.0}, {"token": ""}, {"slot": 1.5}])
@in_virtual_time
async def test_a_row_that_cannot_be_read_is_made_anew_and_keeps_its_pauses(broken: dict[str, str | float]) -> None:
    """It counts as taken at that moment, for everybody."""
    gates = Gates()
    await gates.owned()
    await gates.pause(PAUSE)
    await MemoryStorage(gates.account).dispatch.merge(
        {"PartitionKey": PARTITION_KEY, "RowKey": ROW_KEY, **broken}, etag=None
    )
    gate, clock, _ = gates.gate()
    view = await gate.look()
    assert view.stored.pauses == {"HIGH": PAUSE}
    assert gate.due_at() - clock.monotonic() >= 6.0 - 0.01


@in_virtual_time
async def test_two_processes_that_make_a_row_anew_together_end_with_one_row() -> None:
    """The slower one reads what the faster one has made."""
    gates = Gates()
    await gates.owned()
    await MemoryStorage(gates.account).dispatch.merge(
        {"PartitionKey": PARTITION_KEY, "RowKey": ROW_KEY, "age": "old"}, etag=None
    )
    (one, _, _), (two, _, _) = gates.gate(), gates.gate()
    views = await asyncio.gather(one.look(), two.look())
    assert views[0].row == views[1].row


@in_virtual_time
async def test_a_take_for_a_sweep_keeps_others_out_without_a_slot() -> None:
    """The owner's own next start stays where it was."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    due_at = gate.due_at()
    await asyncio.sleep(6)
    assert await gate.take_for_sweep(gate.view)
    stored = (await gates.stored()).gate
    assert stored.slot == 1
    assert stored.due - stored.age == pytest.approx(1 + INTERVAL + 5)
    assert gate.due_at() == due_at
    assert gate.excludes_others_until() - clock.monotonic() == pytest.approx(1 + INTERVAL, abs=0.01)


@in_virtual_time
async def test_the_row_says_for_people_why_it_is_closed() -> None:
    """The next start takes the reason away; trouble and outage stay until they are over."""
    gates = Gates()
    gate, clock, _ = await gates.owned()
    gate.set_reasons(down_since="2026", trouble="one")
    gate.throttle_until(clock.monotonic() + 6, "429")
    await gate.write_throttle()
    row = (await gates.stored()).gate
    assert (row.throttled_reason, row.down_since, row.trouble) == ("429", "2026", "one")
    await asyncio.sleep(7)
    assert await gate.take(gate.view, sweeps=False)
    row = (await gates.stored()).gate
    assert (row.throttled_reason, row.down_since, row.trouble) == ("", "2026", "one")


def test_a_view_exists_only_after_a_look() -> None:
    """To decide by a version that nobody has seen is a mistake in the program."""
    gate, _, _ = Gates().gate()
    with pytest.raises(RuntimeError, match="has not been looked at"):
        _ = gate.view
