#!/bin/sh
# Prints a Python of 3.11 or newer, the newest that answers.
for candidate in "$PYTHON" python3.14 python3.13 python3.12 python3.11 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done
echo "bergen-loop needs Python 3.11 or newer, with venv (Debian: apt-get install python3-venv)" >&2
exit 1
