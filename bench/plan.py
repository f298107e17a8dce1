"""How much is measured: `--quick` in about a minute and a half, the usual run in a quarter of an hour."""

from collections.abc import Sequence
from dataclasses import dataclass

SIZES = (3, 300, 3_000, 30_000, 99_999)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers of repetitions, and how much history is made.

    The plain design is measured only at `plain_sizes`, because 99 999 IDs would take it minutes. Of the `finished`
    ingestions, only the `whole` ones have more than a row in the history, because Azurite would take half an hour.
    """

    name: str
    rounds: int
    calls: int
    plain_sizes: Sequence[int]
    ticks: int
    waiting: int
    finished: int
    whole: int
    batch_rows: int
    slots: int
    kills: int
    imports: int
    seconds: float
    memory: int


QUICK = Plan(
    name="quick",
    rounds=2,
    calls=5,
    plain_sizes=(3, 300),
    ticks=5,
    waiting=300,
    finished=500,
    whole=500,
    batch_rows=2_000,
    slots=10,
    kills=1,
    imports=2,
    seconds=0.15,
    memory=300,
)
USUAL = Plan(
    name="usual",
    rounds=7,
    calls=10,
    plain_sizes=(3, 300, 3_000),
    ticks=15,
    waiting=1_000,
    finished=100_000,
    whole=10_000,
    batch_rows=100_000,
    slots=60,
    kills=7,
    imports=11,
    seconds=1.0,
    memory=10_000,
)
