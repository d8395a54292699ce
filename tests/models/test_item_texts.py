"""Sequence models that are told what items say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin import models
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._tables import own_table, text_table
from zhiyin.models.base import load
from zhiyin.models.sasrec import SASRec
from zhiyin.run import Run
from zhiyin.testing.worlds import tastes

torch = pytest.importorskip("torch")

SMALL: dict[str, Any] = {
    "embedding_size": 32,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 12,
    "learning_rate": 0.01,
    "encoder": "tfidf",
    "text_size": 12,
}
JOINED = ("frozen", "added", "null_space")


def world(n_new: int = 0) -> Dataset:
    """Two kinds of items that take turns of their own; the last `n_new` items have no events, but say their kind."""
    rng = np.random.default_rng(0)
    kinds, n = ["green tea", "red shoe"], 24
    lists = [(2 * rng.choice(n // 2, 8, replace=False) + user % 2).tolist() for user in range(160)]
    titles = [f"{kinds[item % 2]} number{item}" for item in range(n + n_new)]
    items = pa.table({"item_id": [f"i{item:02d}" for item in range(n + n_new)], "title": titles})
    return Dataset.of(Histories.of_lists(lists), items)


def fitted(text: str, data: Dataset | None = None, name: str = "sasrec", **options: Any) -> Any:
    return models.get(name)(**{**SMALL, "text": text, **options}).fit(data or world(), run=Run(seed=1, threads=1))


@pytest.mark.parametrize("text", JOINED)
def test_an_item_that_nobody_used_stands_with_those_that_say_the_same(text: str) -> None:
    """A list for tea is of tea, the new ones too; without text, new ones are never named."""
    data = world(n_new=6)
    model = fitted(text, data)
    assert model.known.all()
    new = {f"i{item:02d}" for item in range(24, 30)}
    for kind, first in ((0, "i00"), (1, "i01")):
        query = Query.of([first, f"i{kind + 4:02d}", f"i{kind + 8:02d}"])
        found = model.recommend(query, k=12).ids()
        assert all(int(one[1:]) % 2 == kind for one in found)
        assert new & set(found)
    silent = fitted("none", data)
    assert not silent.known[24:].any()
    assert not new & set(silent.recommend(Query.of(["i00"]), k=20, fill=False).ids())


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax"])
def test_an_item_that_nobody_used_is_no_wrong_answer(loss: str) -> None:
    """Before anything is learnt, a loss is about the log of how many items answers are held against: 24, not 424."""
    options = {"epochs": 1, "learning_rate": 1e-9, "loss": loss, "n_negatives": 400, "corrected": True}
    model = fitted("frozen", world(n_new=400), **options)
    assert model.trained.epochs[0].loss == pytest.approx(np.log(24), abs=0.5)
    assert model.known.all()


@pytest.mark.parametrize("text", ["initial", *JOINED])
def test_saved_models_answer_alike(text: str, tmp_path: Path) -> None:
    data = world(n_new=2)
    model = fitted(text, data, epochs=2, gate=3.0 if text in ("added", "null_space") else 0.0)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    queries = data.queries()
    np.testing.assert_array_equal(again.recommend(queries).items, model.recommend(queries).items)
    if text == "initial":
        assert not (tmp_path / "model" / "encoder").exists()
        return
    asked = ["green tea", "nothing of the kind"]
    np.testing.assert_allclose(again.texts.of_texts(asked, Run()), model.texts.of_texts(asked, Run()), atol=1e-6)


def test_text_is_where_vectors_of_initial_begin() -> None:
    model = fitted("initial", epochs=1, learning_rate=1e-9)
    vectors = model.item_vectors / np.linalg.norm(model.item_vectors, axis=1, keepdims=True)
    same = np.arange(24)[:, None] % 2 == np.arange(24) % 2
    cosines = vectors @ vectors.T - 2 * np.eye(24)
    assert cosines[same & (cosines > -1)].mean() > cosines[~same].mean() + 0.05


@pytest.mark.parametrize(("temperature", "length"), [(0.07, 0.2), (None, 1.0)])
def test_texts_of_a_null_space_begin_short_where_cosines_score(temperature: float | None, length: float) -> None:
    """At a length of 1 they would drown own rows, which begin at zero."""
    model = fitted("null_space", epochs=1, learning_rate=1e-9, temperature=temperature)
    assert float(text_table(model.net.items).scale.detach()[0]) == pytest.approx(length, abs=1e-4)


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "hstu", "transformer_xl", "gpt4rec", "gru4rec", "zhiyin"])
def test_every_model_can_be_told(name: str) -> None:
    model = fitted("null_space", name=name, epochs=1)
    assert np.isfinite(model.item_vectors).all()


@pytest.mark.parametrize(
    "name", ["sasrec", "bert4rec", "hstu", "transformer_xl", "gpt4rec", "gru4rec", "zhiyin", "tiger"]
)
@pytest.mark.parametrize("text", ["none", "initial", *JOINED])
def test_one_setting_is_enough(name: str, text: str) -> None:
    """Whatever else is left at its default goes with it, and something is left for an item's own."""
    made = models.get(name)(text=text)
    assert made.config.own_width >= made.config.embedding_size / 2
    assert made.config.said_width == (32 if text == "null_space" and made.config.embedding_size == 64 else 64)


