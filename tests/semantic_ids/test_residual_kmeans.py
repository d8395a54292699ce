import numpy as np
import pytest

from zhiyin.run import Run
from zhiyin.semantic_ids import ResidualKMeans
from zhiyin.testing.semantic_ids import CodebookSuite, cloud, clumps


class TestResidualKMeans(CodebookSuite):
    codebook = ResidualKMeans

    def test_two_levels_of_two_by_hand(self) -> None:
        # The first digit tells left from right, the second up from down.
        vectors = np.array([[-9, -1], [-9, 1], [9, -1], [9, 1]], np.float32) + 20
        book = ResidualKMeans(levels=2, n_codes=2).fit(vectors)
        codes = book.assign(vectors)
        assert codes[0, 0] == codes[1, 0] != codes[2, 0] == codes[3, 0]
        assert codes[0, 1] == codes[2, 1] != codes[1, 1] == codes[3, 1]
        np.testing.assert_allclose(book.decode(codes), vectors, atol=1e-5)
        np.testing.assert_allclose(book.decode(codes[:, :1]), [[11, 20], [11, 20], [29, 20], [29, 20]], atol=1e-5)

    def test_each_digit_names_the_nearest_centre_of_what_is_left(self) -> None:
        book, vectors = self.fitted(), cloud(50, seed=2)
        rest = (vectors.astype(np.float64) - book.mean) / book.scale
        for level, centres in enumerate(book.centres.astype(np.float64)):
            right = np.square(rest[:, None] - centres).sum(2).argmin(1)
            np.testing.assert_array_equal(book.assign(vectors)[:, level], right)
            rest = rest - centres[right]

    def test_more_codes_than_different_vectors_do_no_harm(self) -> None:
        vectors = np.repeat(np.eye(5, dtype=np.float32) + 1, 10, axis=0)
        book = ResidualKMeans(levels=3, n_codes=16).fit(vectors)
        codes = book.assign(vectors)
        assert len(np.unique(codes, axis=0)) == 5
        np.testing.assert_allclose(book.decode(codes), vectors, atol=1e-5)


class TestBalancedResidualKMeans(CodebookSuite):
    codebook = ResidualKMeans
    options = {"balanced": True}

    def test_all_values_of_a_digit_are_used_alike(self) -> None:
        rng = np.random.default_rng(0)
        sizes = [500, 250, 120, 60, 40, 30]  # groups of unlike sizes, and some of each between them
        vectors = np.concatenate([rng.normal(rng.normal(0, 1.5, 6), 1, (size, 6)) for size in sizes])
        lost = []
        for balanced, most in ((False, 1.5), (True, 1.15)):
            book = ResidualKMeans(levels=2, n_codes=10, balanced=balanced).fit(vectors, Run(seed=0))
            codes = book.assign(vectors)
            largest = [np.bincount(column, minlength=10).max() for column in codes.T]
            assert (np.array(largest) <= most * 100).all() == balanced
            lost.append(np.square(vectors - book.decode(codes)).sum())
        assert lost[1] < 1.2 * lost[0]


@pytest.mark.parametrize("restarts", [1, 4])
def test_more_beginnings_are_no_worse(restarts: int) -> None:
    vectors, _ = clumps(12, 10)
    book = ResidualKMeans(levels=1, n_codes=12, restarts=restarts).fit(vectors)
    lost = np.square(vectors - book.decode(book.assign(vectors))).sum()
    assert lost < 1e-3 * np.square(vectors - vectors.mean(0)).sum()
