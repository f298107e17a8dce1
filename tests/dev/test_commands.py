"""The commands that run a module of the repository, as processes."""

import os
import signal
import sys
from pathlib import Path

import pytest

from devtools.child import Child, wait_until
from tests.dev.checkout import make_checkout

FAKE_HOST = Path(__file__).with_name("fake_host.py")
BENCH = """
import sys, time
try:
    print("asked for", sys.argv[1:], flush=True)
    if "--quick" in sys.argv:
        sys.exit(7)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
time.sleep(0.3)  # a second signal would come in here
print("tidied up", flush=True)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose benchmark prints its arguments."""
    folder = make_checkout(tmp_path / "checkout", emulator=FAKE_HOST)
    (folder / "bench").mkdir()
    (folder / "bench" / "__main__.py").write_text(BENCH)
    return folder


def bench(checkout: Path, *words: str) -> Child:
    """Start `dev.py bench`."""
    return Child([sys.executable, "dev.py", "bench", *words], log=checkout / "log", cwd=checkout)


def test_arguments_and_exit_code_pass_through(checkout: Path) -> None:
    """This includes arguments that dev.py itself knows."""
    run = bench(checkout, "--quick", "--port", "1", "-h")
    assert run.wait() == 7
    assert run.output() == "asked for ['--quick', '--port', '1', '-h']\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_module_once_so_that_it_can_tidy_up(checkout: Path, number: signal.Signals) -> None:
    """The module gets an interrupt, both for a Ctrl-C and for the SIGTERM of a cancelled build."""
    run = bench(checkout)
    wait_until(lambda: "asked for []" in run.output(), seconds=30, what="the module runs")
    os.killpg(run.pid, number)
    assert run.wait() == 0
    assert run.output().endswith("interrupted\ntidied up\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a child whose parent was killed")
def test_a_killed_dev_py_interrupts_the_module(checkout: Path) -> None:
    """Otherwise the module would go on for minutes."""
    run = bench(checkout)
    wait_until(lambda: "asked for []" in run.output(), seconds=30, what="the module runs")
    run.kill()
    wait_until(lambda: "interrupted\ntidied up\n" in run.output(), seconds=30, what="the module tidies up")
