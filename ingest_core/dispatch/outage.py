"""Decides whether the API is taken to be down, and how long the gate is throttled.

If three different batches in a row have failed without a definite answer (data or a final error), the API is taken to
be down. Then failures do not count, and the gate is throttled with a back-off that grows to a minute. The first
definite answer ends this state.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from ingest_core.dispatch.attempt import Failed, Outcome, Throttled

BATCHES_UNTIL_DOWN = 3
LONGEST_BACK_OFF_SECONDS = 60.0
MOST_BACK_OFFS = 12
"""Further back-offs are not counted: by then, even the shortest interval (0.1 s) has doubled to more than a minute."""

BatchKey = tuple[UUID, int]


@dataclass(frozen=True, kw_only=True)
class ApiState:
    """What this process knows of the API: the batches that failed since the last definite answer, and its back-offs."""

    failing: frozenset[BatchKey] = frozenset()
    back_offs: int = 0

    @property
    def is_down(self) -> bool:
        """Whether the API is taken to be down."""
        return len(self.failing) >= BATCHES_UNTIL_DOWN

    def after(self, batch: BatchKey, outcome: Outcome) -> "ApiState":
        """The state once a batch's attempt has had this outcome."""
        match outcome:
            case Throttled():
                return replace(self, back_offs=min(self.back_offs + 1, MOST_BACK_OFFS))
            case Failed(had_answer=False):
                failing = self.failing | {batch}
                back_offs = self.back_offs + 1 if len(failing) >= BATCHES_UNTIL_DOWN else 0
                return ApiState(failing=failing, back_offs=min(back_offs, MOST_BACK_OFFS))
            case _:
                return ApiState()

    def back_off_seconds(self, interval: float) -> float:
        """How long the gate is throttled after an attempt if the API does not say how long."""
        doublings = max(0, self.back_offs - 1)
        back_off = min(interval * 2.0**doublings, LONGEST_BACK_OFF_SECONDS)
        return max(interval, back_off)
