"""`zhiyin rank` at the prompt, and `zhiyin recommend` of what it makes."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Query
from zhiyin.data.synthetic import synthetic
from zhiyin.models.base import Recommender, load
from zhiyin.ranking.pipeline import Pipeline
from zhiyin.run import Run

from .conftest import Done, Zhiyin

pytest.importorskip("lightgbm")
QUICK = ("-o", "sources=item_knn:20,ease:20", "-o", "cases=300", "--cases", "100", "--threads", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world, _ = synthetic(n_users=120, n_items=50, n_events=4_000, n_groups=4, seed=3)
    return world.save(tmp_path_factory.mktemp("data") / "world")


def test_two_stages_are_measured_beside_one_and_saved(zhiyin: Zhiyin, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = zhiyin("rank", "--data", data, "--out", out, "--json", *QUICK)
    assert done.code == 0, done.err
    assert [one["name"] for one in done.json["models"]] == ["pipeline", "item_knn", "ease"]
    for one in done.json["models"]:
        found = one["metrics"]["ndcg@10"]
        assert found["low"] <= found["value"] <= found["high"]
    assert done.json["cases"] == 100
    assert done.json["importance"]
    test, values = done.json["test"], {one["name"]: one["metrics"]["ndcg@10"]["value"] for one in done.json["models"]}
    assert test["reference"] == max(("item_knn", "ease"), key=lambda name: values[name])
    assert test["difference"] == pytest.approx(values["pipeline"] - values[test["reference"]])
    assert test["low"] <= test["difference"] <= test["high"]
    assert test["beyond_chance"] == (test["p"] < 0.05)
    listed = zhiyin("recommend", "--model", out, "--history", "i00003,i00004", "-k", "3", "--json")
    assert listed.code == 0, listed.err
    assert len(listed.json["recommendations"][0]["items"]) == 3


def test_a_person_sees_tables_and_what_to_do_next(zhiyin: Zhiyin, data: Path) -> None:
    done = zhiyin("rank", "--data", data, *QUICK)
    assert done.code == 0, done.err
    assert "pipeline" in done.out
    assert "what the ranker looks at" in done.out
    assert re.search(
        r"The pipeline is (not told apart from|better than|worse than) (ease|item_knn), the best", done.out
    )
    assert "--out FOLDER" in done.err


def test_mistakes_are_said_before_anything_is_learnt(zhiyin: Zhiyin, data: Path, tmp_path: Path) -> None:
    wrong = zhiyin("rank", "--data", data, "-o", "sourses=ease")
    assert wrong.code == 1
    assert "sources" in wrong.err
    (tmp_path / "mine").write_text("")
    taken = zhiyin("rank", "--data", data, "--out", tmp_path)
    assert taken.code == 1
    assert (tmp_path / "mine").exists()


def shop_with_rules(folder: Path, *rules: dict[str, object]) -> Path:
    """A pipeline for items of two makers, of which the odd ones come out in 2035."""
    world, _ = synthetic(n_users=120, n_items=50, n_events=4_000, n_groups=4, seed=3)
    n = world.n_items
    table = pa.table(
        {
            "item_id": world.items.ids,
            "available_from": [datetime(2035 if at % 2 else 2001, 1, 1) for at in range(n)],
            "stock": [0 if at < 10 else 5 for at in range(n)],
            "maker": ["ada" if at < 40 else "bob" for at in range(n)],
        }
    )
    data = Dataset.of(world.histories, table, world.users.ids.to_pylist(), kinds=world.kinds, name="shop")
    made = Pipeline(
        sources="item_knn:20,ease:20",
        features={"families": ["retrieval", "popularity"]},
        ranker={"ranker": "logistic"},
        rules=list(rules),
        cases=300,
    )
    data.save(folder / "data")
    return made.fit(data, run=Run(threads=1)).save(folder / "model")


def numbers(done: Done) -> list[int]:
    return [int(one["item_id"][1:]) for one in done.json["recommendations"][0]["items"]]


def test_a_history_is_asked_at_present_where_a_rule_looks_at_the_moment(zhiyin: Zhiyin, tmp_path: Path) -> None:
    model = shop_with_rules(tmp_path, {"rule": "available"})
    typed = ("recommend", "--model", model, "--history", "i00004", "-k", 10, "--json")
    present = zhiyin(*typed)
    assert present.code == 0, present.err
    assert all(number % 2 == 0 for number in numbers(present)), "the others come out in 2035"
    assert "after the last event" in present.err
    later = zhiyin(*typed, "--now", "2035-06-01T00:00:00+02:00")
    assert any(number % 2 for number in numbers(later))
    assert numbers(zhiyin(*typed, "--now", "2064268800")) == numbers(zhiyin(*typed, "--now", "2035-06-01"))
    person = ("recommend", "--model", model, "--user", "u00003", "--data", tmp_path / "data", "--json")
    assert all(number % 2 == 0 for number in numbers(zhiyin(*person)))
    assert any(number % 2 for number in numbers(zhiyin(*person, "--now", "2035-06-01")))


@pytest.mark.parametrize("moment", ["yesterday", "2024", "1717230600000", "2024-13-01"])
def test_what_is_no_moment_is_refused(zhiyin: Zhiyin, data: Path, tmp_path: Path, moment: str) -> None:
    assert zhiyin("fit", "popularity", "--data", data, "--out", tmp_path / "m").code == 0
    done = zhiyin("recommend", "--model", tmp_path / "m", "--history", "i00004", "--now", moment)
    assert done.code == 1
    assert f"--now came as '{moment}'" in done.err
    assert "2024-06-01" in done.err


def test_a_history_has_no_moment_where_no_rule_asks(zhiyin: Zhiyin, tmp_path: Path) -> None:
    model = shop_with_rules(tmp_path, {"rule": "stock"})
    done = zhiyin("recommend", "--model", model, "--history", "i00004", "-k", 10, "--json")
    fresh = load(model).recommend(Query.of(["i00004"]), 10)
    assert [f"i{number:05d}" for number in numbers(done)] == fresh.ids()
    assert "after the last event" not in done.err


def test_a_short_list_names_the_rules(zhiyin: Zhiyin, tmp_path: Path) -> None:
    capped = {"rule": "cap", "column": "maker", "most": 4}
    model = shop_with_rules(tmp_path, {"rule": "stock"}, capped)
    asked = ("recommend", "--model", model, "--history", "i00020", "-k", 30)
    done = zhiyin(*asked)
    assert done.code == 0, done.err
    assert (
        "8 of 30 items: no others are allowed (stock takes 10 of 50, at most 4 of one maker, the history)" in done.err
    )
    few = zhiyin(*asked, "--allow", "i00001,i00020,i00021,i00022", "--include-seen")
    assert "3 of 30 items: no others are allowed (stock takes 10 of 50, --allow)" in few.err, few.err


def test_a_table_tells_what_was_done_to_an_item(
    zhiyin: Zhiyin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shop_with_rules(tmp_path, {"rule": "cap", "column": "maker", "most": 4})
    asked = ("recommend", "--model", model, "--history", "i00020", "-k", 8)
    wide = zhiyin(*asked)
    assert "notes" in wide.out
    assert re.search(r"pipeline .*\n.* at most 4 of one maker: i\d+ held back", wide.out), wide.out
    assert "zhiyin.ranking" not in wide.out
    monkeypatch.setenv("COLUMNS", "60")
    narrow = zhiyin(*asked)
    assert "notes" not in narrow.out
    assert re.search(r"^ +\d+  .*at most 4 of one maker", narrow.out, re.MULTILINE), "below the table"
    told = zhiyin(*asked, "--json").json["recommendations"][0]["items"]
    assert any(one.get("notes") for one in told)


def test_retrievers_learn_once_to_be_compared(zhiyin: Zhiyin, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[str] = []

    def fit(self: Recommender, train: Dataset, *more: Any, **named: Any) -> Recommender:
        learnt.append(self.name)
        return whole(self, train, *more, **named)

    whole = Recommender.fit
    monkeypatch.setattr(Recommender, "fit", fit)
    done = zhiyin("rank", "--data", data, *QUICK)
    assert done.code == 0, done.err
    assert learnt.count("ease") == learnt.count("item_knn") == 2, "blind, and anew"
    stages = [
        "first stage learnt: retrievers find",
        "second stage learnt: boosted",
        "both stages learnt",
        "judged: ease",
    ]
    assert [bool(re.search(rf"^ +\d+\.\d s  {one}", done.err, re.MULTILINE)) for one in stages] == [True] * 4


def test_help_points_to_settings_that_are_there(zhiyin: Zhiyin) -> None:
    pointed = re.search(r"zhiyin (list models \S+:\S+)", zhiyin("rank", "--help").out)
    assert pointed is not None
    assert "sources" in zhiyin(*pointed[1].split()).out


def test_a_pipeline_is_called_that_in_messages(zhiyin: Zhiyin, tmp_path: Path) -> None:
    done = zhiyin("recommend", "--model", shop_with_rules(tmp_path), "--text", "something quiet")
    assert done.code == 1
    assert "pipeline" in done.err
    assert "zhiyin.ranking" not in done.err
