"""A pytest plugin that prints a line when a module starts, when it has ended, and for each failure.

The slowest modules run first and take minutes. With dots alone, the run would seem to hang.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest


class Progress:
    """Counts the started and ended tests of each module. With xdist, it runs in the process that prints."""

    def __init__(self, reporter: Any) -> None:  # noqa: ANN401 - pytest's terminal reporter has no public type
        self._reporter = reporter
        self._expected: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._outcomes: dict[str, Counter[str]] = {}
        self._began: dict[str, float] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist: count the tests that this process will run."""
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:  # noqa: ARG002
        """With xdist: every worker reports the same tests, and each test runs in one of the workers."""
        self._expect(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Print a line if this is the module's first test."""
        module = _module(nodeid)
        if module not in self._began:
            self._began[module] = time.monotonic()
            self._outcomes[module] = Counter()
            self._print(f"{self._share()} {module}: {self._expected[module]} tests")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the outcome of a phase of a test, and print a line if it has failed."""
        if report.failed:
            self._print(f"{self._share()} FAILED {report.nodeid}")
        if report.failed or report.skipped or report.when == "call":
            self._outcomes.setdefault(_module(report.nodeid), Counter())[report.outcome] += 1

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Print a line if this was the module's last test."""
        module = _module(nodeid)
        self._ended[module] += 1
        if self._ended[module] == self._expected[module]:
            outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self._outcomes[module].items()))
            seconds = time.monotonic() - self._began[module]
            self._print(f"{self._share()} {module}: {outcomes} in {seconds:.0f} s")

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Print no dot for a passed test."""
        if report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            return "passed", "", ""
        return None

    def _expect(self, ids: Sequence[str]) -> None:
        self._expected = Counter(map(_module, ids))

    def _share(self) -> str:
        total = self._expected.total()
        return f"[{100 * self._ended.total() // total if total else 0:3}%]"

    def _print(self, line: str) -> None:
        self._reporter.ensure_newline()
        self._reporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin in the process that prints, and not in the workers of xdist."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(reporter), "progress by module")


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]
