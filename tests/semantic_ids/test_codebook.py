"""What the base class of codebooks does for all of them."""

from pathlib import Path

import numpy as np
import pytest

from zhiyin import semantic_ids
from zhiyin.encoders import TFIDF
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run
from zhiyin.semantic_ids import ResidualKMeans, load
from zhiyin.semantic_ids.base import Codebook, CodebookConfig
from zhiyin.testing.encoders import FILMS, films
from zhiyin.testing.semantic_ids import CodebookSuite, cloud


class SignsConfig(CodebookConfig):
    """Settings of `Signs`."""

    levels: int = 8
    """How many random directions there are."""
    n_codes: int = 2
    """The two sides of each."""


class Signs(Codebook):
    """On which side of random directions a vector lies."""

    config: SignsConfig
    learns = ("directions",)

    def _fit(self, vectors: np.ndarray, run: Run) -> None:
        drawn = run.generator("directions").standard_normal((vectors.shape[1], self.levels))
        self.directions = np.linalg.qr(drawn)[0].astype(np.float32)

    def _assign(self, vectors: np.ndarray) -> np.ndarray:
        return vectors @ self.directions > 0

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        sides = self.directions[:, : codes.shape[1]] * np.sqrt(2 / np.pi / len(self.mean))
        return (2 * codes - 1).astype(np.float32) @ sides.T


class Forgetful(Signs):
    """What it learns is not saved."""

    config: SignsConfig
    learns = ()

    def _fit(self, vectors: np.ndarray, run: Run) -> None:
        super()._fit(vectors, run)
        self._hidden = self.directions

    def _assign(self, vectors: np.ndarray) -> np.ndarray:
        return vectors @ getattr(self, "_hidden", np.eye(12)[:, :8]) > 0


class Neighbourly(Signs):
    """The code of a vector depends on those beside it."""

    config: SignsConfig

    def _assign(self, vectors: np.ndarray) -> np.ndarray:
        return super()._assign(vectors - vectors.mean(0))


class TestSigns(CodebookSuite):
    codebook = Signs
    options = {"levels": 8, "n_codes": 2}
    refines = False
    best_error = 0.8


def test_the_suite_sees_what_is_not_saved_and_what_depends_on_others() -> None:
    suite = TestSigns()
    suite.codebook = Forgetful
    with pytest.raises(AssertionError):
        suite.test_save_and_load_give_the_same_codes()
    suite.codebook = Neighbourly
    with pytest.raises(AssertionError):
        suite.test_a_batch_equals_its_parts_in_any_order()


def test_what_an_encoder_gives_is_read_as_it_is(tmp_path: Path) -> None:
    encoder = TFIDF(embedding_size=4, max_share=1.0).fit(films())
    table = films([*FILMS["space"], None, *FILMS["love"]])
    found = encoder.encode(table, keep=False, out=tmp_path / "vectors.npy")
    book = ResidualKMeans(levels=2, n_codes=2).fit(found)
    codes = book.assign(found)
    assert codes[4].tolist() == [-1, -1]
    assert len(set(codes[:4, 0].tolist())) == len(set(codes[5:, 0].tolist())) == 1
    assert codes[0, 0] != codes[5, 0]


def test_those_who_say_nothing_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    ResidualKMeans(n_codes=4).fit(np.concatenate([cloud(20), np.zeros((3, 12))]))
    assert "3 of 23 items say nothing" in caplog.text


def test_vectors_are_moved_and_scaled_once() -> None:
    seen = []

    class Seen(Signs):
        config: SignsConfig

        def _fit(self, vectors: np.ndarray, run: Run) -> None:
            seen.append(vectors)
            super()._fit(vectors, run)

    book = Seen().fit(cloud() * 7)
    (told,) = seen
    np.testing.assert_allclose(told.mean(0), 0, atol=1e-5)
    assert np.square(told).sum(1).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(told * book.scale + book.mean, cloud() * 7, atol=1e-3)


def test_progress_counts_levels() -> None:
    seen = []

    class Watch:
        def track(self, steps, total, description):
            seen.append((description, total))
            yield from steps

    ResidualKMeans(n_codes=4, levels=5).fit(cloud(), run=Run(progress=Watch()))
    assert ("residual_kmeans: levels", 5) in seen
    assert all("nearest" not in description for description, _ in seen)


def test_files_that_are_no_codebook_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a saved codebook"):
        load(tmp_path)
    folder = ResidualKMeans(n_codes=4).fit(cloud()).save(tmp_path / "book")
    header = (folder / "config.json").read_text()
    (folder / "config.json").write_text(header.replace('"semantic_ids"', '"encoders"'))
    with pytest.raises(DataError, match="no codebook for this version"):
        load(folder)
    (folder / "config.json").write_text(header.replace('"residual_kmeans"', '"vqvae"'))
    with pytest.raises(DataError, match="does not have"):
        load(folder)
    (folder / "config.json").write_text(header.replace('"residual_kmeans"', '"product_quantizer"'))
    with pytest.raises(DataError, match="it holds centres, mean, prices, scale"):
        load(folder)
    (folder / "config.json").write_text(header)
    (folder / "arrays.safetensors").write_bytes(b"none")
    with pytest.raises(DataError, match="damaged"):
        load(folder)


def test_the_room_lists_what_it_has() -> None:
    assert semantic_ids.available() == ("product_quantizer", "residual_kmeans", "residual_vq")
    with pytest.raises(ConfigError, match="did you mean 'residual_kmeans'"):
        semantic_ids.get("residual_kmean")
    assert semantic_ids.get("zhiyin.semantic_ids.residual_kmeans:ResidualKMeans") is ResidualKMeans


def test_settings_are_within_bounds() -> None:
    for wrong in ({"levels": 0}, {"n_codes": 1}, {"n_codes": 1_000, "most_vectors": 100}, {"rounds": 0}):
        with pytest.raises(ConfigError):
            ResidualKMeans(**wrong)
