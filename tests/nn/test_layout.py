"""Where the sequences of a batch lie, and that each event has one cell."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zhiyin.nn.layout import SLACK, Group, Layout

LENGTHS = (10, 9, 8, 8, 7, 3, 3, 1, 1)


def layout(*lengths: int, slack: float = SLACK) -> Layout:
    return Layout.of(np.array(lengths, np.int64), slack=slack)


def owners(of: Layout, group: Group) -> Tensor:
    """(rows, length) the sequence that each cell shows."""
    owner = torch.as_tensor(np.repeat(np.arange(len(of.lengths)), of.lengths))
    return group.spread(owner)


@pytest.mark.parametrize("slack", [0.0, SLACK, 0.5, 1.0])
@pytest.mark.parametrize("lengths", [LENGTHS, (5,), (1, 1, 1), (4, 4, 4), (200, 199, 160, 159, 40, 2, 1)])
def test_every_event_has_one_cell_of_its_own_sequence(lengths: tuple[int, ...], slack: float) -> None:
    of = layout(*lengths, slack=slack)
    flat = torch.arange(of.n_events)
    assert of.n_events == sum(lengths)
    for group in of.groups:
        spread, real = group.spread(flat), group.real()
        assert spread.shape == real.shape == (group.n_rows, group.length)
        assert torch.equal(group.gather(spread), flat[group.events])
        assert torch.equal(spread[real], flat[group.events])  # in the order of rows
        assert real.sum(1).tolist() == list(lengths[group.rows])
        for row, length in enumerate(lengths[group.rows]):  # real cells come first: causal attention relies on it
            assert real[row, :length].all()
        own = torch.arange(group.rows.start, group.rows.stop)[:, None]
        assert (owners(of, group) == own).all()  # padding shows events of the same sequence, never of another


@pytest.mark.parametrize("slack", [0.0, SLACK, 1.0])
def test_groups_follow_each_other_and_are_about_equally_long(slack: float) -> None:
    of = layout(*LENGTHS, slack=slack)
    rows, events = 0, 0
    for group in of.groups:
        assert (group.rows.start, group.events.start) == (rows, events)
        rows, events = group.rows.stop, group.events.stop
        own = LENGTHS[group.rows]
        assert max(own) == group.length
        assert min(own) >= group.length * (1 - slack)
    assert (rows, events) == (len(LENGTHS), sum(LENGTHS))


def test_a_group_ends_where_the_next_sequence_is_too_short() -> None:
    assert [(one.rows.start, one.rows.stop) for one in layout(*LENGTHS).groups] == [(0, 4), (4, 5), (5, 7), (7, 9)]
    assert len(layout(*LENGTHS, slack=1.0).groups) == 1


def test_equal_lengths_are_a_view() -> None:
    of = layout(6, 6, 6)
    (group,) = of.groups
    flat = torch.randn(18, 2)
    assert group.shown is None
    assert group.cell is None
    assert group.spread(flat).data_ptr() == flat.data_ptr()
    assert group.real().all()


def test_share_of_padding_by_hand() -> None:
    of = layout(10, 9, 8, 5)  # a rectangle of 3 x 10 with 27 events, and one of 1 x 5
    assert of.padded == pytest.approx(1 - 32 / 35)
    assert layout(4, 4).padded == 0
    assert layout().padded == 0


def test_positions_and_last_events() -> None:
    of = layout(3, 2, 1)
    assert of.positions().tolist() == [0, 1, 2, 0, 1, 0]
    assert of.last().tolist() == [2, 4, 5]


def test_spread_and_gather_carry_gradients_to_real_events_alone() -> None:
    of = layout(5, 4)
    (group,) = of.groups
    flat = torch.randn(9, 3, requires_grad=True)
    weight = torch.randn(9, 3)
    (group.gather(group.spread(flat)) * weight).sum().backward()
    assert flat.grad is not None
    torch.testing.assert_close(flat.grad, weight)


def test_nothing_is_a_layout_too() -> None:
    of = layout()
    assert of.n_events == 0
    assert of.groups == ()
    assert of.positions().tolist() == of.last().tolist() == []


@pytest.mark.parametrize("lengths", [(2, 3), (3, 2, 2, 3), (2, 0), (0,), (1, -1)])
def test_what_is_no_layout_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="falling order"):
        layout(*lengths)
