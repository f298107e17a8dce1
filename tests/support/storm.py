"""An hour of bad luck, from a seed: everything that can happen to hosts, calls, clocks and the external API, at random.

What happens depends on the seed alone, so a seed that breaks a rule breaks it again.
"""

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from random import Random
from uuid import UUID

from ingest_core.models import Priority
from tests.support.cluster import Answer, Cluster, Host, Process
from tests.support.referee import Referee
from tests.support.virtual_time import true_time


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a storm came to."""

    starts: int
    least_gap: float
    violations: list[str]


async def storm(seed: int, *, seconds: float, **settings: float) -> Report:
    """Let it rage, and then see everything heal."""
    cluster = Cluster(seed=seed, **settings)
    try:
        await _Storm(cluster, Random(seed)).rage(seconds)  # noqa: S311 # no secrets
        if not cluster.referee.violations:
            await cluster.drain()
    except AssertionError as error:
        cluster.referee.blame(str(error))
    finally:
        await cluster.close()
    return _report(cluster.referee)


def _report(referee: Referee) -> Report:
    gaps = referee.gaps()
    return Report(starts=len(referee.starts), least_gap=min(gaps, default=0.0), violations=referee.violations)


class _Storm:
    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._cluster = cluster
        self._random = random
        for _ in range(random.randint(1, 3)):
            cluster.add_host()
        self._posts = random.choice((1, 2, 5))
        cluster.source.usual = self._answer

    async def rage(self, seconds: float) -> None:
        cluster, random = self._cluster, self._random
        while true_time() < seconds and not cluster.referee.violations:
            await asyncio.sleep(random.expovariate(0.25))
            host = random.choice(cluster.hosts)
            self._revive()
            self._happen(host)
            if host.process and host.alive and random.random() < 0.1:
                self._meddle(host.process)
            if cluster.referee.entries and random.random() < 0.05:
                await cluster.check_status(random.choice(cluster.referee.entries))
            if random.random() < 0.002:
                await cluster.see_progress()
                cluster.source.usual = self._answer

    def _revive(self) -> None:
        """Dead hosts come back after a while, each with a quality of storage of its own."""
        for host in self._cluster.hosts:
            if not host.alive and self._random.random() < 0.6:
                wire = host.boot().wire
                wire.fault_rate = self._random.choice((0, 0.003, 0.02))

    def _happen(self, host: Host) -> None:
        random = self._random
        events = {
            "nothing": 28,
            "post": 3 * self._posts,
            "tick": 4,
            "ticks": 2,
            "jitter": 2,
            "skip": 2,
            "steady": 2,
            "kill": 2,
            "zombie": 2,
            "freeze": 1,
        }
        match random.choices(list(events), list(events.values()))[0]:
            case "post":
                size, lane = random.choice((1, 2, 3, 4, 7, 12)), random.choice(list(Priority))
                self._cluster.post(host, size, lane, tries=random.choice((1, 1, 3)))
            case "tick":
                host.tick()
            case "ticks":
                host.tick()
                host.tick()
            case "jitter":
                host.jitter = lambda: max(0.0, random.uniform(-2, 4))
            case "skip":
                host.skips = lambda: random.random() < 0.4
            case "steady":
                host.be_steady()
            case "kill":
                host.kill()
            case "zombie":
                host.turn_into_zombie()
            case "freeze":
                host.clock.freeze(random.choice((0.5, 2, 12, 40)))

    def _meddle(self, process: Process) -> None:
        """What comes from beside the service: a shutdown, a timer, and messages that stand for nothing new."""
        random = self._random
        match random.choice(("cut", "recover", "foreign", "again")):
            case "cut":
                process.cut()
            case "recover":
                process.spawn(process.recover)
            case "foreign":
                text = random.choice(("", "x", "[]", json.dumps({"format": 1, "ingestion_id": str(UUID(int=7))})))
                process.spawn(partial(process.put, text, random.choice(list(Priority))))
            case "again" if self._cluster.referee.entries:
                entry = random.choice(self._cluster.referee.entries)  # it may have finished
                if entry.position is not None:
                    text = json.dumps({"format": 1, "ingestion_id": entry.ingestion_id})
                    process.spawn(partial(process.put, text, entry.lane))

    def _answer(self) -> Answer:
        random = self._random
        match random.choices(("fast", "slow", "failed", "never", "held"), (80, 7, 7, 2, 4))[0]:
            case "slow":
                return Answer("ok", random.uniform(1, 9.5))
            case "failed":
                return Answer("failed", random.uniform(0, 9))
            case "never":
                return Answer("never")
            case "held":
                return Answer("held", random.uniform(0, 3), random.choice((None, 0.0, 3.0, 7.0, 30.0)))
            case _:
                return Answer("ok", random.choice((0.05, 0.1, 0.5)))
