"""`python -m loop_sandbox`."""

import sys

from loop_sandbox.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
