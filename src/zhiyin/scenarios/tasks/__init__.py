"""What a recipe is about, one file each: lists for people, and what is no list. `available()` lists them."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "task")
