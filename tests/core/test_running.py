"""Tests of the batches that a process runs: sent, settled, taken back, and never started twice at once."""

import asyncio
import logging
from uuid import UUID

import pytest

from ingest_core.dispatch.gate import Gate
from ingest_core.dispatch.running import Running
from ingest_core.dispatch.settlement import Rules, StartedBatch
from ingest_core.errors import AttemptFailed, SourceError, SourceUnavailable
from ingest_core.models import Flight, Ingestion, Priority, Status
from tests.support.dispatching import Api, Host, World, in_virtual_time
from tests.support.virtual_time import EPOCH

MINE = "mine"


class Batches:
    """A process with one marked batch of one list."""

    def __init__(self, api: Api | None = None) -> None:
        self.world = World()
        self.host: Host = self.world.host(api)
        stores = self.host.stores
        self.gate = Gate(stores.gate, self.host.clock, interval=5.0)
        self.running = Running(
            stores,
            gate=self.gate,
            source=self.host.api,
            source_timeout_seconds=10.0,
            clock=self.host.clock,
            rules=Rules(max_attempts=5, interval=5.0, max_retry_after=3600.0),
        )
        self.posted = UUID(int=0)

    async def marked(self, token: str = MINE) -> StartedBatch:
        """Post a list of one batch, unless there is one, and mark its batch."""
        await self.gate.look()
        if not self.posted.int:
            self.posted = await self.world.post([1, 2, 3])
        written = await self.host.stores.ingestions.change(
            self.posted, lambda row: row.batch_started(0, token=token, age=0.0, lease=25.0, at=EPOCH)
        )
        assert written is not None
        flight = written.value.flight(0)
        assert flight is not None
        return StartedBatch(
            ingestion_id=self.posted,
            lane=Priority.LOW,
            index=0,
            ids=[1, 2, 3],
            token=token,
            started_at=EPOCH,
            attempts=flight.attempts,
            failures=flight.failures,
        )

    async def ingestion(self) -> Ingestion:
        """The list as it is stored."""
        return await self.world.ingestion(self.posted)

    async def flight(self) -> Flight:
        """The batch in flight as it is stored."""
        flight = (await self.ingestion()).flight(0)
        assert flight is not None
        return flight

    async def send(self, batch: StartedBatch) -> None:
        """Send a batch."""
        assert await self.running.start(batch, may_send=lambda: True)

    def texts(self) -> list[str]:
        """The log lines that have come together."""
        return [line.text.partition(" ")[0] for line in self.running.take_lines()]


@in_virtual_time
async def test_a_batch_is_sent_recorded_and_closed_in_a_task_of_its_own() -> None:
    """Starting it returns when it was sent."""
    batches = Batches(Api(seconds=3.0))
    await batches.send(await batches.marked())
    assert (len(batches.running), batches.running.fetching) == (1, 1)
    assert batches.running.batches_of(batches.posted) == {0}
    await asyncio.sleep(3.1)
    assert (len(batches.running), batches.running.fetching) == (0, 0)
    assert (await batches.ingestion()).status is Status.COMPLETED
    assert len([row async for row in batches.world.stores.history.rows()]) == 1


@in_virtual_time
async def test_its_place_is_free_when_the_fetch_is_over_however_long_the_end_takes() -> None:
    """The batch itself stays this process's until its end is written."""
    batches = Batches()
    batches.host.wire.seconds["ingestions put_and_merge"] = 30.0
    await batches.send(await batches.marked())
    await asyncio.sleep(1)
    assert (len(batches.running), batches.running.fetching) == (1, 0)
    assert batches.running.batches_of(batches.posted) == {0}


@in_virtual_time
async def test_the_interval_counts_from_the_send() -> None:
    """The owner's next slot is due five seconds after it."""
    batches = Batches()
    batch = await batches.marked()
    await asyncio.sleep(20)
    await batches.send(batch)
    assert batches.gate.due_at() - batches.host.clock.monotonic() == pytest.approx(5.0, abs=0.001)


@in_virtual_time
async def test_a_batch_that_may_not_be_sent_is_given_up_and_its_mark_taken_back() -> None:
    """Nothing was sent, so the start does not count."""
    batches = Batches()
    batch = await batches.marked()
    assert not await batches.running.start(batch, may_send=lambda: False)
    await asyncio.sleep(1)
    flight = await batches.flight()
    assert (flight.running, flight.attempts, flight.unrecorded) == (False, 0, 0)
    assert batches.host.api.fetches == []
    assert batches.texts() == ["batch.not_sent"]


@in_virtual_time
async def test_a_mark_is_taken_back_as_soon_as_storage_allows_it() -> None:
    """Meanwhile the batch is this process's."""
    batches = Batches()
    batch = await batches.marked()
    batches.host.wire.failing.update({"ingestions merge", "ingestions get"})
    batches.running.undo_start(batch)
    await asyncio.sleep(20)
    assert batches.running.batches_of(batches.posted) == {0}
    batches.host.wire.failing.clear()
    await asyncio.sleep(6)
    assert not (await batches.flight()).running
    assert len(batches.running) == 0


