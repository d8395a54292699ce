from typing import Any

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.models.bert4rec import BERT4Rec
from zhiyin.models.gpt4rec import GPT4Rec
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.hstu import HSTU
from zhiyin.models.item_knn import ItemKNN
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer import Transformer
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.run import Run
from zhiyin.testing.patterns import chain, copies, drift, found, periods, weekdays, without_answers

OPTIONS = {
    "embedding_size": 32,
    "max_length": 20,
    "epochs": 30,
    "batch_size": 300,
    "learning_rate": 5e-3,
    "dropout": 0.0,
    "loss": "softmax",
    "average": 0.0,
}
MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sasrec": (SASRec, {}),
    "ligr": (SASRec, {"block": "ligr", "epochs": 40}),
    "gbce": (SASRec, {"loss": "gbce", "n_negatives": 20, "epochs": 60}),
    "hstu": (HSTU, {"n_layers": 2}),
    "zhiyin": (Zhiyin, {"n_heads": 2}),
    "gpt4rec": (GPT4Rec, {"horizon": 1}),
    "gru4rec": (GRU4Rec, {}),
    "transformer_xl": (TransformerXL, {"segment": 10, "memory": 10}),
    # A fifth of the answers of the others, and from both sides: it learns more slowly.
    "bert4rec": (BERT4Rec, {"epochs": 100, "batch_size": 150, "block": "ligr", "relations": ("position",)}),
}
WORLDS: dict[str, tuple[Any, int | None]] = {
    "a Markov chain": (chain, None),
    "a copy from three events ago": (copies, None),
    "a periodic taste": (periods, 3),
    "a drifting taste": (drift, 4),
}


def fitted(model: Any, world: Dataset, **options: Any) -> Any:
    return model(**{**OPTIONS, **options}).fit(without_answers(world), run=Run(seed=1, threads=1))


@pytest.mark.parametrize("pattern", WORLDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_planted_pattern_is_found(name: str, pattern: str) -> None:
    (model, options), (make, groups) = MODELS[name], WORLDS[pattern]
    world = make()
    assert found(fitted(model, world, **options), world, groups) >= (0.75 if name == "bert4rec" else 0.9)


def test_neighbours_alone_do_not_follow_a_drift() -> None:
    world = drift()
    model = ItemKNN(neighbours=40).fit(without_answers(world))
    assert found(model, world, 4) < 0.8


def test_the_calendar_is_found_by_who_reads_it() -> None:
    world = weekdays()
    told, blind = (fitted(Transformer, world, features=one) for one in (("position", "weekday"), ("position",)))
    share = np.mean(world.histories.item[world.histories.offsets[1:] - 1] % 2 == 0)
    assert found(told, world, 2) >= 0.98
    assert found(blind, world, 2) <= share + 0.1
