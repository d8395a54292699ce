"""Item vectors made of what items say and of what they have of their own."""

import numpy as np
import pytest
import torch

from zhiyin.errors import ConfigError
from zhiyin.nn.items import PlainItems
from zhiyin.nn.texts import Joined, TextItems

SAID = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float32)
SHARE = np.array([1, 0.5, 0, 1], np.float32)
WIDTH = {"frozen": None, "added": 5, "null_space": 3}


def table(joined: Joined, hidden: float = 0.0) -> TextItems:
    torch.manual_seed(0)
    width = WIDTH[joined]
    found = TextItems(None if width is None else PlainItems(4, width), SAID, 5, SHARE, joined, hidden)
    for one in found.parameters():
        torch.nn.init.normal_(one)
    return found


@pytest.mark.parametrize("joined", WIDTH)
def test_some_items_are_the_rows_of_all(joined: Joined) -> None:
    items = table(joined).eval()
    some = torch.tensor([[3, 1], [1, 0]])
    assert items.all().shape == (4, 5)
    torch.testing.assert_close(items(some), items.all()[some])
    torch.testing.assert_close(items.folded().all(), items.all())


def test_what_is_joined() -> None:
    said, share = torch.from_numpy(SAID), torch.from_numpy(SHARE)[:, None]
    frozen, added, apart = table("frozen"), table("added"), table("null_space")
    torch.testing.assert_close(frozen.all(), said @ frozen.weight.T)
    assert added.own is not None
    torch.testing.assert_close(added.all(), said @ added.weight.T + share * added.own.all())
    assert apart.own is not None
    torch.testing.assert_close(apart.all(), torch.cat([said * apart.scale, share * apart.own.all()], 1))


def test_what_is_said_does_not_learn() -> None:
    items = table("null_space")
    items(torch.tensor([0, 1, 2])).square().sum().backward()
    assert not items.said.requires_grad
    assert isinstance(items.own, PlainItems)
    assert items.own.weight.grad is not None
    assert items.own.weight.grad[:2].any(1).all()
    assert not items.own.weight.grad[2].any()  # never used: no share of its own


def test_own_rows_are_hidden_in_training_alone() -> None:
    items = table("added", hidden=0.5)
    every = torch.zeros(2000, dtype=torch.int64)
    text = items.said[0] @ items.weight.T
    alone = (items(every) - text).abs().amax(1) < 1e-6
    assert 0.4 < float(alone.float().mean()) < 0.6
    with torch.no_grad():
        assert not ((items(every) - text).abs().amax(1) < 1e-6).any()
    assert not ((items.eval()(every) - text).abs().amax(1) < 1e-6).any()


def test_texts_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ConfigError, match="texts of 2 numbers leave nothing of vectors of 2"):
        TextItems(PlainItems(4, 1), SAID, 2, SHARE, "null_space")
