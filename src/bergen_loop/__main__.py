"""`python -m bergen_loop`: the command line."""

from bergen_loop.cli import main

if __name__ == "__main__":
    main()
