"""Re-rankers: a ranked pool into a list, looking at the list as a whole; one file each."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "re-ranker")
