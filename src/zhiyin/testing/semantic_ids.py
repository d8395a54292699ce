"""What every codebook must do: subclass it, name the codebook, and pytest runs the rest.

class TestResidualKMeans(CodebookSuite):
    codebook = ResidualKMeans
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from zhiyin.arrays import FloatMatrix, IntVector
from zhiyin.errors import ConfigError, DataError, NotFittedError
from zhiyin.run import Run
from zhiyin.semantic_ids.base import Codebook, load
from zhiyin.testing.recommenders import raises

RUN = Run(seed=1, threads=1)


def cloud(n: int = 600, width: int = 12, seed: int = 0) -> FloatMatrix:
    """(n, width) vectors of a normal distribution that is wider in some directions than in others."""
    drawn = np.random.default_rng(seed).standard_normal((n, width))
    return (drawn * np.linspace(1, 3, width) + 5).astype(np.float32)


def clumps(n_groups: int = 8, size: int = 20, width: int = 12, seed: int = 0) -> tuple[FloatMatrix, IntVector]:
    """(n, width) vectors in groups that are far apart and narrow, in any order, and (n,) the group of each."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(n_groups, dtype=np.int32), size))
    places = 10 * np.eye(n_groups, width) + 3
    return (places[groups] + rng.normal(0, 0.01, (len(groups), width))).astype(np.float32), groups


