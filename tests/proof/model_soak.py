"""Storm after storm: `python -m tests.proof.model_soak [STORMS] [FIRST_SEED]`, an hour each, in virtual time.

One line for every storm that broke a rule, with its seed, and one at the end; the exit code is 1 if there was any.
"""

import logging
import sys

from tests.support.storm import storm
from tests.support.virtual_time import run


def main(storms: int = 1000, first_seed: int = 0) -> int:
    """Run them and report."""
    logging.disable(logging.CRITICAL)
    starts, least, broken = 0, float("inf"), 0
    for seed in range(first_seed, first_seed + storms):
        report = run(lambda: storm(seed, seconds=3600))  # noqa: B023 # used before the loop goes on
        starts += report.starts
        least = min(least, report.least_gap)
        if report.violations:
            broken += 1
            print(f"seed {seed}: {report.violations[0]}", flush=True)  # noqa: T201 # a command-line tool
    print(f"{storms} storms, {starts} starts, {broken} broken, least gap {least:.4f} s of 5")  # noqa: T201 # as above
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
