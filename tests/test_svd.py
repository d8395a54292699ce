import numpy as np
import pytest
from scipy import sparse

from zhiyin._svd import right_vectors
from zhiyin.testing.worlds import tastes


def test_they_are_those_of_an_exact_svd() -> None:
    matrix = tastes(n_users=200, n_items=120, n_groups=4).histories.matrix(120)
    wanted = np.linalg.svd(matrix.toarray())[2][:4]
    found = right_vectors(matrix, 4, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs((wanted @ found).diagonal()), 1, atol=1e-3)
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(3, 50), (50, 3), (1, 1)])
def test_a_small_matrix_has_no_more_than_its_size(rows: int, columns: int) -> None:
    matrix = sparse.csr_array(np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32))
    assert right_vectors(matrix, 8, np.random.default_rng(0)).shape == (columns, min(rows, columns))
