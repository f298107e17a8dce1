"""Storage that is stopped, stalled, killed or rolled back under a running service, which carries on by itself.

A killed Azurite loses what it has acknowledged in its last seconds, queues and tables separately. What no clock would
repeat is done by hand, with older copies of its data.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from devtools.azurite import Azurite, azurite
from devtools.child import wait_until
from ingest_core.storage.azure import QUEUE_API_VERSION
from tests.e2e.limit import check_distances
from tests.soak.api import Api, running_api
from tests.soak.callers import Callers, Ingestion
from tests.soak.fleet import Fleet, fleet
from tests.soak.run import INTERVAL, SETTINGS, asked_for, drained, records_of
from tests.soak.starts import starts_of

A_FEW_SECONDS = 6.0
"""A storage call is given up after four."""


class Service:
    """One host that lives through everything that is done to its storage."""

    def __init__(self, hosts: Fleet, api: Api, storage: Azurite, interval: float) -> None:
        self.hosts = hosts
        self.interval = interval
        self.api = api
        self.storage = storage
        (name,) = hosts.start()
        self.host = hosts.hosts[name]
        random = Random(0)  # noqa: S311 # no secret
        self.callers = Callers(hosts.ports, random=random, asked_for=lambda: asked_for(api), backlog=6)

    def post(self, batches: int, priority: str = "LOW") -> Ingestion:
        """Have something accepted."""
        return self.callers.post(size=3 * batches, priority=priority)

    def wait_for(self, one: Ingestion, status: str) -> None:
        """Wait until it has this status."""
        self.host.wait_for(one.ingestion_id, status)

    def knows(self, one: Ingestion) -> bool:
        """Whether storage still has its row."""
        replies: list[int] = []

        def answered() -> bool:  # the first call that misses a table is refused, and the next one creates it
            replies.append(self.host.call("GET", f"/status/{one.ingestion_id}").status)
            return replies[-1] != 503

        wait_until(answered, seconds=30, what="storage is used again")
        assert replies[-1] in {200, 404}
        return replies[-1] == 200

    def wait_for_recovered(self, ingestions: Iterable[Ingestion]) -> None:
        """Run the recovery, as its timer does every ten minutes, until all of these are completed."""
        left = {one.ingestion_id for one in ingestions}
        ran_at = 0.0

        def completed() -> bool:
            nonlocal ran_at
            if time.monotonic() > ran_at + 0.5:
                self.host.run("upkeep")
                ran_at = time.monotonic()
            left.difference_update([one for one in left if self.host.status(one)["status"] == "completed"])
            return not left

        wait_until(completed, seconds=60, what="everything that storage still knows is completed")

    def restart(self, service: str, copy: Path) -> None:
        """Stop storage, put one of its services back to an older copy, and start it."""
        self.storage.stop()
        self.storage.roll_back(service, copy)
        self.storage.start()

    def copy(self, folder: Path) -> Path:
        """Stop storage for a copy of its data."""
        self.storage.stop()
        self.storage.copy_data(folder)
        self.storage.start()
        return folder

    def is_well(self) -> None:
        """New work is done, nothing waits any more, and the API has never been asked too early."""
        self.wait_for(self.post(1, "HIGH"), "completed")
        wait_until(self._is_idle, seconds=60, what="health is well again and no message is left")
        starts = starts_of(self.api.arrivals(), self.callers.ingestions)
        check_distances(starts, records_of(self.host, self.callers.ingestions), self.interval)
        assert "Traceback" not in self.host.output()

    def _is_idle(self) -> bool:
        health = self.host.call("GET", "/health")
        return health.status == 200 and not any(health.json["waiting"].values())


@contextmanager
def running(kind: str, folder: Path, interval: float) -> Iterator[Service]:
    """A service on a storage of its own."""
    settings = {**SETTINGS, "INGEST_INTERVAL_SECONDS": str(interval), "INGEST_LEASE_SECONDS": "3"}
    with (
        running_api(folder) as api,
        azurite(folder) as storage,
        fleet(kind, folder, storage.connection_string, api, **settings) as hosts,
    ):
        yield Service(hosts, api, storage, interval)


@pytest.fixture(scope="module")
def service(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a slot each second; several tests, one host that lives through all of them."""
    with running(kind, tmp_path_factory.mktemp("service"), INTERVAL) as one:
        yield one