class CodebookSuite:
    """The behaviour contract of a codebook."""

    codebook: ClassVar[type[Codebook]]
    options: ClassVar[dict[str, Any]] = {}
    refines: ClassVar[bool] = True
    """Whether the first digit alone tells groups apart that are far from each other."""
    best_error: ClassVar[float] = 0.6
    """The share of the variance of `cloud` that 3 digits of 16 values may lose at most."""

    def made(self, **changes: Any) -> Codebook:
        """A new one, of 3 digits with 16 values where nothing else is said."""
        return self.codebook(**{"levels": 3, "n_codes": 16, **self.options, **changes})

    def fitted(self, **changes: Any) -> Codebook:
        """One that learnt from the cloud."""
        return self.made(**changes).fit(cloud(), run=RUN)

    def test_codes_are_digits_within_their_sizes(self) -> None:
        book = self.fitted()
        codes = book.assign(cloud())
        assert codes.dtype == np.int32
        assert codes.shape == (600, book.levels) == (600, len(book.sizes))
        assert (codes >= 0).all()
        assert (codes < np.array(book.sizes)).all()

    def test_nearly_all_values_of_each_digit_are_used(self) -> None:
        book = self.fitted()
        for column, size in zip(book.assign(cloud()).T, book.sizes, strict=True):
            assert len(np.unique(column)) >= 0.95 * size

    def test_each_digit_makes_the_error_smaller(self) -> None:
        book, vectors = self.fitted(), cloud()
        codes = book.assign(vectors)
        errors = [np.square(vectors - book.decode(codes[:, :length])).sum() for length in range(1, book.levels + 1)]
        assert book.decode(codes).dtype == np.float32
        assert (np.diff(errors) < 0).all()
        assert errors[-1] < self.best_error * np.square(vectors - vectors.mean(0)).sum()

    def test_groups_far_apart_share_no_code(self) -> None:
        vectors, groups = clumps()
        codes = self.made(n_codes=8).fit(vectors, run=RUN).assign(vectors)
        told = codes[:, :1] if self.refines else codes
        for code in np.unique(told, axis=0):
            assert len(set(groups[(told == code).all(1)].tolist())) == 1

    def test_a_batch_equals_its_parts_in_any_order(self) -> None:
        book, vectors = self.fitted(), cloud(200, seed=1)
        whole = book.assign(vectors)
        order = np.random.default_rng(0).permutation(200)
        np.testing.assert_array_equal(book.assign(vectors[order]), whole[order])
        for row in (0, 57, 199):
            np.testing.assert_array_equal(book.assign(vectors[row : row + 1]), whole[row : row + 1])
        little = Run(memory_mib=1, threads=2)
        many = np.tile(vectors, (10, 1))
        np.testing.assert_array_equal(book.assign(many, run=little), np.tile(whole, (10, 1)))
        np.testing.assert_allclose(book.decode(whole)[order], book.decode(whole[order]), atol=1e-4)
        assert book.assign(vectors[:0]).shape == (0, book.levels)
        assert book.decode(whole[:0]).shape == (0, 12)

    def test_the_same_seed_gives_the_same_codes(self) -> None:
        vectors = cloud()
        first, again = (self.made().fit(vectors, run=Run(seed=3, threads=1)).assign(vectors) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert (self.made().fit(vectors, run=Run(seed=4, threads=1)).assign(vectors) != first).any()

    def test_items_that_say_nothing_have_no_code(self) -> None:
        book, vectors = self.fitted(), cloud()
        holes = vectors.copy()
        holes[[3, 40]] = 0
        codes = book.assign(holes)
        assert (codes[[3, 40]] == -1).all()
        others = np.delete(np.arange(600), [3, 40])
        np.testing.assert_array_equal(codes[others], book.assign(vectors)[others])
        assert not book.decode(codes)[[3, 40]].any()
        assert (book.unique(codes)[[3, 40]] == -1).all()
        told = self.made().fit(np.concatenate([np.zeros((7, 12)), vectors]), run=RUN)
        np.testing.assert_array_equal(told.assign(vectors), book.assign(vectors))

    def test_one_more_digit_tells_equal_items_apart(self) -> None:
        book = self.fitted()
        vectors = cloud()[[0, 1, 0, 0, 1]]
        codes = book.assign(vectors)
        np.testing.assert_array_equal(codes[[0, 0, 1]], codes[[2, 3, 4]])
        found = book.unique(codes)
        np.testing.assert_array_equal(found[:, :-1], codes)
        assert len(np.unique(found, axis=0)) == 5
        assert found[[0, 2, 3], -1].tolist() == [0, 1, 2]

    def test_numbers_of_any_kind_are_read(self) -> None:
        vectors = np.round(cloud() * 4)
        book = self.made().fit(vectors, run=RUN)
        right = book.assign(vectors)
        for kind in (np.float64, np.float16, np.int32):
            np.testing.assert_array_equal(book.assign(vectors.astype(kind)), right)
            np.testing.assert_array_equal(self.made().fit(vectors.astype(kind), run=RUN).assign(vectors), right)

    def test_neither_place_nor_scale_of_vectors_matters(self) -> None:
        vectors, groups = clumps()
        for scale, place in ((1e-12, 0), (1e12, 0), (1, 1e3)):
            moved = vectors * np.float32(scale) + np.float32(place)
            codes = self.made(n_codes=8).fit(moved, run=RUN).assign(moved)
            told = codes[:, :1] if self.refines else codes
            for code in np.unique(told, axis=0):
                assert len(set(groups[(told == code).all(1)].tolist())) == 1

    def test_it_learns_from_some_of_many(self) -> None:
        book = self.made(most_vectors=300).fit(cloud(), run=RUN)
        vectors = cloud()
        lost = np.square(vectors - book.decode(book.assign(vectors))).sum()
        assert lost < 1.2 * self.best_error * np.square(vectors - vectors.mean(0)).sum()

    def test_save_and_load_give_the_same_codes(self) -> None:
        ours = self.fitted()
        with tempfile.TemporaryDirectory() as folder:
            again = load(ours.save(Path(folder) / "book"))
            assert "already" in raises(DataError, lambda: ours.save(Path(folder) / "book"))
            ours.save(Path(folder) / "book", overwrite=True)
        codes = ours.assign(cloud())
        np.testing.assert_array_equal(again.assign(cloud()), codes)
        np.testing.assert_array_equal(again.decode(codes), ours.decode(codes))
        assert again.config == ours.config
        assert again.sizes == ours.sizes

    def test_bad_vectors_are_refused_with_a_reason(self) -> None:
        book, vectors = self.fitted(), cloud()
        for bad in (np.nan, np.inf):
            broken = vectors.copy()
            broken[17, 2] = bad
            assert "vector 17 is not finite" in raises(DataError, lambda broken=broken: self.made().fit(broken))
            assert "vector 17 is not finite" in raises(DataError, lambda broken=broken: book.assign(broken))
        assert "12 numbers, 5 came" in raises(DataError, lambda: book.assign(vectors[:, :5]))
        few = max(book.sizes) - 1
        assert f"n_codes to at most {few}" in raises(DataError, lambda: self.made().fit(vectors[:few]))
        assert "0 vectors" in raises(DataError, lambda: self.made().fit(np.zeros((40, 3))))
        assert "all 40 vectors are equal" in raises(DataError, lambda: self.made().fit(np.ones((40, 3))))
        for wrong in (vectors[0], [["a"]], np.ones((4, 0)), vectors > 0, None):
            assert "table of numbers" in raises(DataError, lambda wrong=wrong: book.assign(wrong))

    def test_bad_codes_are_refused_with_a_reason(self) -> None:
        book = self.fitted()
        codes = book.assign(cloud())
        assert "leave out the last one" in raises(DataError, lambda: book.decode(book.unique(codes)))
        assert "whole numbers" in raises(DataError, lambda: book.decode(codes.astype(float)))
        wrong = codes.copy()
        wrong[5, 1] = size = book.sizes[1]
        assert f"digit 1 of item 5 is {size}; 0 to {size - 1}" in raises(DataError, lambda: book.decode(wrong))
        wrong[5, 1] = -1
        assert "or -1 in all digits" in raises(DataError, lambda: book.unique(wrong))

    def test_nothing_is_known_before_fit_and_after_a_failed_one(self) -> None:
        new, failed = self.made(), self.fitted()
        raises(DataError, lambda: failed.fit(np.ones((40, 3))))
        for book in (new, failed):
            assert "call fit" in raises(NotFittedError, lambda book=book: book.assign(cloud()))
            assert "call fit" in raises(NotFittedError, lambda book=book: book.decode(np.zeros((1, 3), int)))
            assert "call fit" in raises(NotFittedError, lambda book=book: book.save("nowhere"))
        assert "unknown setting" in raises(ConfigError, lambda: self.codebook(no_such_setting=1))
        assert "most_vectors" in raises(ConfigError, lambda: self.made(n_codes=16, most_vectors=4))
