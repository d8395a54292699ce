import numpy as np
import pytest

from zhiyin._whitening import Whitening
from zhiyin.errors import ConfigError

RNG = np.random.default_rng(0)
CONE = (RNG.normal(size=(500, 6)) @ RNG.normal(size=(6, 20)) + 5).astype(np.float32)
"""Six directions of twenty, far from the origin."""


def test_every_direction_varies_as_much_as_any_other() -> None:
    found = Whitening.fit(CONE, 6)
    plain = (CONE - found.mean) @ found.directions
    np.testing.assert_allclose(np.cov(plain.T, bias=True), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found.apply(CONE), axis=1), 1, rtol=1e-5)


def test_principal_components_keep_their_variances() -> None:
    found, whitened = Whitening.fit(CONE, 6, scaled=False), Whitening.fit(CONE, 6)
    variances = np.cov(((CONE - found.mean) @ found.directions).T, bias=True).diagonal()
    np.testing.assert_allclose(variances, np.linalg.svd(CONE - CONE.mean(0))[1][:6] ** 2 / 500, rtol=1e-3)
    assert variances[0] > 3 * variances[5]
    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=0), 1, rtol=1e-5)
    assert not np.allclose(np.abs(found.apply(CONE)), np.abs(whitened.apply(CONE)), atol=0.1)


def test_directions_of_noise_are_left_out() -> None:
    assert Whitening.fit(CONE, 20).directions.any(0).tolist() == [True] * 6 + [False] * 14
    assert Whitening.fit(CONE, 4).directions.any(0).tolist() == [True] * 4


def test_the_leading_directions_are_those_of_an_exact_svd() -> None:
    found = Whitening.fit(CONE, 3).directions
    wanted = np.linalg.svd(CONE - CONE.mean(0), full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs((wanted @ (found / np.linalg.norm(found, axis=0))).diagonal()), 1, atol=1e-3)


def test_rows_of_zeros_say_nothing_and_do_not_count() -> None:
    more = np.concatenate([CONE, np.zeros((100, 20), np.float32)])
    found, plain = Whitening.fit(more, 6), Whitening.fit(CONE, 6)
    np.testing.assert_allclose(found.mean, plain.mean, rtol=1e-5)
    assert not found.apply(more)[-100:].any()
    np.testing.assert_allclose(np.abs(found.apply(more)[:-100]), np.abs(plain.apply(CONE)), atol=1e-3)


@pytest.mark.parametrize("vectors", [np.zeros((5, 3)), np.ones((5, 3)), np.ones((1, 3)), np.zeros((0, 3))])
def test_vectors_that_are_all_alike_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="all alike; no direction tells them apart"):
        Whitening.fit(vectors.astype(np.float32), 2)
