"""`zhiyin rank` at the prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from zhiyin.data.synthetic import synthetic

from .conftest import Zhiyin

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
    listed = zhiyin("recommend", "--model", out, "--history", "i00003,i00004", "-k", "3", "--json")
    assert listed.code == 0, listed.err
    assert len(listed.json["recommendations"][0]["items"]) == 3


def test_a_person_sees_tables_and_what_to_do_next(zhiyin: Zhiyin, data: Path) -> None:
    done = zhiyin("rank", "--data", data, *QUICK)
    assert done.code == 0, done.err
    assert "pipeline" in done.out
    assert "what the ranker looks at" in done.out
    assert "--out FOLDER" in done.err


def test_mistakes_are_said_before_anything_is_learnt(zhiyin: Zhiyin, data: Path, tmp_path: Path) -> None:
    wrong = zhiyin("rank", "--data", data, "-o", "sourses=ease")
    assert wrong.code == 1
    assert "sources" in wrong.err
    (tmp_path / "mine").write_text("")
    taken = zhiyin("rank", "--data", data, "--out", tmp_path)
    assert taken.code == 1
    assert (tmp_path / "mine").exists()
