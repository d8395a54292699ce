import numpy as np
import pytest

from zhiyin.metrics import CalibrationError


def test_true_probabilities_are_nearly_calibrated_and_doubled_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(1, 8, 200_000) / 2
    happened = rng.random(len(probability)) < probability
    for bins in ("mass", "width"):
        metric = CalibrationError(bins=bins)
        assert metric(happened, probability) < 0.003
        assert metric(happened, 2 * probability) == pytest.approx(probability.mean(), rel=0.05)


def test_bins_of_width_and_of_mass_by_hand() -> None:
    happened, probability = [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.9]
    # width 1/2: three cases said 0.2 and were 1/3, one said 0.9 and was 1
    assert CalibrationError(bins="width", n_bins=2)(happened, probability) == pytest.approx(
        3 / 4 * (1 / 3 - 0.2) + 0.1 / 4
    )
    # mass of two: said 0.15 and were 1/2, said 0.6 and were 1/2
    assert CalibrationError(bins="mass", n_bins=2)(happened, probability) == pytest.approx((0.35 + 0.1) / 2)


def test_equal_probabilities_share_a_bin_whatever_their_order() -> None:
    happened, probability = np.array([1, 1, 0, 0, 1, 0]), np.full(6, 0.5)
    for order in (np.arange(6), np.array([2, 3, 5, 0, 1, 4])):
        assert CalibrationError(n_bins=3)(happened[order], probability[order]) == 0


def test_a_probability_of_one_falls_into_the_last_bin() -> None:
    assert CalibrationError(bins="width", n_bins=4)([1, 0], [1.0, 0.0]) == 0
