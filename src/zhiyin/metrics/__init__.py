"""Metrics: one file each, pure functions of lists and what really happened. `available()` lists them."""

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "metric")
