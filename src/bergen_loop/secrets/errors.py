"""A secret that cannot be had or kept."""

from __future__ import annotations


class SecretError(Exception):
    """What is wrong, and what to do about it. Neither ever holds the secret."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}. Fix: {fix}")
        self.message = message
        self.fix = fix
