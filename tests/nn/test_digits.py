import numpy as np
import pytest
import torch

from zhiyin.errors import ConfigError
from zhiyin.nn.digits import DigitItems, digit_table
from zhiyin.nn.items import PlainItems
from zhiyin.nn.optimizers import Optimizers
from zhiyin.nn.sides import SideItems

CODES = torch.tensor([[0, 1, 0], [2, 0, 0], [2, 0, 1]])
SIZES = (3, 2, 2)


def table(own: bool = False) -> DigitItems:
    torch.manual_seed(0)
    found = DigitItems(CODES, SIZES, 4, PlainItems(3, 4) if own else None)
    for one in found.parameters():
        torch.nn.init.normal_(one)
    return found


def test_an_item_is_the_sum_of_its_digits_and_of_its_own() -> None:
    for own in (False, True):
        items = table(own)
        weight = items.weight.detach()
        wanted = torch.stack([weight[0] + weight[4] + weight[5], weight[2] + weight[3] + weight[5]])
        if items.own is not None:
            wanted += items.own.all().detach()[:2]
        torch.testing.assert_close(items(torch.tensor([0, 1])), wanted)
        torch.testing.assert_close(items.all()[:2], wanted)
        torch.testing.assert_close(items(torch.tensor([[0], [1]])), wanted[:, None])


def test_vectors_of_digits_are_those_of_their_level() -> None:
    items = table()
    torch.testing.assert_close(items.each(CODES).sum(1), items.all())
    torch.testing.assert_close(items.each(CODES[:, :2])[:, 1], items.of_level(1)[CODES[:, 1]])
    torch.testing.assert_close(torch.cat([items.of_level(level) for level in range(3)]), items.weight)


def test_items_that_share_digits_teach_them() -> None:
    items = table()
    items(torch.tensor([1])).sum().backward()
    touched = torch.nonzero(items.weight.grad.any(1)).ravel()
    assert touched.tolist() == [2, 3, 5]


def test_codes_are_no_weights_and_vectors_of_digits_do_not_decay() -> None:
    items = table()
    assert {name for name, _ in items.named_parameters()} == {"weight"}
    assert items.state_dict().keys() == {"weight", "codes"}
    (optimizer,) = Optimizers(items, 1e-3, regularization=0.1).all
    assert [group["weight_decay"] for group in optimizer.param_groups if group["params"]] == [0.0]


@pytest.mark.parametrize(
    ("codes", "own", "said"),
    [
        (CODES + 1, None, "digit 1 of item 0 is 2; 0 to 1 is expected"),
        (-CODES, None, "digit 1 of item 0 is -1"),
        (CODES[:, :2], None, "came with 3 sizes"),
        (CODES, PlainItems(2, 4), "codes of 3 items came with a table of 2"),
    ],
)
def test_what_does_not_go_together_is_refused(codes: torch.Tensor, own: PlainItems | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DigitItems(codes, SIZES, 4, own)


def test_the_table_of_digits_is_found_within_others() -> None:
    items = table(own=True)
    arrays = (torch.from_numpy(np.arange(4, dtype=np.int32)), torch.zeros(3, dtype=torch.int32), torch.ones(3))
    assert digit_table(SideItems(items, *arrays, n_values=1, width=4)) is items
    with pytest.raises(TypeError, match="PlainItems has no digits"):
        digit_table(PlainItems(3, 4))
