"""Encoders: what items say, as vectors; one file each. `available()` lists them, `load` opens a saved one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhiyin._rooms import open_room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from zhiyin.data.dataset import Dataset
    from zhiyin.data.queries import Queries, Query
    from zhiyin.encoders.base import Encoder

available, get, __getattr__ = open_room(__name__, "encoder")


def load(path: str | Path) -> Encoder:
    """Open a saved encoder, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin.encoders._saved import load as opened

    return opened(path)


def describe_history(
    history: Query | Queries | Sequence[str],
    dataset: Dataset,
    most: int = 20,
    newest_first: bool = False,
    most_letters: int = 4_000,
) -> str:
    """What somebody did, as a text for a language model: titles, kinds, values and how long ago, one line an event.

    Args:
        history: a query, queries of one user, or ids of items, oldest first.
        dataset: the catalogue whose titles are told.
        most: of a longer history, so many of the newest events are told.
        newest_first: begin with the newest event, not with the oldest.
        most_letters: so many letters of lines at most, but one line at least.

    Titles are cleaned of markup and control characters, put on one line and cut; they are still what somebody wrote,
    not to be obeyed. Events on items that the catalogue lacks are counted.

    Raises:
        DataError: queries of several users came, or one text.
        ConfigError: `most` or `most_letters` is below 1.
    """
    from zhiyin.encoders._histories import described

    return described(history, dataset, most, newest_first, most_letters)
