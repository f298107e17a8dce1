"""A run from its first host to its verdict."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from devtools.azurite import Azurite
from devtools.child import wait_until
from tests.soak.api import Api, running_api
from tests.soak.callers import BATCH_SIZE, PRIORITIES, Callers, Ingestion
from tests.soak.fleet import Fleet, fleet
from tests.soak.strikes import freezing, kill_hosts
from tests.soak.verdict import Verdict, judge
from tests.support.hosts import FunctionHost

Progress = Callable[[str], None]

INTERVAL = 1.0
SETTINGS = {
    "INGEST_SCHEDULE": "*/1 * * * * *",
    "INGEST_INTERVAL_SECONDS": str(INTERVAL),
    "INGEST_SOURCE_TIMEOUT_SECONDS": "1",
    "INGEST_LEASE_SECONDS": "3",
}
"""Of a host whose API answers at once."""

ANSWER_SECONDS = 2.5
TIMEOUT = 5.0
LEASE = TIMEOUT + 2
RUNNING = 3
"""So many batches run at once if every slot is used."""

OVERLAPPING = SETTINGS | {"INGEST_SOURCE_TIMEOUT_SECONDS": str(TIMEOUT), "INGEST_LEASE_SECONDS": str(LEASE)}
"""Of a host whose API takes longer than two intervals."""


def killed_hosts(
    kind: str,
    folder: Path,
    storage: Azurite,
    *,
    kills: int,
    seed: int,
    backlog: int = 24,
    seconds: tuple[float, float] = (3, 6),
    progress: Progress = lambda _: None,
) -> Verdict:
    """Three hosts, a stream of POSTs, kills and freezes; then everything that was accepted is waited for."""
    random = Random(seed)  # noqa: S311 # repeatable, not secret
    with (
        running_api(folder) as api,
        fleet(kind, folder, storage.connection_string, api, **OVERLAPPING) as hosts,
    ):
        api.behave(delay_seconds=ANSWER_SECONDS)
        hosts.start(3)
        callers = Callers(hosts.ports, random=Random(seed), asked_for=lambda: asked_for(api), backlog=backlog)  # noqa: S311 # as above
        callers.start()
        began = time.monotonic()

        def show(done: int) -> None:
            progress(
                f"{time.monotonic() - began:5.0f} s  kills {done}/{kills}  freezes {len(hosts.freezes)}  "
                f"ingestions {len(callers.ingestions)}  IDs fetched {asked_for(api)}"
            )

        with freezing(hosts, api, random, lease=LEASE, answer_seconds=ANSWER_SECONDS):
            kill_hosts(hosts, callers, random, kills=kills, seconds=seconds, progress=show)
        callers.finish()
        return drained(hosts, api, callers.ingestions, kills=kills)


def every_slot(
    kind: str, folder: Path, storage: Azurite, *, slots: int, progress: Progress = lambda _: None
) -> Verdict:
    """One host that always has work: ingestions of several batches in all lanes, one batch more than there are gaps."""
    with (
        running_api(folder) as api,
        fleet(kind, folder, storage.connection_string, api, **OVERLAPPING) as hosts,
    ):
        api.behave(delay_seconds=ANSWER_SECONDS)
        hosts.start()
        callers = Callers(hosts.ports, random=Random(0), asked_for=lambda: 0)  # noqa: S311 # no secret
        sizes = [min(7, slots + 1 - done) for done in range(0, slots + 1, 7)]
        for number, size in enumerate(sizes):
            callers.post(size=3 * size, priority=PRIORITIES[-number % 3])
        began = time.monotonic()

        def show() -> None:
            progress(f"{time.monotonic() - began:5.0f} s  batches {asked_for(api) // BATCH_SIZE}/{slots + 1}")

        return drained(hosts, api, callers.ingestions, kills=0, seconds=60 + 2 * slots * INTERVAL, progress=show)


def drained(
    hosts: Fleet,
    api: Api,
    ingestions: list[Ingestion],
    *,
    kills: int,
    seconds: float = 60 + 3 * LEASE,
    progress: Callable[[], None] = lambda: None,
) -> Verdict:
    """Wait until everything accepted has ended, or nothing has moved for a while, and judge."""
    host = next(iter(hosts.hosts.values()))
    left = {one.ingestion_id for one in ingestions}
    statuses: dict[str, Mapping[str, Any]] = {}

    def ended() -> bool:
        progress()
        for one in sorted(left):
            statuses[one] = host.status(one)
            if statuses[one]["status"] not in {"completed", "failed"}:
                return False
            left.discard(one)
        return True

    try:
        wait_until(ended, seconds=seconds, what="everything accepted has ended")
    except AssertionError:
        statuses |= {one: host.status(one) for one in left}
    return judge(
        interval=INTERVAL,
        arrivals=api.arrivals(),
        ingestions=ingestions,
        statuses=statuses,
        records=records_of(host, ingestions),
        log="".join(hosts.outputs().values()),
        kills=kills,
        freezes=hosts.freezes,
        running=RUNNING,
        down={name for name, text in hosts.outputs().items() if "source.down" in text},
        lease=float(hosts.settings["INGEST_LEASE_SECONDS"]),
    )


def records_of(host: FunctionHost, ingestions: list[Ingestion]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """The records of all batches that have ended, by the ingestion's key and the batch's index."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for one in ingestions:
        reply = host.call("GET", f"/status/{one.ingestion_id}/batches?limit=1000")
        batches = reply.json["batches"] if reply.status == 200 else []  # storage may have lost it
        found |= {(one.key, index): batch for index, batch in enumerate(batches) if batch["completed_at"]}
    return found


def asked_for(api: Api) -> int:
    """How many IDs the API has been asked for."""
    return len({arrival.item_id for arrival in api.arrivals()})
