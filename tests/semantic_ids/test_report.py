import json

import numpy as np
import pytest

from zhiyin.artifacts import to_json
from zhiyin.errors import DataError
from zhiyin.semantic_ids import ResidualKMeans, report
from zhiyin.testing.semantic_ids import clumps

CODES = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [-1, -1], [1, 1], [0, 0]])


def test_numbers_by_hand() -> None:
    found = report(CODES, (4, 2))
    assert (found.n_items, found.silent, found.sizes) == (6, 1, (4, 2))
    assert found.collisions == pytest.approx(3 / 6)
    assert found.largest_group == 3
    assert found.collisions_after == 0
    assert found.used == (0.5, 1.0)
    assert found.entropy[0] == pytest.approx(-(4 / 6) * np.log2(4 / 6) - (2 / 6) * np.log2(2 / 6))
    assert found.perplexity[0] == pytest.approx(2 ** found.entropy[0])
    assert found.error is None
    assert found.purity is None


def test_a_last_digit_of_few_values_leaves_collisions() -> None:
    found = report(np.zeros((5, 1), int), (2,))
    assert found.collisions == 1
    assert found.collisions_after == 1  # 0, 1, 0, 1, 0
    assert report(np.zeros((3, 1), int), (2,)).collisions_after == pytest.approx(2 / 3)
    assert found.entropy == (0.0,)


def test_purity_by_hand() -> None:
    labels = ["a", "a", "b", "b", "z", None, "c"]
    found = report(CODES, (2, 2), labels=labels)
    assert found.purity is not None
    assert found.purity[0] == pytest.approx(2 / 4)  # a, a, b, c share the 0; the item of the 1 is alone without label
    assert found.purity[1] == pytest.approx(2 / 3)
    alone = report([[0], [1]], (2,), labels=["a", "b"])
    assert alone.purity == alone.chance == (None,)


def test_purity_of_real_groups_is_one_and_of_none_is_chance() -> None:
    vectors, groups = clumps(8, 25)
    book = ResidualKMeans(levels=2, n_codes=8).fit(vectors)
    codes = book.assign(vectors)
    found = report(codes, book.sizes, vectors, book.decode(codes), labels=groups)
    assert found.purity is not None
    assert found.chance is not None
    assert found.purity[0] == 1
    assert found.chance[0] is not None
    assert found.chance[0] < 0.35
    nothing = report(codes, book.sizes, labels=np.random.default_rng(1).permutation(groups))
    assert nothing.purity is not None
    assert nothing.purity[0] == pytest.approx(found.chance[0], abs=0.05)


def test_the_error_is_a_share_of_the_variance() -> None:
    vectors = np.array([[1.0, 1], [3, 1], [5, 5], [3, 5]])
    codes = np.array([[0], [0], [1], [-1]])
    spoken = vectors[:3]
    assert report(codes, (2,), vectors, vectors).error == 0
    assert report(codes, (2,), vectors, np.tile(spoken.mean(0), (4, 1))).error == pytest.approx(1)
    off = np.add(vectors, [[0, 1], [0, 0], [0, 0], [99, 99]])
    assert report(codes, (2,), vectors, off).error == pytest.approx(1 / np.square(spoken - spoken.mean(0)).sum())
    assert report(codes, (2,), np.ones((4, 2)), np.ones((4, 2))).error is None


def test_it_is_told_to_people_and_to_programs() -> None:
    vectors, groups = clumps(8, 25)
    book = ResidualKMeans(levels=2, n_codes=8).fit(vectors)
    codes = book.assign(vectors)
    found = report(codes, book.sizes, vectors, book.decode(codes), labels=groups.tolist())
    lines = str(found).splitlines()
    assert lines[0] == "200 items with a code, 0 without"
    assert "after the last digit" in lines[1]
    assert "purity 1.000, by chance" in lines[4]
    assert json.loads(to_json(found.to_dict())) == found.to_dict()
    assert "purity" not in str(report(codes, book.sizes))


def test_what_does_not_fit_together_is_refused() -> None:
    vectors = np.ones((7, 3))
    for came in ((vectors, None), (None, vectors), (vectors, vectors[:, :2]), (vectors[:3], vectors[:3])):
        with pytest.raises(DataError, match=r"\(7, d\) both"):
            report(CODES, (2, 2), *came)
    with pytest.raises(DataError, match="2 labels came for 7"):
        report(CODES, (2, 2), labels=["a", "b"])
    with pytest.raises(DataError, match="take one member"):
        report(CODES, (2, 2), labels=[["a", "b"]] * 7)
    with pytest.raises(DataError, match="has a label"):
        report(CODES, (2, 2), labels=[None] * 7)
    with pytest.raises(DataError, match="one a digit"):
        report(CODES, (2, 2, 2))
    with pytest.raises(DataError, match="none of 1 items"):
        report([[-1]], (2,))
    with pytest.raises(DataError, match="0 to 0"):
        report(CODES, (1, 2))
