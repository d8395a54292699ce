from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zhiyin.arrays import offsets_of
from zhiyin.ranking._within import blocks, standard

LENGTHS = st.lists(st.integers(0, 6), max_size=12)


@given(LENGTHS, st.integers(0, 2**31))
def test_it_is_what_numpy_says_of_each_query(lengths: list[int], seed: int) -> None:
    offsets, rng = offsets_of(np.array(lengths, np.int64)), np.random.default_rng(seed)
    values = rng.integers(0, 4, (int(offsets[-1]), 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[rng.random(values.shape) < 0.1] = np.inf
    found = standard(values, offsets)
    for start, stop in pairwise(offsets.tolist()):
        for at in range(3):
            known = np.isfinite(values[start:stop, at])
            own = values[start:stop, at][known].astype(np.float64)
            wanted = (own - own.mean()) / own.std() if len(own) and own.std() else np.zeros(len(own))
            np.testing.assert_allclose(found[start:stop, at][known], wanted, atol=1e-9)
            assert np.isnan(found[start:stop, at][~known]).all()


def test_what_single_precision_cannot_tell_apart_is_alike() -> None:
    noise = np.float32(1e7) + np.arange(2, dtype=np.float32)  # neighbours there
    assert standard(noise[:, None], np.array([0, 2])).ravel().tolist() == [0, 0]
    counts = 4e6 + np.arange(10, dtype=np.float32)
    assert standard(counts[:, None], np.array([0, 10])).std() == 1


@given(LENGTHS, st.integers(1, 9))
def test_blocks_are_whole_queries_one_after_the_other(lengths: list[int], rows: int) -> None:
    offsets = offsets_of(np.array(lengths, np.int64))
    parts = list(blocks(offsets, rows))
    assert [row for part, _ in parts for row in range(part.start, part.stop)] == list(range(int(offsets[-1])))
    for part, own in parts:
        assert own[0] == 0
        assert own[-1] == part.stop - part.start < rows + max(lengths, default=0)
        assert set(own + part.start) <= set(offsets.tolist())
