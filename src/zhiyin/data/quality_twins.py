"""Users with near-identical histories: one person with several accounts, a bot farm, a copied log.

Min-hash signatures in bands find the pairs that are worth a look without comparing all pairs (Broder, 1997; Leskovec,
Rajaraman & Ullman, "Mining of Massive Datasets", section 3.4); what they find is then checked on the item sets
themselves. Time grows as n log n in the number of users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhiyin.arrays import AnyArray, IntVector
from zhiyin.data.histories import Histories

BANDS = 4
"""16 hashes in 4 bands of 4: a pair of Jaccard 0.9 meets in some band with probability 0.986, one of 0.3 with 0.03."""
CHECKED = 20_000
"""So many candidates are checked exactly; of more (a farm of a million bots) the others are judged by signature."""


@dataclass(frozen=True, slots=True)
class Twins:
    """The users who have a near-twin, and for each of them the number of its group (the lowest user of it)."""

    users: IntVector
    groups: IntVector

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.groups))

    def largest(self) -> IntVector:
        """The users of the largest group."""
        if not len(self.users):
            return self.users
        names, counts = np.unique(self.groups, return_counts=True)
        found: IntVector = self.users[self.groups == names[np.argmax(counts)]]
        return found


def near_twins(histories: Histories, users: IntVector, signatures: AnyArray, similarity: float, n_items: int) -> Twins:
    """Find the users among `users` who share at least `similarity` (Jaccard) of their items with another of them.

    Histories with a third of all items or more are left out: in a small catalogue they agree by chance.
    """
    small = histories.lengths[users] * 3 < n_items
    users, signatures = users[small], signatures[small]
    pairs = _candidates(signatures, similarity)
    if len(pairs) > CHECKED:
        exact = np.array([_jaccard(histories, users[pair]) >= similarity for pair in pairs[:CHECKED]])
        kept = np.concatenate([pairs[:CHECKED][exact], pairs[CHECKED:]])
    else:
        kept = np.array([pair for pair in pairs if _jaccard(histories, users[pair]) >= similarity], np.int64)
    return _groups(users, kept.reshape(-1, 2))


def _candidates(signatures: AnyArray, similarity: float) -> AnyArray:
    """(n, 2) rows of `signatures` that share a band and agree in so many hashes that a look at the items is worth it.

    In each bucket a member is paired with the first and with its neighbour in the order of the next band, not with all.
    """
    n = len(signatures)
    keys = _band_keys(signatures)
    found = [np.zeros(0, np.int64)]
    for band in range(BANDS):
        order = np.lexsort((keys[(band + 1) % BANDS], keys[band]))
        inside = keys[band][order][1:] == keys[band][order][:-1]
        starts = np.append(True, ~inside)[:n]
        leaders = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
        for first in (leaders[1:][inside], order[:-1][inside]):
            second = order[1:][inside]
            found.append(np.minimum(first, second) * n + np.maximum(first, second))
    codes = np.unique(np.concatenate(found))
    pairs = np.stack([codes // max(n, 1), codes % max(n, 1)], axis=1)
    agreement = (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).mean(axis=1)
    likely: AnyArray = pairs[agreement >= similarity - 0.25]
    return likely


def _band_keys(signatures: AnyArray) -> AnyArray:
    """(4, n) uint64: one key for the hashes of each band."""
    multipliers = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64)
    parts = signatures.reshape(len(signatures), BANDS, signatures.shape[1] // BANDS).astype(np.uint64)
    keys: AnyArray = (parts * multipliers).sum(axis=2, dtype=np.uint64).T
    return keys


def _jaccard(histories: Histories, pair: IntVector) -> float:
    first, second = (np.unique(histories.of(int(user))) for user in pair)
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def _groups(users: IntVector, pairs: AnyArray) -> Twins:
    """Join the pairs into groups: users who are linked by any chain of pairs are in one."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    rows, place = np.unique(pairs, return_inverse=True)
    ends = place.reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    return Twins(users[rows].astype(np.int32), labels.astype(np.int32))
