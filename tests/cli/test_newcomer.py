"""What a newcomer meets: every command of the documents is understood, and what is worth little says so."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from zhiyin import metrics, models, splitting
from zhiyin.evaluation import tune
from zhiyin.testing.worlds import tastes

from .conftest import Zhiyin

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PAGES = (*READMES, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "recipes").glob("*.toml")))


def commands(page: Path) -> list[str]:
    """The lines of a page's code blocks (or of a recipe's comments) that call zhiyin."""
    text = page.read_text(encoding="utf-8")
    blocks = [text] if page.suffix == ".toml" else re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^(?:# +)?(zhiyin .+)$", "\n".join(blocks), re.MULTILINE)


def parsed(command: Any, words: list[str]) -> str:
    """The verb that words name, read as the command line does, without running anything; wrong usage raises."""
    if (deeper := getattr(command, "commands", None)) is not None:
        return parsed(deeper[words[0]], words[1:])
    return str(command.make_context("zhiyin", list(words)).command.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_documents_is_understood(page: Path) -> None:
    from zhiyin.cli._app import app

    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        assert parsed(typer.main.get_command(app), words) in words[:2]


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    from zhiyin.cli._app import app

    assert commands(ROOT / "recipes" / "shop.toml")
    assert len(commands(ROOT / "docs" / "rooms" / "cli.md")) > 15
    for wrong, said in ((["prepare", "--event", "x"], "--event"), (["fit"], "Missing|model"), (["nothing"], "nothing")):
        with pytest.raises(Exception, match=said):
            parsed(typer.main.get_command(app), wrong)


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_readme_counts_and_names_what_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (counted,) = re.findall(r"^\| (?:metrics|指标) \| (\d+)", text, re.MULTILINE)
    assert int(counted) == len(metrics.available())
    for room, named in (("models|模型", models.available()), ("splits|切分", splitting.available())):
        (row,) = re.findall(rf"^\| (?:{room}) \| (.+) \|$", text, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == set(named)


def test_the_readme_runs_as_it_stands(
    zhiyin: Zhiyin, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.csv").write_text((shop / "events.csv").read_text())
    (tmp_path / "catalogue.jsonl").write_text(
        "".join(f'{{"item_id": "i{number:04d}", "title": "Thing {number}"}}\n' for number in range(60))
    )
    (tmp_path / "new-items.csv").write_text("item_id,title\nnew,A quiet thing\n")
    for line in commands(READMES[0]):
        done = zhiyin(*shlex.split(line)[1:])
        assert done.code == 0, (line, done.err)


def _documented() -> dict[str, set[str]]:
    """The keys that the page of the command line promises of each `--json` document."""
    page = (ROOT / "docs" / "rooms" / "cli.md").read_text(encoding="utf-8")
    table = page.partition("## The documents of `--json`")[2].partition("```")[0]
    rows = re.findall(r"^\| `(\w[\w ]*)`[^|]* \| (.+) \|$", table, re.MULTILINE)
    return {verb: set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text))) for verb, text in rows}


def test_the_documents_of_json_have_the_promised_keys(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    promised = _documented()
    model = tmp_path / "m"
    assert zhiyin("fit", "item_knn", "--data", prepared, "--out", model).code == 0
    asked: dict[str, tuple[object, ...]] = {
        "compare": ("--data", prepared, "--models", "item_knn"),
        "prepare": ("--events", prepared.parent / "events.csv", "--out", tmp_path / "d"),
        "quality": ("--data", prepared),
        "tune": ("item_knn", "--data", prepared, "--trials", 1),
    }
    for verb, arguments in asked.items():
        assert promised[verb], verb
        assert promised[verb] <= set(zhiyin(verb, *arguments, "--json").json), verb
    assert promised["data list"] <= set(zhiyin("data", "describe", "movielens-1m", "--json").json)
    (listed,) = zhiyin("recommend", "--model", model, "--history", "i0000,?", "-k", 2, "--json").json["recommendations"]
    assert {"source", "unknown_history_items", "items"} <= set(listed)
    assert {"item_id", "rank", "score", "source", "reasons"} <= set(listed["items"][0])


def test_after_fit_the_next_command_works(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    done = zhiyin("fit", "item_knn", "--data", prepared, "--out", tmp_path / "m")
    again = zhiyin(*shlex.split(done.err.rpartition("next: zhiyin ")[2]))
    assert again.code == 0, again.err
    assert "unknown" not in again.out
    assert "work" in again.out, "titles were expected"


def test_after_tune_the_next_command_is_judged_on_the_same_split(zhiyin: Zhiyin, tmp_path: Path) -> None:
    world = tastes()
    users, items = world.users.ids.to_pylist(), world.items.ids.to_pylist()
    columns = {
        "user_id": [users[number] for number in world.histories.owner()],
        "item_id": [items[number] for number in world.histories.item],
        "position": list(range(world.n_events)),
    }
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    split = ("--split", "leave_last_out", "--split-set", "ties=shuffle", "--seed", 3)
    done = zhiyin("tune", "item_knn", "--data", f"folder:{tmp_path}", *split, "--trials", 2, "--metric", "recall@5")
    assert done.code == 0, done.err
    assert "judged on validation" in done.out
    assert "protocol " in done.out
    again = zhiyin(*shlex.split(done.err.rpartition("next: zhiyin ")[2]), "--json")
    assert again.code == 0, again.err
    protocol = again.json["protocol"]
    assert (protocol["split"], protocol["ties"], protocol["seeds"]) == ("leave_last_out", "shuffle", [3])
    assert again.json["primary"] == "recall@5"


def test_tune_says_how_many_trials_failed(zhiyin: Zhiyin, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, odd = tune.tune, tune.Trial(9, {"k1": 1.0}, None, "these do not go together")

    def with_a_failure(*arguments: Any, **settings: Any) -> tune.Tuning:
        found = real(*arguments, **settings)
        return replace(found, trials=(*found.trials, odd))

    monkeypatch.setattr(tune, "tune", with_a_failure)
    assert "2 trials, of which 1 failed" in zhiyin("tune", "item_knn", "--data", prepared, "--trials", 1).out


def test_settings_are_shown_with_their_choices_on_whole_lines(zhiyin: Zhiyin) -> None:
    shown = zhiyin("list", "models", "item_knn").out
    assert "one of: strength, value, deviation" in shown
    for room in ("models", "splits", "steps", "metrics"):
        for name in zhiyin("list", room, "--json").json[room]:
            assert "\\n" not in zhiyin("list", room, name).out, name


def test_a_log_without_times_is_told(zhiyin: Zhiyin, tmp_path: Path) -> None:
    rows = "".join(f"u{number % 9},i{number % 7},{1_600_000_000 + number}\n" for number in range(60))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,bought_at\n{rows}")
    command = ("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d", "--overwrite")
    assert "--role time=COLUMN" in zhiyin(*command).err
    assert "--role time=COLUMN" not in zhiyin(*command, "--role", "time=bought_at").err


def test_a_list_from_nothing_and_a_list_of_other_data_say_so(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    assert zhiyin("fit", "item_knn", "--data", prepared, "--out", tmp_path / "m").code == 0
    ask = ("recommend", "--model", tmp_path / "m")
    stranger = zhiyin(*ask, "--history", "Toy Story")
    assert stranger.code == 0
    assert "its ids: i0000, i0001, i0002" in stranger.err
    assert stranger.out.splitlines()[0] == "for this history (1 item of it unknown to the model)"
    assert "knows no item" not in zhiyin(*ask, "--history", "i0000,Toy Story").err
    (tmp_path / "other.csv").write_text("user_id,item_id\nada,i0001\nada,i0099\n")
    assert zhiyin("prepare", "--events", tmp_path / "other.csv", "--out", tmp_path / "other").code == 0
    other = zhiyin(*ask, "--user", "ada", "--data", tmp_path / "other", "--json")
    assert "fitted on 'prepared', the data are 'other'" in other.err
    assert other.json["recommendations"]
    assert "fitted on" not in zhiyin(*ask, "--user", "u0001", "--data", prepared).err


def test_without_reasons_there_is_no_column_of_them(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    assert zhiyin("fit", "item_knn", "--data", prepared, "--out", tmp_path / "m").code == 0
    ask = ("recommend", "--model", tmp_path / "m", "--history", "i0000", "-k", 2)
    assert "because" in zhiyin(*ask).out
    assert "because" not in zhiyin(*ask, "--reasons", 0).out


def test_names_are_separated_by_commas(zhiyin: Zhiyin, prepared: Path) -> None:
    done = zhiyin("compare", "--data", prepared, "--models", "item_knn ease")
    assert done.code == 1
    assert "separated by commas: item_knn,ease" in done.err
