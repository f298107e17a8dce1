"""A host that is frozen or cut off in the middle of a batch comes back as a zombie, and is refused."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from devtools.azurite import Azurite
from devtools.child import wait_until
from tests.e2e.limit import check_distances
from tests.soak.api import Api, Arrival, running_api
from tests.soak.callers import Ingestion
from tests.soak.fleet import Fleet, fleet
from tests.soak.line import Line
from tests.soak.run import INTERVAL, SETTINGS, records_of
from tests.soak.starts import starts_of
from tests.support.hosts import FunctionHost

NEVER = "0 0 0 1 1 *"


class Pair:
    """One host that ticks, over a line that can be cut, and one that ticks only when told to."""

    def __init__(self, hosts: Fleet, api: Api, line: Line, storage: Azurite) -> None:
        self.api = api
        self.line = line
        own = storage.connection_string.replace(f":{storage.ports[2]}/", f":{line.port}/")
        self.names = [*hosts.start(storage=own), *hosts.start(INGEST_SCHEDULE=NEVER)]
        self.ticking, self.other = (hosts.hosts[name] for name in self.names)
        self._ingestions: list[Ingestion] = []
        self._items = 0

    def post(self, batches: int) -> tuple[str, list[int]]:
        """Have IDs accepted that the API has not seen yet."""
        ids = list(range(self._items + 1, self._items + 3 * batches + 1))
        self._items += len(ids)
        ingestion_id = self.other.post(ids)
        self._ingestions.append(Ingestion(ids, "HIGH", key=ingestion_id, ingestion_id=ingestion_id))
        return ingestion_id, ids

    def started(self) -> tuple[str, int]:
        """Have the ticking host start a batch; return it. A tick that the other still waits in may be faster: again."""
        while True:
            ingestion_id, (item_id, *_) = self.post(1)
            wait_until(lambda: self.arrivals(item_id), seconds=60, what="the batch is started")  # noqa: B023 # called at once
            if self.arrivals(item_id, self.ticking):
                return ingestion_id, item_id
            self.other.wait_for(ingestion_id, "completed")

    def writing(self) -> bool:
        """Whether the line keeps back the end of a batch, which is an entity group transaction."""
        return any(b"$batch" in piece for piece in self.line.kept_back)

    def arrivals(self, item_id: int, host: FunctionHost | None = None) -> list[Arrival]:
        """The requests for an ID, from both or from one."""
        names = self.names if host is None else [self.names[[self.ticking, self.other].index(host)]]
        return [one for one in self.api.arrivals() if one.item_id == item_id and one.process in names]

    def other_takes_over(self, ingestion_id: str, item_id: int) -> dict[str, Any]:
        """Tick the other host until it has completed the batch with this ID; return the record."""

        def completed() -> dict[str, Any] | None:
            self.other.run("dispatch")
            return self.record(ingestion_id, item_id)

        wait_until(completed, seconds=120, what="the other host completes the batch")
        record = self.record(ingestion_id, item_id)
        assert record is not None
        return record

    def check_distances(self) -> None:
        """No start of either host came too early, also not of two batches in a row."""
        ingestion_id, _ = self.post(2)
        self.other.wait_for(ingestion_id, "completed")
        starts = starts_of(self.api.arrivals(), self._ingestions)
        check_distances(starts, records_of(self.other, self._ingestions), INTERVAL)

    def record(self, ingestion_id: str, item_id: int) -> dict[str, Any] | None:
        """The record of a batch that has ended."""
        found = [one for one in self.other.records(ingestion_id) if item_id in one["ids"]]
        return found[0] if found[0]["completed_at"] else None


@pytest.fixture(scope="module")
def pair(kind: str, storage: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two hosts for all tests on zombies; in the end no start came too early."""
    folder = tmp_path_factory.mktemp("pair")
    with (
        running_api(folder) as api,
        closing(Line(storage.ports[2])) as line,
        fleet(kind, folder, storage.connection_string, api, **SETTINGS) as hosts,
    ):
        api.behave(delay_seconds=0.4)
        both = Pair(hosts, api, line, storage)
        yield both
        both.check_distances()


def test_a_frozen_host_wakes_up_as_a_zombie_and_is_refused(pair: Pair) -> None:
    """It is suspended in the middle of a batch, which another host completes; what it then writes changes nothing."""
    ingestion_id, item_id = pair.started()
    pair.ticking.freeze()
    record = pair.other_takes_over(ingestion_id, item_id)
    pair.ticking.thaw()
    wait_until(lambda: "batch.mark_lost" in pair.ticking.output(), seconds=60, what="the zombie is refused")
    assert (record["status"], record["attempts"]) == ("completed", 2)
    assert pair.record(ingestion_id, item_id) == record
    assert len(pair.arrivals(item_id)) == 2


def test_a_completion_that_comes_after_the_lease_is_refused(pair: Pair) -> None:
    """The line keeps back a host's last write until another host has completed the batch: storage answers 412."""
    while True:
        ingestion_id, item_id = pair.started()
        pair.line.keep_back()
        wait_until(lambda: pair.writing() or pair.record(ingestion_id, item_id), seconds=60, what="it is answered")  # noqa: B023 # called at once
        if pair.writing():
            break
        pair.line.release()  # it was faster
    record = pair.other_takes_over(ingestion_id, item_id)
    pair.line.release()
    wait_until(lambda: b" 412 " in b"".join(pair.line.answers), seconds=60, what="the late write is answered")
    assert (record["status"], record["attempts"]) == ("completed", 2)
    assert pair.record(ingestion_id, item_id) == record
