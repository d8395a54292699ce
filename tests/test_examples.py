"""The examples and the recipe do what they say, run as a newcomer would run them."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(folder: Path, *command: object) -> str:
    """The standard output of a command that must succeed, run in a folder of its own without warnings."""
    environment = {**os.environ, "COLUMNS": "200", "PYTHONWARNINGS": "error"}
    arguments = [sys.executable, *map(str, command)]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning") == 0
    return done.stdout


def test_new_user(tmp_path: Path) -> None:
    said = run(tmp_path, ROOT / "examples" / "new_user.py")
    before, *after = said.split("\nafter ")[1:]
    assert before.startswith("0 clicks")
    assert before.count("popularity (fill)") == 5
    assert len(after) == 3
    for block in after:
        clicked = block.splitlines()[0].partition(": ")[2].split(", ")
        assert block.count("from item_knn") == 5
        assert set(re.findall(r"because of (.+)", block)) <= set(clicked)
    share = re.search(r"(\d+)% of the last list is opera", said)
    assert share
    assert int(share[1]) >= 60  # a quarter of the catalogue is opera
    assert (tmp_path / "session-model" / "arrays.safetensors").is_file()


def test_from_dataframe(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    said = run(tmp_path, ROOT / "examples" / "from_dataframe.py")
    assert "ingest: 6,000 -> 5,995" in said  # five orders have no customer
    assert "exact_duplicates" in said
    values = {name: float(value) for name, value in re.findall(r"^  (\w+) +ndcg@10 (0\.\d+)", said, re.MULTILINE)}
    assert set(values) == {"item_knn", "ease", "popularity", "popularity_30d"}
    assert min(values["item_knn"], values["ease"]) > 2 * values["popularity"]  # the frame has three clear tastes
    assert "beyond chance" in said
    assert "item_id" in said.splitlines()[-10]
    report = json.loads((tmp_path / "orders-report" / "report.json").read_text(encoding="utf-8"))
    assert {model["name"] for model in report["models"]} == set(values)


def test_own_model(tmp_path: Path) -> None:
    said = run(tmp_path, ROOT / "examples" / "own_model.py")
    values = {name: float(value) for name, value in re.findall(r"^(\S+) +ndcg@10 (0\.\d+)", said, re.MULTILINE)}
    assert values["__main__:Transitions"] > values["popularity"]
    assert len(re.findall(r"^i\d+ because of \['i\d+'", said, re.MULTILINE)) == 3


def test_every_example_is_tested() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {file.stem for file in (ROOT / "examples").glob("*.py")} <= tested


# ---------------------------------------------------------------------- the recipe


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The recipe beside a small shop whose log has one of everything that the steps remove."""
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(ROOT / "recipes" / "shop.toml", tmp_path / "shop.toml")
    good = [
        (f"c{customer}", f"s{product}", f"{day:02d}/03/2024 {10 + product}:00", action)
        for customer in range(6)
        for product in range(4)
        for day, action in ((customer + 1, "view"), (customer + 9, "purchase"))
    ]
    bad = [
        ("c0", "s0", "01/03/2024 10:00", "view"),  # sent twice
        ("c1", "s1", "30/12/2023 10:00", "view"),  # before the window
        ("c2", "s9", "05/03/2024 10:00", "view"),  # the only event of its item
        ("", "s0", "05/03/2024 10:00", "view"),  # by nobody
    ]
    for part, rows in enumerate((good[:20], good[20:] + bad)):
        with (folder / f"orders-{part}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("customer", "sku", "bought_at", "action"), *rows])
    catalogue = [{"sku": f"s{n}", "title": f"Thing {n}", "categories": ["tea"], "price": 5 + n} for n in range(6)]
    lines = "\n".join(json.dumps(item) for item in catalogue)
    (folder / "catalogue.jsonl").write_text(lines + "\n", encoding="utf-8")
    rows = "".join(f"c{n},{'north' if n % 2 else 'south'}\n" for n in range(6))
    (folder / "customers.csv").write_text("customer,region\n" + rows, encoding="utf-8")
    return tmp_path


def test_the_recipe_prepares_a_shop(shop: Path) -> None:
    manifest = json.loads(run(shop, "-m", "zhiyin", "prepare", "--recipe", "shop.toml", "--out", "my-shop", "--json"))
    removed = {step["name"]: step["rows_before"] - step["rows_after"] for step in manifest["steps"]}
    assert removed == {
        "ingest": 1,
        "exact_duplicates": 1,
        "near_duplicates": 0,
        "bots": 0,
        "time_window": 1,
        "sessions": 0,
        "weights": 0,
        "minimum_counts": 1,
    }
    assert manifest["counts"] == {"events": 48, "items": 6, "users": 6}  # s4 and s5 are in the catalogue alone
    assert manifest["name"] == "shop"


def test_what_the_recipe_made_is_right(shop: Path) -> None:
    from zhiyin import Dataset

    run(shop, "-m", "zhiyin", "prepare", "--recipe", "shop.toml", "--out", "my-shop")
    dataset = Dataset.load(shop / "my-shop")
    assert dataset.kinds == ("purchase", "view")
    assert dataset.histories.weight is not None
    assert sorted(set(dataset.histories.weight.tolist())) == [1.0, 5.0]
    assert dataset.histories.session is not None
    assert dataset.histories.session.reshape(6, 8)[0].tolist() == list(range(8))  # an hour lies between any two events
    assert dataset.user_table.column("region").to_pylist() == ["south", "north"] * 3
    assert dataset.item_titles() == [f"Thing {n}" for n in range(6)]


def test_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = run(tmp_path, ROOT / "examples" / "several_processes.py")
    found = re.match(r"processes: 1, NDCG@10 (0\.\d+) after epoch", said)
    assert found
    assert float(found[1]) > 0.25
    assert len(re.findall(r"'i\d{4}'", said)) == 3