@pytest.mark.parametrize("text", ["added", "null_space"])
def test_a_gate_holds_back_the_own_rows_of_items_of_few_events(text: str) -> None:
    data = world(n_new=2)
    n = np.bincount(data.histories.item, minlength=26)
    gated, plain = (text_table(fitted(text, data, epochs=1, gate=gate).net.items) for gate in (30.0, 0.0))
    np.testing.assert_allclose(gated.share.numpy()[:24], n[:24] / (n[:24] + 30.0), rtol=1e-6)
    assert plain.share[:24].tolist() == [1.0] * 24
    with torch.no_grad():
        gated.own.weight.fill_(1.0)
        own = gated.all() - gated.told(torch.arange(26))
    np.testing.assert_allclose(own[:, -1], gated.share, atol=1e-6)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce", "gbce"])
@pytest.mark.parametrize("text", JOINED)
def test_every_loss_learns(text: str, loss: str) -> None:
    losses = [one.loss for one in fitted(text, loss=loss, n_negatives=8, epochs=8, hidden_ids=0.1).trained.epochs]
    assert losses[-1] < losses[0]


def test_codes_and_features_of_items_go_along() -> None:
    model = fitted("null_space", codes=4, item_features=("kind",), data=_with_kinds(world()), epochs=2)
    assert np.isfinite(model.item_vectors).all()


@pytest.mark.parametrize("text", ["none", "added"])
def test_pieces_may_be_shared_by_what_items_say(text: str, tmp_path: Path) -> None:
    """Then a table of pieces, without a row for anybody, knows items that nobody has used."""
    data = world(n_new=6)
    options = {"codes": 4, "text_size": 8, "epochs": 20}
    model = fitted(text, data, codes_by="text", **options)
    assert model.known.all()
    codes = own_table(model.net.items).codes.numpy()
    same = (codes[:, None] == codes).mean(2)
    alike = np.arange(30)[:, None] % 2 == np.arange(30) % 2
    assert same[alike].mean() > same[~alike].mean() + 0.2
    found = model.recommend(Query.of(["i00", "i04", "i08"]), k=12).ids()
    assert all(int(one[1:]) % 2 == 0 for one in found)
    assert {"i24", "i26", "i28"} & set(found)
    model.save(tmp_path / "model")
    assert (
        load(tmp_path / "model").recommend(Query.of(["i00"]), k=5).ids()
        == model.recommend(Query.of(["i00"]), k=5).ids()
    )
    assert not fitted("none", data, codes=4, epochs=1).known[24:].any()


