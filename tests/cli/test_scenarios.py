"""`zhiyin scenarios`: list, describe, run, new."""

from pathlib import Path

from zhiyin.scenarios import available

from .conftest import Zhiyin

SMALL = """
title = "small"
family = "content"
purpose = "tests"
[data]
world = "books"
settings = { n_users = 80, n_items = 60, n_events = 2000 }
[pipeline]
sources = ["ease:20", "popularity:20"]
features = { families = ["retrieval"] }
ranker = { settings = { n_trees = 5 } }
cases = 200
[good]
gain = 0.0
"""


def test_list_names_all_of_them(zhiyin: Zhiyin) -> None:
    assert set(zhiyin("scenarios", "list", "--json").json) == set(available())
    assert "products" in zhiyin("scenarios", "list").out


def test_describe_shows_the_recipe_as_it_is_written(zhiyin: Zhiyin) -> None:
    done = zhiyin("scenarios", "describe", "news")
    assert done.code == 0, done.err
    assert '[[pipeline.rules]] # nothing before it is out\nrule = "available"' in done.out
    assert zhiyin("scenarios", "describe", "news", "--json").json["data"]["world"] == "news"


def test_run_says_whether_it_is_good(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SMALL, encoding="utf-8")
    done = zhiyin("scenarios", "run", tmp_path / "my.toml", "--json", "--threads", 1)
    assert done.code == 0, done.err
    assert set(done.json["results"]) == {"popularity", "pipeline", "oracle"}
    assert done.json["passed"] is all(check["passed"] for check in done.json["checks"])
    shown = zhiyin("scenarios", "run", tmp_path / "my.toml", "--data", prepared, "--threads", 1)
    assert shown.code == 0, shown.err
    assert shown.out.rstrip().endswith("good")
    assert "oracle" not in shown.out


def test_new_writes_a_copy_and_replaces_nothing(zhiyin: Zhiyin, tmp_path: Path) -> None:
    out = tmp_path / "my.toml"
    assert zhiyin("scenarios", "new", "--from", "products", out).code == 0
    text = out.read_text(encoding="utf-8")
    assert "Put your data in the section [data]" in text
    again = zhiyin("scenarios", "new", "--from", "news", out)
    assert again.code == 1
    assert "is there already" in again.err
    assert out.read_text(encoding="utf-8") == text


def test_what_is_wrong_is_one_message(zhiyin: Zhiyin, tmp_path: Path) -> None:
    unknown = zhiyin("scenarios", "run", "product")
    assert unknown.code == 1
    assert "did you mean 'products'" in unknown.err
    (tmp_path / "my.toml").write_text(SMALL.replace("cases", "case"), encoding="utf-8")
    wrong = zhiyin("scenarios", "run", tmp_path / "my.toml")
    assert wrong.code == 1
    assert "my.toml" in wrong.err
    assert "pipeline.case" in wrong.err
