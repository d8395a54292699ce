"""Encoders on padded rectangles give the states that they give on flat batches, and padding matters to none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zhiyin.errors import ConfigError
from zhiyin.nn.batches import Batch
from zhiyin.nn.encoder import Encoder, TransformerEncoder
from zhiyin.nn.items import ItemTable, PlainItems, ProductItems
from zhiyin.nn.layout import Layout
from zhiyin.nn.rectangle import Spans, products, rectangle
from zhiyin.nn.recurrent import GRUEncoder
from zhiyin.nn.relations import FOREVER, RATIO, UNKNOWN, pair_buckets
from zhiyin.nn.xl import TransformerXLEncoder

ITEMS, WIDTH, MAX = 40, 8, 12
LENGTHS = (12, 11, 9, 4, 4, 2, 1)
SIZES = {"position": MAX, "hour": 5}
BOTH = ("position", "time")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain() -> ItemTable:
    return PlainItems(ITEMS, WIDTH)


def pieces() -> ItemTable:
    return ProductItems(torch.randint(6, (ITEMS, 4), generator=torch.Generator().manual_seed(3)), WIDTH, 6)


def transformer(
    block: str = "prenorm", items: Callable[[], ItemTable] = plain, sizes: dict[str, int] = SIZES, **options: Any
) -> Callable[[], Encoder]:
    return lambda: TransformerEncoder(items(), WIDTH, sizes, block=block, max_length=MAX, **options)


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "prenorm": transformer(),
    "ligr": transformer("ligr", relations=("position",)),
    "convolution": transformer("ligr", n_layers=2, convolution=3),
    "time": transformer(relations=("time",), sizes={}),
    "hstu": transformer("hstu", relations=BOTH, n_layers=3),
    "both sides": transformer(causal=False),
    "both sides, both relations": transformer("ligr", causal=False, relations=BOTH),
    "product": transformer(items=pieces),
    "gru": lambda: GRUEncoder(plain(), WIDTH, {}, hidden=12, n_layers=2),
    "gru with features": lambda: GRUEncoder(plain(), WIDTH, SIZES),
    "xl": lambda: TransformerXLEncoder(plain(), WIDTH, SIZES, segment=3, memory=2, n_layers=3),
    "xl, one segment": lambda: TransformerXLEncoder(plain(), WIDTH, {}, segment=50, memory=7, gated=True),
    "xl, no memory": lambda: TransformerXLEncoder(plain(), WIDTH, {}, segment=5, memory=0),
    "xl, long memory": lambda: TransformerXLEncoder(plain(), WIDTH, {}, segment=2, memory=40),
}


def lively(make: Callable[[], Encoder]) -> Encoder:
    """With weights so large that whatever reaches a state shows."""
    net, generator = make(), torch.Generator().manual_seed(1)
    for name, one in net.named_parameters():
        if "norm" not in name:
            with torch.no_grad():
                one.normal_(std=0.5, generator=generator)
    return net.eval()


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Of rows of `LENGTHS`; padding holds other items and times."""
    generator = np.random.default_rng(seed)
    shape = (len(LENGTHS), MAX)
    place = np.broadcast_to(np.arange(MAX), shape)
    hour = MAX + generator.integers(0, 5, shape)
    seconds = np.cumsum(np.exp(generator.uniform(0, 12, shape)), 1).astype(np.int32)
    asked = np.concatenate([seconds[:, 1:], seconds[:, -1:] + 50], 1)
    seconds[1, 3] = asked[2, 4] = UNKNOWN
    found = {
        "item": generator.integers(0, ITEMS, shape),
        "length": np.array(LENGTHS),
        "features": np.stack([place, hour], 2),
        "seconds": seconds,
        "asked": asked,
    }
    return {name: torch.as_tensor(one) for name, one in found.items()}


def flat(given: dict[str, Tensor], causal: bool) -> Batch:
    """The same events without padding; the last one of each sequence is hidden where both sides are looked at."""
    layout = Layout.of(np.array(LENGTHS))
    real = torch.arange(MAX) < given["length"][:, None]
    hidden = None
    if not causal:
        hidden = torch.zeros(layout.n_events, dtype=torch.bool)
        hidden[layout.last()] = True
    order = np.arange(len(LENGTHS), dtype=np.int32)
    columns = [given[name][real] for name in ("item", "features", "seconds", "asked")]
    return Batch(layout, *columns, order, hidden)


