"""The search is held to the scores of all codes, one by one, on random trees."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zhiyin.data.histories import Histories
from zhiyin.nn.beams import Openings, beam_search
from zhiyin.nn.digits import DigitItems
from zhiyin.nn.heads import DepthDecoder
from zhiyin.semantic_ids import tree
from zhiyin.semantic_ids._tree import CodeTree

SIZES = (4, 3, 5)
N = 12


def world(
    seed: int, n_items: int = 20, shared: bool = False
) -> tuple[DepthDecoder, DigitItems, CodeTree, torch.Tensor]:
    """A decoder with random weights, a random tree, and the states of N queries."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, SIZES, (n_items, 3)).astype(np.int32)
    if not shared:
        codes = np.unique(codes, axis=0)
    rng.shuffle(codes)
    torch.manual_seed(seed)
    decoder = DepthDecoder(3, 8, 2, 16, 1, 0.0, 0.3).eval()
    digits = DigitItems(torch.from_numpy(codes), SIZES, 8)
    for one in (*decoder.parameters(), *digits.parameters()):
        torch.nn.init.normal_(one)
    return decoder, digits, tree(codes, SIZES), torch.randn(N, 8)


def every(decoder: DepthDecoder, digits: DigitItems, states: torch.Tensor) -> np.ndarray:
    """(N, n_items) the log-probability of the code of each item."""
    with torch.inference_mode():
        found = [decoder.log_probs(one.expand(digits.n_items, -1), digits.codes, digits) for one in states]
    return torch.stack(found).numpy()


@given(seed=st.integers(0, 10_000), shared=st.booleans())
@settings(max_examples=25, deadline=None)
def test_wide_beams_find_every_item_with_the_probability_of_its_code(seed: int, shared: bool) -> None:
    decoder, digits, codes, states = world(seed, shared=shared)
    owner, item, score = beam_search(decoder, digits, states, codes, digits.n_items, Openings(codes))
    wanted = every(decoder, digits, states)
    found = np.full_like(wanted, np.nan)
    found[owner, item] = score
    assert len(item) == wanted.size
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 10_000), width=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_what_is_found_is_there_may_be_listed_and_is_as_much_as_there_can_be(seed: int, width: int) -> None:
    decoder, digits, codes, states = world(seed)
    rng = np.random.default_rng(seed)
    n_items = digits.n_items
    allowed = rng.random(n_items) < 0.6
    seen = Histories.of_lists([rng.choice(n_items, rng.integers(0, n_items), replace=False).tolist() for _ in range(N)])
    owner, item, score = beam_search(decoder, digits, states, codes, width, Openings(codes, allowed, seen))
    wanted = every(decoder, digits, states)
    np.testing.assert_allclose(score, wanted[owner, item], rtol=1e-4, atol=1e-4)
    assert (np.diff(owner) >= 0).all()
    for row in range(N):
        listed, free = item[owner == row], set(np.flatnonzero(allowed)) - set(seen.of(row))
        assert len(set(listed)) == len(listed) == min(width, len(free))
        assert set(listed) <= free
        assert (np.diff(score[owner == row]) <= 0).all()


def test_wider_beams_never_find_a_worse_first_item_than_the_greedy_walk() -> None:
    decoder, digits, codes, states = world(3)
    best = every(decoder, digits, states).max(1)
    found = []
    for width in (1, 4, 20):
        owner, _, score = beam_search(decoder, digits, states, codes, width, Openings(codes))
        found.append(score[np.searchsorted(owner, np.arange(N))])
    assert (found[2] >= found[0] - 1e-4).all()
    np.testing.assert_allclose(found[2], best, rtol=1e-4)


def test_a_batch_is_its_queries_one_by_one() -> None:
    decoder, digits, codes, states = world(5)
    seen = Histories.of_lists([[row % 3, row % 5] for row in range(N)])
    whole = beam_search(decoder, digits, states, codes, 4, Openings(codes, None, seen))
    for row in range(N):
        one = beam_search(
            decoder, digits, states[row : row + 1], codes, 4, Openings(codes, None, seen.slice(row, row + 1))
        )
        mine = whole[0] == row
        np.testing.assert_array_equal(whole[1][mine], one[1])
        np.testing.assert_allclose(whole[2][mine], one[2], rtol=1e-4)


def test_items_that_share_a_code_are_found_together_and_seen_apart() -> None:
    codes = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 3]])
    decoder, _, _, states = world(1)
    torch.manual_seed(0)
    digits = DigitItems(torch.from_numpy(codes), SIZES, 8)
    torch.nn.init.normal_(digits.weight)
    shared = tree(codes, SIZES)
    _, item, score = beam_search(decoder, digits, states[:1], shared, 3, Openings(shared))
    assert sorted(item.tolist()) == [0, 1, 2]
    assert score[item == 0] == score[item == 1]
    seen = Histories.of_lists([[0]])
    _, item, _ = beam_search(decoder, digits, states[:1], shared, 3, Openings(shared, None, seen))
    assert sorted(item.tolist()) == [1, 2]


@pytest.mark.parametrize("n", [0, 2])
def test_without_queries_or_without_an_item_to_list_nothing_is_found(n: int) -> None:
    decoder, digits, codes, states = world(2)
    closed = Openings(codes, np.zeros(digits.n_items, bool))
    assert [len(one) for one in beam_search(decoder, digits, states[:n], codes, 3, closed)] == [0, 0, 0]


def test_a_node_is_open_as_long_as_one_item_below_it_may_be_listed() -> None:
    codes = tree(np.array([[0, 0], [0, 1], [1, 0], [-1, -1]]))
    openings = Openings(codes, np.array([True, True, False, True]), Histories.of_lists([[0, 0], [0, 1, 3], []]))
    first = codes.find(np.array([[0], [1]]))
    assert [openings.open(np.array([row, row]), first).tolist() for row in range(3)] == [
        [True, False],
        [False, False],
        [True, False],
    ]
