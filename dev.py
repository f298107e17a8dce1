#!/usr/bin/env python3
"""`dev.py start` runs the service on this machine, and `dev.py test` checks it. Nothing needs to be installed before.

This file must parse under any Python 3, so that an old one can say that it is too old.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this line is for old interpreters
    sys.exit("Python 3.11 or newer is needed, this is {}.{}: run python3.11 dev.py".format(*sys.version_info))

# With PYTHONSAFEPATH this folder would be missing, and the folders in PYTHONPATH must not come before it.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - an old Python has no pathlib

from devtools.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
