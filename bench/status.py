"""Measures the status: in comparison with encoding the same answer, and over HTTP with the other designs."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from bench.accept import Designs, Times
from bench.bodies import ids_of
from bench.counting import Calls
from bench.load import Generator
from bench.plan import SIZES, Plan
from bench.report import Bar, Chart, Row, Section
from bench.service import service_on
from bench.stats import ratios, spread
from devtools.azurite import azurite
from ingest_core.api import handlers as api
from ingest_core.api import views
from ingest_core.app import Parts
from ingest_core.models import Ingestion, Priority

METHOD = """\
At the function: the handler of `GET /status/{ingestion_id}` called in-process on a real Azurite, for ingestions written
at the start, half-way (a batch in flight) and finished. Beside it, by turns, `json.dumps` of the very same answer as
Python objects (*encode*) and the view alone, without its point read (*view*). A short answer is encoded in less time
than a point read takes, so only long lists have a goal. Over HTTP: one connection, designs by turns as for accepting,
at the start."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LARGE = 30_000
POINT_READ = (
    "the one point read, of 1 to 1.5 ms by itself, which encoding a short answer in 0.01 to 0.9 ms cannot hide; "
    "without it (view alone) a status of 300 IDs and more takes less than encoding it."
)
"""What takes the time for lists that are smaller than `LARGE`."""


class Sample:
    """Milliseconds of the handler, of the view alone, and of encoding, measured in turn."""

    def __init__(self) -> None:
        self.handler: list[float] = []
        self.view: list[float] = []
        self.encode: list[float] = []


def ingestion(size: int, state: str) -> Ingestion:
    """Make an ingestion of `size` IDs in one of the three states."""
    whole = Ingestion(
        ingestion_id=uuid4(),
        priority=Priority.LOW,
        created_at=NOW,
        queued_at=NOW,
        id_count=size,
        batch_size=3,
        digest="0" * 64,
    )
    match state:
        case "start":
            return whole
        case "half-way":
            index = whole.batch_count // 2
            return whole.batch_started(index, token=str(uuid4()), age=0, lease=25, at=NOW)
        case _:
            return replace(whole, started_batches=whole.batch_count, ended_at=NOW)


async def measure_function(plan: Plan, folder: Path) -> tuple[dict[tuple[str, int], Sample], int]:
    """Return the samples by state and size, and the greatest number of storage calls for one answer."""
    counted = Calls()
    samples = {}
    most = 0
    with azurite(folder / "status") as storage:
        service = service_on(storage.connection_string, transport=counted.transport)
        for state in ("start", "half-way", "finished"):
            for size in SIZES:
                shown = ingestion(size, state)
                await service.parts.stores.ingestions.insert(shown, ids_of(size))
                before = counted.count
                samples[state, size] = await _sample(service.parts, shown, plan.rounds)
                most = max(most, (counted.count - before) // (plan.rounds + 1))
        await service.storage.close()
    return samples, most


async def _sample(parts: Parts, shown: Ingestion, rounds: int) -> Sample:
    sample = Sample()
    ids = ids_of(shown.id_count)
    request = api.Request(path={"ingestion_id": str(shown.ingestion_id)})
    answer = await api.status(parts.context, request)  # warms up
    objects = json.loads(answer.body)
    for _ in range(rounds):
        began = time.perf_counter()
        await api.status(parts.context, request)
        sample.handler.append((time.perf_counter() - began) * 1000)
        sample.view.append(_timed(lambda: views.status_text(shown, ids)))
        sample.encode.append(_timed(lambda: json.dumps(objects)))
    return sample


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def measure_http(plan: Plan, load: Generator, designs: Designs) -> dict[str, Times]:
    """Median milliseconds of each round, by design and size."""
    targets = {
        (name, size): _posted(load, url, size)
        for name, url in (("ours", designs.ours), ("plain", designs.plain), ("memory", designs.memory))
        for size in (plan.plain_sizes if name == "plain" else SIZES)
    }
    times: dict[str, Times] = {"ours": {}, "plain": {}, "memory": {}}
    for _ in range(plan.rounds):
        for (name, size), url in targets.items():
            taken = load.get(url, count=1 if size > 3_000 else 3).milliseconds
            times[name].setdefault(size, []).append(spread(taken).middle)
    return times


def _posted(load: Generator, url: str, size: int) -> str:
    accepted = json.loads(load.post(url, size, priority="LOW", count=1).last)
    return f"{url}/status/{UUID(accepted['ingestion_id'])}"


def section(plan: Plan, http: dict[str, Times], samples: dict[tuple[str, int], Sample], most_calls: int) -> Section:
    """Return the rows and the chart about the status."""
    calls = Row(
        what="storage calls of one status", measured=str(most_calls), goal="1 at every size", reached=most_calls == 1
    )
    rows = [_function_row(state, size, sample) for (state, size), sample in samples.items()]
    rows += [_http_row(plan, http, size) for size in SIZES]
    bars = []
    for size in SIZES:
        sample, group = samples["half-way", size], f"{size:,} IDs".replace(",", " ")
        bars += [
            Bar(group=group, kind="status", value=spread(sample.handler).middle),
            Bar(group=group, kind="encode", value=spread(sample.encode).middle),
        ]
    chart = Chart(title="Status half-way at the function, and encoding the same answer", unit="ms", bars=bars)
    return Section(title="Status", method=METHOD, rows=[calls, *rows], charts=[chart])


def _function_row(state: str, size: int, sample: Sample) -> Row:
    to_encode = ratios(sample.handler, sample.encode)
    view = ratios(sample.view, sample.encode)
    return Row(
        headline=(state, size) == ("half-way", SIZES[-1]),
        what=f"status of {size} IDs, {state}, at the function",
        measured=spread(sample.handler).text("ms"),
        beside=f"encode {spread(sample.encode).text()}: {to_encode.text()} x, view alone {view.text()} x",
        goal="within 2 x encode" if size >= LARGE else "",
        reached=to_encode.middle <= 2 if size >= LARGE else None,
        limit=POINT_READ if size < LARGE else "",
    )


def _http_row(plan: Plan, http: dict[str, Times], size: int) -> Row:
    plain = f"plain {spread(http['plain'][size]).text()}, " if size in plan.plain_sizes else ""
    return Row(
        what=f"status of {size} IDs over HTTP",
        measured=spread(http["ours"][size]).text("ms"),
        beside=f"{plain}memory {spread(http['memory'][size]).text()}",
    )
