"""`GET /metrics`: the state of the service as Prometheus text (version 0.0.4).

Everything comes from storage, so whichever host answers gives the same numbers: scrape one address, not each host.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ingest_core.api import queries
from ingest_core.api.messages import NO_CACHE, PROMETHEUS, Answer, Request
from ingest_core.api.routing import Context, resource
from ingest_core.models import Priority
from ingest_core.service.overview import Overview
from ingest_core.storage.gate_row import SWITCHES


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric with its values. Each value has its labels as text, like `{lane="HIGH"}`; most have none."""

    name: str
    meaning: str
    values: Mapping[str, float]
    kind: str = "gauge"

    def __str__(self) -> str:
        """The metric in Prometheus' format; nothing in it needs escaping."""
        lines = [f"# HELP {self.name} {self.meaning}", f"# TYPE {self.name} {self.kind}"]
        lines += [f"{self.name}{labels} {value!r}" for labels, value in self.values.items()]
        return "".join(f"{line}\n" for line in lines)


async def _metrics(context: Context, request: Request) -> Answer:
    queries.parameters(request)
    overview = await context.service.overview()
    poison_messages = await context.service.poison_messages()
    texts = map(str, [*_lane_metrics(overview, poison_messages), *_gate_metrics(overview, context.interval)])
    return Answer(status=200, body="".join(texts), content_type=PROMETHEUS, headers=NO_CACHE)


metrics = resource(GET=_metrics)


def _lane_metrics(overview: Overview, poison_messages: Mapping[Priority, int]) -> Iterable[Metric]:
    lanes = overview.lanes
    yield Metric(
        name="ingest_open_ingestions",
        meaning="Ingestions that have not ended.",
        values={_lane(lane): lanes[lane].ingestions for lane in Priority},
    )
    yield Metric(
        name="ingest_waiting_batches",
        meaning="Batches that have to start, repeated attempts included.",
        values={_lane(lane): lanes[lane].batches for lane in Priority},
    )
    yield Metric(
        name="ingest_oldest_wait_seconds",
        meaning="How long the oldest ingestion that was never started has waited; 0 if there is none.",
        values={_lane(lane): _oldest_wait(overview, lane) for lane in Priority},
    )
    yield Metric(
        name="ingest_poison_messages",
        meaning="About how many messages are in the poison queue: failed batches and what could not be read.",
        values={_lane(lane): poison_messages[lane] for lane in Priority},
    )


def _gate_metrics(overview: Overview, interval: float) -> Iterable[Metric]:
    gate = overview.gate
    flights = [flight for lane in overview.lanes.values() for ingestion in lane.front for flight in ingestion.in_flight]
    yield Metric(
        name="ingest_batches_in_flight",
        meaning="Batches that were started and have not ended: they run, or wait for another attempt.",
        values={"": len(flights)},
    )
    yield Metric(
        name="ingest_batches_running", meaning="Batches whose fetch is under way.", values={"": len(overview.running)}
    )
    yield Metric(
        name="ingest_slots_granted_total",
        meaning="Slots granted since the gate was made; a sweep of the queues may take one without a start.",
        values={"": gate.slots_granted},
        kind="counter",
    )
    yield Metric(
        name="ingest_last_start_timestamp_seconds",
        meaning="When the latest batch started; no value before the first one.",
        values={"": gate.last_start_at.timestamp()} if gate.last_start_at else {},
    )
    yield Metric(
        name="ingest_paused",
        meaning="1 while a person has paused the lane, or everything (ALL).",
        values={f'{{switch="{switch}"}}': int(switch in gate.pauses) for switch in SWITCHES},
    )
    yield Metric(
        name="ingest_throttled",
        meaning="1 while the external API has asked to wait, or cannot be reached.",
        values={"": int(gate.throttle is not None)},
    )
    yield Metric(
        name="ingest_api_down",
        meaning="1 while the external API is taken to be down.",
        values={"": int(bool(gate.down_since))},
    )
    yield Metric(
        name="ingest_interval_seconds",
        meaning="The least time between two starts.",
        values={"": interval},
    )


def _lane(lane: Priority) -> str:
    return f'{{lane="{lane}"}}'


def _oldest_wait(overview: Overview, lane: Priority) -> float:
    """The front of a lane ends with the first ingestion that was never started."""
    waiting = [ingestion.queued_at for ingestion in overview.lanes[lane].front if not ingestion.started_batches]
    return _seconds(min(waiting), overview.now) if waiting else 0.0


def _seconds(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
