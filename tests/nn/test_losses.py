"""Every loss against its formula in plain torch and float64, with its gradients, in blocks of several sizes."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zhiyin.nn import losses
from zhiyin.nn.losses import Kind, Negatives, base_rate, gbce_beta, hits, sampled_loss, softmax_loss
from zhiyin.nn.negatives import NegativeSampler

ROWS, WIDTH, ITEMS = 11, 5, 23
BLOCKS = [1, 3 * ITEMS, 2**21]
"""One row, three rows, all rows."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale


def world(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """States, vectors of all items, targets."""
    targets = torch.as_tensor(np.random.default_rng(0).integers(0, ITEMS, ROWS))
    return draw(ROWS, WIDTH, scale=scale).requires_grad_(), draw(ITEMS, WIDTH, seed=1).requires_grad_(), targets


def some_weights() -> Tensor:
    weights = draw(ROWS, seed=7).abs()
    weights[[2, 5]] = 0.0
    return weights


def mean(each: Tensor, weights: Tensor | None) -> Tensor:
    return each.mean() if weights is None else (each * weights).sum() / weights.sum()


def plain_sampled(
    states: Tensor,
    items: Tensor,
    targets: Tensor,
    drawn: Negatives,
    kind: Kind,
    beta: float,
    prior: float,
    weights: Tensor | None,
) -> Tensor:
    """Row by row, without anything that is shared."""
    each = []
    for row, target in enumerate(targets.tolist()):
        own = states[row] @ items[target]
        others = []
        for place, item in enumerate(drawn.items.tolist()):
            if item != target:
                product = states[row] @ items[item]
                others.append(product if drawn.log_expected is None else product - drawn.log_expected[place])
        negative = torch.stack(others) if others else own.new_zeros(0)
        if kind == "softmax":
            each.append(torch.logsumexp(torch.cat([own[None], negative]), 0) - own)
        else:
            total = -beta * F.logsigmoid(own + prior) - F.logsigmoid(-negative - prior).sum()
            each.append(total / (len(drawn.items) + 1))
    return mean(torch.stack(each), weights)


def drawn_of(targets: Tensor, k: int, corrected: bool) -> Negatives:
    """`k` items, three of which are targets: accidental hits."""
    generator = np.random.default_rng(3)
    own = np.unique(targets.numpy())
    others = np.setdiff1d(np.arange(ITEMS), own)
    chosen = generator.permutation(np.concatenate([own[: min(3, k)], generator.permutation(others)[: max(0, k - 3)]]))
    log = torch.as_tensor(np.log(generator.uniform(0.05, 1, len(chosen)))) if corrected else None
    return Negatives(torch.as_tensor(chosen), log)


# ---------------------------------------------------------------------- over all items


@pytest.mark.parametrize("floats", BLOCKS)
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_equals_cross_entropy(weighted: bool, floats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "BLOCK_FLOATS", floats)
    states, items, targets = world()
    weights = some_weights() if weighted else None
    found = softmax_loss(states, items, targets, weights)
    right = mean(F.cross_entropy(states @ items.T, targets, reduction="none"), weights)
    torch.testing.assert_close(found, right)
    came = torch.tensor(1.7, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found, (states, items), came), torch.autograd.grad(right, (states, items), came)
    )


def test_softmax_by_hand() -> None:
    states, items = torch.tensor([[1.0]]).double(), torch.tensor([[0.0], [math.log(3.0)]]).double()
    assert float(softmax_loss(states, items, torch.tensor([1]))) == pytest.approx(-math.log(3 / 4))


def test_gradients_by_differences() -> None:
    states, items, targets = world()
    drawn = drawn_of(targets, 8, True)
    assert torch.autograd.gradcheck(lambda *leaves: softmax_loss(*leaves, targets), (states, items))
    for kind in ("softmax", "bce"):
        assert torch.autograd.gradcheck(
            lambda a, b, c, kind=kind: sampled_loss(a, b, c, targets, drawn, kind=kind, beta=0.3),
            (states, draw(ROWS, WIDTH, seed=2).requires_grad_(), draw(8, WIDTH, seed=4).requires_grad_()),
        )


def test_huge_products_stay_finite() -> None:
    states, items, targets = world(scale=1e4)
    drawn = drawn_of(targets, 8, False)
    found = [softmax_loss(states.float(), items.float(), targets)]
    for kind in ("softmax", "bce"):
        vectors = items.float()
        found.append(sampled_loss(states.float(), vectors[targets], vectors[drawn.items], targets, drawn, kind=kind))
    for one in found:
        (grad,) = torch.autograd.grad(one, states, retain_graph=True)
        assert one.isfinite()
        assert grad.isfinite().all()


# ---------------------------------------------------------------------- against negatives


