"""`zhiyin scenarios`: list, describe, run, new."""

from pathlib import Path

import pytest

from zhiyin.cli.scenarios import show
from zhiyin.evaluation.significance import Estimate, PairedTest
from zhiyin.scenarios import available
from zhiyin.scenarios.report import ScenarioReport

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


LONG = "those whose uplift is beyond what it costs"


def report(n_metrics: int) -> ScenarioReport:
    """What came of a trial: two policies, one of a long name, by some metrics with wide intervals."""
    found = {f"metric_{at}": Estimate(-123.4, -234.5, -12.34, 100) for at in range(n_metrics)}
    test = PairedTest("metric_0", LONG, "by lot", 0.0, 0.0, 0.0, 1.0, 1.0, 100)
    return ScenarioReport("trial", "mine", 100, {LONG: found, "by lot": found}, test, (), {})


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("n_metrics", [1, 2, 3, 4, 5, 9])
def test_names_and_numbers_are_whole_however_narrow(
    n_metrics: int, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show(report(n_metrics))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    mine = [line for line in lines if LONG in line]
    assert sum(line.count("-123") for line in mine) == n_metrics
    assert sum(line.count("metric_") for line in lines) == n_metrics
    assert "…" not in "".join(lines)
    intervals = sum(line.count("-123 (-234 to -12.3)") for line in mine)
    assert intervals in (0, 1, n_metrics)
    assert any("--json has them" in line for line in lines) is (intervals < n_metrics)


def test_what_is_wider_than_the_terminal_is_not_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show(report(2))
    lines = capsys.readouterr().out.splitlines()
    assert sum(LONG in line and "-123" in line for line in lines) == 2
