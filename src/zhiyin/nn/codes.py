"""Codes: which learnt pieces the vector of each item is put together from (for `zhiyin.nn.items.ProductItems`).

RecJPQ (Petrov and Macdonald, WSDM 2024, sec. 4.2) takes them from the company that items keep: of each component of a
truncated SVD of the user-item matrix, the values are sorted and cut into bins of equal size, so that items which the
same users use share pieces, and every piece is shared by equally many.
"""

from __future__ import annotations

import numpy as np

from zhiyin._svd import right_vectors
from zhiyin.arrays import AnyArray, IntMatrix
from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError

NOISE = 1e-5
"""Added to components that reach from 0 to 1, so that equal values do not all fall into one bin in the items' order."""


def svd_codes(
    histories: Histories, n_items: int, parts: int, n_codes: int, generator: np.random.Generator
) -> IntMatrix:
    """(n_items, parts) codes by the company that items keep.

    Items without events get random codes, and so do all items in the parts that a small matrix has no component for.
    Takes about 4 * (parts + 8) bytes for each user and for each item, three times, and 8 bytes an event.

    Args:
        histories: who used what; how often one user used an item makes no difference.
        n_items: the size of the catalogue.
        parts: codes of each item.
        n_codes: different codes in each part.
        generator: of the SVD, the noise and the random codes: the same one gives the same codes.

    Raises:
        ConfigError: `parts` or `n_codes` is not positive.
    """
    codes = random_codes(n_items, parts, n_codes, generator)
    matrix = histories.matrix(n_items, np.ones(histories.n_events, np.float32))
    matrix.data[:] = 1
    used = np.flatnonzero(np.bincount(matrix.indices, minlength=n_items))
    if not len(used):
        return codes
    vectors = right_vectors(matrix, parts, generator)[used]
    low, high = vectors.min(0), vectors.max(0)
    vectors = (vectors - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    for place, component in enumerate(vectors.T):
        noisy = component + generator.normal(0, NOISE, len(used))
        codes[used, place] = _bins(np.argsort(noisy, kind="stable"), n_codes)
    return codes


def random_codes(n_items: int, parts: int, n_codes: int, generator: np.random.Generator) -> IntMatrix:
    """(n_items, parts) codes at random, each as often as any other of its part.

    Raises:
        ConfigError: `parts` or `n_codes` is not positive.
    """
    if parts < 1 or n_codes < 1:
        raise ConfigError(f"{parts} parts with {n_codes} codes came; at least 1 of each is expected")
    columns = [_bins(generator.permutation(n_items), n_codes) for _ in range(parts)]
    return np.stack(columns, 1)


def _bins(order: AnyArray, n_codes: int) -> AnyArray:
    """(n,) int32 the bin of each item, of `n_codes` whose sizes differ by one at most; `order` is from low to high."""
    found = np.empty(len(order), np.int32)
    found[order] = np.arange(len(order), dtype=np.int64) * n_codes // max(1, len(order))
    return found
