import json

import numpy as np
import pytest

from zhiyin.errors import ConfigError, DataError
from zhiyin.evaluation.reliability import reliability
from zhiyin.metrics import CalibrationError


def test_chances_at_their_word_lie_in_their_intervals() -> None:
    rng = np.random.default_rng(0)
    chance = rng.beta(1, 5, 60_000)
    found = reliability(rng.random(len(chance)) < chance, chance, 20)
    assert found.honest >= 0.85
    assert found.error < 0.01
    assert (np.diff(found.said) > 0).all()
    assert found.n.tolist() == [3_000] * 20


def test_chances_that_say_too_much_do_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.beta(1, 5, 20_000)
    found = reliability(rng.random(len(chance)) < chance / 2, chance)
    assert found.honest < 0.2
    assert found.error == pytest.approx(chance.mean() / 2, rel=0.05)


def test_the_error_is_that_of_the_metric() -> None:
    rng = np.random.default_rng(1)
    chance = np.round(rng.random(5_000), 2)  # many are equal
    label = (rng.random(5_000) < chance**2).astype(float)
    assert reliability(label, chance).error == pytest.approx(float(CalibrationError()(label, chance)), rel=1e-9)


def test_it_is_shown_and_written() -> None:
    found = reliability([0, 1, 1, 0], [0.1, 0.8, 0.9, 0.3], 2)
    assert json.loads(json.dumps(found.to_dict()))["n"] == [2, 2]
    drawn = found.chart("Clicks").html()
    assert "Clicks" in drawn
    assert "calibration error" in drawn


def test_mistakes() -> None:
    with pytest.raises(DataError, match="2 cases came with 1 chances"):
        reliability([0, 1], [0.5])
    with pytest.raises(DataError, match=r"from 0\.5 to 1\.5"):
        reliability([0, 1], [0.5, 1.5])
    with pytest.raises(DataError, match=r"1 \(happened\) or 0"):
        reliability([0, 3], [0.5, 0.5])
    with pytest.raises(ConfigError, match="n_bins=0"):
        reliability([0, 1], [0.5, 0.5], 0)
