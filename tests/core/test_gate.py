"""Tests of the gate row: takes, gives back, and what happens when an answer or the row is lost."""

import pytest

from ingest_core.adapters.memory import Account, MemoryStorage
from ingest_core.errors import StorageUnavailable
from ingest_core.gate import RateGate
from ingest_core.slots import due
from tests.support.fakes import FakeClock

INTERVAL, LEASE = 5.0, 20.0


class Process:
    """One process's gate; its next storage calls may fail, before or after they take effect."""

    def __init__(self, account: Account, clock: FakeClock) -> None:
        self.clock = clock
        self.fail_before = self.fail_after = 0
        storage = MemoryStorage(account, before=self._before, after=self._after)
        self.gate = RateGate(storage.dispatch, clock, interval=INTERVAL, lease=LEASE)

    async def _before(self, call: str) -> None:
        if self.fail_before:
            self.fail_before -= 1
            raise StorageUnavailable(call)

    async def _after(self, call: str) -> None:
        if self.fail_after:
            self.fail_after -= 1
            raise StorageUnavailable(call)

    async def due(self) -> float:
        """Look, and say in how many seconds this process may start."""
        await self.gate.look(lead=0)
        return due(self.gate._view, interval=INTERVAL) - self.clock.seconds

    async def start(self) -> None:
        """Take a slot when it is due, start, and give back."""
        await self.clock.sleep(await self.due())
        assert await self.gate.take()
        self.gate.started()
        await self.gate.give_back(started=True)


@pytest.fixture
def clock() -> FakeClock:
    """One clock for all."""
    return FakeClock()


@pytest.fixture
def account(clock: FakeClock) -> Account:
    """One account for all."""
    return Account(now=clock.now)


@pytest.fixture
def process(account: Account, clock: FakeClock) -> Process:
    """The first process."""
    return Process(account, clock)


async def test_a_missing_row_counts_as_taken_now(process: Process) -> None:
    """Whoever lost it may have started a moment ago."""
    assert await process.due() == INTERVAL


async def test_the_incumbent_starts_once_per_interval(process: Process) -> None:
    """No slot is lost to waiting."""
    await process.start()
    assert await process.due() == INTERVAL
    await process.start()
    assert await process.due() == INTERVAL
    assert process.gate.slot == 3


async def test_another_process_counts_from_when_it_first_saw_the_version(
    process: Process, account: Account, clock: FakeClock
) -> None:
    """Its first look comes late, and its count begins there."""
    await process.start()
    await clock.sleep(3)
    other = Process(account, clock)
    assert await other.due() == INTERVAL
    await clock.sleep(4)
    assert await other.due() == 1


async def test_a_take_keeps_others_away_for_the_lease(process: Process, account: Account, clock: FakeClock) -> None:
    """A holder that died in its batch is succeeded when the lease is over."""
    await clock.sleep(await process.due())
    other = Process(account, clock)
    assert await process.gate.take()
    assert await other.due() == LEASE


async def test_one_of_two_takers_wins(process: Process, account: Account, clock: FakeClock) -> None:
    """The loser counts again."""
    await process.start()
    other = Process(account, clock)
    await clock.sleep(await other.due())
    assert await other.gate.take()
    assert not await process.gate.take()
    assert await process.due() == LEASE


async def test_a_take_whose_answer_was_lost_is_recognised(process: Process, clock: FakeClock) -> None:
    """The token in the row is the one that was written."""
    await clock.sleep(await process.due())
    process.fail_after = 1
    assert await process.gate.take()


async def test_a_take_that_did_not_happen_leaves_the_incumbent_what_it_was(process: Process, clock: FakeClock) -> None:
    """It may take at once again: its last version still stands."""
    await process.start()
    await clock.sleep(INTERVAL)
    process.fail_before = 1
    assert not await process.gate.take()
    assert await process.due() == 0


async def test_an_outage_costs_the_incumbent_no_lease(process: Process, clock: FakeClock) -> None:
    """Once storage answers again it finds its own token, and waits for nobody."""
    await process.start()
    await clock.sleep(INTERVAL)
    process.fail_before = 2
    with pytest.raises(StorageUnavailable):
        await process.gate.take()
    assert await process.due() == 0