@in_virtual_time
async def test_log_lines_are_collected_and_handed_out_once(caplog: pytest.LogCaptureFixture) -> None:
    """A task logs nothing by itself."""
    caplog.set_level(logging.DEBUG, "ingest_core")
    batches = Batches()
    await batches.send(await batches.marked())
    await asyncio.sleep(1)
    assert caplog.text == ""
    assert batches.texts() == ["batch.started", "batch.completed", "ingestion.completed"]
    assert batches.texts() == []


@in_virtual_time
async def test_a_batch_that_another_process_has_started_since_is_left_to_it() -> None:
    """The mark's token is another's, so the end is refused."""
    batches = Batches(Api(seconds=2.0))
    await batches.send(await batches.marked("mine"))
    await batches.world.stores.ingestions.change(
        batches.posted, lambda row: row.batch_started(0, token="other", age=30.0, lease=25.0, at=EPOCH)
    )
    await asyncio.sleep(3)
    flight = await batches.flight()
    assert (flight.token, flight.running) == ("other", True)
    assert "batch.mark_lost" in batches.texts()


@pytest.mark.parametrize("is_cancelled", [False, True])
@in_virtual_time
async def test_the_lost_answer_of_a_failed_attempt_is_recognised(*, is_cancelled: bool) -> None:
    """The failure is logged, and a cancelled list is closed, as if the answer had arrived."""
    batches = Batches(Api(seconds=2.0, answer=lambda _: AttemptFailed("500")))
    await batches.send(await batches.marked())
    if is_cancelled:
        await batches.world.stores.ingestions.change(batches.posted, lambda row: row.cancelled(reason="", at=EPOCH))
    batches.host.wire.losing.add("ingestions merge")
    await asyncio.sleep(3)
    assert batches.texts()[1:] == ["batch.attempt_failed", *["ingestion.cancelled"] * is_cancelled]
    assert len([row async for row in batches.world.stores.history.rows()]) == is_cancelled


@pytest.mark.parametrize("has_ended", [False, True])
@in_virtual_time
async def test_what_another_start_has_settled_is_not_taken_for_the_own_failure(*, has_ended: bool) -> None:
    """Just before this process writes, another one has started the batch again, and has failed or ended."""
    batches = Batches(Api(answer=lambda _: AttemptFailed("500")))
    await batches.send(await batches.marked("mine"))

    def settled(row: Ingestion) -> Ingestion | None:
        row = row.batch_started(0, token="other", age=30.0, lease=25.0, at=EPOCH)
        if has_ended:
            ended = row.batch_ended(0, "other", has_failed=False, error_count=0)
            return ended and ended.with_end(EPOCH)
        return row.attempt_failed(0, "other", error="502", counts=True, not_before=0.0)

    async def settle() -> None:
        await batches.world.stores.ingestions.change(batches.posted, settled)

    batches.host.wire.once["ingestions merge"] = settle
    await asyncio.sleep(1)
    assert batches.texts()[1:] == ["batch.mark_lost"]


@in_virtual_time
async def test_a_batch_whose_row_is_gone_ends_with_a_line() -> None:
    """Nobody tries for ever to write to a row that was deleted."""
    batches = Batches(Api(seconds=2.0))
    await batches.send(await batches.marked())
    await batches.world.stores.ingestions.delete(await batches.world.stores.ingestions.read(batches.posted))
    await asyncio.sleep(3)
    assert len(batches.running) == 0
    assert "batch.row_lost" in batches.texts()


@in_virtual_time
async def test_an_end_is_tried_until_it_is_written_and_logged_twice() -> None:
    """Once when it fails first, once when it is written; not with every try."""
    batches = Batches()
    batches.host.wire.failing.add("ingestions put_and_merge")
    await batches.send(await batches.marked())
    await asyncio.sleep(60)
    assert batches.texts() == ["batch.started", "batch.end_unwritten"]
    assert batches.host.wire.calls.count("ingestions put_and_merge") > 10
    assert batches.gate.has_unwritten_reasons
    batches.host.wire.failing.clear()
    await asyncio.sleep(6)
    assert batches.texts() == ["batch.completed", "ingestion.completed"]


@pytest.mark.parametrize("other", [AttemptFailed("500"), SourceUnavailable("429")])
@in_virtual_time
async def test_the_trace_of_an_error_in_the_source_comes_back_to_the_tick_once(other: SourceError) -> None:
    """Whatever the other IDs of the batch came to: logged where it happens, the host could drop it."""
    broken = AttemptFailed("the source raised KeyError", log_text="source.call_failed Traceback ...")
    batches = Batches(Api(answer=lambda item_id: other if item_id == 3 else broken))
    await batches.send(await batches.marked())
    await asyncio.sleep(1)
    assert batches.texts().count("source.call_failed") == 1


