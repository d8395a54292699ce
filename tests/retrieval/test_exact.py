import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from zhiyin.data.histories import Histories
from zhiyin.retrieval import exact
from zhiyin.retrieval.exact import NOTHING, allowed_mask, among_best, hide, search, top_k, top_k_entries
from zhiyin.run import Run


def by_sorting(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by Python's sort: best score first, then smallest number."""
    items, values = np.full((len(scores), k), -1, np.int32), np.full((len(scores), k), np.nan, np.float32)
    for row, line in enumerate(scores.tolist()):
        candidates = [item for item, score in enumerate(line) if score > -np.inf]  # no comparison with NaN holds
        best = sorted(candidates, key=lambda item: (-line[item], item))[:k]
        items[row, : len(best)] = best
        values[row, : len(best)] = [line[item] for item in best]
    return items, values


def check(scores: np.ndarray, k: int) -> None:
    before = scores.copy()
    items, values = top_k(scores, k)
    expected = by_sorting(scores, k)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(values, expected[1])
    assert items.dtype == np.int32
    assert values.dtype == np.float32
    np.testing.assert_array_equal(scores, before)
    listed = np.zeros(scores.shape, bool)
    row, place = np.nonzero(items >= 0)
    listed[row, items[row, place]] = True
    np.testing.assert_array_equal(among_best(scores, k), listed)


few_values = st.sampled_from([-np.inf, np.inf, np.nan, 0.0, -0.0, 1.0, 2.0, -1.0])
shapes = st.tuples(st.integers(0, 4), st.integers(1, 300))


@settings(max_examples=300, deadline=None)
@given(arrays(np.float32, shapes, elements=few_values, fill=few_values), st.integers(1, 320))
def test_top_k_is_a_sort_under_many_ties(scores: np.ndarray, k: int) -> None:
    check(scores, k)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(200, 3000),
    st.integers(1, 60),
    st.sampled_from([2, 5, 100, 2**20]),
    st.floats(0, 1),
)
def test_top_k_is_a_sort_for_long_rows(seed: int, n: int, n_items: int, k: int, levels: int, hidden: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (n, n_items)).astype(np.float32) / 7
    scores[rng.random(scores.shape) < hidden] = NOTHING
    scores[rng.random(scores.shape) < hidden / 4] = np.nan
    check(scores, k)


@pytest.mark.parametrize("value", [0.0, -np.inf, np.nan, np.finfo(np.float32).min])
def test_rows_of_one_value(value: float) -> None:
    check(np.full((3, 2000), value, np.float32), 10)


def test_no_rows_and_columns_out_of_a_larger_matrix() -> None:
    check(np.zeros((0, 50), np.float32), 5)
    check(np.random.default_rng(0).random((20, 4000), dtype=np.float32)[::2, 100:3100:2], 8)
    check(np.asfortranarray(np.random.default_rng(0).random((20, 900), dtype=np.float32)), 8)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(3).integers(0, 40, (50, 1500)).astype(np.float32)
    whole = top_k(scores, 12)
    monkeypatch.setattr(exact, "CACHE_BYTES", 1)
    for ours, theirs in zip(whole, top_k(scores, 12), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(1, 200), st.integers(1, 30), st.floats(0, 0.5))
def test_sparse_scores_give_the_lists_of_dense_ones(seed: int, n: int, n_items: int, k: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.choice(np.array([1, 2, 3, np.nan, -np.inf, -1], np.float32), (n, n_items))
    dense[rng.random(dense.shape) >= density * np.linspace(0, 2, n)[:, None]] = 0
    matrix = sparse.csr_array(dense)
    for ours, theirs in zip(top_k_entries(matrix, k), by_sorting(np.where(dense == 0, NOTHING, dense), k), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_hide_hides_duplicates_too() -> None:
    scores = np.ones((2, 4), np.float32)
    hide(scores, Histories.of_lists([[1, 1, 3], []]))
    assert scores.tolist() == [[1, -np.inf, 1, -np.inf], [1, 1, 1, 1]]


def test_allowed_mask() -> None:
    assert allowed_mask(4, None, None) is None
    mask = allowed_mask(4, np.array([0, 1, 2], np.int32), np.array([1], np.int32))
    assert mask is not None
    assert mask.tolist() == [True, False, True, False]


@pytest.mark.parametrize("at_once", [65_536, 64, 11])
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("share", [None, 0.0, 0.02, 0.6])
@pytest.mark.parametrize("run", [Run(threads=1), Run(threads=3, memory_mib=1)])
def test_search_is_top_k_of_the_products(
    seen: bool, share: float | None, run: Run, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "ITEMS_AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    queries = rng.integers(-3, 4, (300, 5)).astype(np.float32)  # whole numbers: exact products, many ties
    vectors = rng.integers(-3, 4, (700, 5)).astype(np.float32)
    histories = Histories.of_lists([rng.integers(0, 700, rng.integers(0, 30)).tolist() for _ in range(300)])
    allowed = None if share is None else rng.random(700) < share
    scores = queries @ vectors.T
    if seen:
        hide(scores, histories)
    if allowed is not None:
        scores[:, ~allowed] = NOTHING
    expected = by_sorting(scores, 15)
    found = search(queries, vectors, 15, seen=histories if seen else None, allowed=allowed, run=run)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_search_of_nothing() -> None:
    items, values = search(np.zeros((0, 3), np.float32), np.zeros((9, 3), np.float32), 4)
    assert items.shape == values.shape == (0, 4)
