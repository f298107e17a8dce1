"""A pytest plugin: a line when a module's first test starts and when its last one has ended, and one per failure.

The slowest modules run first, for minutes, so that dots alone would look like a program that hangs.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest


class Progress:
    """What has been started and what has ended, by module. Under xdist it lives in the process that prints."""

    def __init__(self, reporter: Any) -> None:  # noqa: ANN401 - pytest's terminal reporter has no public type
        self._reporter = reporter
        self._expected: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._outcomes: dict[str, Counter[str]] = {}
        self._began: dict[str, float] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist: what this process runs itself."""
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:  # noqa: ARG002
        """With xdist: every worker finds the same tests, and each of them runs in one."""
        self._expect(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test starts."""
        module = _module(nodeid)
        if module not in self._began:
            self._began[module] = time.monotonic()
            self._outcomes[module] = Counter()
            self._print(f"{self._share()} {module}: {self._expected[module]} tests")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended."""
        if report.failed:
            self._print(f"{self._share()} FAILED {report.nodeid}")
        if report.failed or report.skipped or report.when == "call":
            self._outcomes.setdefault(_module(report.nodeid), Counter())[report.outcome] += 1

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test has ended."""
        module = _module(nodeid)
        self._ended[module] += 1
        if self._ended[module] == self._expected[module]:
            outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self._outcomes[module].items()))
            seconds = time.monotonic() - self._began[module]
            self._print(f"{self._share()} {module}: {outcomes} in {seconds:.0f} s")

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No dots."""
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
    """Register where the output is printed, so not in xdist's workers."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(reporter), "progress by module")


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]
