"""Bad luck from a seed: everything that can happen to hosts, calls, clocks, callers and the external API, at random.

What happens depends on the seed alone, but for tokens and IDs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ingest_core.models import Priority
from tests.support.cluster import Cluster
from tests.support.machines import Answer, Host
from tests.support.virtual_time import true_time


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a storm came to."""

    starts: int
    least_gap: float
    violations: list[str]


async def storm(seed: int, *, slots: int, interval: float, fetch: Sequence[float]) -> Report:
    """Let it rage for so many slots, and then see everything heal. `fetch` says what a fetch may take."""
    cluster = Cluster(seed=seed, interval=interval)
    try:
        await _Storm(cluster, Random(seed), fetch).rage(slots * interval)  # noqa: S311 # no secrets
        if not cluster.referee.violations:
            await cluster.drain()
    except AssertionError as error:
        if not cluster.referee.violations:
            cluster.referee.blame(str(error))
    finally:
        await cluster.close()
    gaps = cluster.referee.gaps()
    return Report(
        starts=len(gaps) + 1, least_gap=min(gaps, default=0.0) / interval, violations=cluster.referee.violations
    )


class _Storm:
    def __init__(self, cluster: Cluster, random: Random, fetch: Sequence[float]) -> None:
        self._cluster = cluster
        self._random = random
        self._fetch = fetch
        self._down_until = self._throttled_until = 0.0
        self._poisonous: set[int] = set()
        for _ in range(random.randint(1, 3)):
            cluster.add_host()
        cluster.usual = self._answer

    async def rage(self, seconds: float) -> None:
        cluster, random = self._cluster, self._random
        while true_time() < seconds and not cluster.referee.violations:
            await asyncio.sleep(random.expovariate(1 / (2 * cluster.interval)))
            self._happen(random.choice(cluster.hosts))
            for host in cluster.hosts:
                if not host.process.ticks and random.random() < 0.3:
                    host.boot().wire.fault_rate = random.choice((0, 0.003, 0.02))

    def _happen(self, host: Host) -> None:
        cluster, random = self._cluster, self._random
        entries = [e for e in cluster.referee.open() if e.acknowledged_at is not None]
        match random.choices(("post", "person", "host", "api", "nothing"), (45, 4, 8, 2, 20))[0]:
            case "post" if len(entries) < 20 and not host.process.wire.dead:
                cluster.keep(self._post(host))
            case "person" if entries and not host.process.wire.dead:
                entry, lane = random.choice(entries), random.choice(list(Priority))
                match random.choice(("cancel", "move", "pause")):
                    case "cancel":
                        cluster.keep(cluster.cancel(entry, to=host))
                    case "move":
                        cluster.keep(cluster.move(entry, lane, to=host))
                    case "pause" if lane not in cluster.referee.paused:
                        cluster.keep(cluster.pause(lane, random.uniform(1, 60)))
            case "host":
                self._hurt(host)
            case "api" if random.random() < 0.5:
                self._down_until = true_time() + random.uniform(1, 30)
            case "api":
                self._throttled_until = true_time() + random.uniform(1, 90)

    async def _post(self, host: Host) -> None:
        random = self._random
        entry = await self._cluster.post(random.choice((1, 3, 4, 7, 12, 24)), random.choice(list(Priority)), to=host)
        if random.random() < 0.03:
            self._poisonous.add(entry.ids[0])

    def _hurt(self, host: Host) -> None:
        random = self._random
        match random.choice(("kill", "kill", "zombie", "freeze", "tick", "upkeep", "jitter", "slow storage")):
            case "kill":
                host.kill()
            case "zombie":
                host.turn_into_zombie()
            case "freeze":
                host.clock.freeze(random.choice((0.5, 2, 12, 40)) * random.random())
            case "tick":
                host.process.spawn(host.process.tick())
            case "upkeep":
                host.process.spawn(host.process.keep_up())
            case "jitter":
                late = random.choice((0.0, 0.0, 1.0, 4.0))
                host.jitter = lambda: late * random.random()
            case "slow storage":
                host.process.wire.latency = random.choice((0.001, 0.01, 0.1))

    def _answer(self, ids: Sequence[int]) -> Answer:
        random = self._random
        seconds = random.choice(self._fetch)
        if true_time() + seconds < self._throttled_until:
            return Answer("throttled", seconds, self._throttled_until - true_time() - seconds)
        if true_time() < self._down_until or ids[0] in self._poisonous:
            return Answer("failed", seconds)
        kinds = ("ok", "failed", "rejected", "never", "throttled")
        return Answer(random.choices(kinds, (90, 4, 3, 1, 1))[0], seconds, random.choice((None, 0.0, 3.0, 30.0)))
