import numpy as np
import pytest

from zhiyin.data.histories import Histories
from zhiyin.errors import ConfigError
from zhiyin.nn.codes import random_codes, svd_codes
from zhiyin.testing.worlds import tastes

WORLD = tastes(n_users=200, n_items=120, n_groups=4)
GROUP = np.arange(120) % 4


def codes_of(
    histories: Histories = WORLD.histories, n_items: int = 120, parts: int = 4, n_codes: int = 8, seed: int = 0
):
    return svd_codes(histories, n_items, parts, n_codes, np.random.default_rng(seed))


def sizes_of(codes: np.ndarray, n_codes: int) -> np.ndarray:
    return np.stack([np.bincount(column, minlength=n_codes) for column in codes.T])


def shared(codes: np.ndarray, together: np.ndarray) -> float:
    """The mean number of codes that two different items have in common, over the pairs `together` says."""
    same = (codes[:, None] == codes[None]).sum(2)
    return float(same[together & ~np.eye(len(codes), dtype=bool)].mean())


@pytest.mark.parametrize(("n_items", "n_codes"), [(120, 8), (120, 7), (120, 256), (1, 4)])
def test_random_codes_are_each_as_common_as_any_other(n_items: int, n_codes: int) -> None:
    codes = random_codes(n_items, 3, n_codes, np.random.default_rng(0))
    assert codes.shape == (n_items, 3)
    assert codes.dtype == np.int32
    assert np.ptp(sizes_of(codes, n_codes), axis=1).max() <= 1


def test_bins_are_of_equal_size() -> None:
    codes = codes_of(n_codes=7)
    assert np.bincount(WORLD.histories.item, minlength=120).min() > 0
    assert np.ptp(sizes_of(codes, 7), axis=1).max() <= 1


def test_items_of_the_same_users_share_codes() -> None:
    alike = GROUP[:, None] == GROUP[None]
    codes, by_chance = codes_of(), random_codes(120, 4, 8, np.random.default_rng(0))
    assert shared(codes, alike) > 2 * shared(codes, ~alike)
    assert shared(codes, alike) > 1.5 * shared(by_chance, alike)


def test_the_seed_tells_the_codes() -> None:
    assert np.array_equal(codes_of(n_items=140, seed=3), codes_of(n_items=140, seed=3))
    assert not np.array_equal(codes_of(n_items=140, seed=3), codes_of(n_items=140, seed=4))


def test_how_often_a_user_used_an_item_makes_no_difference() -> None:
    lists = [WORLD.histories.of(user).tolist() for user in range(len(WORLD.histories))]
    twice = Histories.of_lists([one + one[:3] for one in lists])
    assert np.array_equal(codes_of(twice), codes_of())


def test_items_without_events_are_spread_over_all_codes() -> None:
    codes = codes_of(n_items=120 + 160)
    assert np.ptp(sizes_of(codes[:120], 8), axis=1).max() <= 1
    new = sizes_of(codes[120:], 8)
    assert new.min() > 5  # 20 are expected
    assert len(np.unique(codes[120:], axis=0)) > 140


def test_equal_values_do_not_fall_into_bins_in_the_order_of_the_items() -> None:
    """Every user uses every item: no component tells them apart."""
    codes = codes_of(Histories.of_lists([list(range(64))] * 5), 64, 2, 2)
    assert 8 < codes[:32, 0].sum() < 24


@pytest.mark.parametrize("lists", [[], [[]], [[0]], [[0, 1], [1]]])
def test_a_matrix_that_is_too_small_for_all_parts_still_gives_codes(lists: list[list[int]]) -> None:
    codes = codes_of(Histories.of_lists(lists), 5, 4, 3)
    assert codes.shape == (5, 4)
    assert 0 <= codes.min() <= codes.max() < 3


@pytest.mark.parametrize(("parts", "n_codes"), [(0, 8), (4, 0)])
def test_codes_of_nothing_are_refused(parts: int, n_codes: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        codes_of(parts=parts, n_codes=n_codes)