@in_virtual_time
async def test_a_poison_message_is_written_before_the_end_and_once() -> None:
    """It must not be missing, so a failing end does not repeat it."""
    batches = Batches(Api(answer=lambda _: AttemptFailed("500")))
    for number in range(5):
        batch = await batches.marked(f"t{number}")
        if number == 4:
            batches.host.wire.failing.add("ingestions put_and_merge")
        await batches.send(batch)
        await asyncio.sleep(1)
    await asyncio.sleep(30)
    assert len(batches.world.poisoned()) == 1
    assert (await batches.flight()).running
    batches.host.wire.failing.clear()
    await asyncio.sleep(6)
    assert len(batches.world.poisoned()) == 1
    assert (await batches.ingestion()).status is Status.FAILED


@in_virtual_time
async def test_a_batch_whose_poison_message_a_stopping_process_cannot_write_does_not_end() -> None:
    """Otherwise the message would be missing for good. Another process starts the batch after its lease."""
    batches = Batches(Api(answer=lambda _: AttemptFailed("500")))
    for number in range(5):
        batch = await batches.marked(f"t{number}")
        if number == 4:
            batches.host.wire.failing.add("ingest-low put")
        await batches.send(batch)
        await asyncio.sleep(1)
    await batches.running.stop()
    assert (await batches.flight()).running
    assert batches.texts()[-1] == "batch.poison_unwritten"


@in_virtual_time
async def test_a_closing_that_fails_is_left_to_upkeep() -> None:
    """The batch has ended all the same."""
    batches = Batches()
    batches.host.wire.failing.add("history replace")
    await batches.send(await batches.marked())
    await asyncio.sleep(5)
    assert (await batches.ingestion()).status is Status.COMPLETED
    assert len(batches.running) == 0
    assert "ingestion.close_failed" in batches.texts()
    assert len([row async for row in batches.world.stores.backlog.rows()]) == 1


@in_virtual_time
async def test_the_gate_is_throttled_although_the_attempts_end_cannot_be_written() -> None:
    """The two writes do not wait for each other."""
    batches = Batches(Api(answer=lambda _: SourceUnavailable("429", retry_after_seconds=60)))
    batch = await batches.marked()
    batches.host.wire.failing.add("ingestions merge")
    await batches.send(batch)
    await asyncio.sleep(2)
    gate = await batches.world.gate()
    assert gate.throttled_reason == "429"
    assert gate.due - gate.age > 57
    assert (await batches.flight()).running


@in_virtual_time
async def test_waiting_ends_when_a_batch_ends_or_the_time_is_over() -> None:
    """A tick waits so for what happens next."""
    batches = Batches(Api(seconds=3.0))
    await batches.send(await batches.marked())
    clock = batches.host.clock
    began = clock.monotonic()
    await batches.running.wait(1.0)
    assert clock.monotonic() - began == pytest.approx(1.0, abs=0.01)
    await batches.running.wait(60.0)
    assert clock.monotonic() - began == pytest.approx(3.0, abs=0.01)


@in_virtual_time
async def test_closing_stops_the_fetch_and_takes_the_mark_back() -> None:
    """The start counts, because something was sent."""
    batches = Batches(Api(seconds=9.0))
    await batches.send(await batches.marked())
    await asyncio.sleep(2)
    await batches.running.stop()
    flight = await batches.flight()
    assert (flight.running, flight.attempts, flight.failures) == (False, 1, 0)
    assert len(batches.running) == 0


@in_virtual_time
async def test_closing_sees_an_end_written_that_is_being_written() -> None:
    """The fetch is over, so there is something to record."""
    batches = Batches()
    batches.host.wire.seconds["ingestions put_and_merge"] = 1.0
    await batches.send(await batches.marked())
    await asyncio.sleep(0.5)
    await batches.running.stop()
    assert (await batches.ingestion()).status is Status.COMPLETED


@in_virtual_time
async def test_closing_without_storage_ends_after_one_more_try() -> None:
    """The lease does the rest."""
    batches = Batches(Api(seconds=9.0))
    await batches.send(await batches.marked())
    await asyncio.sleep(1)
    batches.host.wire.failing.update({"ingestions merge", "ingestions get"})
    began = batches.host.clock.monotonic()
    await batches.running.stop()
    assert batches.host.clock.monotonic() - began < 6
    assert (await batches.flight()).running


@in_virtual_time
async def test_a_batch_that_is_cancelled_from_outside_takes_its_mark_back() -> None:
    """An event loop that ends cancels every task."""
    batches = Batches(Api(seconds=9.0))
    await batches.send(await batches.marked())
    await asyncio.sleep(1)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert not (await batches.flight()).running


@in_virtual_time
async def test_an_error_in_the_source_is_a_line_in_the_log() -> None:
    """The contract says that it raises nothing; a defect must not go unseen."""

    def defect(_: int) -> str:
        raise ZeroDivisionError

    batches = Batches(Api(answer=defect))
    await batches.send(await batches.marked())
    await asyncio.sleep(1)
    assert "batch.task_failed" in batches.texts()
    assert len(batches.running) == 0
