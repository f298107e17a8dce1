"""What the scenarios of `tests/proof` share: one is played on a cluster and held against the referee."""

from collections.abc import Awaitable, Callable, Sequence

from tests.support.cluster import Cluster
from tests.support.machines import Answer
from tests.support.referee import Entry
from tests.support.virtual_time import run

LEASE = 25.0
"""Of the default source timeout of ten seconds."""

OK = Answer("ok", 0.1)
FAILED = Answer("failed", 0.1)


def play(scenario: Callable[[Cluster], Awaitable[None]], *, interval: float = 5.0) -> None:
    """Run a scenario, and hold it against the referee."""

    async def main() -> None:
        cluster = Cluster(interval=interval)
        try:
            await scenario(cluster)
            cluster.referee.check()
        finally:
            await cluster.close()

    run(main)


def poisonous(*entries: Entry) -> Callable[[Sequence[int]], Answer]:
    """The API fails these lists, always, and nothing else."""
    ids = {item_id for entry in entries for item_id in entry.ids}
    return lambda asked: FAILED if asked[0] in ids else OK


def starts_of(cluster: Cluster, entry: Entry, index: int = 0) -> list[float]:
    """When a batch was started."""
    return [start.at for start in cluster.referee.starts if (start.entry, start.index) == (entry, index)]
