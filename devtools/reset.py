"""`dev.py reset` empties the storage. It asks first, and it never deletes the data of a running service."""

import argparse
import shutil
import sys
from pathlib import Path

from devtools.console import Failure, ask, say
from devtools.locks import locked


def reset(root: Path, words: list[str]) -> int:
    """Delete what Azurite has stored. The exit code is 1 if the user did not agree, else 0."""
    parser = argparse.ArgumentParser(prog="dev.py reset", description="Delete everything stored in .azurite/.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(words)
    folder = root / ".azurite"
    if not folder.is_dir():
        say("There is no .azurite/: nothing is stored")
        return 0
    in_use = "The service runs, and .azurite/ is in use ({holder}): end it first"
    with (
        locked(folder / "start.lock", holder="dev.py reset", patience=0, busy_message=in_use),
        locked(folder / "storage.lock", holder="dev.py reset", patience=0, busy_message=in_use),
    ):
        if not options.yes:
            if not sys.stdin.isatty():
                raise Failure("dev.py reset deletes every stored list and result: add --yes where nobody can be asked")
            if not ask("This deletes every list and result that is stored in .azurite/. Delete them?"):
                say("Nothing was deleted.")
                return 1
        for path in folder.iterdir():
            if path.suffix != ".lock":  # the lock files are in use, and contain nothing that the service has stored
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    say("Everything in .azurite/ was deleted: the next start begins with empty storage")
    return 0
