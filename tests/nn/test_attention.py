"""Attention over a layout against each sequence alone, in plain torch and float64."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zhiyin.nn import attention
from zhiyin.nn.attention import _fused, attend, hidden
from zhiyin.nn.layout import Layout

LENGTHS = (7, 7, 6, 4, 4, 1)
HEADS, WIDTH = 2, 6
SHAPES = [(rows, heads) for rows in ("all", "1") for heads in (HEADS, 1)]
KINDS = [None, 5.0]
"""Softmax, and pointwise with its divisor."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale


def biases_of(layout: Layout, rows: str, heads: int, seed: int = 5) -> list[Tensor]:
    return [
        draw(group.n_rows if rows == "all" else 1, heads, group.length, group.length, seed=seed + place)
        for place, group in enumerate(layout.groups)
    ]


def plain(qkv: Tensor, layout: Layout, causal: bool, pointwise: float | None, biases: Sequence[Tensor] = ()) -> Tensor:
    """Sequence by sequence, head by head; nothing is padded, nothing is packed."""
    out = []
    for place, group in enumerate(layout.groups):
        for row in range(group.rows.start, group.rows.stop):
            start, stop = layout.offsets[row], layout.offsets[row + 1]
            length = stop - start
            for_heads = []
            for head in range(HEADS):
                q, k, v = (
                    part.unflatten(-1, (HEADS, -1))[:, head]
                    for part in qkv[start:stop].unflatten(-1, (3, -1)).unbind(1)
                )
                products = q @ k.T / math.sqrt(q.shape[-1])
                if biases:
                    bias = biases[place].expand(group.n_rows, HEADS, -1, -1)
                    products = products + bias[row - group.rows.start, head, :length, :length]
                if pointwise is None:
                    unseen = torch.ones(length, length).triu(1).bool() if causal else torch.zeros(length, length).bool()
                    weights = products.masked_fill(unseen, -math.inf).softmax(-1)
                else:
                    weights = F.silu(products) / pointwise
                    weights = weights.tril() if causal else weights
                for_heads.append(weights @ v)
            out.append(torch.cat(for_heads, -1))
    return torch.cat(out)


def gradients(out: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, leaves, draw(*out.shape, seed=99))


