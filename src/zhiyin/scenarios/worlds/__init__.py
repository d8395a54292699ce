"""Small worlds whose truth is known, one file each, in which a recipe can be run. `available()` lists them."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "world")
