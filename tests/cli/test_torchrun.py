"""`torchrun ... zhiyin fit`: several processes fit one model, and the first alone speaks and writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zhiyin.artifacts import load_arrays

from .conftest import Zhiyin

pytest.importorskip("torch")

SMALL = ("-o", "max_length=10", "-o", "embedding_size=16", "-o", "n_layers=1", "-o", "epochs=2", "-o", "dropout=0")


def test_two_processes_write_one_model(prepared: Path, tmp_path: Path, zhiyin: Zhiyin) -> None:
    options = ("--data", prepared, *SMALL, "-o", "blind=0", "--threads", "1")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "zhiyin"]
    done = subprocess.run(
        [*command, "fit", "sasrec", *map(str, options), "--out", str(tmp_path / "both")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ZHIYIN_TIMEOUT": "60", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("saved: ") == 1
    assert done.stderr.count("is held out to see") == 1
    assert zhiyin("fit", "sasrec", *options, "--out", tmp_path / "one").code == 0
    both, one = (load_arrays(tmp_path / name / "weights.safetensors") for name in ("both", "one"))
    assert both.keys() == one.keys()
    assert all(abs(both[name] - one[name]).max() < 1e-3 for name in both)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fit", "popularity", "--out", "m"), "popularity learns in one; fit it without torchrun"),
        (("compare", "--models", "sasrec"), "run `zhiyin compare` without torchrun"),
        (("recommend", "--model", "m", "--history", "i0001"), "run `zhiyin recommend` without torchrun"),
    ],
)
def test_what_does_not_share_its_work_is_refused(
    prepared: Path, zhiyin: Zhiyin, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = zhiyin(*arguments, "--data", prepared)
    assert (done.code, done.out) == (1, "")
    assert "torchrun started 2 processes" in done.err
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_place_that_is_none_is_named(zhiyin: Zhiyin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = zhiyin("list", "models")
    assert done.code == 1
    assert "RANK=2 and WORLD_SIZE=2 came" in done.err
