import numpy as np

from zhiyin.arrays import offsets_of


def test_offsets_outgrow_32_bits() -> None:
    found = offsets_of(np.array([2**31 - 1, 5, 0], np.int32))
    assert found.dtype == np.int64
    assert found.tolist() == [0, 2**31 - 1, 2**31 + 4, 2**31 + 4]
    assert offsets_of([]).tolist() == [0]
