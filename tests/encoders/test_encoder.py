"""What the base class of encoders does for all of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.encoders import TFIDF, base, load
from zhiyin.encoders.base import TextConfig, TextEncoder
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run
from zhiyin.testing.encoders import TextEncoderSuite, films
from zhiyin.testing.worlds import tastes


class LettersConfig(TextConfig):
    """Settings of `Letters`."""

    size: int = 8
    """The length of a vector."""


class Letters(TextEncoder):
    """The vector of a text is drawn from its hash."""

    config: LettersConfig

    def __init__(self, config: LettersConfig | None = None, **options: object) -> None:
        super().__init__(config, **options)
        self.asked: list[list[str]] = []

    def _encode(self, contents: Sequence[str], run: Run) -> np.ndarray:
        self.asked.append(list(contents))
        drawn = [np.random.default_rng(list(hashlib.md5(one.encode()).digest())) for one in contents]
        return np.array([one.normal(size=self.config.size) for one in drawn], np.float32)


class TestLetters(TextEncoderSuite):
    encoder = Letters
    understands = False


def test_it_reads_the_item_table_of_a_dataset() -> None:
    world = tastes()
    found = Letters().encode(world, keep=False)
    assert len(found) == world.n_items


def test_within_a_window_long_texts_come_first() -> None:
    encoder = Letters()
    encoder.encode(films(["b", "dddd", "a", "ccc"]), keep=False)
    assert encoder.asked == [["dddd", "ccc", "b", "a"]]


def test_what_was_encoded_before_a_crash_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "WINDOW", 3)

    class Tired(Letters):
        def _encode(self, contents: Sequence[str], run: Run) -> np.ndarray:
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super()._encode(contents, run)

        @property
        def name(self) -> str:
            return "letters"

    class Rested(Letters):
        name = "letters"

    texts = [f"text {number}" for number in range(10)]
    with pytest.raises(KeyboardInterrupt):
        Tired().encode(films(texts), keep=tmp_path / "kept", out=tmp_path / "vectors.npy")
    assert not (tmp_path / "vectors.npy").exists()
    found = Rested().encode(films(texts), keep=tmp_path / "kept", out=tmp_path / "vectors.npy")
    assert (found.encoded, found.kept) == (4, 6)
    np.testing.assert_array_equal(found.values, Letters().encode(films(texts), keep=False).values)
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_by_default_vectors_are_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path))
    first, second, other = Letters(), Letters(), Letters(size=4)
    for encoder in (first, second, other):
        encoder.encode(films())
    assert [len(one.asked) for one in (first, second, other)] == [1, 0, 1]
    assert len(list((tmp_path / "vectors").iterdir())) == 2
    assert other.encode(films()).values.shape == (8, 4)


def test_settings_that_change_no_vector_share_what_is_kept(tmp_path: Path) -> None:
    Letters().encode(films(), keep=tmp_path / "kept")
    assert Letters(most_letters=1_000).encode(films(), keep=tmp_path / "kept").kept == 8
    assert Letters(most_letters=4).encode(films(), keep=tmp_path / "kept").kept < 8


def test_a_content_that_cannot_be_read_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    class Picky(Letters):
        def _encode(self, contents: Sequence[str], run: Run) -> np.ndarray:
            found = super()._encode(contents, run)
            found[[one.startswith("bad") for one in contents]] = np.nan
            found[[one.startswith("huge") for one in contents]] = np.inf
            return found

    found = Picky().encode(films(["bad one", "good", "huge", None, "bad one"]), keep=False)
    assert found.unreadable.tolist() == [0, 2, 4]
    assert found.silent.tolist() == [3]
    assert (found.encoded, found.kept) == (3, 1)
    assert "3 of 5 items cannot be read" in caplog.text
    assert "1 of 5 items say nothing" in caplog.text


def test_an_encoder_that_gives_another_number_of_vectors_is_refused() -> None:
    class Short(Letters):
        def _encode(self, contents: Sequence[str], run: Run) -> np.ndarray:
            return super()._encode(contents, run)[:-1]

    with pytest.raises(DataError, match=r"shape \(7, 8\) for 8 contents"):
        Short().encode(films(), keep=False)


def test_progress_counts_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "WINDOW", 3)
    seen = []

    class Watch:
        def track(self, steps, total, description):
            seen.append((total, description))
            yield from steps

    Letters().encode(films(), keep=False, run=Run(progress=Watch()))
    assert seen == [(3, f"{Letters().name}: encode")]


def test_files_that_are_no_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a saved encoder"):
        load(tmp_path)
    folder = TFIDF().fit(films()).save(tmp_path / "tfidf")
    header = (folder / "config.json").read_text()
    (folder / "config.json").write_text(header.replace('"encoders"', '"models"'))
    with pytest.raises(DataError, match="no encoder for this version"):
        load(folder)
    (folder / "config.json").write_text(header.replace('"tfidf"', '"bert"'))
    with pytest.raises(DataError, match="does not have"):
        load(folder)
    (folder / "config.json").write_text(header)
    (folder / "texts.json").write_text("{}")
    with pytest.raises(DataError, match="it holds directions, idf"):
        load(folder)


def test_a_failed_fit_leaves_no_half_of_an_encoder() -> None:
    encoder = TFIDF(max_share=1.0).fit(films())
    with pytest.raises(DataError):
        encoder.fit(films(["one", "two"]))
    with pytest.raises(Exception, match="fit"):
        encoder.encode(films())


def test_columns_are_named_in_one_text() -> None:
    assert Letters(text="title, description").config.text == ("title", "description")
    with pytest.raises(ConfigError, match="most_letters"):
        Letters(most_letters=0)


def test_a_table_without_rows_of_text_columns_is_refused() -> None:
    with pytest.raises(DataError, match="no text and no categories"):
        Letters().encode(pa.table({"item_id": ["1"], "price": [2.0]}), keep=False)
