"""Measures what a killed host costs: the time to the next start, and the time until the lost batch starts again."""

from pathlib import Path

from bench.plan import Plan
from bench.report import Row, Section
from bench.stats import spread
from devtools.azurite import azurite
from devtools.child import wait_until
from tests.soak.api import Api, Arrival, running_api
from tests.soak.fleet import fleet

INTERVAL, ANSWER, TIMEOUT = 1.0, 2.5, 3.0
LEASE = TIMEOUT + 2
BATCH_SIZE = 3

METHOD = """\
Two hosts on one Azurite, an interval of {interval:g} s, an API that takes {answer:g} s, a lease of {lease:g} s, and a
long list. {rounds} times, the host that started the last batch is killed (`kill -9`) while the batch runs, and a new
host takes its place. The moments are those at which requests reach the API. *The next slot* is the time from the last
start before the kill to the next one; *the lost batch*, from its start to its next start."""

SETTINGS = {
    "INGEST_SCHEDULE": "*/1 * * * * *",
    "INGEST_INTERVAL_SECONDS": str(INTERVAL),
    "INGEST_SOURCE_TIMEOUT_SECONDS": str(TIMEOUT),
    "INGEST_LEASE_SECONDS": str(LEASE),
}


def measure(plan: Plan, kind: str, folder: Path) -> Section:
    """Kill the owner of the gate a few times."""
    gaps, repeats = [], []
    with (
        azurite(folder / f"kills-{kind}") as storage,
        running_api(folder) as api,
        fleet(kind, folder, storage.connection_string, api, **SETTINGS) as hosts,
    ):
        api.behave(delay_seconds=ANSWER)
        first, _ = hosts.start(2)
        hosts.hosts[first].post(list(range(1, 300 * plan.kills)))
        for _ in range(plan.kills):
            seen = len(_starts(api))
            wait_until(lambda: len(_starts(api)) >= seen + 3, seconds=60, what="some batches are started")  # noqa: B023 # called at once
            last = _starts(api)[-1]
            hosts.kill(last.process)
            before = len(_starts(api))
            wait_until(lambda: _again(api, last) is not None, seconds=60, what="the lost batch is started again")  # noqa: B023 # as above
            lost, again = _starts(api)[before - 1], _again(api, last)
            assert again is not None
            gaps.append(_starts(api)[before].at - lost.at)
            repeats.append(again.at - last.at)
            hosts.start()
    return _section(plan, kind, gaps, repeats)


def _starts(api: Api) -> list[Arrival]:
    """The first request of each start, in order."""
    return [arrival for arrival in api.arrivals() if arrival.item_id % BATCH_SIZE == 1]


def _again(api: Api, lost: Arrival) -> Arrival | None:
    later = [one for one in _starts(api) if one.item_id == lost.item_id and one.at > lost.at]
    return later[0] if later else None


def _section(plan: Plan, kind: str, gaps: list[float], repeats: list[float]) -> Section:
    most_gap, most_repeat = INTERVAL + 2, LEASE + 2
    rows = [
        Row(
            headline=True,
            what=f"the next slot after a kill, {kind}",
            measured=spread(gaps).text("s"),
            beside=f"longest {max(gaps):.2f}, shortest {min(gaps):.2f}",
            goal=f"{INTERVAL:g} to {most_gap:g} s",
            reached=min(gaps) >= INTERVAL - 0.05 and max(gaps) <= most_gap,
            limit="another host waits for the start budget of 1 s beyond the interval, and looks once a second.",
        ),
        Row(
            headline=True,
            what=f"the lost batch starts again, {kind}",
            measured=spread(repeats).text("s"),
            beside=f"longest {max(repeats):.2f}",
            goal=f"{LEASE - 1:g} to {most_repeat:g} s",
            reached=min(repeats) >= LEASE - 1 and max(repeats) <= most_repeat,
            limit="the lease counts from the take, up to 1 s before the start; then a slot must be due.",
        ),
    ]
    method = METHOD.format(interval=INTERVAL, answer=ANSWER, lease=LEASE, rounds=plan.kills)
    return Section(title=f"Kills ({kind})", method=method, rows=rows)
