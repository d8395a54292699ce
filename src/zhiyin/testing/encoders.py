"""What every encoder of texts must do: subclass it, name the encoder, and pytest runs the rest.

class TestTFIDF(TextEncoderSuite):
    encoder = TFIDF
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from zhiyin.arrays import FloatMatrix
from zhiyin.data.dataset import Dataset
from zhiyin.encoders.base import Encoder, TextEncoder, load
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.run import Run
from zhiyin.testing.recommenders import raises

FILMS = {
    "space": [
        "Alien: a crew in deep space meets a deadly creature",
        "Interstellar: astronauts travel through space to save mankind",
        "Gravity: two astronauts are lost in space above the earth",
        "The Martian: an astronaut is left behind on Mars, far out in space",
    ],
    "love": [
        "Notting Hill: a bookseller falls in love with a famous actress",
        "Pride and Prejudice: love and marriage in the English country",
        "Before Sunrise: two strangers fall in love in one night in Vienna",
        "Casablanca: an old love and the war, in a bar in Morocco",
    ],
}
"""Texts of two kinds; those of one kind share words."""

HARD = [
    "",
    "   \n\t ",
    "<p></p>",
    "word " * 20_000,
    "x" * 100_000,
    "<script>alert(1)</script><b>space</b> &amp; love",
    "space\x00\x01\x1b[31m love\u200b\ufeff",
    "space 太空 космос فضاء อวกาศ 🚀",
    "space \ud800 love",
    "🎬" * 50,
    "2 < 3 and 5 > 4",
]
"""Texts as bad as they come; the first three say nothing."""


def films(texts: Sequence[str | None] | None = None) -> pa.Table:
    """A catalogue of these texts, by default `FILMS`."""
    given = [one for kind in FILMS.values() for one in kind] if texts is None else list(texts)
    return pa.table({"item_id": [f"i{row}" for row in range(len(given))], "title": pa.array(given, pa.string())})


class TextEncoderSuite:
    """The behaviour contract of an encoder of texts."""

    encoder: ClassVar[type[TextEncoder]]
    options: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-4
    """How much a vector may differ by what was encoded beside it."""
    understands: ClassVar[bool] = True
    """Whether texts of one kind of `FILMS` are nearer to each other than to the others."""

    def made(self, **changes: Any) -> TextEncoder:
        """A new one, fitted on the films if it learns from a catalogue."""
        found = self.encoder(**{**self.options, **changes})
        return found.fit(self.catalogue(), run=Run(seed=1)) if found.learns else found

    def catalogue(self) -> pa.Table | Dataset:
        """What one that learns is fitted on: the films, or a dataset of them."""
        return films()

    def disguised(self) -> TextEncoder:
        """One whose weights are said to be others, so that its vectors are not those of `made`."""
        other = self.made()
        _disguise(other)
        return other

    def vectors(self, texts: Sequence[str | None]) -> FloatMatrix:
        """Those of these texts as items, without keeping any."""
        return self.made().encode(films(texts), keep=False).values

    def test_rows_have_length_one_and_come_in_order(self) -> None:
        found = self.made().encode(films(), keep=False)
        assert found.values.dtype == np.float32
        assert found.values.shape == (8, self.made().width)
        np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, atol=1e-5)
        order = np.array([5, 0, 7, 2])
        again = self.made().encode(films().take(pa.array(order)), keep=False)
        np.testing.assert_allclose(again.values, found.values[order], atol=self.tolerance)
        assert found.speaks.all()
        np.testing.assert_array_equal(np.asarray(found), found.values)

    def test_a_batch_equals_its_parts(self) -> None:
        whole = self.vectors(films().column("title").to_pylist())
        for row in (0, 3, 7):
            one = self.made().encode(films().slice(row, 1), keep=False).values
            np.testing.assert_allclose(one[0], whole[row], atol=self.tolerance)

    def test_what_is_alike_lies_together(self) -> None:
        if not self.understands:
            return
        found = self.made().encode(films(), keep=False).values
        alike = found @ found.T - 2 * np.eye(8)
        assert np.mean(alike.argmax(1) // 4 == np.arange(8) // 4) >= 0.75

    def test_silent_items_are_counted_and_zero(self) -> None:
        found = self.made().encode(films([None, FILMS["love"][0], " ", "<br>"]), keep=False)
        assert found.silent.tolist() == [0, 2, 3]
        assert not found.values[[0, 2, 3]].any()
        assert found.speaks.tolist() == [False, True, False, False]
        assert (found.encoded, found.kept) == (1, 0)

    def test_equal_texts_are_encoded_once(self) -> None:
        text, other = FILMS["love"][0], FILMS["space"][0]
        found = self.made().encode(films([text, other, text, f"  {text}\n"]), keep=False)
        assert (found.encoded, found.kept) == (2, 2)
        np.testing.assert_array_equal(found.values[0], found.values[2])
        np.testing.assert_array_equal(found.values[0], found.values[3])

    def test_hard_texts_do_no_harm(self) -> None:
        encoder = self.made()
        texts = [one.encode("utf-8", "ignore").decode() for one in HARD]
        found = encoder.encode(films(texts), keep=False)
        assert np.isfinite(found.values).all()
        assert {0, 1, 2} <= set(found.silent.tolist())
        asked = encoder.encode_texts(HARD, purpose="item")
        np.testing.assert_allclose(asked, found.values, atol=self.tolerance)

    def test_kept_vectors_are_found_again(self) -> None:
        with _folder() as folder:
            first = self.made().encode(films(), keep=folder / "kept")
            again = self.made().encode(films(), keep=folder / "kept")
            more = self.made().encode(films([*FILMS["love"], "A story of love and space"]), keep=folder / "kept")
        assert (first.encoded, first.kept) == (8, 0)
        assert (again.encoded, again.kept) == (0, 8)
        assert (more.encoded, more.kept) == (1, 4)
        np.testing.assert_array_equal(first.values, again.values)
        np.testing.assert_array_equal(first.values[4:], more.values[:4])

    def test_vectors_of_another_encoder_are_refused(self) -> None:
        with _folder() as folder:
            self.made().encode(films(), keep=folder)
            said = raises(DataError, lambda: self.disguised().encode(films(), keep=folder))
        assert "another encoder" in said
        assert "weights" in said

    def test_a_file_holds_what_memory_holds(self) -> None:
        with _folder() as folder:
            ours = self.made().encode(films([None, *FILMS["love"]]), keep=False, out=folder / "new" / "vectors.npy")
            assert isinstance(ours.values, np.memmap)
            right = self.made().encode(films([None, *FILMS["love"]]), keep=False)
            np.testing.assert_array_equal(ours.values, right.values)
            said = raises(DataError, lambda: self.made().encode(films(), keep=False, out=folder))
        assert ".npy" in said

    def test_an_empty_catalogue_has_no_vectors(self) -> None:
        assert self.made().encode(films([]), keep=False).values.shape == (0, self.made().width)

    def test_asked_texts_are_near_what_they_speak_of(self) -> None:
        if not self.understands:
            return
        encoder = self.made()
        found = encoder.encode_texts(["astronauts in space", "two people fall in love"])
        scores = found @ encoder.encode(films(), keep=False).values.T
        assert scores[0].argmax() < 4 <= scores[1].argmax()
        np.testing.assert_allclose(encoder.encode_texts("astronauts in space"), found[:1], atol=self.tolerance)
        assert encoder.encode_texts([]).shape == (0, encoder.width)

    def test_save_and_load_give_the_same_vectors(self) -> None:
        ours = self.made()
        with _folder() as folder:
            again = load(ours.save(folder / "encoder"))
            right = raises(DataError, lambda: ours.save(folder / "encoder"))
            np.testing.assert_array_equal(
                again.encode(films(), keep=False).values, ours.encode(films(), keep=False).values
            )
        assert "already" in right
        assert again.config == ours.config
        assert again.identity() == ours.identity()

    def test_bad_calls_are_refused_with_a_reason(self) -> None:
        encoder = self.made()
        assert "Arrow table" in raises(DataError, lambda: encoder.encode(["a"], keep=False))
        assert "reads texts" in raises(DataError, lambda: encoder.encode_texts([1]))  # type: ignore[list-item]
        assert "unknown setting" in raises(ConfigError, lambda: self.encoder(no_such_setting=1))
        wrong = self.made(text="titel") if not encoder.learns else self.encoder(**{**self.options, "text": "titel"})
        said = raises(
            DataError, lambda: wrong.fit(self.catalogue()) if wrong.learns else wrong.encode(films(), keep=False)
        )
        assert "did you mean 'title'" in said
        if encoder.learns:
            assert "fit" in raises(NotFittedError, lambda: self.encoder(**self.options).encode(films()))
            assert "fit" in raises(NotFittedError, lambda: self.encoder(**self.options).encode_texts(["a"]))


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _disguise(encoder: Encoder) -> None:
    """Say of an encoder, and of its parts, that it has other weights."""
    for part in getattr(encoder, "parts", {}).values():
        _disguise(part)
    encoder.identity = lambda: {**type(encoder).identity(encoder), "weights": "others"}  # type: ignore[method-assign]
