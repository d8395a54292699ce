"""Splitting: which part of the past a model may see, and what it must foretell. `available()` lists the ways."""

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "split")
