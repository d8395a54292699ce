"""The walk of a new user: raw files, a dataset, its quality, a comparison, a model, a list with reasons."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhiyin.cli import quickstart
from zhiyin.data.dataset import Dataset
from zhiyin.models import blend
from zhiyin.run import Run
from zhiyin.testing.worlds import tastes

from .conftest import Zhiyin


def test_prepare_says_what_it_did(zhiyin: Zhiyin, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    done = zhiyin("prepare", "--events", shop / "events.csv", "--items", shop / "items.csv", "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"users": 120, "items": 60, "events": tastes().n_events}
    assert done.json["clock"] == "time"
    again = zhiyin("prepare", "--events", shop / "events.csv", "--out", out)
    assert again.code == 1
    assert "is there already" in again.err


def test_steps_are_named_in_order(zhiyin: Zhiyin, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    steps = ("--step", "exact_duplicates", "--step", "minimum_counts users=8 items=8")
    done = zhiyin("prepare", "--events", shop / "events.csv", "--out", out, *steps, "--json")
    assert done.code == 0, done.err
    assert [step["name"] for step in done.json["steps"]][-2:] == ["exact_duplicates", "minimum_counts"]
    assert 0 < done.json["counts"]["users"] < 120


def test_later_events_are_appended(zhiyin: Zhiyin, shop: Path, tmp_path: Path) -> None:
    lines = (shop / "events.csv").read_text().splitlines()
    for name, part in (("old.csv", lines[:900]), ("new.csv", [lines[0], *lines[900:]]), ("all.csv", lines)):
        (tmp_path / name).write_text("\n".join(part) + "\n")
    assert zhiyin("prepare", "--events", tmp_path / "old.csv", "--out", tmp_path / "d").code == 0
    grown = zhiyin("prepare", "--append-to", tmp_path / "d", "--events", tmp_path / "new.csv", "--json")
    whole = zhiyin("prepare", "--events", tmp_path / "all.csv", "--out", tmp_path / "e", "--json")
    assert grown.code == whole.code == 0, grown.err
    assert grown.json["content_hash"] == whole.json["content_hash"]


def test_quality_writes_a_page(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    done = zhiyin("quality", "--data", prepared, "--out", tmp_path / "q.html")
    assert done.code == 0, done.err
    page = (tmp_path / "q.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert zhiyin("quality", "--data", prepared, "--json").json["facts"]


def test_compare_prints_the_stable_document(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = zhiyin(
        "compare",
        "--data",
        prepared,
        "--models",
        "item_knn,ease",
        "-o",
        "ease.regularization=50",
        "--out",
        out,
        "--json",
    )
    assert done.code == 0, done.err
    document = done.json
    assert document["protocol"]["hash"]
    assert document["protocol"]["split"] == "global_time"
    models = {model["name"]: model for model in document["models"]}
    assert {"item_knn", "ease", "popularity"} <= set(models)
    for name in ("item_knn", "ease"):
        metric = models[name]["metrics"]["ndcg@10"]
        assert metric["low"] <= metric["value"] <= metric["high"]
        assert metric["value"] > models["popularity"]["metrics"]["ndcg@10"]["value"]
        assert {"fit_seconds", "recommend_seconds", "peak_mib"} <= set(models[name])
    assert (out / "report.html").is_file()
    listed = pq.read_table(out / "recommendations" / "ease.parquet")
    assert {"query", "item_id", "rank", "score"} <= set(listed.column_names)
    assert {"query", "item_id"} <= set(pq.read_table(out / "targets.parquet").column_names)


def test_compare_for_people_names_the_best(zhiyin: Zhiyin, prepared: Path) -> None:
    done = zhiyin("compare", "--data", prepared, "--models", "ease", "--split", "leave_last_out")
    assert done.code == 0, done.err
    assert "leaks time" in done.out
    assert "ease" in done.out


def test_fit_then_recommend_with_reasons(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    assert zhiyin("fit", "ease", "--data", prepared, "--out", tmp_path / "m", "-o", "regularization=50").code == 0
    done = zhiyin("recommend", "--model", tmp_path / "m", "--history", "i0000,i0004", "-k", 3, "--json")
    assert done.code == 0, done.err
    items = done.json["recommendations"][0]["items"]
    assert [item["rank"] for item in items] == [1, 2, 3]
    assert all(int(item["item_id"][1:]) % 4 == 0 for item in items), "items of the same taste were expected"
    assert {reason["item_id"] for item in items for reason in item["reasons"]} <= {"i0000", "i0004"}
    people = zhiyin("recommend", "--model", tmp_path / "m", "--user", "u0003", "--data", prepared, "-k", 3)
    assert people.code == 0, people.err
    assert "taste3 work" in people.out


def test_tune_looks_at_validation_only(zhiyin: Zhiyin, prepared: Path) -> None:
    done = zhiyin("tune", "ease", "--data", prepared, "--trials", 3, "--json")
    assert done.code == 0, done.err
    assert "regularization" in done.json["best"]


def test_list_names_everything_and_shows_settings(zhiyin: Zhiyin) -> None:
    found = zhiyin("list", "--json").json
    assert {"ease", "item_knn", "popularity"} <= set(found["models"])
    assert "global_time" in found["splits"]
    assert "minimum_counts" in found["steps"]
    assert "L2 weight" in zhiyin("list", "models", "ease").out
    assert zhiyin("list", "models", "ease", "--json").json["properties"]["regularization"]


def test_doctor_names_what_is_missing(zhiyin: Zhiyin) -> None:
    found = zhiyin("doctor", "--json").json
    assert found["core"]["numpy"]
    assert set(found["extras"]) >= {"factors", "sequence", "tune"}
    missing = [one for one in found["extras"].values() if not one["installed"]]
    assert all("pip install" in one["install"] for one in missing)
    assert "core" in zhiyin("doctor").out


def test_a_recipe_needs_no_catalogue(zhiyin: Zhiyin, shop: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "shop.toml"
    recipe.write_text(f'[events]\npath = "{shop / "events.csv"}"\n\n[[steps]]\nname = "minimum_counts"\nusers = 6\n')
    done = zhiyin("prepare", "--recipe", recipe, "--out", tmp_path / "d", "--json")
    assert done.code == 0, done.err
    assert done.json["steps"][-1]["name"] == "minimum_counts"


def test_other_tables_and_ways_of_writing_are_named_at_the_prompt(zhiyin: Zhiyin, tmp_path: Path) -> None:
    (tmp_path / "events.txt").write_text("who~what~when\nada~007~13/02/2024\nbob~007~14/02/2024\n")
    (tmp_path / "goods.csv").write_text("sku,title\n007,Skyfall\n")
    roles = ("--role", "user_id=who", "--role", "item_id=what", "--role", "time=when")
    reading = ("--read", "delimiter=~", "--read", "time_format=%d/%m/%Y")
    items = ("--items", tmp_path / "goods.csv", "--role", "items.item_id=sku")
    events = ("--events", tmp_path / "events.txt", *roles, *reading)
    done = zhiyin("prepare", *events, *items, "--out", tmp_path / "d", "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"users": 2, "items": 1, "events": 2}
    assert pq.read_table(tmp_path / "d" / "items.parquet").to_pylist()[0]["title"] == "Skyfall"


def test_ids_with_commas_quotes_and_line_ends_are_written_as_csv(zhiyin: Zhiyin, tmp_path: Path) -> None:
    odd = ['a "b"', "c,d", "e\nf", "日本🎌", "[bold]"]
    rows = [(f"u{user}", item) for user in range(6) for item in odd if (user + len(item)) % 5]
    with (tmp_path / "events.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("user_id", "item_id"), *rows])
    assert zhiyin("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d").code == 0
    assert zhiyin("fit", "item_knn", "--data", tmp_path / "d", "--out", tmp_path / "m").code == 0
    history = '"a ""b""","c,d","e\nf"'
    done = zhiyin("recommend", "--model", tmp_path / "m", "--history", history, "-k", 2, "--json")
    assert done.code == 0, done.err
    listed = done.json["recommendations"][0]
    assert {item["item_id"] for item in listed["items"]} == {"日本🎌", "[bold]"}
    assert "unknown_history_items" not in listed
    people = zhiyin("recommend", "--model", tmp_path / "m", "--history", history, "-k", 2)
    assert "[bold]" in people.out


