"""Whatever a user gets wrong: one clear message, exit 1 (or 2 for wrong usage), nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError

from .conftest import Zhiyin


def refuse(zhiyin: Zhiyin, *arguments: object) -> str:
    """The one message of a command that must fail."""
    done = zhiyin(*arguments)
    assert done.code == 1, (done.code, done.out, done.err)
    assert "Traceback" not in done.err
    assert done.err.count("error:") == 1
    assert done.out == ""
    return done.err


FILES = {
    "empty": ("", "empty"),
    "header only": ("user_id,item_id,time\n", "no "),
    "wrong delimiter": ("user_id~item_id~time\n1~2~3\n", "column"),
    "no item column": ("user_id,colour,time\n1,2,1500000000\n", "item_id"),
    "all times wrong": ("user_id,item_id,time\n1,2,-5\n1,3,-6\n", "time"),
}


@pytest.mark.parametrize("name", FILES)
def test_unreadable_logs(zhiyin: Zhiyin, tmp_path: Path, name: str) -> None:
    text, expected = FILES[name]
    (tmp_path / "events.csv").write_text(text)
    message = refuse(zhiyin, "prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d")
    assert expected in message
    assert [one.name for one in tmp_path.iterdir()] == ["events.csv"]


def test_a_missing_file_is_named_with_the_nearest(zhiyin: Zhiyin, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id\n1,2\n")
    message = refuse(zhiyin, "prepare", "--events", tmp_path / "event.csv", "--out", tmp_path / "d")
    assert "events.csv" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--models", "item_kn"], "did you mean 'item_knn'"),
        (["--models", "ease", "-o", "ease.regularisation=1"], "did you mean 'regularization'"),
        (["--models", "ease", "-o", "regularization=-1"], "greater than 0"),
        (["--models", "ease", "--metrics", "ncdg@10"], "did you mean 'ndcg'"),
        (["--models", "ease", "--split", "global_tim"], "did you mean 'global_time'"),
        (["--models", "ease", "-k", "1000"], "catalogue"),
        (["--models", "ease", "-o", "nonsense"], "name=value"),
    ],
)
def test_wrong_names_and_settings(zhiyin: Zhiyin, prepared: Path, arguments: list[str], expected: str) -> None:
    assert expected in refuse(zhiyin, "compare", "--data", prepared, *arguments)


def test_unknown_users_items_and_places(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    assert zhiyin("fit", "item_knn", "--data", prepared, "--out", tmp_path / "m").code == 0
    message = refuse(zhiyin, "recommend", "--model", tmp_path / "m", "--user", "u00011", "--data", prepared)
    assert "or 'u0001'" in message
    assert "did you mean" in refuse(
        zhiyin, "recommend", "--model", tmp_path / "m", "--history", "i0001", "--allow", "i00"
    )
    assert "not a saved model" in refuse(zhiyin, "recommend", "--model", prepared, "--history", "i0001")
    assert "--data" in refuse(zhiyin, "recommend", "--model", tmp_path / "m", "--user", "u0001")
    assert "for whom" in refuse(zhiyin, "recommend", "--model", tmp_path / "m")
    assert "movielens-100k" in refuse(zhiyin, "compare", "--data", "movielens-10k", "--models", "ease")


def test_all_users_cold(zhiyin: Zhiyin, tmp_path: Path) -> None:
    rows = "\n".join(f"u{number},i{number % 20},{1_500_000_000 + number}" for number in range(50))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,time\n{rows}\n")
    assert zhiyin("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d").code == 0
    assert "test cases" in refuse(zhiyin, "compare", "--data", tmp_path / "d", "--models", "item_knn")


def test_wrong_usage_is_exit_two(shell: Zhiyin) -> None:
    assert shell("compare").code == 2
    assert shell("no-such-verb").code == 2


def test_debug_shows_the_traceback(shell: Zhiyin) -> None:
    plain, debug = (
        shell("fit", "nope", "--data", "x", "--out", "y"),
        shell("--debug", "fit", "nope", "--data", "x", "--out", "y"),
    )
    assert plain.code == debug.code == 1
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--models", ","], "--models came empty"),
        (["--models", "ease,ease"], "names 'ease' twice"),
        (["--models", "zhiyin.run:Run"], "is no model"),
    ],
)
def test_lists_of_names(zhiyin: Zhiyin, prepared: Path, arguments: list[str], expected: str) -> None:
    assert expected in refuse(zhiyin, "compare", "--data", prepared, *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "movielens-100k", "--role", "user_id=u"], "--role cannot be said together with --data"),
        (["--role", "things.item_id=sku"], "unknown table 'things'"),
        (["--role", "items.item_id=sku"], "need --items FILE"),
        (["--read", "path=elsewhere.csv"], "--events FILE"),
        (["--step", ""], "--step came empty"),
        (["--recipe", "shop.toml", "--step", "bots"], "beside --recipe"),
    ],
)
def test_options_that_contradict(
    zhiyin: Zhiyin, shop: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    events = [] if "--data" in arguments else ["--events", shop / "events.csv"]
    assert expected in refuse(zhiyin, "prepare", *events, *arguments, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_only_what_zhiyin_wrote_is_overwritten(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("irreplaceable")
    message = refuse(zhiyin, "fit", "popularity", "--data", prepared, "--out", tmp_path / "photos", "--overwrite")
    assert "is not replaced" in message
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "irreplaceable"


def test_an_unknown_id_among_many_is_still_answered_with_the_nearest() -> None:
    many = Vocabulary(f"item-{number:06d}" for number in range(20_000))
    with pytest.raises(DataError, match="did you mean 'item-0"):
        many.number("item-O12345", "item")
    with pytest.raises(DataError, match="there are 20,000, such as item-000000"):
        many.number("?" * 300, "item")


def test_ctrl_c_ends_with_one_line_and_leaves_nothing(shop: Path, tmp_path: Path) -> None:
    """The interrupt comes while `prepare` works: it is sent as soon as the events are being read."""
    command = [sys.executable, "-m", "zhiyin", "prepare", "--events", shop / "events.csv", "--out", tmp_path / "d"]
    slow = {**os.environ, "PYTHONPATH": str(tmp_path / "slow")}
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW)
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=slow)
    deadline = time.monotonic() + 60
    while not (tmp_path / "slow" / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.glob(".d.*")), "the work folder is there while it works"
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    assert err.strip().endswith("stopped; nothing was left half-written")
    assert "Traceback" not in err
    assert out == ""
    assert sorted(one.name for one in tmp_path.iterdir()) == ["slow"]


SLOW = """
import pathlib, signal, time
import zhiyin.data.prepare as prepare

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are deaf to it
usual = prepare._ingested

