import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zhiyin.errors import DataError
from zhiyin.semantic_ids import tree
from zhiyin.semantic_ids._tree import ROOT

CODES = arrays(np.int32, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(0, 4))


@settings(deadline=None)
@given(CODES)
def test_it_is_what_a_search_through_all_codes_finds(codes: np.ndarray) -> None:
    found = tree(codes, (6,) * codes.shape[1])
    rows = [tuple(row) for row in codes.tolist()]
    known = [()]
    for length in range(1, codes.shape[1] + 1):
        known += sorted({row[:length] for row in rows})
    assert len(found) == len(known)
    assert found.n_leaves == len(set(rows))
    offsets, digits, nodes = found.children(np.arange(len(known)))
    starts, items = found.items(np.arange(len(known)))
    mask = found.allowed(np.arange(len(known)))
    for node, path in enumerate(known):
        after = sorted({row[len(path)] for row in rows if row[: len(path)] == path and len(row) > len(path)})
        assert digits[offsets[node] : offsets[node + 1]].tolist() == after
        assert [known[child] for child in nodes[offsets[node] : offsets[node + 1]]] == [(*path, one) for one in after]
        assert np.flatnonzero(mask[node]).tolist() == after
        below = [item for item, row in enumerate(rows) if row[: len(path)] == path]
        assert sorted(items[starts[node] : starts[node + 1]].tolist()) == below
        assert found.find(np.array([path], int).reshape(1, -1))[0] == node
        assert found.codes([node])[0].tolist() == [*path, *[-1] * (codes.shape[1] - len(path))]
        for digit in range(-1, 7):
            child = known.index((*path, digit)) if digit in after else -1
            assert found.step(node, digit) == child


def test_items_that_share_a_leaf_come_in_their_order() -> None:
    found = tree(np.array([[1, 1], [0, 2], [1, 1], [-1, -1], [1, 1]]))
    leaf = found.find([[1, 1]])
    assert found.items(leaf)[1].tolist() == [0, 2, 4]
    assert found.n_items == 4
    assert found.sizes == (2, 3)
    assert found.levels == 2


def test_many_nodes_are_asked_at_once_in_any_shape() -> None:
    found = tree(np.array([[0, 1], [0, 3], [2, 1]]), (4, 4))
    nodes = found.step(ROOT, np.array([[0, 2], [1, 3]]))
    assert nodes.tolist() == [[1, 2], [-1, -1]]
    mask = found.allowed(nodes)
    assert mask.shape == (2, 2, 4)
    assert mask[0].tolist() == [[False, True, False, True], [False, True, False, False]]
    assert not mask[1].any()
    assert found.allowed(nodes, width=10).shape == (2, 2, 10)
    assert found.allowed([]).shape == (0, 4)
    np.testing.assert_array_equal(found.step(nodes[0][:, None], np.arange(4)) >= 0, mask[0])


def test_a_walk_by_allowed_digits_always_ends_at_an_item() -> None:
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 16, (500, 3)), axis=0)
    found = tree(codes, (16, 16, 16))
    nodes = np.zeros(200, np.int32)
    for _ in range(3):
        scores = np.where(found.allowed(nodes), rng.random((200, 16)), -np.inf)
        nodes = found.step(nodes, scores.argmax(1))
    assert (nodes >= 0).all()
    offsets, items = found.items(nodes)
    assert (np.diff(offsets) == 1).all()
    np.testing.assert_array_equal(codes[items], found.codes(nodes))


def test_bad_calls_are_refused_with_a_reason() -> None:
    with pytest.raises(DataError, match="none of 2 items"):
        tree(np.full((2, 3), -1))
    with pytest.raises(DataError, match="0 to 1"):
        tree([[2, 0]], (2, 2))
    with pytest.raises(DataError, match="one a digit"):
        tree([[1, 0]], (2, 2, 2))
    found = tree([[1, 0]])
    for wrong in (3, -2, 0.5):
        with pytest.raises(DataError, match="from 0 to 2"):
            found.step(wrong, 0)