def _with_kinds(data: Dataset) -> Dataset:
    table = data.item_table.append_column("kind", pa.array([["a", "b"][item % 2] for item in range(data.n_items)]))
    return Dataset.of(data.histories, table)


def test_an_item_without_a_word_is_known_by_its_events_alone() -> None:
    table = world(n_new=2).item_table.to_pydict()
    table["title"][0] = table["title"][-1] = None
    data = Dataset.of(world(n_new=2).histories, pa.table(table))
    model = fitted("added", data, epochs=1)
    assert model.known.tolist() == [True] * 25 + [False]


def test_own_rows_begin_at_zero_where_something_is_told() -> None:
    """An item of which nothing is told has to be something: a vector of nothing has no direction."""
    data = world()
    titles = data.item_table.column("title").to_pylist()
    some = data.item_table.set_column(1, "title", pa.array([None, *titles[1:]]))
    silent = Dataset(data.histories, some, data.user_table, data.manifest)
    slow = {"epochs": 1, "learning_rate": 1e-9}
    for text in ("added", "null_space"):
        own = fitted(text, silent, **slow).net.items.own.weight.detach().abs().amax(1)
        assert own[0] > 1e-3
        assert own[1:].max() < 1e-6
    assert fitted("none", silent, **slow).net.items.weight.detach().abs().amax(1).min() > 1e-3
    for codes, begun in ((data, True), (silent, False)):
        pieces = fitted("added", codes, codes=4, **slow).net.items.own.weight.detach()
        assert bool(pieces.abs().max() < 1e-6) is begun


def test_words_and_text_are_asked_together_and_each_alone() -> None:
    """Of a word that the encoder does not know, and items share, a text is the same alone and in a batch."""
    data = world()
    titles = [f"{title} shelf{item // 4}" for item, title in enumerate(data.item_table.column("title").to_pylist())]
    table = data.item_table.set_column(1, "title", pa.array(titles))
    data = Dataset(data.histories, table, data.user_table, data.manifest)
    model = fitted("added", data, words="title", encoder={"encoder": "tfidf", "settings": {"min_items": 7}})
    texts = ["green tea", "shelf3", "nothing at all"]
    both = model.text_vectors(texts)
    assert np.isnan(both[:, 0]).tolist() == [False, False, True]
    for row, text in zip(both, texts, strict=True):
        np.testing.assert_allclose(model.text_vectors([text])[0], row, rtol=1e-6)


def test_wide_tables_learn_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhiyin.nn.items.SPARSE_FROM", 10)
    model = fitted("null_space", loss="sampled_softmax", n_negatives=8, epochs=3)
    assert model.net.items.own.sparse
    assert model.trained.epochs[-1].loss < model.trained.epochs[0].loss


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": "null_space", "text_size": 32}, "text_size 32 leaves nothing of embedding_size 32"),
        ({"text": "null_space", "codes": 6}, "embedding_size 32 less text_size 12 is not divided by codes 6"),
        ({"text": "initial", "codes": 4}, "codes are shared by items"),
        ({"codes": 16, "codes_by": "text"}, "16 codes cannot be made of text_size 12"),
        ({"text": "added", "encoder": 7}, "setting 'encoder'"),
    ],
)
def test_settings_that_do_not_go_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SASRec(**{**SMALL, **options})


def test_an_encoder_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown encoder 'tfidff'; did you mean 'tfidf'"):
        fitted("added", encoder="tfidff")


def test_items_that_say_nothing_cannot_be_told() -> None:
    data = tastes()
    bare = Dataset.of(data.histories, pa.table({"item_id": data.items.ids}))
    with pytest.raises(DataError, match="has no text"):
        fitted("added", bare)


def test_settings_without_use_are_named(caplog: pytest.LogCaptureFixture) -> None:
    fitted("none", epochs=1)
    assert "encoder has no effect, as text is none" in caplog.text
