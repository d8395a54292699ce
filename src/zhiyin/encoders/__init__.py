"""Encoders: what items say, as vectors; one file each. `available()` lists them, `load` opens a saved one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhiyin._rooms import open_room

if TYPE_CHECKING:
    from pathlib import Path

    from zhiyin.encoders.base import Encoder

available, get, __getattr__ = open_room(__name__, "encoder")


def load(path: str | Path) -> Encoder:
    """Open a saved encoder, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin.encoders._saved import load as opened

    return opened(path)