@pytest.mark.parametrize("floats", BLOCKS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize(
    ("kind", "beta", "prior"), [("softmax", 1.0, 0.0), ("bce", 1.0, 0.0), ("bce", 0.31, 0.0), ("bce", 0.31, -1.4)]
)
def test_sampled_losses_equal_their_formula(
    kind: Kind, beta: float, prior: float, corrected: bool, weighted: bool, floats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "BLOCK_FLOATS", floats)
    states, items, targets = world()
    drawn, weights = drawn_of(targets, 9, corrected), some_weights() if weighted else None
    assert len(hits(targets, drawn.items)[0]) >= 3
    found = sampled_loss(
        states, items[targets], items[drawn.items], targets, drawn, kind=kind, beta=beta, prior=prior, weights=weights
    )
    right = plain_sampled(states, items, targets, drawn, kind, beta, prior, weights)
    torch.testing.assert_close(found, right)
    came = torch.tensor(0.6, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found, (states, items), came), torch.autograd.grad(right, (states, items), came)
    )


@pytest.mark.parametrize("kind", ["softmax", "bce"])
def test_an_accidental_hit_is_no_negative(kind: Kind) -> None:
    """The vector that stands for a row's own target among the negatives does not matter to that row."""
    states, items, targets = world()
    drawn = Negatives(targets[:1].clone())
    own = targets == targets[0]
    negative = draw(1, WIDTH, seed=8).requires_grad_()
    weights = own.double()
    found = sampled_loss(states, items[targets], negative, targets, drawn, kind=kind, weights=weights)
    assert not torch.autograd.grad(found, negative)[0].any()
    if kind == "softmax":
        assert abs(found.item()) < 1e-12  # nothing to be held against
    others = sampled_loss(states, items[targets], negative, targets, drawn, kind=kind, weights=1 - weights)
    assert torch.autograd.grad(others, negative)[0].any()


def test_hits_by_hand() -> None:
    rows, places = hits(torch.tensor([4, 9, 1, 9, 30, 0]), torch.tensor([9, 2, 4]))
    assert rows.tolist() == [0, 1, 3]
    assert places.tolist() == [2, 0, 0]


@pytest.mark.parametrize("kind", ["softmax", "bce"])
def test_rows_without_weight_do_not_matter(kind: Kind) -> None:
    states, items, targets = world()
    drawn, keep = drawn_of(targets, 6, True), torch.arange(ROWS) % 3 != 0
    whole = sampled_loss(states, items[targets], items[drawn.items], targets, drawn, kind=kind, weights=keep.double())
    part = sampled_loss(states[keep], items[targets[keep]], items[drawn.items], targets[keep], drawn, kind=kind)
    torch.testing.assert_close(whole, part)
    torch.testing.assert_close(
        softmax_loss(states, items, targets, keep.double()), softmax_loss(states[keep], items, targets[keep])
    )


def test_no_rows_and_no_weights_lose_nothing() -> None:
    states, items, targets = world()
    none, drawn = torch.zeros(0, dtype=torch.int64), drawn_of(targets, 6, False)
    found = [
        softmax_loss(states[:0], items, none),
        softmax_loss(states, items, targets, torch.zeros(ROWS).double()),
        sampled_loss(states[:0], items[none], items[drawn.items], none, drawn),
        sampled_loss(states[:0], items[none], items[none], none, Negatives(none)),
        sampled_loss(states, items[targets], items[drawn.items], targets, drawn, weights=torch.zeros(ROWS).double()),
    ]
    for one in found:
        assert one.item() == 0.0
        for grad in torch.autograd.grad(one, (states, items), allow_unused=True):
            assert grad is None or not grad.any()


def test_loss_without_gradients_is_the_same() -> None:
    states, items, targets = world()
    drawn = drawn_of(targets, 6, True)
    with torch.no_grad():
        bare = softmax_loss(states.detach(), items.detach(), targets)
        other = sampled_loss(states.detach(), items.detach()[targets], items.detach()[drawn.items], targets, drawn)
    torch.testing.assert_close(bare, softmax_loss(states, items, targets).detach())
    right = sampled_loss(states, items[targets], items[drawn.items], targets, drawn).detach()
    torch.testing.assert_close(other, right)


# ---------------------------------------------------------------------- gBCE's exponent


def test_beta_by_hand() -> None:
    # 10 negatives of 100 others: a rate of 0.1
    assert gbce_beta(10, 101, 0.0) == pytest.approx(1.0)
    assert gbce_beta(10, 101, 1.0) == pytest.approx(0.1)
    assert gbce_beta(10, 101, 0.5) == pytest.approx(0.55)  # 0.1 * (0.5 * (1 - 10) + 10)
    assert gbce_beta(10, 101, 0.75) == pytest.approx(0.325)
    assert gbce_beta(500, 101, 0.75) == pytest.approx(1.0)  # all others are negatives: nothing to calibrate
    assert gbce_beta(5, 1, 0.5) == pytest.approx(1.0)


@pytest.mark.parametrize(("n_negatives", "beta"), [(1, 1.0), (7, 1.0), (256, 0.3)])
def test_the_base_rate_is_the_best_that_a_constant_can_do(n_negatives: int, beta: float) -> None:
    prior = torch.tensor(base_rate(n_negatives, beta), dtype=torch.float64, requires_grad=True)
    (-beta * F.logsigmoid(prior) - n_negatives * F.logsigmoid(-prior)).backward()
    assert prior.grad is not None
    assert abs(prior.grad.item()) < 1e-12


