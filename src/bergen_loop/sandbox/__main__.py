"""`python -m bergen_loop.sandbox`."""

import sys

from bergen_loop.sandbox.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
