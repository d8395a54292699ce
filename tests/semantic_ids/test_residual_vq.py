import subprocess
import sys

import numpy as np
import pytest
import torch

from zhiyin.errors import ConfigError, DataError, MissingExtra
from zhiyin.run import Run
from zhiyin.semantic_ids import ResidualVQ
from zhiyin.testing.semantic_ids import CodebookSuite, cloud, clumps

SMALL = {"embedding_size": 8, "hidden_size": 32, "epochs": 12, "warmup": 8, "batch_size": 100, "learning_rate": 1e-2}


class TestResidualVQ(CodebookSuite):
    codebook = ResidualVQ
    options = SMALL
    best_error = 0.7

    def test_numpy_gives_what_torch_gives(self) -> None:
        book = self.fitted()
        moved = torch.from_numpy((cloud() - book.mean) / book.scale)
        layers = [torch.from_numpy(layer) for layer in book._layers()]
        squeezed = torch.relu(moved @ layers[0][:-1] + layers[0][-1]) @ layers[1][:-1] + layers[1][-1]
        rest, codes = squeezed, []
        for centres in torch.from_numpy(book.centres):
            codes.append(torch.cdist(rest, centres).argmin(1))
            rest = rest - centres[codes[-1]]
        np.testing.assert_array_equal(book.assign(cloud()), torch.stack(codes, 1).numpy())
        back = torch.relu((squeezed - rest) @ layers[2][:-1] + layers[2][-1]) @ layers[3][:-1] + layers[3][-1]
        np.testing.assert_allclose(
            book.decode(book.assign(cloud())), back.numpy() * book.scale + book.mean, rtol=1e-3, atol=1e-3
        )

    def test_more_epochs_lose_less(self) -> None:
        vectors, lost = cloud(), []
        for epochs in (1, 30):
            book = self.made(warmup=1, epochs=epochs).fit(vectors, run=Run(seed=0))
            lost.append(np.square(vectors - book.decode(book.assign(vectors))).sum())
        assert lost[1] < 0.8 * lost[0]


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="cuda:99"):
        ResidualVQ(n_codes=16, **SMALL).fit(cloud(), run=Run(device="cuda:99"))


def test_weights_that_grow_without_bounds_are_refused() -> None:
    with pytest.raises(DataError, match="set learning_rate below"):
        ResidualVQ(n_codes=16, **{**SMALL, "learning_rate": 1e30}).fit(cloud())


def test_without_warmup_and_without_commitment_it_learns_too() -> None:
    vectors, groups = clumps()
    book = ResidualVQ(levels=2, n_codes=8, **{**SMALL, "warmup": 0, "commitment": 0}).fit(vectors)
    codes = book.assign(vectors)
    assert all(len(set(groups[codes[:, 0] == code].tolist())) == 1 for code in np.unique(codes[:, 0]))


def test_torch_is_only_needed_to_fit(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    folder = ResidualVQ(n_codes=16, **SMALL).fit(cloud()).save(tmp_path / "book")
    code = (
        "import sys; sys.modules['torch'] = None; import numpy as np; from zhiyin import semantic_ids; "
        f"book = semantic_ids.load({str(folder)!r}); print(book.assign(np.ones((2, 12))).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 3)"
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "zhiyin.semantic_ids._rqvae", raising=False)
    with pytest.raises(MissingExtra, match=r"zhiyin\[sequence\]"):
        ResidualVQ(n_codes=16, **SMALL).fit(cloud())
