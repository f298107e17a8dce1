"""Storm after storm: `python -m tests.proof.model_soak [STORMS] [FIRST_SEED]`, in virtual time.

One line for every storm that broke a rule, with its seed and its interval, and one at the end; the exit code is 1 if
there was any.
"""

import logging
import sys

from tests.support.storm import storm
from tests.support.virtual_time import run

INTERVALS = (5.0, 1.0, 0.2)
FETCHES = (0.02, 0.1, 0.5, 3.0, 7.0, 9.9)


def main(storms: int = 1000, first_seed: int = 0) -> int:
    """Run them and report."""
    logging.disable(logging.CRITICAL)
    starts, least, broken = 0, float("inf"), 0
    for seed in range(first_seed, first_seed + storms):
        interval = INTERVALS[seed % len(INTERVALS)]
        report = run(lambda: storm(seed, slots=600, interval=interval, fetch=FETCHES))  # noqa: B023 # used at once
        starts += report.starts
        least = min(least, report.least_gap)
        if report.violations:
            broken += 1
            print(f"seed {seed}, interval {interval:g} s: {report.violations[0]}", flush=True)  # noqa: T201 # a tool
    print(f"{storms} storms, {starts} starts, {broken} broken, least gap {least:.5f} intervals")  # noqa: T201 # as above
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
