import copy
from typing import Any

import numpy as np
import pytest
import torch

from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Query
from zhiyin.models._sequences import SequenceRecommender
from zhiyin.models._tables import own_table
from zhiyin.models.bert4rec import BERT4Rec
from zhiyin.models.gpt4rec import GPT4Rec
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.hstu import HSTU
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.nn.items import PlainItems, ProductItems
from zhiyin.nn.sides import SideItems
from zhiyin.run import Run
from zhiyin.testing.worlds import tastes

WITHOUT_EVENTS = 7
OPTIONS = {"embedding_size": 16, "max_length": 12, "epochs": 1, "batch_size": 64, "learning_rate": 0.01, "average": 0.0}
MODELS: dict[str, tuple[type[SequenceRecommender], dict[str, Any]]] = {
    "sasrec": (SASRec, {}),
    "bert4rec": (BERT4Rec, {}),
    "hstu": (HSTU, {}),
    "transformer_xl": (TransformerXL, {"segment": 4, "memory": 4}),
    "gpt4rec": (GPT4Rec, {}),
    "gru4rec": (GRU4Rec, {}),
    "zhiyin": (Zhiyin, {}),
    "codes": (SASRec, {"codes": 4}),
    "features of items": (SASRec, {"item_features": ("categories",)}),
    "codes and features of items": (SASRec, {"codes": 4, "item_features": ("categories",)}),
}


def world() -> Dataset:
    whole = tastes()
    return whole.keep(whole.histories.item != WITHOUT_EVENTS)


def renamed(model: SequenceRecommender, order: np.ndarray) -> SequenceRecommender:
    """The same model where the item that had the number `order[i]` has the number `i`."""
    other = copy.deepcopy(model)
    other.items = model.vocabulary.take(order)
    other.known, other.popularity = model.known[order], model.popularity[order]
    own = own_table(other.net.items)
    assert isinstance(own, PlainItems | ProductItems)
    rows = own.codes if isinstance(own, ProductItems) else own.weight
    with torch.no_grad():
        rows.copy_(rows[torch.from_numpy(order)])
        if isinstance(other.net.items, SideItems):
            assert model.item_sides is not None
            other.item_sides = model.item_sides[order]
            moved = SideItems.of(own, other.item_sides, model.config.embedding_size)
            moved.weight.copy_(other.net.items.weight)
            other.net.items = moved
    other._settle()
    return other


def queries(data: Dataset) -> list[Query]:
    """Whole histories, with their times and values, without any, with an item that has no events, and of nothing."""
    found = []
    for user in range(20):
        one = data.histories.slice(user, user + 1)
        assert one.time is not None
        assert one.value is not None
        ids, now = data.items.decode(one.item), int(one.time[-1]) + 60_000_000
        found += [Query.of(ids, one.time.tolist(), one.value.tolist(), now=now), Query.of(ids[:3])]
    return [*found, Query.of([*ids, *data.items.decode([WITHOUT_EVENTS])]), Query.of(["never heard of", ids[0]])]


@pytest.mark.parametrize("name", MODELS)
def test_renamed_items_keep_their_scores(name: str) -> None:
    (model, options), data = MODELS[name], world()
    ours = model(**{**OPTIONS, **options}).fit(data, run=Run(seed=1, threads=1))
    order = np.random.default_rng(5).permutation(data.n_items).astype(np.int32)
    theirs = renamed(ours, order)
    asked, ids = queries(data), data.items.decode(range(data.n_items))
    before, after = (one.score(asked, ids) for one in (ours, theirs))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    known = np.isfinite(before).all(0)
    assert known[WITHOUT_EVENTS] == ("item_features" in options)
    assert known.sum() >= data.n_items - 1
    assert before[:, known].std(1).min() > 0.01
    lists = (one.recommend(asked, k=10).scores for one in (ours, theirs))
    np.testing.assert_allclose(*lists, rtol=1e-5, atol=1e-5)
