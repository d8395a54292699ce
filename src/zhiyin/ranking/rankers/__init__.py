"""Rankers: features of candidates into what each is worth; one file each."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "ranker")
