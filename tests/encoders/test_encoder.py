"""What the base class of encoders does for all of them."""

import hashlib
import json
import tracemalloc
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zhiyin.encoders import TFIDF, Fused, _kept, _ticks, base, load
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


class Watch:
    """Somebody who watches: what is to come, and how many steps are done after each thing that happens."""

    def __init__(self) -> None:
        self.expected: list[tuple[int | None, str]] = []
        self.steps, self.over = 0, False

    def track(self, steps: Iterable[Any], total: int | None, description: str) -> Iterator[Any]:
        self.expected.append((total, description))
        try:
            for step in steps:
                yield step
                self.steps += 1
        finally:
            self.over = True


class Batches(Letters):
    """Reads two texts at a time, and says how far it was when it did."""

    def __init__(self, watch: Watch, breaks: bool = False) -> None:
        super().__init__()
        self.watch, self.breaks, self.seen = watch, breaks, []

    def _steps(self, contents: Sequence[str], run: Run) -> Generator[tuple[list[int], np.ndarray]]:
        for at in range(0, len(contents), 2):
            self.seen.append(self.watch.steps)
            places = list(range(at, min(at + 2, len(contents))))
            yield places, self._encode([contents[place] for place in places], run)
            if self.breaks and at:
                raise KeyboardInterrupt


def test_progress_moves_with_each_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(base, "BATCH", 2)
    watch = Watch()
    encoder = Batches(watch)
    texts = [None, *(f"text {number}" for number in range(8)), "text 3"]
    encoder.encode(films(texts), keep=tmp_path / "kept", run=Run(progress=watch))
    assert watch.expected == [(5, f"{encoder.name}: encode")]
    assert encoder.seen == [1, 2, 3, 4]  # two items are done at once
    assert (watch.steps, watch.over) == (5, True)
    again = Watch()
    Batches(again).encode(films(texts), keep=tmp_path / "kept", run=Run(progress=again))
    assert (again.steps, again.over) == (5, True)


def test_progress_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BATCH", 2)
    watch = Watch()
    with pytest.raises(KeyboardInterrupt):
        Batches(watch, breaks=True).encode(films(), keep=False, run=Run(progress=watch))
    assert watch.over
    assert 0 < watch.steps < 4


def test_the_log_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    Batches(Watch()).encode(films(), keep=False)
    assert "items are done" not in caplog.text  # it was quick
    moments = iter(range(0, 1_000, 4))  # seconds
    monkeypatch.setattr(_ticks, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    with _ticks.Ticks(40, 2, Run(), "letters") as ticks:
        for done in range(1, 41):
            ticks.to(done)
    told = [one.message for one in caplog.records if "items are done" in one.message]
    assert told[0] == "letters: 3 of 40 items are done"
    assert len(told) == 13  # every 12 seconds; of the last item nobody needs to be told


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


@pytest.mark.parametrize("to_file", [True, False])
def test_a_cache_that_cannot_be_written_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, to_file: bool
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(base, "WINDOW", 3)
    out = tmp_path / "vectors.npy" if to_file else None
    found = Letters().encode(films(["a", "b", "c", "a", "d"]), out=out)
    np.testing.assert_array_equal(found.values, Letters().encode(films(["a", "b", "c", "a", "d"]), keep=False).values)
    assert "no vectors are kept on the disk" in caplog.text
    with pytest.raises(DataError, match="cannot"):
        Letters().encode(films(), keep=tmp_path / "file" / "kept")


def test_what_is_written_to_a_file_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "WINDOW", 64)
    texts = [f"text {number % 3_000}" for number in range(4_000)]
    table, encoder = films([*texts[:3_900], *[None] * 100]), Letters(size=512)
    tracemalloc.start()
    try:
        found = encoder.encode(table, keep=False, out=tmp_path / "vectors.npy")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 4 * found.values.size / 2
    assert (found.encoded, found.kept, len(found.silent)) == (3_000, 900, 100)
    np.testing.assert_array_equal(found.values[3_000:3_900], found.values[:900])
    np.testing.assert_array_equal(found.values[2_990:3_010], encoder.encode_texts(texts[2_990:3_010], purpose="item"))


# ---------------------------------------------------------------------- weights that are not saved


class Weighty(Letters):
    """Its vectors depend on weights that lie elsewhere."""

    weights = "first"

    def _weights(self) -> str:
        return self.weights


def test_a_loaded_encoder_with_other_weights_is_refused_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Weighty().save(tmp_path / "encoder")
    assert load(folder).encode_texts(["a"]).any()
    monkeypatch.setattr(Weighty, "weights", "second")
    for use in (
        lambda one: one.encode(films(), keep=False),
        lambda one: one.encode_texts(["a"]),
        lambda one: one.width,
        lambda one: load(one.save(tmp_path / "saved again", overwrite=True)).encode_texts(["a"]),
    ):
        changed = load(folder)
        for _ in range(2):
            with pytest.raises(DataError, match=r"weights are others.*second now, first then"):
                use(changed)
    assert changed.fit(films()).encode_texts(["a"]).any()  # who fits anew takes them as they are


def test_the_weights_of_parts_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [{"encoder": Weighty().name}, {"encoder": "tfidf"}]
    folder = Fused(parts=parts).fit(films()).save(tmp_path / "fused")
    assert load(folder).encode_texts(["a story"]).any()
    monkeypatch.setattr(Weighty, "weights", "second")
    for use in (lambda one: one.encode(films(), keep=False), lambda one: one.encode_texts(["a story"])):
        with pytest.raises(DataError, match="weights are others"):
            use(load(folder))


def test_an_encoder_saved_before_weights_were_noted_still_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Weighty().save(tmp_path / "encoder")
    header = json.loads((folder / "config.json").read_text())
    assert header.pop("weights") == "first"
    (folder / "config.json").write_text(json.dumps(header))
    monkeypatch.setattr(Weighty, "weights", "second")
    assert load(folder).encode_texts(["a"]).any()


def test_a_disk_that_becomes_full_on_the_way_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DataError("no space left")

    monkeypatch.setenv("ZHIYIN_CACHE", str(tmp_path))
    monkeypatch.setattr(base, "WINDOW", 3)
    monkeypatch.setattr(_kept, "MOST_ROWS", 4)
    texts = [f"text {number % 11}" for number in range(30)]
    right = Letters().encode(films(texts), keep=False).values
    monkeypatch.setattr(_kept, "_write_pair", full)
    found = Letters().encode(films(texts), out=tmp_path / "vectors.npy")
    assert (found.encoded, found.kept) == (11, 19)
    np.testing.assert_array_equal(found.values, right)
