import numpy as np

from zhiyin.metrics import Coverage
from zhiyin.testing.metrics import MetricSuite, random_lists


class TestCoverage(MetricSuite):
    metric = Coverage
    of_targets = False


def test_only_the_first_k_places_count() -> None:
    assert Coverage(k=1)([["a", "b"], ["a", "c"]], catalogue="abcd") == 0.25
    assert Coverage(k=2)([["a", "b"], ["a", "c"]], catalogue="abcd") == 0.75


def test_every_draw_of_a_bootstrap_covers_at_most_what_all_lists_cover() -> None:
    lists = random_lists(30, n_items=200)
    rng = np.random.default_rng(0)
    draws = [Coverage().resampled(lists, rng.integers(0, 30, 30)) for _ in range(50)]
    assert max(draws) < Coverage().overall(lists)
