"""Ranking: which of some candidates comes first, for this person and this moment; one file a ranker."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "ranker")
