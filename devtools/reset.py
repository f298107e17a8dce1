"""`dev.py reset`: empty storage. It asks first, and never deletes under a service that runs."""

import argparse
import shutil
import sys
from pathlib import Path

from devtools.console import Failure, ask, say
from devtools.locks import locked


def reset(root: Path, words: list[str]) -> int:
    """Delete what Azurite has stored. Exit code 0 when it is gone, 1 when the answer was no."""
    parser = argparse.ArgumentParser(prog="dev.py reset", description="Delete everything stored in .azurite/.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(words)
    folder = root / ".azurite"
    if not folder.is_dir():
        say("There is no .azurite/: nothing is stored")
        return 0
    in_use = "The service runs, and .azurite/ is in use ({holder}): end it first"
    with (
        locked(folder / "start.lock", holder="dev.py reset", patience=0, refusal=in_use),
        locked(folder / "storage.lock", holder="dev.py reset", patience=0, refusal=in_use),
    ):
        if not options.yes:
            if not sys.stdin.isatty():
                raise Failure("dev.py reset deletes every stored list and result: add --yes where nobody can be asked")
            if not ask("This deletes every list and result that is stored in .azurite/. Delete them?"):
                say("Nothing was deleted.")
                return 1
        for path in folder.iterdir():
            if path.suffix != ".lock":  # these are held, and say nothing of what was stored
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    say("Everything in .azurite/ was deleted: the next start begins with empty storage")
    return 0
