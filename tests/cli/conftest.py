"""A small shop on disk, and a way to call the command line as a person would."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zhiyin.testing.worlds import tastes


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Zhiyin = Callable[..., Done]


@pytest.fixture
def zhiyin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zhiyin:
    """Call `zhiyin ARGUMENTS` in this process."""
    from zhiyin.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["zhiyin", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return Done(int(code), out, err)

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Zhiyin:
    """Call `zhiyin ARGUMENTS` in a process of its own."""

    def call(*arguments: object) -> Done:
        command = [sys.executable, "-m", "zhiyin", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `events.csv` and `items.csv` of the world of tastes, under everyday column names."""
    folder, world = tmp_path_factory.mktemp("shop"), tastes()
    users, items = world.users.ids.to_pylist(), world.items.ids.to_pylist()
    time, owner = world.histories.time, world.histories.owner()
    assert time is not None
    rows = [
        (users[owner[at]], items[item], int(time[at] // 1_000_000) + 1_500_000_000)
        for at, item in enumerate(world.histories.item)
    ]
    _write(folder / "events.csv", ["userId", "movieId", "timestamp"], rows)
    table = world.item_table.to_pylist()
    _write(
        folder / "items.csv",
        ["movieId", "title", "genres"],
        [(one["item_id"], one["title"], "|".join(one["categories"])) for one in table],
    )
    return folder


def _write(path: Path, header: list[str], rows: list[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="session")
def prepared(shop: Path) -> Path:
    """The shop, prepared."""
    import zhiyin

    out = shop / "prepared"
    zhiyin.prepare(zhiyin.EventLog.read(shop / "events.csv"), zhiyin.Catalogue.read(shop / "items.csv"), out=out)
    return out
