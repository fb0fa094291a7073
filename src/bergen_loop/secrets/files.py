"""Secrets in files that only their owner may read, written in one piece."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from bergen_loop.secrets.errors import SecretError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read(path: Path, what: str = "the secret file") -> str:
    """The text of a file without outer blanks. SecretError where it cannot be read, is empty,
    or where others than its owner may read or change it."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise SecretError(f"{what} {path} is no plain file", "name a file")
            if mode & OTHERS:
                raise SecretError(
                    f"{what} {path} can be read or changed by others than its owner "
                    f"(mode {stat.S_IMODE(mode):04o})",
                    f"run: chmod 600 {path}",
                )
            text = file.read().strip()
    except OSError as error:
        raise SecretError(
            f"{what} {path} cannot be read: {error.strerror}",
            "correct the path, or put the secret there (one line, mode 600)",
        ) from None
    except UnicodeDecodeError:
        raise SecretError(f"{what} {path} is not UTF-8 text", "write it as plain text") from None
    if not text:
        raise SecretError(f"{what} {path} is empty", "put the secret there, on one line")
    return text


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file by new text: whole or not at all, also in a crash. OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
