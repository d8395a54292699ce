"""`zhiyin export` at the prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zhiyin import models
from zhiyin.run import Run
from zhiyin.testing.worlds import tastes

from .conftest import Zhiyin

pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = models.get("gru4rec")(embedding_size=8, max_length=8, epochs=1, n_negatives=8)
    return model.fit(tastes(40, 30), run=Run(threads=1)).save(tmp_path_factory.mktemp("models") / "gru4rec")


def test_a_saved_model_becomes_a_graph(zhiyin: Zhiyin, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = zhiyin("export", "--model", saved, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["folder"] == str(out)
    assert done.json["model"] == "gru4rec"
    assert done.json["bytes"] == {one.name: one.stat().st_size for one in out.iterdir()}
    names = [one.name for one in onnxruntime.InferenceSession(out / "model.onnx").get_inputs()]
    assert [one["name"] for one in done.json["inputs"]] == names

    again = zhiyin("export", "--model", saved, "--out", out)
    assert again.code == 1
    assert "is there already" in again.err
    (out / "mine").write_text("")
    replaced = zhiyin("export", "--model", saved, "--out", out, "--overwrite")
    assert replaced.code == 0, replaced.err
    assert replaced.out == ""
    assert "saved:" in replaced.err
    assert "README.md" in replaced.err
    assert not (out / "mine").exists()
    assert json.loads((out / "signature.json").read_text())["n_items"] == 30


def test_a_taken_folder_is_said_before_the_model_is_opened(zhiyin: Zhiyin, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = zhiyin("export", "--model", tmp_path / "none", "--out", tmp_path, "--overwrite")
    assert done.code == 1
    assert "holds no signature.json" in done.err
    assert (tmp_path / "mine").exists()


def test_what_is_no_sequence_model_is_refused_in_one_line(zhiyin: Zhiyin, tmp_path: Path) -> None:
    folder = models.get("item_knn")().fit(tastes(40, 30)).save(tmp_path / "model")
    done = zhiyin("export", "--model", folder, "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert "item_knn has no net" in done.err
    assert "sasrec" in done.err
    assert not (tmp_path / "out").exists()
    absent = zhiyin("export", "--model", tmp_path / "none", "--out", tmp_path / "out")
    assert absent.code == 1
    assert "is not a saved model" in absent.err


def test_wrong_usage(zhiyin: Zhiyin) -> None:
    assert zhiyin("export").code == 2
