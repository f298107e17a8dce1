"""`python3 dev.py soak`: kill and freeze three hosts a hundred times, then see that one host wastes no slot.

Prints a live line and, at the end, what was seen; the report and the histogram of the gaps are left in `out/soak/`.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from devtools.azurite import ROOT, azurite
from tests.soak import histogram
from tests.soak.run import INTERVAL, every_slot, killed_hosts
from tests.soak.verdict import Verdict
from tests.support.hosts import hosts_present

OUT = ROOT / "out" / "soak"
LEAST_SHARE = 0.995


def main() -> int:
    """Run the soak; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="dev.py soak", description=__doc__.splitlines()[0].split(": ")[1])
    parser.add_argument("--kills", type=int, default=100, help="0 leaves this part out (default: 100)")
    parser.add_argument("--slots", type=int, default=200, help="0 leaves this part out (default: 200)")
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6), help="of the attack (default: any)")  # noqa: S311 # no secret
    parser.add_argument("--host", choices=hosts_present(), default="emulator")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    OUT.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    live = LiveLine()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        if chosen.kills:
            with azurite(folder / "kills") as storage:
                verdict = killed_hosts(
                    chosen.host, folder, storage, kills=chosen.kills, seed=chosen.seed, progress=live
                )
            problems += report("kills", verdict, f"three hosts, {chosen.kills} kills, seed {chosen.seed}")
        if chosen.slots:
            with azurite(folder / "slots") as storage:
                verdict = every_slot(chosen.host, folder, storage, slots=chosen.slots, progress=live)
            problems += report("slots", verdict, f"one host, {chosen.slots} slots, work always waiting")
            if verdict.slots_used < LEAST_SHARE:
                problems.append(f"only {100 * verdict.slots_used:.2f} % of the slots were used")
    say("\n".join(["", *problems, "FAILED" if problems else "Nothing was lost, doubled, out of order or too early."]))
    say(f"Report and pictures: {OUT}")
    return 1 if problems else 0


def report(name: str, verdict: Verdict, title: str) -> list[str]:
    """Print the numbers and write them down, with the histogram; return what is wrong."""
    series = {"on the starters' clocks": verdict.gaps_at_starter, "at the API": verdict.gaps_at_api}
    problems = verdict.problems()
    summary = "\n".join([title, "", verdict.text(), "", *problems, *verdict.suspended])
    table = histogram.text(series, INTERVAL)
    (OUT / f"{name}.txt").write_text(f"{summary}\n{table}")
    (OUT / f"{name}.svg").write_text(histogram.svg(series, INTERVAL, title))
    say(f"\n\n{summary}\n{table}")
    return problems


class LiveLine:
    """One line that changes; where nobody watches, a line every ten seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, line: str) -> None:
        """Show how far it is."""
        if sys.stdout.isatty():
            say(f"\r{line:<100}", end="")
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + 10
            say(line)


def say(text: str, *, end: str = "\n") -> None:
    """Print at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
