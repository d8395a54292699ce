from typing import Any

import numpy as np
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.models.bert4rec import BERT4Rec
from zhiyin.models.gpt4rec import GPT4Rec
from zhiyin.models.gru4rec import GRU4Rec
from zhiyin.models.hstu import HSTU
from zhiyin.models.item_knn import ItemKNN
from zhiyin.models.sasrec import SASRec
from zhiyin.models.transformer import Transformer
from zhiyin.models.transformer_xl import TransformerXL
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.nn import items
from zhiyin.run import Run
from zhiyin.testing.patterns import (
    PATTERNS,
    asked,
    chain,
    copies,
    counted,
    drift,
    forks,
    found,
    last,
    without_answers,
)

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
    "ligr": (SASRec, {"block": "ligr", "epochs": 40, "dropout": 0.1}),
    "gbce": (SASRec, {"loss": "gbce", "n_negatives": 20, "epochs": 60}),
    "codes": (SASRec, {"codes": 4}),
    "hstu": (HSTU, {"n_layers": 2}),
    "zhiyin": (Zhiyin, {"n_heads": 2}),
    "gpt4rec": (GPT4Rec, {"horizon": 1}),
    "gru4rec": (GRU4Rec, {}),
    "transformer_xl": (TransformerXL, {"segment": 10, "memory": 10}),
    # A fifth of the answers of the others, and from both sides: it learns more slowly.
    "bert4rec": (BERT4Rec, {"epochs": 100, "batch_size": 150, "masked": 0.2}),
}
ORDERED = [name for name, one in PATTERNS.items() if one.feature is None]
TOLD = [name for name, one in PATTERNS.items() if one.feature]
SHARE = 0.85
"""A model has found a pattern when it is right so often as this part of the best possible one."""
PASSES = {"drift": 0.5}
"""A part of the epochs: in all of them, models learn the accidents of this world by heart."""


def fitted(model: Any, world: Dataset, **options: Any) -> Any:
    return model(**{**OPTIONS, **options}).fit(without_answers(world), run=Run(seed=1, threads=1))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_said_of_a_world_is_so(pattern: str) -> None:
    one = PATTERNS[pattern]
    world = one.make()
    assert counted(world, one.decides, one.n_groups) == pytest.approx(one.ceiling, abs=0.01)
    assert counted(world, last(1, one.n_groups), one.n_groups) == pytest.approx(one.control, abs=0.03)


def test_only_a_first_order_chain_is_solved_by_the_last_item() -> None:
    assert [name for name, one in PATTERNS.items() if one.control >= SHARE * one.ceiling] == ["chain"]


@pytest.mark.parametrize("pattern", ORDERED)
@pytest.mark.parametrize("name", MODELS)
def test_a_planted_pattern_is_found(name: str, pattern: str) -> None:
    (model, options), one = MODELS[name], PATTERNS[pattern]
    options = {**OPTIONS, **options}
    options["epochs"] = int(options["epochs"] * PASSES.get(pattern, 1))
    world = one.make()
    assert found(fitted(model, world, **options), world, one.n_groups) >= SHARE * one.ceiling


@pytest.mark.parametrize("pattern", ["chain", "pairs"])
def test_a_planted_pattern_is_found_where_few_rows_of_the_table_learn(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "SPARSE_FROM", 1)
    world = PATTERNS[pattern].make()
    model = fitted(SASRec, world, loss="sampled_softmax", n_negatives=20)
    assert model.net.items.sparse
    assert found(model, world) >= 0.9


def test_neighbours_alone_follow_neither_pairs_nor_a_drift() -> None:
    for name in ("pairs", "drift"):
        one = PATTERNS[name]
        world = one.make()
        model = ItemKNN(neighbours=40).fit(without_answers(world))
        assert found(model, world, one.n_groups) < 0.6 * one.ceiling


@pytest.mark.parametrize("pattern", TOLD)
@pytest.mark.parametrize(
    ("model", "others"), [(Transformer, ("position",)), (Zhiyin, ())], ids=["transformer", "zhiyin"]
)
def test_what_a_feature_tells_is_found_by_who_reads_it(model: Any, others: tuple[str, ...], pattern: str) -> None:
    one = PATTERNS[pattern]
    world = one.make()
    told = fitted(model, world, features=(*others, one.feature))
    assert found(told, world, one.n_groups) >= 0.95
    if model is Transformer:  # once is enough: nothing else in these worlds tells the answer
        assert found(fitted(model, world, features=others), world, one.n_groups) <= one.control + 0.1


@pytest.mark.parametrize("by", ["wait", "gap"])
@pytest.mark.parametrize(
    ("model", "options"),
    [(HSTU, {}), (Transformer, {"relations": ("position", "time")})],
    ids=["hstu", "relations in time"],
)
def test_relations_in_time_tell_a_minute_from_a_day(model: Any, options: dict[str, Any], by: Any) -> None:
    world = forks(by)
    assert found(fitted(model, world, **options, epochs=50), world) >= SHARE
    blind = fitted(model, world, **options | {"relations": ("position",)})
    assert found(blind, world) <= PATTERNS[f"forks by {by}"].control + 0.1


@pytest.fixture(scope="module")
def soon() -> GPT4Rec:
    """As it is shipped: an event answers one of the next five."""
    return fitted(GPT4Rec, chain(), epochs=60)


def first_three(world: Dataset) -> Queries:
    lists = [world.histories.of(user)[:3].tolist() for user in range(world.n_users)]
    return Queries(Histories.of_lists(lists), world.items)


def share_of_next_five(model: Any) -> float:
    """Of the five items that follow in the chain, how many are in a list of five."""
    world = chain()
    histories, queries = world.histories, first_three(world)
    inside = histories.from_end() > 0
    after = np.zeros(world.n_items, np.int32)
    after[histories.item[inside]] = histories.item[np.flatnonzero(inside) + 1]
    follow = [after[queries.histories.item[2::3]]]
    for _ in range(4):
        follow.append(after[follow[-1]])
    listed = model.recommend(queries, 5, exclude_seen=False, run=Run(threads=1)).items
    return float(np.mean((listed[:, :, None] == np.stack(follow, 1)[:, None]).any(2)))


def test_gpt4rec_lists_the_next_five_items_of_a_chain(soon: GPT4Rec) -> None:
    assert share_of_next_five(soon) >= 0.85
    assert share_of_next_five(fitted(GPT4Rec, chain(), horizon=1)) <= 0.6


def test_the_very_next_item_of_a_chain_is_high_in_the_lists_of_gpt4rec(soon: GPT4Rec) -> None:
    queries, answers = asked(chain())
    listed = soon.recommend(queries, 3, exclude_seen=False, run=Run(threads=1)).items
    assert np.mean((listed == answers[:, None]).any(1)) >= 0.9


def test_gpt4rec_follows_a_drift() -> None:
    world = drift()
    assert found(fitted(GPT4Rec, world, epochs=15), world, 4) >= SHARE * PATTERNS["drift"].ceiling


def test_the_longest_histories_are_answered_as_well_as_the_others() -> None:
    """Of them, a query has an event more than any window of training had, so that a place would never have been met."""
    for model, options in ((SASRec, {}), (BERT4Rec, MODELS["bert4rec"][1])):
        world = copies()
        queries, answers = asked(world)
        listed = fitted(model, world, **options).recommend(queries, 1, exclude_seen=False, run=Run(threads=1)).items
        longest = queries.histories.lengths == queries.histories.lengths.max()
        assert np.count_nonzero(longest) >= 20
        assert np.mean(listed[longest, 0] == answers[longest]) >= 0.95
