"""Features: what is known of a person, an item and both, at a moment; one file a family."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "family of features")
