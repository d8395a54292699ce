"""The saved form of a model: whatever is wrong with it is said in one line, by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zhiyin import models
from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.data.queries import Query
from zhiyin.errors import DataError
from zhiyin.models.base import load
from zhiyin.testing.worlds import checkerboard, tastes


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return models.get("blend")(members="ease,item_knn").fit(tastes()).save(tmp_path / "model")


def rewrite(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        place = folder / "config.json"
        content = json.loads(place.read_text())
        place.write_text(json.dumps(change(content) or content))

    return damage


def drop_array(folder: Path) -> None:
    arrays = load_arrays(folder / "arrays.safetensors")
    del arrays["weights"]
    save_arrays(folder / "arrays.safetensors", arrays)


def of_another_model(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        other = models.get("ease")().fit(checkerboard()).save(folder.parent / "other")
        shutil.copy(other / name, folder / name)

    return damage


DAMAGES = {
    "a list": (rewrite(lambda content: [content]), "holds None in format None"),
    "no component": (rewrite(lambda content: content.pop("component") and None), "is damaged: component"),
    "no arrays": (rewrite(lambda content: content.pop("learnt") and None), "is damaged: learnt"),
    "settings of no mapping": (rewrite(lambda content: {**content, "config": 3}), "is damaged: config"),
    "an unknown setting": (rewrite(lambda content: {**content, "config": {"size": 3}}), "unknown setting of ease"),
    "an unknown model": (rewrite(lambda content: {**content, "component": "easy"}), "did you mean 'ease'"),
    "another format": (rewrite(lambda content: {**content, "format": 99}), "in format 99"),
    "another room": (rewrite(lambda content: {**content, "room": "metrics"}), "holds 'metrics'"),
    "another model's settings": (
        rewrite(lambda content: {**content, "component": "random", "config": {}}),
        "it holds weights",
    ),
    "an array less": (drop_array, "weights is missing"),
    "other arrays": (of_another_model("arrays.safetensors"), "not of this model: popularity is int64"),
    "other items": (of_another_model("items.parquet"), "not of this model: it has"),
    "arrays cut off": (lambda folder: (folder / "arrays.safetensors").write_bytes(b"12"), "damaged"),
    "no items": (lambda folder: (folder / "items.parquet").unlink(), "missing or damaged"),
    "items of another form": (
        lambda folder: shutil.copy(folder / "config.json", folder / "items.parquet"),
        "missing or damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_says_what_is_wrong(damage: str, tmp_path: Path) -> None:
    folder = models.get("ease")().fit(tastes()).save(tmp_path / "model")
    spoil, said = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(DataError, match=said):
        load(folder)


def test_texts_of_another_form_are_refused(tmp_path: Path) -> None:
    folder = models.get("content")().fit(tastes()).save(tmp_path / "model")
    place = folder / "texts.json"
    place.write_text('{"terms": 3}')
    with pytest.raises(DataError, match="lists of texts by name"):
        load(folder)
    place.unlink()
    with pytest.raises(DataError, match="it holds item_terms, content learns item_terms, terms"):
        load(folder)


def test_a_blend_whose_member_is_gone_or_of_other_items_is_refused(saved: Path) -> None:
    other = models.get("ease")().fit(checkerboard())
    shutil.rmtree(saved / "members" / "00")
    with pytest.raises(DataError, match="00 is not a saved model"):
        load(saved)
    other.save(saved / "members" / "00")
    with pytest.raises(DataError, match="its ease knows other items"):
        load(saved)


def test_the_weights_of_kinds_are_saved(tmp_path: Path) -> None:
    world = tastes()
    model = models.get("item_knn")().fit(world)
    model.kinds, model.kind_weights = ("buy", "view"), (5.0, 1.0)
    again = load(model.save(tmp_path / "model"))
    assert (again.kinds, again.kind_weights) == (("buy", "view"), (5.0, 1.0))
    query = Query.of(world.items.decode(world.histories.of(0)[:2]), kinds=["view", "buy"])
    assert again.encode(query).histories.strength().tolist() == [1.0, 5.0]