@pytest.mark.parametrize("pointwise", KINDS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("slack", [0.0, 0.2, 1.0])
def test_packed_equals_each_sequence_alone(slack: float, causal: bool, pointwise: float | None) -> None:
    layout = Layout.of(np.array(LENGTHS), slack=slack)
    qkv = draw(sum(LENGTHS), 3 * WIDTH).requires_grad_()
    out = attend(qkv, layout, HEADS, causal=causal, pointwise=pointwise)
    right = plain(qkv, layout, causal, pointwise)
    assert out.shape == (sum(LENGTHS), WIDTH)
    torch.testing.assert_close(out, right)
    torch.testing.assert_close(gradients(out, qkv), gradients(right, qkv))


@pytest.mark.parametrize("pointwise", KINDS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("rows", "heads"), SHAPES)
def test_biases_and_their_gradients(rows: str, heads: int, causal: bool, pointwise: float | None) -> None:
    layout = Layout.of(np.array(LENGTHS))
    assert len(layout.groups) == 3
    qkv = draw(sum(LENGTHS), 3 * WIDTH).requires_grad_()
    biases = [one.requires_grad_() for one in biases_of(layout, rows, heads)]
    out = attend(qkv, layout, HEADS, causal=causal, pointwise=pointwise, biases=biases)
    right = plain(qkv, layout, causal, pointwise, biases)
    torch.testing.assert_close(out, right)
    assert (out - attend(qkv, layout, HEADS, causal=causal, pointwise=pointwise)).abs().max() > 1e-3
    found = gradients(out, qkv, *biases)
    torch.testing.assert_close(found, gradients(right, qkv, *biases))
    assert all(one.shape == bias.shape for one, bias in zip(found[1:], biases, strict=True))


@pytest.mark.parametrize("pointwise", KINDS)
@pytest.mark.parametrize("causal", [True, False])
def test_gradients_by_differences(causal: bool, pointwise: float | None) -> None:
    layout = Layout.of(np.array([3, 3, 2]), slack=0.5)
    qkv, biases = draw(8, 3 * 4).requires_grad_(), [draw(3, 1, 3, 3, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(
        lambda first, *rest: attend(first, layout, HEADS, causal=causal, pointwise=pointwise, biases=rest),
        (qkv, *biases),
    )


def test_only_some_biases_may_want_a_gradient() -> None:
    layout = Layout.of(np.array([4, 4, 1]))
    qkv, biases = draw(9, 3 * WIDTH), biases_of(layout, "1", HEADS)
    biases[0].requires_grad_()
    (found,) = gradients(attend(qkv, layout, HEADS, biases=biases), biases[0])
    (right,) = gradients(plain(qkv, layout, True, None, biases), biases[0])
    torch.testing.assert_close(found, right)


@pytest.mark.parametrize("floats", [1, HEADS * 49, HEADS * 49 * 2 + 5])
@pytest.mark.parametrize("pointwise", KINDS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("rows", ["all", "1"])
def test_small_blocks_change_nothing(
    rows: str, causal: bool, pointwise: float | None, floats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.of(np.array((7, 7, 7, 6, 6, 2, 2)))
    qkv = draw(37, 3 * WIDTH).requires_grad_()
    biases = [one.requires_grad_() for one in biases_of(layout, rows, HEADS)]

    def everything() -> tuple[Tensor, ...]:
        out = attend(qkv, layout, HEADS, causal=causal, pointwise=pointwise, biases=biases)
        with torch.inference_mode():  # which keeps no weights, and so goes another way
            asked = attend(
                qkv.detach(), layout, HEADS, causal=causal, pointwise=pointwise, biases=[*map(Tensor.detach, biases)]
            )
        return out, asked.clone(), *gradients(out, qkv, *biases)

    whole = everything()
    torch.testing.assert_close(whole[1], whole[0])
    monkeypatch.setattr(attention, "BLOCK_FLOATS", floats)
    torch.testing.assert_close(everything(), whole)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bias", [None, *SHAPES])
def test_the_fused_path_equals_the_one_by_hand(bias: tuple[str, int] | None, causal: bool) -> None:
    layout = Layout.of(np.array(LENGTHS))
    qkv = draw(sum(LENGTHS), 3 * WIDTH).requires_grad_()
    biases = [] if bias is None else [one.requires_grad_() for one in biases_of(layout, *bias)]
    found = _fused(qkv, layout, HEADS, causal, biases)
    right = attend(qkv, layout, HEADS, causal=causal, biases=biases)
    torch.testing.assert_close(found, right)
    torch.testing.assert_close(gradients(found, qkv, *biases), gradients(right, qkv, *biases))


@pytest.mark.parametrize("pointwise", KINDS)
@pytest.mark.parametrize("causal", [True, False])
def test_single_precision_is_near(causal: bool, pointwise: float | None) -> None:
    layout = Layout.of(np.array(LENGTHS))
    qkv = draw(sum(LENGTHS), 3 * WIDTH, scale=4.0)  # large products: a softmax that overflows would show
    biases = biases_of(layout, "all", HEADS)
    out = attend(qkv.float(), layout, HEADS, causal=causal, pointwise=pointwise, biases=[one.float() for one in biases])
    torch.testing.assert_close(out.double(), plain(qkv, layout, causal, pointwise, biases), rtol=1e-4, atol=1e-4)


def test_huge_products_stay_finite() -> None:
    layout = Layout.of(np.array([5, 4]))
    qkv = (draw(9, 3 * WIDTH, scale=300.0)).float().requires_grad_()
    for causal in (True, False):
        out = attend(qkv, layout, HEADS, causal=causal)
        out.sum().backward()
        assert out.isfinite().all()
        assert qkv.grad is not None
        assert qkv.grad.isfinite().all()


@pytest.mark.parametrize("pointwise", KINDS)
@pytest.mark.parametrize("causal", [True, False])
def test_an_event_sees_its_sequence_and_no_more(causal: bool, pointwise: float | None) -> None:
    """The Jacobian shows who sees whom: nobody of another sequence, and in causal attention nothing later."""
    layout = Layout.of(np.array([4, 3, 3]), slack=0.3)
    qkv = draw(10, 3 * WIDTH)
    whole = torch.autograd.functional.jacobian(
        lambda one: attend(one, layout, HEADS, causal=causal, pointwise=pointwise), qkv
    )
    sees = whole.abs().amax((1, 3)) > 1e-12
    right = torch.zeros(10, 10, dtype=torch.bool)
    for start, stop in pairwise(layout.offsets):
        right[start:stop, start:stop] = torch.ones(stop - start, stop - start).tril().bool() if causal else True
    assert torch.equal(sees, right)


def test_one_event_answers_with_its_own_value() -> None:
    qkv = draw(2, 3 * WIDTH)
    torch.testing.assert_close(attend(qkv, Layout.of(np.array([1, 1])), HEADS), qkv[:, 2 * WIDTH :])


def test_no_events_are_no_states() -> None:
    qkv = draw(0, 3 * WIDTH).requires_grad_()
    out = attend(qkv, Layout.of(np.zeros(0, np.int64)), HEADS)
    assert out.shape == (0, WIDTH)
    out.sum().backward()


def test_masks_by_hand() -> None:
    (group,) = Layout.of(np.array([3, 2]), slack=0.5).groups
    like = torch.zeros(1)
    assert (hidden(group, True, like)[0, 0] < 0).tolist() == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    assert (hidden(group, False, like)[:, 0, 0] < 0).tolist() == [[False, False, False], [False, False, True]]


def test_a_gradient_that_is_one_number_for_all() -> None:
    """`sum` sends back an expanded scalar, whose strides are 0."""
    layout = Layout.of(np.array(LENGTHS))
    qkv = draw(sum(LENGTHS), 3 * WIDTH).requires_grad_()
    (found,) = torch.autograd.grad(attend(qkv, layout, HEADS, causal=False).sum(), qkv)
    (right,) = torch.autograd.grad(plain(qkv, layout, False, None).sum(), qkv)
    torch.testing.assert_close(found, right)
