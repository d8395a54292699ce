"""Steps: what can be done to a raw event log on its way to a dataset. `available()` lists them."""

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "preparation step")
