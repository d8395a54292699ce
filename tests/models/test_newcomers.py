"""Items that nobody used lean on those that are told of alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin import models
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.models._newcomers import lean, lenders_of
from zhiyin.models.base import load
from zhiyin.run import Run

torch = pytest.importorskip("torch")

from zhiyin.nn.digits import DigitItems  # noqa: E402
from zhiyin.nn.items import PlainItems, ProductItems  # noqa: E402
from zhiyin.nn.texts import TextItems  # noqa: E402

SAID = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
"""What five items say; nobody used the last two, and the very last is like no other."""
OWN = np.array([[0, 0, 1], [0, 0, 3], [0, 0, 9]], np.float32)
USES = np.array([5, 3, 3, 0, 0])
SMALL: dict[str, Any] = {
    "embedding_size": 32,
    "n_layers": 1,
    "max_length": 12,
    "epochs": 4,
    "learning_rate": 0.01,
    "encoder": "tfidf",
    "text_size": 8,
    "text": "added",
}


def table(joined: str = "added", gate: float = 0.0) -> TextItems:
    """The texts of `SAID`, which enter vectors as they are, and `OWN`; the rows of new items hold what chance gave."""
    share = (USES / np.maximum(USES + gate, 1)).astype(np.float32)
    own = PlainItems(5, 3)
    own.weight.data[:3], own.weight.data[3:] = torch.from_numpy(OWN), 7
    made = TextItems(own, SAID, 6 if joined == "null_space" else 3, share, joined)  # type: ignore[arg-type]
    if joined == "added":
        made.weight.data = torch.eye(3)
    return made


def leant(items: TextItems | DigitItems, neighbours: int = 2, known: list[bool] | None = None) -> np.ndarray:
    """(5, d) the vectors afterwards."""
    known = [True] * 5 if known is None else known
    lean(items, USES == 0, lenders_of(USES, np.array(known)), neighbours, Run(threads=1))
    found: np.ndarray = items.all().detach().numpy()
    return found


def test_half_of_it_is_told_and_half_its_nearest_neighbours() -> None:
    """Item 3 is nearest to items 1 and 2, by cosines of 0.96 and 0.8."""
    found = leant(table())
    whole = SAID[:3] + OWN
    mean = (0.96 * whole[1] + 0.8 * whole[2]) / 1.76
    np.testing.assert_allclose(found[3], (SAID[3] + mean) / 2, rtol=1e-5)
    np.testing.assert_allclose(found[:3], whole)


def test_an_item_like_no_other_stays_what_is_told_of_it() -> None:
    np.testing.assert_allclose(leant(table())[4], SAID[4])


def test_under_null_space_what_is_said_stands() -> None:
    found = leant(table("null_space"))
    np.testing.assert_allclose(found[:, :3], SAID)
    np.testing.assert_allclose(found[3, 3:], (0.96 * OWN[1] + 0.8 * OWN[2]) / 1.76 / 2, rtol=1e-5)
    assert not found[4, 3:].any()


def test_neighbours_lend_what_their_gate_lets_through() -> None:
    found = leant(table(gate=3.0), neighbours=1)
    np.testing.assert_allclose(found[3], (SAID[3] + SAID[1] + OWN[1] / 2) / 2, rtol=1e-5)


def test_without_neighbours_it_is_what_is_told_of_it() -> None:
    np.testing.assert_allclose(leant(table(), neighbours=0)[3:], SAID[3:])


def test_more_neighbours_than_there_are_change_nothing() -> None:
    np.testing.assert_array_equal(leant(table(), neighbours=100), leant(table(), neighbours=3))


def test_to_lean_twice_is_to_lean_once() -> None:
    items = table()
    first = leant(items).copy()
    np.testing.assert_array_equal(leant(items), first)


def test_own_rows_that_training_hides_are_lent_all_the_same() -> None:
    items = table()
    items.hidden = 0.99
    before = torch.random.get_rng_state()
    lean(items.train(), USES == 0, lenders_of(USES, np.ones(5, bool)), 2, Run(threads=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(items.eval().all().detach().numpy(), leant(table()))


def test_nobody_leans_on_what_is_not_known() -> None:
    found = leant(table(), neighbours=1, known=[True, False, True, True, True])
    np.testing.assert_allclose(found[3], (SAID[3] + SAID[2] + OWN[2]) / 2, rtol=1e-5)


def test_of_a_large_catalogue_the_most_used_are_leaned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhiyin.models._newcomers.LENDERS", 2)
    found = leant(table(), neighbours=1)  # of items 1 and 2, used alike, the first
    np.testing.assert_allclose(found[3], (SAID[3] + SAID[1] + OWN[1]) / 2, rtol=1e-5)
    monkeypatch.setattr("zhiyin.models._newcomers.LENDERS", 1)
    np.testing.assert_allclose(leant(table(), 1)[3], (SAID[3] + SAID[0] + OWN[0]) / 2, rtol=1e-5)


def test_tables_without_rows_stay_as_they_are() -> None:
    for own in (None, ProductItems(torch.zeros(5, 1, dtype=torch.uint8), 3)):
        items = TextItems(own, SAID, 3, (USES > 0).astype(np.float32), "frozen" if own is None else "added")
        for one in items.parameters():
            one.data.fill_(0.5)
        before = items.all().detach().numpy().copy()
        np.testing.assert_array_equal(leant(items), before)


def catalogue(first: int, n: int) -> pa.Table:
    """Items in six shelves; the words of a title name the shelf."""
    numbers = range(first, first + n)
    titles = [f"shelf{number % 6} kind{number % 2}" for number in numbers]
    return pa.table({"item_id": [f"i{number:02d}" for number in numbers], "title": titles})


def world(n: int = 24, n_new: int = 0) -> Dataset:
    """Users who keep to the even or the odd shelves."""
    rng = np.random.default_rng(0)
    lists = [(2 * rng.choice(n // 2, 8, replace=False) + user % 2).tolist() for user in range(120)]
    return Dataset.of(Histories.of_lists(lists), catalogue(0, n + n_new))


def fitted(data: Dataset, name: str = "sasrec", **options: Any) -> Any:
    return models.get(name)(**{**SMALL, **options}).fit(data, run=Run(seed=1, threads=1))


@pytest.mark.parametrize(
    "options",
    [{}, {"text": "null_space"}, {"text": "none", "words": "title"}, {"words": "title", "gate": 3.0}],
    ids=["added", "null_space", "words", "gate"],
)
def test_items_lean_from_the_start_and_when_they_come_later(options: dict[str, Any], tmp_path: Path) -> None:
    """Those that are there stay what they are, and where there is nobody to lean on, an item is what is told of it."""
    early, late = fitted(world(n_new=6), **options), fitted(world(), **options)
    grown = late.with_items(catalogue(24, 6))
    np.testing.assert_array_equal(grown.item_vectors[:24], late.item_vectors)
    apart = fitted(world(n_new=6), **options, neighbours=0)
    assert (np.abs(early.item_vectors - apart.item_vectors).max(1) > 1e-4).tolist() == [False] * 24 + [True] * 6
    np.testing.assert_array_equal(grown.with_items(catalogue(30, 2)).item_vectors[:30], grown.item_vectors)
    said = late.text_vectors(catalogue(24, 6).column("title").to_pylist())
    assert (np.abs(grown.item_vectors[24:] - said).max(1) > 1e-4).all()
    np.testing.assert_allclose(late.with_catalogue(catalogue(24, 6)).item_vectors, said, rtol=1e-4, atol=1e-6)
    early.save(tmp_path / "model")
    np.testing.assert_allclose(load(tmp_path / "model").item_vectors, early.item_vectors, rtol=1e-6)


def test_digits_that_are_guessed_do_not_choose_neighbours() -> None:
    """Items 3 and 4 have the digit of item 0, whose direction outweighs what all of them say."""
    codes, whole = torch.tensor([[0], [1], [1], [0], [0]]), table()
    digits = DigitItems(codes, (2,), 3, whole)
    digits.weight.data = torch.tensor([[50.0, 0, 0], [0, 50.0, 0]])
    before = digits.told(torch.arange(5)).detach().numpy()
    found = leant(digits)
    nearest = digits(torch.tensor([1, 2])).detach().numpy()
    cosines = np.array([0.96, 0.8], np.float32)
    np.testing.assert_allclose(found[3], (before[3] + cosines @ nearest / cosines.sum()) / 2, rtol=1e-5)
    assert digits.tells
    assert not DigitItems(codes, (2,), 3, PlainItems(5, 3)).tells
    alone = DigitItems(codes, (2,), 3)
    alone.weight.data = torch.eye(2, 3)
    np.testing.assert_array_equal(alone.alike(codes[:, 0]).detach().numpy(), alone(codes[:, 0]).detach().numpy())


def test_tiger_leans_too() -> None:
    options = {"codebook": {"codebook": "residual_kmeans", "settings": {"levels": 2, "n_codes": 6}}, "beams": 5}
    model, apart = (fitted(world(n_new=6), "tiger", neighbours=k, **options) for k in (10, 0))
    np.testing.assert_allclose(model.item_vectors[:24], apart.item_vectors[:24], rtol=1e-6)
    assert (np.abs(model.item_vectors - apart.item_vectors).max(1) > 1e-4)[24:].all()


def test_an_item_keeps_its_own_row_when_a_day_passes_without_it() -> None:
    """Learning goes on with events of some items; of the others, all that was learnt stays."""
    data = world()
    model = fitted(data)
    some = Dataset.of(Histories.of_lists([[0, 2, 4, 6]] * 8), data.item_table)
    on = model.adapt(some, epochs=1, learning_rate=1e-9, average=0.0, run=Run(seed=1, threads=1))
    np.testing.assert_allclose(on.item_vectors, model.item_vectors, atol=1e-4)
    assert (on.uses - model.uses).tolist() == [8 * (item in (0, 2, 4, 6)) for item in range(24)]
    again = on.with_catalogue(data)
    np.testing.assert_allclose(again.item_vectors, on.item_vectors, rtol=1e-6)


def test_a_newcomer_that_is_used_goes_on_from_where_it_stood() -> None:
    model = fitted(world(n_new=6))
    some = Dataset.of(Histories.of_lists([[24, 26, 28, 0]] * 8), catalogue(0, 30))
    on = model.adapt(some, epochs=1, learning_rate=1e-9, average=0.0, run=Run(seed=1, threads=1))
    assert (on.uses > 0).tolist() == [True] * 25 + [False, True, False, True, False]
    np.testing.assert_allclose(on.item_vectors[24:], model.item_vectors[24:], atol=1e-4)
