import numpy as np
import pytest
from scipy.special import expit

from zhiyin.arrays import AnyArray
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


def outcomes(slope: float, n: int = 2_000) -> tuple[AnyArray, AnyArray]:
    rng = np.random.default_rng(1)
    score = rng.normal(size=n)
    return score, rng.random(n) < expit(slope * score)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
@pytest.mark.parametrize("slope", [2.0, 0.2, 0.0, -0.2, -2.0])
def test_no_order_is_turned(method: chances.Method, slope: float) -> None:
    score, label = outcomes(slope)
    said = chances.apply(method, chances.learn(method, score, label), np.linspace(-9, 9, 500))
    assert (np.diff(said) >= 0).all()
    assert 0 < said.min() <= said.max() < 1
    assert (said.max() > said.min() + 0.02) or slope <= 0
    told = chances.apply(method, chances.learn(method, score, label), score)
    assert slope < 0 or told.mean() == pytest.approx(label.mean(), abs=0.01)


def test_platt_keeps_every_difference_and_isotonic_is_level_outside() -> None:
    score, label = outcomes(2.0)
    asked = np.linspace(-9, 9, 500)
    platt, isotonic = (chances.apply(one, chances.learn(one, score, label), asked) for one in ("platt", "isotonic"))
    assert (np.diff(platt) > 0).all()
    assert np.ptp(isotonic[asked > score.max()]) == 0
    assert np.ptp(isotonic[asked < score.min()]) == 0


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_scores_that_say_the_opposite_become_one_chance_and_it_is_said(
    method: chances.Method, caplog: pytest.LogCaptureFixture
) -> None:
    score, label = np.arange(6.0), np.array([1, 1, 1, 0, 0, 0])
    said = chances.apply(method, chances.learn(method, score, label), score)
    np.testing.assert_allclose(said, 0.5)
    assert "of 6 validation rows what happened does not rise with the score" in caplog.text
    caplog.clear()
    chances.learn(method, np.ones(6), label)  # which say nothing, and are of one chance already
    chances.learn(method, score, 1 - label)
    assert not caplog.text


def test_mistakes() -> None:
    with pytest.raises(DataError, match="calibrated on labels 0 and 1; others came"):
        chances.learn("platt", np.arange(3.0), np.array([0, 1, 2]))
    with pytest.raises(DataError, match="all 3 validation labels are the same"):
        chances.learn("isotonic", np.arange(3.0), np.ones(3))