@pytest.fixture(scope="module")
def slow_service(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose interval is longer than a restart of its storage: the limit must outlive that."""
    with running(kind, tmp_path_factory.mktemp("slow-service"), 2.0) as one:
        yield one


def test_a_stopped_storage_loses_nothing(kind: str, tmp_path: Path) -> None:
    """SIGTERM under load: callers get 503 and try again, each tick says so in a line, and then it goes on."""
    with running(kind, tmp_path, INTERVAL) as service:
        stop_and_start(service)


def stop_and_start(service: Service) -> None:
    """A verdict on the whole life of a service: nothing else may have happened to it."""
    callers, outages = service.callers, "dispatch.storage_unavailable"
    callers.start()
    wait_until(lambda: asked_for(service.api) > 3, seconds=60, what="batches are started")
    began = time.monotonic()
    service.storage.stop()
    for _ in range(3):
        callers.post_in_background(service.host.port)
    wait_until(lambda: len(callers.failed_calls) >= 5, seconds=60, what="callers are refused")
    wait_until(lambda: service.host.output().count(outages) >= 4, seconds=60, what="four ticks have failed")
    lines, seconds = service.host.output().count(outages), time.monotonic() - began
    service.storage.start()
    callers.finish()
    for failed in callers.failed_calls:
        assert (failed.reply.status, failed.reply.headers["content-type"]) == (503, "application/problem+json")
        assert (failed.reply.headers["retry-after"], failed.reply.json["status"]) == ("1", 503)
        assert failed.seconds < A_FEW_SECONDS
    # A tick may have begun before, and the one that follows an overrun comes at once.
    assert lines <= seconds / INTERVAL + 3, "a tick says it more than once"
    verdict = drained(service.hosts, service.api, callers.ingestions, kills=1)
    assert not verdict.problems(), verdict.text()


def test_a_stalled_storage_is_not_waited_for(service: Service) -> None:
    """It accepts connections and says nothing: 503 after a few seconds, and the same key is accepted afterwards."""
    service.wait_for(service.post(1), "completed")
    service.storage.freeze()
    service.callers.failed_calls.clear()
    service.callers.post_in_background(service.host.port)
    wait_until(lambda: service.callers.failed_calls, seconds=60, what="a caller is refused")
    service.storage.thaw()
    service.callers.finish()
    failed = service.callers.failed_calls[0]
    assert (failed.reply.status, failed.reply.headers["retry-after"]) == (503, "1")
    assert failed.seconds < A_FEW_SECONDS
    service.wait_for(service.callers.ingestions[-1], "completed")


def test_a_killed_storage_is_made_the_best_of(service: Service) -> None:
    """SIGKILL under load: what it forgot is gone, and everything that it still knows is finished."""
    before = asked_for(service.api)
    service.callers.start()
    wait_until(lambda: asked_for(service.api) > before, seconds=60, what="batches are started")
    wait_until(lambda: on_disk(service.storage, "table", "queue"), seconds=60, what="some of it is on disk")
    service.post(1)
    service.storage.kill()
    service.storage.start()
    service.callers.finish()
    service.wait_for_recovered(filter(service.knows, service.callers.ingestions))
    service.is_well()


def test_a_queue_that_went_back_is_filled_again(service: Service, tmp_path: Path) -> None:
    """Deleted messages are back, later ones are lost: each unfinished ingestion runs, none runs twice."""
    finished = service.post(2)
    service.wait_for(finished, "triggered")
    copy = service.copy(tmp_path / "copy")
    service.wait_for(finished, "completed")
    lost = [service.post(2), service.post(1), service.post(1, "HIGH")]
    service.restart("queue", copy)
    service.wait_for_recovered(lost)
    records = service.host.records(*(one.ingestion_id for one in (finished, *lost)))
    lows = [record["ids"] for record in records if record["ids"][0] not in lost[2].ids]
    assert [item_id for ids in lows for item_id in ids] == [*finished.ids, *lost[0].ids, *lost[1].ids]
    service.is_well()


def test_a_table_that_went_back_is_worked_off_again(slow_service: Service, tmp_path: Path) -> None:
    """An ingestion goes on from the cursor that storage remembers; a message without a row is poison."""
    service = slow_service
    repeated = service.post(1)
    copy = service.copy(tmp_path / "copy")
    service.wait_for(repeated, "completed")
    forgotten = service.post(2)
    service.restart("table", copy)
    service.wait_for_recovered([repeated])
    assert not service.knows(forgotten)
    service.is_well()
    assert forgotten.ingestion_id in [message["ingestion_id"] for message in poisoned(service.storage, "low")]


def test_storage_that_forgot_its_tables_is_set_up_again(slow_service: Service, tmp_path: Path) -> None:
    """Rows and gate are gone, messages are not: no slot comes early, and new work is done."""
    service = slow_service
    (tmp_path / "nothing").mkdir()
    forgotten = service.post(5)
    service.wait_for(forgotten, "triggered")
    service.restart("table", tmp_path / "nothing")
    service.is_well()
    assert not service.knows(forgotten)


def on_disk(storage: Azurite, *services: str) -> bool:
    """Whether these services have written down what they know of us; they do that every five seconds."""
    files = [storage.data / f"__azurite_db_{service}__.json" for service in services]
    return all(file.is_file() and "ingest" in file.read_text() for file in files)


def poisoned(storage: Azurite, lane: str) -> list[dict[str, Any]]:
    """The front of a lane's poison queue."""
    name = f"ingest-{lane}-poison"
    with QueueClient.from_connection_string(storage.connection_string, name, api_version=QUEUE_API_VERSION) as queue:
        return [json.loads(message.content) for message in queue.peek_messages(32)]
