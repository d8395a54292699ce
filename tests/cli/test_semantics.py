"""Items as vectors and as codes, and found by what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhiyin import encoders, semantic_ids
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.encoders._kept import identity_hash
from zhiyin.run import Run

from .conftest import Zhiyin

SMALL = ("-o", "levels=2", "-o", "n_codes=4")


def test_items_as_vectors(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors"
    told = zhiyin("encode", "tfidf", "--data", prepared, "--out", out, "-o", "embedding_size=8", "--no-keep", "--json")
    assert told.code == 0, told.err
    dataset, vectors = Dataset.load(prepared), np.load(out / "vectors.npy")
    assert tuple(told.json["shape"]) == vectors.shape
    assert pq.read_table(out / "items.parquet").column("item_id").to_pylist() == dataset.items.ids.to_pylist()
    again = encoders.load(out / "encoder").encode(dataset, keep=False).values
    np.testing.assert_allclose(again, vectors, atol=1e-6)
    taken = zhiyin("encode", "tfidf", "--data", prepared, "--out", out)
    assert taken.code != 0
    assert "--overwrite" in taken.err


def test_items_that_say_what_is_looked_for(zhiyin: Zhiyin, prepared: Path) -> None:
    titles = Dataset.load(prepared).item_titles()
    ask = ("search", titles[4], "--data", prepared, "--encoder", "tfidf", "--no-keep", "-k", 3)
    found = zhiyin(*ask, "--json").json["items"]
    assert [one["rank"] for one in found] == [1, 2, 3]
    assert titles[4].split()[0] in found[0]["title"]
    shown = zhiyin(*ask)
    assert found[0]["title"] in shown.out
    assert "says nothing to tfidf" in zhiyin("search", "xyzzy", *ask[2:]).err


def test_encoders_work_where_they_are_told_to(
    zhiyin: Zhiyin, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, encode = set[str | None](), encoders.TFIDF._encode

    def noted(self: encoders.TFIDF, contents: list[str], run: Run) -> np.ndarray:
        seen.add(run.device)
        return encode(self, contents, run)

    monkeypatch.setattr(encoders.TFIDF, "_encode", noted)
    for number, verb in enumerate(
        (
            ("encode", "tfidf", "--out", tmp_path / "vectors"),
            ("search", Dataset.load(prepared).item_titles()[4], "--encoder", "tfidf"),
            ("codes", "residual_kmeans", "--encoder", "tfidf", *SMALL, "--out", tmp_path / "codes"),
        )
    ):
        done = zhiyin(*verb, "--data", prepared, "--device", f"cuda:{number}")
        assert done.code == 0, done.err
        assert f"cuda:{number}" in seen


def test_a_small_catalogue_is_listed_whole_but_for_items_that_say_nothing(zhiyin: Zhiyin, tmp_path: Path) -> None:
    titles = ["red shoe", "blue shoe", "", "", "green hat", "winter hat"]
    items = "\n".join(f"i{item},{title}" for item, title in enumerate(titles))
    events = "\n".join(f"u{user},i{item},{1_500_000_000 + user + item}" for user in range(5) for item in range(6))
    (tmp_path / "items.csv").write_text(f"item_id,title\n{items}\n")
    (tmp_path / "events.csv").write_text(f"user_id,item_id,timestamp\n{events}\n")
    files = ("--events", tmp_path / "events.csv", "--items", tmp_path / "items.csv")
    assert zhiyin("prepare", *files, "--out", tmp_path / "small").code == 0
    ask = ("search", "red shoe", "--data", tmp_path / "small", "--encoder", "tfidf", "-o", "max_share=1", "--no-keep")
    ask = (*ask, "-o", "min_items=1", "-o", "text=title", "--json")
    for k in ((), ("-k", 6)):
        found = zhiyin(*ask, *k).json["items"]
        assert [one["rank"] for one in found] == [1, 2, 3, 4]
        assert [one["title"] for one in found[:2]] == ["red shoe", "blue shoe"]
        assert {one["item_id"] for one in found} == {"i0", "i1", "i4", "i5"}
    assert len(zhiyin(*ask, "-k", 2).json["items"]) == 2
    assert "between 1 and 6 items" in " ".join(zhiyin(*ask, "-k", 7).err.split())


def test_items_as_codes(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "codes"
    ask = ("codes", "residual_kmeans", "--data", prepared, "--encoder", "tfidf", "--no-keep", *SMALL, "--out", out)
    shown = zhiyin(*ask)
    assert shown.code == 0, shown.err
    assert ", 0 without" in shown.out
    assert "of 4 values used" in shown.out
    table = pq.read_table(out / "items.parquet")
    codes = np.array(table.column("code").to_pylist())
    assert codes.shape == (Dataset.load(prepared).n_items, 3)
    assert len(np.unique(codes, axis=0)) == len(codes)
    assert all(table.column("words").to_pylist())
    book = semantic_ids.load(out / "codebook")
    vectors = encoders.get("tfidf")().fit(Dataset.load(prepared)).encode(Dataset.load(prepared), keep=False).values
    np.testing.assert_array_equal(book.assign(vectors), codes[:, :2])
    assert zhiyin(*ask, "--overwrite", "--json").json["codebook"] == "residual_kmeans"


def test_new_items_get_the_codes_that_the_whole_would_give(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    """What `codes` leaves is all that is needed: the very same encoder, with its settings, and the codebook."""
    dataset, own = Dataset.load(prepared), {"embedding_size": 3, "max_share": 0.9, "text": "title"}
    ask = ("codes", "residual_kmeans", "--data", prepared, "--encoder", "tfidf", "--no-keep", *SMALL, "--seed", 3)
    sets = [part for name, value in own.items() for part in ("--encoder-set", f"{name}={value}")]
    told = zhiyin(*ask, *sets, "--out", tmp_path / "codes", "--json")
    assert told.code == 0, told.err
    encoder, book = encoders.load(tmp_path / "codes" / "encoder"), semantic_ids.load(tmp_path / "codes" / "codebook")
    assert encoder.width == 3
    whole = encoders.get("tfidf")(**own).fit(dataset, Run(seed=3))
    vectors = whole.encode(dataset, keep=False).values
    right = semantic_ids.get("residual_kmeans")(levels=2, n_codes=4).fit(vectors, Run(seed=3))
    titles = dataset.item_titles()
    new = pa.table({"item_id": ["n0", "n1"], "title": [titles[7], f"{titles[3]} {titles[11]}"]})
    codes = book.assign(encoder.encode(new, keep=False))
    np.testing.assert_array_equal(codes, right.assign(whole.encode(new, keep=False)))
    listed = pq.read_table(tmp_path / "codes" / "items.parquet").column("code").to_pylist()
    assert codes[0].tolist() == listed[7][:2]
    said = json.loads((tmp_path / "codes" / "codes.json").read_text())
    assert said["encoder"] == "tfidf"
    assert said["encoder_hash"] == identity_hash(encoder.identity())
    assert said["content_hash"] == dataset.content_hash
    other = zhiyin(*ask, "--out", tmp_path / "other", "--json").json
    assert other["encoder_hash"] != said["encoder_hash"]
    refused = zhiyin(*ask, "--encoder-set", "embeding_size=5", "--out", tmp_path / "third")
    assert "did you mean 'embedding_size'" in refused.err


def test_codes_tell_how_pure_beginnings_are(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    dataset = Dataset.load(prepared)
    ask = ("codes", "residual_kmeans", "--encoder", "tfidf", "--no-keep", *SMALL, "--data")
    told = zhiyin(*ask, prepared, "--out", tmp_path / "one", "--json").json
    listed = pq.read_table(tmp_path / "one" / "items.parquet").column("code").to_pylist()
    labels = [one[-1] for one in dataset.item_table.column("categories").to_pylist()]
    right = semantic_ids.report(np.array(listed)[:, :2], [4, 4], labels=labels)
    assert told["labels"] == "categories"
    assert told["purity"] == list(right.purity)
    assert told["chance"] == list(right.chance)
    shown = zhiyin(*ask, prepared, "--out", tmp_path / "two").out
    assert f"purity {right.purity[0]:.3f}, by chance {right.chance[0]:.3f}" in shown
    assert "the last of an item's categories" in shown


@pytest.mark.parametrize("column", [None, [[], None], [["", "a"], ["b"]], "text"])
def test_purity_is_of_items_that_have_a_category(zhiyin: Zhiyin, tmp_path: Path, column: object) -> None:
    """Without a column, and without a category in it, there is none to be told; one text is one category."""
    titles = [f"{'red' if row % 2 else 'blue'} {'shoe' if row % 4 < 2 else 'hat'}" for row in range(16)]
    told = {"item_id": [f"i{row}" for row in range(16)], "title": titles}
    if column == "text":
        told["categories"] = ["a" if row % 2 else None for row in range(16)]
    elif column is not None:
        told["categories"] = pa.array(column * 8, pa.list_(pa.string()))
    Dataset.of(Histories.of_lists([[0, 1, 2], [3, 4, 5]]), pa.table(told)).save(tmp_path / "data")
    ask = ("codes", "residual_kmeans", "--encoder", "tfidf", "--no-keep", "-o", "levels=1", "-o", "n_codes=2")
    done = zhiyin(*ask, "--data", tmp_path / "data", "--out", tmp_path / "codes", "--json")
    assert done.code == 0, done.err
    spoken = column == "text" or column == [["", "a"], ["b"]]
    assert (done.json["labels"], done.json["purity"] is not None) == ("categories" if spoken else None, spoken)


def test_bad_codes_are_refused_with_a_reason(zhiyin: Zhiyin, prepared: Path, tmp_path: Path) -> None:
    ask = ("--data", prepared, "--encoder", "tfidf", "--no-keep", "--out", tmp_path / "codes")
    for codebook, options, said in (
        ("residual_kmeens", (), "did you mean 'residual_kmeans'"),
        ("residual_kmeans", ("-o", "levels=2", "-o", "n_codes=4000"), "set n_codes to at most"),
        ("residual_kmeans", ("-o", "levls=2"), "did you mean 'levels'"),
    ):
        done = zhiyin("codes", codebook, *ask, *options)
        assert done.code != 0
        assert said in " ".join(done.err.split())
        assert not (tmp_path / "codes").exists()
