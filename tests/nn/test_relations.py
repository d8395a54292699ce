"""Biases of pairs of events, against sums and buckets worked out by hand and against plain indexing."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from zhiyin.nn.layout import Layout
from zhiyin.nn.relations import BUCKETS, FOREVER, RATIO, UNKNOWN, Relations, pair_buckets, time_buckets

HOUR, DAY = 3600, 86_400
LENGTHS = (5, 5, 4, 2)


def relations(position: bool, time: bool, n_heads: int = 2, max_length: int = 6) -> Relations:
    found = Relations(n_heads, max_length, position, time)
    generator = torch.Generator().manual_seed(0)
    for one in found.parameters():
        with torch.no_grad():
            one.normal_(generator=generator)
    return found


def times(seed: int = 0) -> tuple[Tensor, Tensor]:
    """(N,) seconds of events and of the moments at which they answer, some of them not known."""
    generator = np.random.default_rng(seed)
    seconds = np.concatenate([np.cumsum(np.exp(generator.uniform(0, 15, length))) for length in LENGTHS])
    asked = seconds + np.exp(generator.uniform(0, 15, len(seconds)))
    seconds, asked = (np.minimum(one, FOREVER).astype(np.int32) for one in (seconds, asked))
    seconds[[2, 12]], asked[[6, 13]] = UNKNOWN, UNKNOWN
    return torch.as_tensor(seconds), torch.as_tensor(asked)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (-FOREVER, 0),
        (-1, 0),
        (0, 0),
        (1, 1),
        (2, 1 + 2),  # 1.4 ** 2 = 1.96
        (3, 1 + 3),  # 1.4 ** 3 = 2.744, ** 4 = 3.84
        (60, 1 + 12),  # 1.4 ** 12 = 56.7, ** 13 = 79.4
        (HOUR, 1 + 24),  # ** 24 = 3214, ** 25 = 4500
        (DAY, 1 + 33),  # ** 33 = 66 520, ** 34 = 93 128
        (30 * DAY, 1 + 43),  # ** 43 = 1.92 million, ** 44 = 2.69 million
        (FOREVER, BUCKETS - 2),
    ],
)
def test_buckets_of_time_by_hand(seconds: int, bucket: int) -> None:
    assert time_buckets(torch.tensor([seconds], dtype=torch.int32)).tolist() == [bucket]


def test_buckets_of_time_rise_and_leave_the_last_one_free() -> None:
    spans = torch.as_tensor(np.unique(np.geomspace(1, FOREVER, 5000).astype(np.int64)))
    buckets = time_buckets(spans).long()
    assert (buckets.diff() >= 0).all()
    assert (buckets[0], buckets[-1]) == (1, BUCKETS - 2)
    right = (1 + (spans.double().log() / math.log(RATIO)).floor()).clamp(max=BUCKETS - 2)
    assert (buckets - right).abs().max() <= 1  # only on a border may single precision fall to the other side
    assert (buckets == right).double().mean() > 0.999


def test_pairs_by_hand() -> None:
    seconds = torch.tensor([0, 10, UNKNOWN, HOUR], dtype=torch.int32)
    asked = torch.tensor([10, UNKNOWN, HOUR, HOUR + DAY], dtype=torch.int32)
    unknown, ten, hour, day = BUCKETS - 1, 1 + 6, 1 + 24, 1 + 33  # 1.4 ** 6 = 7.5, ** 7 = 10.5
    assert pair_buckets(seconds, asked).tolist() == [
        [ten, 0, unknown, 0],  # the first event answers after 10 s; the second is at that moment, the last later
        [unknown] * 4,
        [hour, hour, unknown, 0],
        [day, day, unknown, day],
    ]


def test_unknown_times_do_not_overflow_into_other_buckets() -> None:
    seconds = torch.tensor([UNKNOWN, FOREVER, 0], dtype=torch.int32)
    asked = torch.tensor([UNKNOWN, FOREVER, 0], dtype=torch.int32)
    top, unknown = BUCKETS - 2, BUCKETS - 1
    assert pair_buckets(seconds, asked).tolist() == [[unknown] * 3, [unknown, 0, top], [unknown, 0, 0]]


def test_distances_in_place() -> None:
    found = relations(True, False, max_length=3)
    (bias,) = found(Layout.of(np.array([5])))
    table = found.position
    assert table is not None
    assert bias.shape == (1, 2, 5, 5)
    for event in range(5):
        for other in range(5):
            apart = min(max(event - other, 0), 2)  # what is farther than the longest window counts as the farthest
            torch.testing.assert_close(bias[0, :, event, other], table[:, apart])


@pytest.mark.parametrize(("position", "time"), [(True, False), (False, True), (True, True)])
def test_bias_and_gradient_equal_plain_indexing(position: bool, time: bool) -> None:
    found, layout = relations(position, time).double(), Layout.of(np.array(LENGTHS))
    seconds, asked = times()
    biases = found(layout, seconds, asked)
    right = []
    for group in layout.groups:
        place = torch.arange(group.length)
        bias = torch.zeros(group.n_rows if time else 1, 2, group.length, group.length, dtype=torch.float64)
        if found.position is not None:
            bias = bias + found.position[:, (place[:, None] - place).clamp(0, 5)]
        if found.time is not None:
            bucket = pair_buckets(group.spread(seconds), group.spread(asked)).long()
            bias = bias + found.time[:, bucket].transpose(0, 1)
        right.append(bias)
    torch.testing.assert_close(biases, right)
    weights = [torch.randn(one.shape, dtype=torch.float64) for one in right]
    learnt = list(found.parameters())
    sums = [
        sum(((one * weight).sum() for one, weight in zip(each, weights, strict=True)), torch.zeros(()).double())
        for each in (biases, right)
    ]
    gradients = [torch.autograd.grad(one, learnt) for one in sums]
    torch.testing.assert_close(*gradients)
    assert all(one.any() for one in gradients[0])


def test_gradient_of_many_pairs_is_precise() -> None:
    """Millions of pairs fall into one bucket: a sum in single precision, one after the other, would drift."""
    found = relations(False, True, n_heads=1)
    (bias,) = found(Layout.of(np.full(32, 200)), *[torch.zeros(6400, dtype=torch.int32)] * 2)
    came = torch.rand(bias.shape, generator=torch.Generator().manual_seed(0)) + 1
    bias.backward(came)
    assert found.time is not None
    assert found.time.grad is not None
    assert float(found.time.grad[0, 0]) == pytest.approx(float(came.double().sum()), rel=1e-4)
    assert not found.time.grad[0, 1:].any()


def test_without_times_every_pair_is_unknown() -> None:
    found, layout = relations(False, True), Layout.of(np.array(LENGTHS))
    nothing = torch.full((sum(LENGTHS),), UNKNOWN, dtype=torch.int32)
    for bare, told in zip(found(layout), found(layout, nothing, nothing), strict=True):
        torch.testing.assert_close(bare.expand_as(told), told)
    sum(one.sum() for one in found(layout)).backward()
    assert found.time is not None
    assert found.time.grad is not None
    assert found.time.grad[:, -1].tolist() == [5.0 * 5 + 2 * 2] * 2  # a rectangle for each of the two groups
    assert not found.time.grad[:, :-1].any()


def test_origin_of_time_does_not_matter() -> None:
    found, layout = relations(True, True), Layout.of(np.array([4]))
    seconds = torch.tensor([0, 50, 600, 7000], dtype=torch.int32)
    asked = torch.tensor([50, 600, 7000, 90_000], dtype=torch.int32)
    torch.testing.assert_close(found(layout, seconds, asked), found(layout, seconds + DAY, asked + DAY))


def test_it_starts_without_an_opinion() -> None:
    layout = Layout.of(np.array(LENGTHS))
    assert not any(one.any() for one in Relations(2, 6, True, True)(layout, *times()))
