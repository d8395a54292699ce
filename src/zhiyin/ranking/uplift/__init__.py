"""Uplift: what a coupon changes, from a trial in which some got one; one learner a file."""

from __future__ import annotations

from zhiyin._rooms import open_room

available, get, __getattr__ = open_room(__name__, "uplift model")