def slowly(engine, log):
    (pathlib.Path(__file__).parent / "begun").touch()
    time.sleep(20)
    return usual(engine, log)

prepare._ingested = slowly
"""
"""Makes reading take long enough to be interrupted for certain."""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--history", '"i0001'], "is not a CSV line"),
        (["--history", "i0001", "--allow", ""], "--allow came empty"),
        (["--history", "i0001", "--exclude", " , "], "--exclude came empty"),
    ],
)
def test_lists_of_ids(zhiyin: Zhiyin, prepared: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert zhiyin("fit", "popularity", "--data", prepared, "--out", tmp_path / "m").code == 0
    assert expected in refuse(zhiyin, "recommend", "--model", tmp_path / "m", *arguments)


def test_a_list_that_is_short_says_why(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    assert zhiyin("fit", "popularity", "--data", prepared, "--out", tmp_path / "m").code == 0
    done = zhiyin("recommend", "--model", tmp_path / "m", "--history", "i0001", "--allow", "i0001,i0002")
    assert done.code == 0
    assert "1 of 10 items: no others are allowed" in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--events", "mysql://db/shop?table=orders"], "addresses of mysql:// cannot be read"),
        (
            ["--append-to", "d", "--events", "e.csv", "--step", "bots"],
            "--step cannot be said together with --append-to",
        ),
        (["--append-to", "d"], "--append-to needs the new events"),
        (["--events", "e.csv"], "--out DIR"),
    ],
)
def test_places_and_options_of_prepare(zhiyin: Zhiyin, arguments: list[str], expected: str) -> None:
    out = [] if "--append-to" in arguments or expected == "--out DIR" else ["--out", "never"]
    assert expected in refuse(zhiyin, "prepare", *arguments, *out)


def test_a_file_in_the_place_of_data_is_answered_with_the_command(zhiyin: Zhiyin, shop: Path) -> None:
    message = refuse(zhiyin, "compare", "--data", shop / "events.csv", "--models", "ease")
    assert "zhiyin prepare --events" in message


def test_a_split_that_the_data_do_not_allow_names_those_that_work(zhiyin: Zhiyin, tmp_path: Path) -> None:
    rows = "\n".join(f"u{number % 20},i{number % 13}" for number in range(200))
    (tmp_path / "events.csv").write_text(f"user_id,item_id\n{rows}\n")
    assert zhiyin("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "d").code == 0
    for split in ("global_time", "leave_last_out"):
        message = refuse(zhiyin, "compare", "--data", tmp_path / "d", "--models", "ease", "--split", split)
        assert "user_holdout and cold_items need n" in message
    done = zhiyin("compare", "--data", tmp_path / "d", "--models", "item_knn", "--split", "user_holdout")
    assert done.code == 0, done.err


def test_what_a_terminal_would_obey_is_spelt_out(zhiyin: Zhiyin, tmp_path: Path) -> None:
    odd = ["[red]ada", "bob\x1b[31m", ":smile:", "x" * 300]
    rows = "".join(f"{user},{item}\n" for user in odd for item in odd)
    (tmp_path / "events.csv").write_text(f"user_id,item_id\n{rows}")
    assert zhiyin("prepare", "--events", tmp_path / "events.csv", "--out", tmp_path / "[d]").code == 0
    assert zhiyin("fit", "popularity", "--data", tmp_path / "[d]", "--out", tmp_path / "m").code == 0
    asked = [part for user in odd for part in ("--user", user)]
    done = zhiyin("recommend", "--model", tmp_path / "m", "--data", tmp_path / "[d]", *asked, "-k", 4, "--include-seen")
    assert done.code == 0, done.err
    for shown in ("for [red]ada", "bob\\x1b[31m", ":smile:", "x…x"):
        assert shown in done.out
    assert "\x1b" not in done.out
    assert "[d]" in zhiyin("quality", "--data", tmp_path / "[d]", "--out", tmp_path / "[d].html").err


def test_a_fault_of_ours_is_one_message_too(zhiyin: Zhiyin, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("two and two is five")

    monkeypatch.setattr("zhiyin.data.quality.assess", fail)
    message = refuse(zhiyin, "quality", "--data", prepared)
    assert "RuntimeError: two and two is five; this is a fault of zhiyin itself" in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_an_error(shop: Path) -> None:
    for arguments in (["list"], ["list", "--json"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "zhiyin", *arguments],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr.strip() == "error: No space left on device"


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("verb", ["prepare", "fit", "compare", "quality"])
def test_a_disk_that_is_full_leaves_nothing(shop: Path, prepared: Path, tmp_path: Path, verb: str) -> None:
    arguments: dict[str, list[object]] = {
        "prepare": ["prepare", "--events", shop / "events.csv"],
        "fit": ["fit", "ease", "--data", prepared],
        "compare": ["compare", "--data", prepared, "--models", "ease"],
        "quality": ["quality", "--data", prepared],
    }
    command = [sys.executable, "-c", QUOTA, *arguments[verb], "--out", tmp_path / "out"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "half-written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


QUOTA = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
from zhiyin.cli import main
main()
"""
"""No file may grow beyond two KiB."""
