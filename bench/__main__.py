"""`python -m bench [--quick] [--write]`: measure, print one table and its picture, write RESULTS.md."""

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import (
    accept,
    hosts,
    kills,
    package,
    picture,
    recovery,
    report,
    results,
    slots,
    start,
    status,
    throughput,
    tick,
)
from bench.load import Generator, load_generator
from bench.plan import QUICK, USUAL, Plan
from bench.report import Section
from bench.servers import OURS, PLAIN, host, memory_reference
from devtools.azurite import azurite
from tests.support.hosts import hosts_present


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is being measured, and how long it took."""
    print(f"{what} ... ", end="", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:.0f} s", flush=True)


def measure(plan: Plan, kinds: list[str], folder: Path) -> list[Section]:
    """Measure everything in sequence. Only in a quick run, the slots are measured beside the rest: they mostly wait."""
    with load_generator() as load, ThreadPoolExecutor(1) as beside:

        def start_slots() -> list[Future[Section]]:
            return [beside.submit(slots.measure, plan, kind, folder) for kind in kinds]

        early = start_slots() if plan.name == "quick" else []
        sections: list[Section] = []
        for kind in kinds:
            sections += _accept_and_status(plan, kind, load, folder)
        with step(f"ticks, {plan.waiting} waiting, {plan.finished} ended; upkeep"):
            ticks, recovered = asyncio.run(tick.measure(plan, folder, lambda benches: recovery.measure(plan, benches)))
            sections += [tick.section(plan, ticks), recovered]
        with step(f"{plan.slots} slots at each interval and with each API"):
            sections += [future.result() for future in early or start_slots()]
        for kind in kinds:
            with step(f"kills, {kind}"):
                sections.append(kills.measure(plan, kind, folder))
        with step("start"):
            sections.append(start.measure(plan, kinds, folder))
        with step("deployment package"):
            sections.append(package.measure(plan, folder))
        for kind in kinds:
            with step(f"throughput and memory, {kind}"):
                sections.append(throughput.measure(plan, kind, load, folder))
            with step(f"the host itself, {kind}"):
                sections.append(hosts.measure(plan, kind, load, folder))
    return sections


def _accept_and_status(plan: Plan, kind: str, load: Generator, folder: Path) -> Sequence[Section]:
    """Measure accepting and status: over HTTP in comparison with the other designs, and at the function."""
    with ExitStack() as running, step(f"accept and status over HTTP, {kind}"):
        storage = [running.enter_context(azurite(folder / f"http-{kind}-{name}")) for name in ("ours", "plain")]
        ours, plain = (
            running.enter_context(host(kind, app, folder, AzureWebJobsStorage=account.connection_string)).url
            for app, account in zip((OURS, PLAIN), storage, strict=True)
        )
        designs = accept.Designs(ours=ours, plain=plain, memory=running.enter_context(memory_reference(folder)).url)
        accepted = accept.measure_http(plan, load, designs)
        shown = status.measure_http(plan, load, designs)
    with step(f"a short list behind a long one, {kind}"):
        overtaken = accept.measure_overtaking(plan, kind, load, folder)
    with step("accept and status at the function"):
        function = asyncio.run(accept.measure_function(plan, folder / kind))
        samples, calls = asyncio.run(status.measure_function(plan, folder / kind))
    return accept.section(plan, accepted, function, overtaken), status.section(plan, shown, samples, calls)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the service on Azurite.")
    parser.add_argument("--quick", action="store_true", help="in a minute and a half, with little history")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md and its picture")
    options = parser.parse_args()
    plan = QUICK if options.quick else USUAL
    kinds = hosts_present()
    began = time.monotonic()
    busy_before = results.busy()
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        sections = measure(plan, kinds, Path(folder))
    charts = [chart for section in sections for chart in section.charts]
    print("\n" + report.as_text(sections))
    print("\n" + "\n\n".join(map(picture.as_text, charts)))
    print(f"\n{report.verdicts(sections)} ({time.monotonic() - began:.0f} s)")
    if options.write:
        results.write(plan, kinds, sections, seconds=time.monotonic() - began, busy_before=busy_before)
        print(f"written to {results.PAGE}")


if __name__ == "__main__":
    main()
