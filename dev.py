#!/usr/bin/env python3
"""`dev.py start` runs the service on this machine, `dev.py test` checks it; nothing need be installed before.

This file must parse under any Python 3, so that an old one can say that it is too old.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an old interpreter is what this line is for
    sys.exit("Python 3.11 or newer is needed, this is {}.{}: run python3.11 dev.py".format(*sys.version_info))

from devtools.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
