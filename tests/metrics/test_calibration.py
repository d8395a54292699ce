import math

import numpy as np
import pytest

from zhiyin.metrics import Calibration
from zhiyin.testing.metrics import MetricSuite

KINDS = {"r1": ["romance"], "r2": ["romance"], "a1": ["action"], "both": ["romance", "action"], "none": []}


class TestCalibration(MetricSuite):
    metric = Calibration
    of_targets = False
    bounds = (0.0, math.log2(100))


class TestJensenShannonCalibration(MetricSuite):
    metric = Calibration
    options = {"divergence": "js"}
    of_targets = False


def of(listed: list[str], past: list[str], **settings: object) -> float:
    return Calibration(k=5, **settings)([listed], histories=[past], categories=KINDS)


def test_the_same_mix_is_no_divergence() -> None:
    assert of(["r2", "a1", "none"], ["both"]) == pytest.approx(0, abs=1e-15)
    assert of(["r1"], ["r2", "none"], divergence="js") == pytest.approx(0, abs=1e-15)


def test_a_history_of_70_to_30_and_a_list_of_romance_alone() -> None:
    past = ["r1"] * 7 + ["a1"] * 3
    kl = 0.7 * math.log2(0.7 / (0.99 + 0.01 * 0.7)) + 0.3 * math.log2(0.3 / (0.01 * 0.3))
    assert of(["r1", "r2"], past) == pytest.approx(kl)
    js = (0.7 * math.log2(0.7 / 0.85) + 0.3 * math.log2(0.3 / 0.15) + math.log2(1 / 0.85)) / 2
    assert of(["r1", "r2"], past, divergence="js") == pytest.approx(js)


def test_nothing_in_common_costs_the_most() -> None:
    assert of(["a1"], ["r1"], alpha=0.25) == pytest.approx(2)
    assert of(["a1"], ["r1"], divergence="js") == pytest.approx(1)


def test_without_categories_there_is_no_mix() -> None:
    assert np.isnan(of(["none"], ["r1"]))
    assert np.isnan(of(["r1"], ["none"]))
    assert np.isnan(of(["r1"], []))
    assert np.isnan(Calibration()([["r1"]], histories=[["r2"]]))
