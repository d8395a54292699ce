import math

import pytest

from zhiyin.metrics import LogLoss, NormalisedEntropy


def test_the_average_rate_is_one_and_knowledge_is_less() -> None:
    happened = [1, 0, 0, 0, 0]
    assert NormalisedEntropy()(happened, [0.2] * 5) == pytest.approx(1)
    assert NormalisedEntropy()(happened, [0.6, 0.1, 0.1, 0.1, 0.1]) < 1
    assert NormalisedEntropy()(happened, [0.5] * 5) > 1


def test_half_of_two_outcomes_is_log_loss_in_bits() -> None:
    happened, probability = [1, 0], [0.9, 0.3]
    bits = LogLoss()(happened, probability) / math.log(2)
    assert NormalisedEntropy()(happened, probability) == pytest.approx(bits)


def test_one_outcome_alone_has_no_entropy() -> None:
    assert math.isnan(NormalisedEntropy()([0, 0], [0.1, 0.2]))
    assert math.isnan(NormalisedEntropy()([1], [0.1]))