def test_a_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    command = f"{sys.executable} -m zhiyin list | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "rror" not in done.stderr
    assert done.stdout.startswith("models")


def test_tables_fit_into_eighty_columns(zhiyin: Zhiyin, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for metrics in ("ndcg@10", "ndcg@10,recall@20,mrr@5,novelty@10"):
        done = zhiyin("compare", "--data", prepared, "--models", "ease,user_knn", "--metrics", metrics)
        assert done.code == 0, done.err
        assert max(map(len, done.out.splitlines())) <= 80
        row = next(line for line in done.out.splitlines() if line.strip().startswith("ease "))
        assert re.search(r"\d\.\d{4} +\d\.\d{4} to \d\.\d{4}", row), row
    assert "not in this table: " in done.out
    for verb in (["list", "models"], ["list", "splits", "global_time"], ["quality", "--data", prepared], ["doctor"]):
        assert max(map(len, zhiyin(*verb).out.splitlines())) <= 80


def test_what_happened_is_told_line_by_line(zhiyin: Zhiyin, shop: Path, tmp_path: Path) -> None:
    done = zhiyin("prepare", "--events", shop / "events.csv", "--out", tmp_path / "d")
    lines = [line.strip() for line in done.out.splitlines()]
    assert "user_id is column 'userId' (by alias)" in lines
    assert "delimiter ','" in lines


def test_refused_rows_are_pointed_at(zhiyin: Zhiyin, tmp_path: Path) -> None:
    rows = "".join(f"u{number % 5},i{number},{1_600_000_000 * (number != 7)}\n" for number in range(30))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,time\n{rows}")
    done = zhiyin("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d")
    assert "quarantine.parquet" in done.err
    (refused,) = pq.read_table(tmp_path / "d" / "quarantine.parquet").to_pylist()
    assert (refused["row_number"], refused["reason"]) == (7, "time is before 1971")


def test_appended_tables_are_read_as_the_first_time(zhiyin: Zhiyin, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who;what\nada;tea\nada;cup\n")
    (tmp_path / "b.csv").write_text("who^what\nbob;^tea\n")
    (tmp_path / "goods.csv").write_text("code,title\ntea,Tea\ncup,Cup\n")
    (tmp_path / "more.csv").write_text("code,title\ntea,Green tea\n")
    roles = ("--role", "user_id=who", "--role", "item_id=what", "--role", "items.item_id=code")
    first = ("--events", tmp_path / "a.csv", "--items", tmp_path / "goods.csv")
    assert zhiyin("prepare", *first, *roles, "--out", tmp_path / "d").code == 0
    later = ("--events", tmp_path / "b.csv", "--read", "delimiter=^", "--items", tmp_path / "more.csv")
    done = zhiyin("prepare", "--append-to", tmp_path / "d", *later, "--json")
    assert done.code == 0, done.err
    assert done.json["counts"] == {"users": 2, "items": 2, "events": 3}
    assert set(pq.read_table(tmp_path / "d" / "items.parquet").column("title").to_pylist()) == {"Green tea", "Cup"}


def test_the_seed_reaches_the_steps_that_draw(zhiyin: Zhiyin, shop: Path, tmp_path: Path) -> None:
    hashes = set()
    for place, seed in enumerate((1, 2, 1)):
        out = tmp_path / f"d{place}"
        options = ("--step", "sample_users share=0.5", "--seed", seed, "--json")
        hashes.add(zhiyin("prepare", "--events", shop / "events.csv", *options, "--out", out).json["content_hash"])
    assert len(hashes) == 2


def test_the_next_command_is_one_that_works(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    done = zhiyin("compare", "--data", prepared, "--models", "ease", "-o", "regularization=50", "--out", tmp_path / "r")
    (line,) = [line for line in done.err.splitlines() if line.startswith("next: ")]
    _, *command = shlex.split(line.removeprefix("next: "))
    assert command[:2] == ["fit", "ease"]
    assert "regularization=50.0" in command
    command[command.index("my-model")] = str(tmp_path / "m")
    assert zhiyin(*command).code == 0


def name_of(one: str | tuple[str, object]) -> str:
    return one if isinstance(one, str) else one[0]


def test_quickstart_leaves_ease_out_of_a_large_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    world = tastes()
    assert [*map(name_of, quickstart._affordable(world))] == list(quickstart.MODELS)
    monkeypatch.setattr(blend, "EASE_ITEMS", world.n_items - 1)
    left = {*map(name_of, quickstart._affordable(world))}
    assert set(quickstart.MODELS) - left == {"ease"}


@pytest.mark.parametrize("clock", ["time", "position", "none"])
def test_quickstart_walks_to_the_end_whatever_is_known_of_when(zhiyin: Zhiyin, tmp_path: Path, clock: str) -> None:
    world = tastes()
    users, items = world.users.ids.to_pylist(), world.items.ids.to_pylist()
    owner, time = world.histories.owner(), world.histories.time
    assert time is not None
    columns = {
        "user_id": [users[number] for number in owner],
        "item_id": [items[number] for number in world.histories.item],
        "time": time // 1_000_000 + 1_500_000_000,
        "position": list(range(world.n_events)),
    }
    wanted = {"time": ["time"], "position": ["position"], "none": []}[clock]
    (tmp_path / "set").mkdir()
    pq.write_table(
        pa.table({name: columns[name] for name in ("user_id", "item_id", *wanted)}), tmp_path / "set" / "events.parquet"
    )
    if clock != "position":  # there the items say nothing
        pq.write_table(world.item_table, tmp_path / "set" / "items.parquet")
    done = zhiyin("quickstart", "--data", f"folder:{tmp_path / 'set'}", "--out", tmp_path / "out", "--text", "taste1")
    assert done.code == 0, done.err
    left_out = {"position": "the items have no titles", "none": "the order of events is not known"}.get(clock)
    if left_out:
        assert f"what items say is left out: {left_out}" in done.err
    else:
        assert "items lost all their events" in done.out
        assert "In plain words: taste1" in done.out
        shown = done.out[done.out.index("its words") :].splitlines()[2:4]
        assert all(re.search(r"\d+-\d+ +taste\d", line) for line in shown), shown
        assert (tmp_path / "out" / "model-that-reads").is_dir()
    assert (tmp_path / "out" / "report" / "report.html").is_file()
    verbs = ("zhiyin recommend ", "zhiyin compare ")  # as they stand there
    commands = [line.strip() for line in done.out.splitlines() if line.strip().startswith(verbs)]
    assert len(commands) == 2
    for command in commands:
        again = zhiyin(*shlex.split(command)[1:])
        assert again.code == 0, (command, again.err)


def test_a_catalogue_that_says_too_little_ends_the_walk_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tastes()
    same = world.item_table.set_column(1, "title", pa.array(["a thing"] * world.n_items)).select(["item_id", "title"])
    dataset = Dataset.of(world.histories, same)
    quickstart._meaning(dataset, "a thing", tmp_path, Run(threads=1))
    assert "the rest is left out: " in capsys.readouterr().err
    assert not (tmp_path / "model-that-reads").exists()