def test_gbce_at_full_calibration_learns_the_probability_of_an_item() -> None:
    """One state, three items with frequencies 0.5, 0.3, 0.2; one negative of the two others, so a rate of 1/2.

    Where the gradient is zero, the sigmoid of a product is the item's frequency (theorem 5.1 of the paper), while plain
    BCE is overconfident.
    """
    share, beta = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), gbce_beta(1, 3, 1.0)
    for exponent, right in ((beta, share), (1.0, share / (share + 0.5 * (1 - share)))):
        products = (right / (1 - right)).log()
        total = products.new_zeros(3)
        for target in range(3):
            for negative in {0, 1, 2} - {target}:
                states, vectors = torch.ones(1, 1).double(), products[:, None].clone().requires_grad_()
                number = torch.tensor([target])
                drawn = Negatives(torch.tensor([negative]))
                loss = sampled_loss(
                    states, vectors[number], vectors[drawn.items], number, drawn, kind="bce", beta=exponent
                )
                total += torch.autograd.grad(loss, vectors)[0][:, 0] * share[target] / 2
        torch.testing.assert_close(total, torch.zeros(3).double(), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------- from sampled to full


@pytest.mark.parametrize("corrected", [False, True])
def test_all_items_as_negatives_are_the_full_softmax(corrected: bool) -> None:
    states, items, targets = world()
    sampler = NegativeSampler("uniform", np.ones(ITEMS, np.int64), ITEMS + 5, corrected)
    drawn = sampler.draw(np.random.default_rng(0), targets)
    found = sampled_loss(states, items[targets], items[drawn.items], targets, drawn)
    right = softmax_loss(states, items, targets)
    torch.testing.assert_close(found, right)
    torch.testing.assert_close(torch.autograd.grad(found, (states, items)), torch.autograd.grad(right, (states, items)))


def distance(kind: str, n: int, draws: int, corrected: bool = True) -> tuple[float, float, float]:
    """How far the mean of many sampled losses is from the full one: in value, in gradient, and by chance (3 σ)."""
    n_items = 400
    generator = np.random.default_rng([n, draws])
    counts = 1 + generator.zipf(1.7, n_items).clip(0, 500)
    states, items = draw(6, 8, seed=1), draw(n_items, 8, seed=2, scale=0.5)
    targets = torch.as_tensor(generator.integers(0, n_items, 6))
    states.requires_grad_()
    sampler = NegativeSampler(kind, counts, n, corrected)
    values, total = [], torch.zeros_like(states)
    for _ in range(draws):
        drawn = sampler.draw(generator, targets)
        loss = sampled_loss(states, items[targets], items[drawn.items], targets, drawn)
        values.append(loss.item())
        total += torch.autograd.grad(loss, states)[0]
    full = softmax_loss(states, items, targets)
    (right,) = torch.autograd.grad(full, states)
    gradient = float((total / draws - right).norm() / right.norm())
    return float(np.mean(values)) - full.item(), gradient, 3 * float(np.std(values)) / math.sqrt(draws)


@pytest.mark.parametrize(
    ("kind", "value", "gradient"), [("uniform", 0.03, 0.06), ("popularity", 0.15, 0.15), ("mixed", 0.05, 0.08)]
)
def test_the_corrected_loss_comes_near_the_full_one_as_negatives_grow(kind: str, value: float, gradient: float) -> None:
    """The logarithm of an estimate is too small by about half its relative variance, which rare items make large."""
    few, many = distance(kind, 8, 150), distance(kind, 200, 150)
    assert abs(many[0]) < value + many[2]
    assert many[1] < gradient < few[1]
    assert abs(many[0]) < abs(few[0]) / 3
    assert abs(distance(kind, 200, 20, corrected=False)[0]) > 0.5  # without the correction it is another loss


@pytest.mark.parametrize("kind", ["uniform", "popularity", "mixed"])
def test_the_corrected_sum_is_unbiased_even_with_few_negatives(kind: str) -> None:
    """Σ e^(product - log expected) over a draw has the mean Σ e^product over all items."""
    n_items, draws = 60, 4000
    generator = np.random.default_rng(5)
    counts = 1 + generator.zipf(1.5, n_items).clip(0, 100)
    weights = np.exp(generator.normal(size=n_items) * 0.5)
    sampler = NegativeSampler(kind, counts, 12, corrected=True)
    sums = np.empty(draws)
    for place in range(draws):
        drawn = sampler.draw(generator, torch.zeros(1, dtype=torch.int64))
        assert drawn.log_expected is not None
        sums[place] = (weights[drawn.items.numpy()] / np.exp(drawn.log_expected.numpy())).sum()
    assert abs(sums.mean() - weights.sum()) < 4 * sums.std() / math.sqrt(draws)
