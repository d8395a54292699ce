"""Draws that belong to a query: the same seed and query, the same numbers, whatever the batch, block or thread.

A stream of random numbers would make a list depend on how many were asked before. Here a number is a hash of the seed,
of what a query is (who asks, when, after which events) and of the place: SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
A query that says the same again is drawn the same again; give it its moment, or another seed.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from zhiyin.arrays import AnyArray
from zhiyin.data.queries import Queries
from zhiyin.run import Run

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(queries: Queries, k: int, run: Run, purpose: str) -> AnyArray:
    """(n_queries, k) numbers from 0 to below 1."""
    salt = np.uint64(run.generator(purpose).integers(2**63))
    place = np.arange(1, k + 1, dtype=np.uint64) * GOLDEN
    mixed = _mixed((_mixed(_keys(queries) ^ salt))[:, None] + place)
    found: AnyArray = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return found


def _keys(queries: Queries) -> NDArray[np.uint64]:
    """(n_queries,) a number for what each query is."""
    past = queries.histories
    event = _mixed(past.item.astype(np.uint64) + past.from_end().astype(np.uint64) * GOLDEN)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(event, dtype=np.uint64)])
    key = sums[past.offsets[1:]] - sums[past.offsets[:-1]]
    if queries.now is not None:
        key = _mixed(key) ^ queries.now.astype(np.uint64)
    if queries.users is not None:
        who = np.fromiter((zlib.crc32(one.encode()) for one in queries.users), np.uint64, len(queries))
        key = _mixed(key) ^ who
    return np.asarray(_mixed(key))


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64."""
    found = value + GOLDEN
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(found ^ (found >> np.uint64(31)))
