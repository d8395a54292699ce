import numpy as np
import pytest
from scipy.special import expit

from zhiyin.errors import DataError
from zhiyin.ranking import chances


def test_isotonic_is_the_nearest_rising_curve() -> None:
    """The example of pool adjacent violators by hand: 0 | 1, 0 -> 1/2 | 1; ends are not taken to be sure."""
    found = chances.learn("isotonic", np.array([1.0, 2, 3, 4]), np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(found, [[1, 2.5, 4], [1 / 6, 0.5, 5 / 6]])
    assert chances.apply("isotonic", found, np.array([0.0, 1.75, 9.0])) == pytest.approx([1 / 6, 1 / 3, 5 / 6])


def test_isotonic_weighs_and_joins_equal_scores() -> None:
    found = chances.learn("isotonic", np.array([1.0, 1, 2]), np.array([0, 1, 1]), np.array([3.0, 1, 1]))
    np.testing.assert_allclose(found, [[1, 2], [0.25, 0.8]])


def test_platt_finds_the_slope_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(3, 10, 200_000)
    label = (rng.random(len(score)) < expit(0.3 * score - 2)).astype(float)
    found = chances.learn("platt", score, label)
    np.testing.assert_allclose(found[:, 0], [0.3, -2], rtol=0.03)


def test_platt_is_finite_where_labels_can_be_parted() -> None:
    found = chances.learn("platt", np.arange(6.0), np.array([0, 0, 0, 1, 1, 1]))
    said = chances.apply("platt", found, np.arange(6.0))
    assert np.isfinite(found).all()
    assert (np.diff(said) > 0).all()
    assert said[0] > 0.01


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_no_order_is_turned(method: chances.Method) -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=2_000)
    label = rng.random(2_000) < expit(2 * score)
    said = chances.apply(method, chances.learn(method, score, label), np.sort(score))
    assert (np.diff(said) >= 0).all()
    assert 0 < said.min() < said.max() < 1
    assert said.mean() == pytest.approx(label.mean(), abs=0.01)


def test_mistakes() -> None:
    with pytest.raises(DataError, match="calibrated on labels 0 and 1; others came"):
        chances.learn("platt", np.arange(3.0), np.array([0, 1, 2]))
    with pytest.raises(DataError, match="all 3 validation labels are the same"):
        chances.learn("isotonic", np.arange(3.0), np.ones(3))
