from itertools import product
from typing import Any

import pytest

from zhiyin.models.sasrec import SASRec
from zhiyin.run import Run
from zhiyin.testing.patterns import chain, found, without_answers

OPTIONS = {
    "embedding_size": 32,
    "n_layers": 1,
    "max_length": 20,
    "epochs": 25,
    "batch_size": 300,
    "learning_rate": 0.01,
    "dropout": 0.0,
    "average": 0.0,
}
SAMPLED = list(product(("sampled_softmax", "bce", "gbce"), ("uniform", "popularity", "mixed", "in_batch")))


def accuracy(**options: Any) -> float:
    world = chain()
    model = SASRec(**OPTIONS, **options).fit(without_answers(world), run=Run(seed=1, threads=1))
    return found(model, world)


def test_the_softmax_over_all_items_learns_a_chain() -> None:
    assert accuracy(loss="softmax") >= 0.9


@pytest.mark.parametrize("corrected", [False, True], ids=["plain", "corrected"])
@pytest.mark.parametrize(("loss", "negatives"), SAMPLED)
def test_every_sampled_loss_learns_a_chain_with_every_way_to_draw(loss: str, negatives: str, corrected: bool) -> None:
    assert accuracy(loss=loss, negatives=negatives, corrected=corrected, n_negatives=20) >= 0.9
