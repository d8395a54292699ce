"""Processes that torchrun started together, as the environment tells of them; without torch."""

from __future__ import annotations

import os

from zhiyin.errors import ConfigError


def rank_and_size() -> tuple[int, int] | None:
    """The place of this process among those that torchrun started, and how many they are; None for one on its own.

    Raises:
        ConfigError: the environment tells of no such place.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    rank, size = number_of("RANK"), number_of("WORLD_SIZE")
    if not 0 <= rank < size:
        raise ConfigError(f"RANK={rank} and WORLD_SIZE={size} came; a rank from 0 to WORLD_SIZE - 1 is expected")
    return (rank, size) if size > 1 else None


def number_of(name: str, default: int | None = None) -> int:
    """A whole number from the environment.

    Raises:
        ConfigError: it is none.
    """
    said = os.environ.get(name, "" if default is None else str(default))
    try:
        return int(said)
    except ValueError:
        raise ConfigError(
            f"{name}={said!r} came from the environment, a whole number is expected; start the script by torchrun"
        ) from None


def is_first() -> bool:
    """Whether this process speaks and writes for all: the first of several, or one on its own."""
    found = rank_and_size()
    return found is None or found[0] == 0
