"""Models: every recommender side by side, one file each. `available()` lists them, `models.EASE` imports one."""

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "model")