def ask(net: Encoder, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    form = rectangle(net)
    with torch.inference_mode():
        found: tuple[Tensor, Tensor] = form(**given)
    return found


@pytest.mark.parametrize("name", ENCODERS)
def test_a_rectangle_finds_what_the_flat_batch_finds(name: str) -> None:
    net, given = lively(ENCODERS[name]), inputs()
    with torch.inference_mode():
        want = net.last(flat(given, getattr(net, "causal", True)))
        scores, states = ask(net, given)
        torch.testing.assert_close(states, want, atol=2e-5, rtol=2e-5)
        torch.testing.assert_close(scores, want @ net.items.all().T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_and_neighbours_change_nothing(name: str) -> None:
    net, given, other = lively(ENCODERS[name]), inputs(), inputs(seed=9)
    real = torch.arange(MAX) < given["length"][:, None]
    spoilt = {
        key: one if key == "length" else torch.where(real.view(*real.shape, *[1] * (one.dim() - 2)), one, other[key])
        for key, one in given.items()
    }
    want = ask(net, given)[0]
    torch.testing.assert_close(ask(net, spoilt)[0], want)
    cut = {key: one[3:4] if key == "length" else one[3:4, : LENGTHS[3]] for key, one in given.items()}
    torch.testing.assert_close(ask(net, cut)[0], want[3:4], atol=1e-4, rtol=1e-4)


def test_real_events_do_change_something() -> None:
    """Or the test above could not fail."""
    given = inputs()
    for name, make in ENCODERS.items():
        net = lively(make)
        changed = {**given, "item": given["item"].clone()}
        changed["item"][0, -2] = (changed["item"][0, -2] + 1) % ITEMS
        assert (ask(net, changed)[0] - ask(net, given)[0])[0].abs().max() > 1e-3, name


def test_the_item_of_a_hidden_event_is_not_known() -> None:
    net, given = lively(ENCODERS["both sides"]), inputs()
    changed = {**given, "item": given["item"].clone()}
    rows = torch.arange(len(LENGTHS))
    changed["item"][rows, given["length"] - 1] = 7
    torch.testing.assert_close(ask(net, changed)[0], ask(net, given)[0], atol=0, rtol=0)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_empty_history_says_nothing(name: str) -> None:
    given = inputs()
    full = ask(lively(ENCODERS[name]), given)[0]
    given["length"] = given["length"].clone()
    given["length"][1] = 0
    scores, states = ask(lively(ENCODERS[name]), given)
    assert (scores[1] == -torch.inf).all()
    assert states[1].isnan().all()
    torch.testing.assert_close(scores[2:], full[2:])


def test_products_with_pieces_are_those_with_the_table() -> None:
    items, states = pieces(), torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))
    assert isinstance(items, ProductItems)
    torch.nn.init.normal_(items.weight, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(products(states, items), states @ items.all().T)


def moments() -> tuple[Tensor, Tensor]:
    """Spans around the beginning of every bucket, negative ones, the longest one, unknown times."""
    begin = np.round(RATIO ** np.arange(64)).clip(max=FOREVER - 3).astype(np.int64)
    spans = np.unique(np.concatenate([begin + shift for shift in range(-3, 4)]).clip(0))
    asked = torch.as_tensor(np.concatenate([spans, [FOREVER, UNKNOWN]]).astype(np.int32))[None]
    return torch.tensor([[0, 1, 100, UNKNOWN]], dtype=torch.int32), asked


def test_spans_fall_into_the_buckets_of_training() -> None:
    seconds, asked = moments()
    got = Spans()(seconds, asked)
    assert got.unique().numel() > 60
    torch.testing.assert_close(got, pair_buckets(seconds, asked).long(), atol=0, rtol=0)


@pytest.mark.parametrize("off", [1 - 5e-7, 1 + 5e-7])
def test_a_logarithm_that_rounds_otherwise_changes_no_bucket(off: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, asked = moments()
    spans, want = Spans(), pair_buckets(seconds, asked).long()
    exact = torch.Tensor.log
    monkeypatch.setattr(torch.Tensor, "log", lambda self: exact(self) * off)
    torch.testing.assert_close(spans(seconds, asked), want, atol=0, rtol=0)


def test_an_encoder_of_another_kind_is_named() -> None:
    class Own(Encoder):
        pass

    with pytest.raises(ConfigError, match=r"Own has no form .* TransformerEncoder, GRUEncoder"):
        rectangle(Own())