async def test_a_storage_error_starts_an_observers_count_again(
    process: Process, account: Account, clock: FakeClock
) -> None:
    """It cannot know what happened meanwhile."""
    await process.start()
    other = Process(account, clock)
    await other.due()
    await clock.sleep(4)
    other.fail_before = 1
    with pytest.raises(StorageUnavailable):
        await other.due()
    assert await other.due() == INTERVAL


async def test_a_gate_that_vanished_is_made_again_and_waited_for(
    process: Process, account: Account, clock: FakeClock
) -> None:
    """Storage that lost its last seconds must not make a gap shorter."""
    await process.start()
    await clock.sleep(INTERVAL)
    account.table("dispatch").clear()
    assert not await process.gate.take()
    assert await process.due() == INTERVAL


async def test_a_stalled_starter_must_give_up(process: Process, clock: FakeClock) -> None:
    """Its successor relies on that."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    await clock.sleep(1.0)
    assert process.gate.may_start()
    await clock.sleep(0.001)
    assert not process.gate.may_start()


async def test_a_pause_holds_for_everybody(process: Process, account: Account, clock: FakeClock) -> None:
    """One row carries limit, lease and pause."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    process.gate.started()
    process.gate.pause(60, "the API asked to wait")
    await process.gate.give_back(started=True)
    assert await process.due() == 60
    assert await Process(account, clock).due() == 60


async def test_a_restart_does_not_begin_a_pause_again(process: Process, account: Account, clock: FakeClock) -> None:
    """While it lasts, the incumbent writes down what is left; a later process waits little longer than that."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    process.gate.started()
    process.gate.pause(3600, "the API asked to wait")
    await process.gate.give_back(started=True)
    writes = set()
    for _ in range(600):
        await clock.sleep(5)
        await process.gate.renew_pause()
        writes.add(account.table("dispatch")["gate", "gate"].etag)
    assert len(writes) == pytest.approx(3000 / 15, abs=2)
    assert 600 <= await Process(account, clock).due() <= 615
    assert await process.due() == 600


async def test_a_pause_whose_write_was_refused_is_written_again(
    process: Process, account: Account, clock: FakeClock
) -> None:
    """Nobody else has taken the gate, and they would all start when the lease is over."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    started_at = process.gate.started()
    process.gate.pause(60, "the API asked to wait")
    process.fail_before = 1
    await process.gate.give_back(started=True)
    assert await Process(account, clock).due() == 60
    row = account.table("dispatch")["gate", "gate"].entity
    assert (row["pause"], row["started_at"]) == ("the API asked to wait", started_at.isoformat())


async def test_a_pause_that_an_outage_kept_from_the_row_is_written_later(
    process: Process, account: Account, clock: FakeClock
) -> None:
    """The incumbent knows of it alone until then: others would start, and nobody could say why it does not."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    started_at = process.gate.started()
    process.gate.pause(3600, "the API asked to wait")
    process.fail_before = 2
    with pytest.raises(StorageUnavailable):
        await process.gate.give_back(started=True)
    assert await process.due() == 3600
    await process.gate.renew_pause()
    assert await Process(account, clock).due() == 3600
    row = account.table("dispatch")["gate", "gate"].entity
    assert (row["pause"], row["started_at"]) == ("the API asked to wait", started_at.isoformat())


async def test_a_pause_outlives_the_row(process: Process, account: Account, clock: FakeClock) -> None:
    """The external API knows nothing of storage that was emptied."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    process.gate.started()
    process.gate.pause(60, "the API asked to wait")
    account.table("dispatch").clear()
    await process.gate.give_back(started=True)
    assert await process.due() == 60
    assert await Process(account, clock).due() == 60
    assert account.table("dispatch")["gate", "gate"].entity["pause"] == "the API asked to wait"


async def test_the_slot_goes_on_behind_one_that_storage_lost(process: Process, clock: FakeClock) -> None:
    """A fencing token that repeated would let two owners pass."""
    await clock.sleep(await process.due())
    assert await process.gate.take()
    process.gate.outrun(40)
    await process.gate.give_back(started=False)
    assert await process.gate.take()
    assert process.gate.slot == 41
