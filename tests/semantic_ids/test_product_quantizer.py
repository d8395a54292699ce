import numpy as np
import pytest

from zhiyin.errors import DataError
from zhiyin.semantic_ids import ProductQuantizer
from zhiyin.semantic_ids.product_quantizer import cut, dealt_out, shares
from zhiyin.testing.semantic_ids import CodebookSuite, cloud


class TestProductQuantizer(CodebookSuite):
    codebook = ProductQuantizer
    refines = False

    def test_all_pairs_of_corners_are_kept(self) -> None:
        # Two parts of two numbers each, four corners a part: sixteen vectors, none is lost.
        corners = np.array([[0, 0], [0, 9], [9, 0], [9, 9]], np.float32) + 1
        vectors = np.array([[*one, *other] for one in corners for other in corners], np.float32)
        book = ProductQuantizer(levels=2, n_codes=4, rotate=False).fit(vectors)
        codes = book.assign(vectors)
        assert len(np.unique(codes, axis=0)) == 16
        np.testing.assert_allclose(book.decode(codes), vectors, atol=1e-4)
        assert (codes[:4, 0] == codes[0, 0]).all()

    def test_the_error_is_that_of_the_nearest_centres_of_each_part(self) -> None:
        book, vectors = self.fitted(rotate=False), cloud(40, seed=3)
        moved = (vectors.astype(np.float64) - book.mean) / book.scale
        lost = sum(
            np.square(part[:, None] - centres).sum(2).min(1).sum()
            for part, centres in zip(np.split(moved, 3, axis=1), book.centres.astype(np.float64), strict=True)
        )
        found = np.square((vectors - book.decode(book.assign(vectors))) / book.scale).sum()
        assert found == pytest.approx(lost, rel=1e-4)

    def test_it_beats_random_centres_and_random_codes(self) -> None:
        book, vectors, rng = self.fitted(), cloud(), np.random.default_rng(0)
        lost = np.square(vectors - book.decode(book.assign(vectors))).sum()
        scattered = np.square(vectors - book.decode(rng.integers(0, 16, (600, 3)))).sum()
        drawn = vectors[rng.choice(600, 16, replace=False)].reshape(16, 3, 4)
        parts = vectors.reshape(600, 3, 1, 4) - drawn.transpose(1, 0, 2)
        random = np.square(parts).sum(3).min(2).sum()
        assert lost < 0.8 * random < scattered

    def test_parts_that_vary_alike_lose_less(self) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((2_000, 12)) * np.repeat([10, 1, 0.1], 4)  # the first part has all the variance
        lost = []
        for rotate in (True, False):
            book = ProductQuantizer(levels=3, n_codes=16, rotate=rotate).fit(vectors)
            lost.append(np.square(vectors - book.decode(book.assign(vectors))).sum())
        assert lost[0] < 0.5 * lost[1]

    def test_parts_need_not_be_equally_wide(self) -> None:
        vectors = cloud(width=7)
        for rotate in (True, False):
            book = ProductQuantizer(levels=3, n_codes=16, rotate=rotate).fit(vectors)
            assert np.square(vectors - book.decode(book.assign(vectors))).mean() < np.square(vectors - 5).mean()
            np.testing.assert_allclose(book.rotation @ book.rotation.T, np.eye(7), atol=1e-5)

    def test_a_part_has_at_least_one_number(self) -> None:
        with pytest.raises(DataError, match="levels to at most 2"):
            ProductQuantizer(levels=3, n_codes=4).fit(cloud(width=2))


class TestBalancedProductQuantizer(CodebookSuite):
    codebook = ProductQuantizer
    options = {"balanced": True, "rotate": False}
    refines = False


def test_variances_are_dealt_out_to_equal_products() -> None:
    assert shares(np.array([8.0, 4, 2, 1]), 2) == [[0, 3], [1, 2]]
    assert shares(np.array([5.0, 4, 3, 2, 1, 0]), 3)[0][0] == 0
    variances = np.sort(np.random.default_rng(0).lognormal(size=64))[::-1]
    products = [np.log(variances[one]).sum() for one in shares(variances, 4)]
    halves = [np.log(part).sum() for part in np.array_split(variances, 4)]
    assert np.ptp(products) < 0.1 * np.ptp(halves)


def test_directions_are_orthonormal_and_parts_do_not_vary_together() -> None:
    vectors = cloud() - cloud().mean(0)
    mixed = (vectors @ np.random.default_rng(0).standard_normal((12, 12))).astype(np.float32)
    turned = dealt_out(mixed, 3)
    np.testing.assert_allclose(turned.T @ turned, np.eye(12), atol=1e-5)
    together = np.corrcoef((mixed @ turned).T)
    np.testing.assert_allclose(together, np.eye(12), atol=1e-3)
    assert cut(5, 2).shape == (5, 6)
