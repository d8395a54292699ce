"""Draws of negatives: which items, how often, and whether the sampler says so truly."""

import numpy as np
import pytest
import torch

from zhiyin.data.histories import Histories
from zhiyin.nn.batches import BatchMaker, Objective
from zhiyin.nn.negatives import NegativeSampler, Sampler
from zhiyin.nn.reading import Reading

KINDS: list[Sampler] = ["uniform", "popularity", "mixed", "in_batch"]
COUNTS = np.array([0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 0, 55])
SHARE = COUNTS / COUNTS.sum()


def batch(generator: np.random.Generator, size: int) -> torch.Tensor:
    """Targets as often as they occur in training."""
    return torch.as_tensor(generator.choice(len(COUNTS), size, p=SHARE))


def frequencies(kind: Sampler, n: int, draws: int, power: float = 1.0, size: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """(n_items,) how often each item was drawn, and how often it was expected (NaN for what was never drawn)."""
    generator = np.random.default_rng(n)
    sampler = NegativeSampler(kind, COUNTS, n, corrected=True, power=power)
    found, expected = np.zeros(len(COUNTS)), np.full(len(COUNTS), np.nan)
    for _ in range(draws):
        drawn = sampler.draw(generator, batch(generator, size))
        assert drawn.log_expected is not None
        items, told = drawn.items.numpy(), np.exp(drawn.log_expected.numpy())
        known = expected[items]
        assert (np.isnan(known) | (known == told)).all()  # the same item is expected as often each time
        found[items] += 1 / draws
        expected[items] = told
    return found, expected


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize(("kind", "n"), [(kind, n) for kind in KINDS[:3] for n in (1, 4, 12)])
def test_items_are_drawn_as_often_as_the_sampler_says(kind: Sampler, n: int, power: float) -> None:
    draws = 4000
    found, expected = frequencies(kind, n, draws, power)
    drawn = found > 0
    noise = np.sqrt(expected * (1 - expected).clip(0) / draws) + 1 / draws
    assert (np.abs(found - expected)[drawn] < 4.5 * noise[drawn]).all()
    weights = np.where(COUNTS > 0, COUNTS.astype(float) ** power, 0.0)
    share = {"uniform": 0.0, "popularity": 1.0, "mixed": 0.5}[kind]
    single = share * weights / weights.sum() + (1 - share) / len(COUNTS)
    right = n / len(COUNTS) + 0 * single if kind == "uniform" else 1 - (1 - single) ** n
    np.testing.assert_allclose(expected[drawn], right[drawn], rtol=1e-5)


@pytest.mark.parametrize(("n", "size"), [(8, 30), (9, 8), (100, 8)])
def test_in_batch_items_are_drawn_as_often_as_the_sampler_says(n: int, size: int) -> None:
    """Over batches whose targets come as often as in training; `n` below and above the size of a batch."""
    draws = 4000
    found, expected = frequencies("in_batch", n, draws, power=0.5, size=size)  # `power` is of "popularity" alone
    drawn = found > 0
    assert drawn.tolist() == (COUNTS > 0).tolist()
    np.testing.assert_allclose(expected[drawn], (1 - (1 - SHARE) ** min(n, size))[drawn], rtol=1e-5)
    noise = np.sqrt(expected * (1 - expected) / draws) + 1 / draws
    assert (np.abs(found - expected)[drawn] < 4.5 * noise[drawn]).all()


@pytest.mark.parametrize("objective", ["next", "all_action"])
def test_in_batch_items_of_real_batches_are_drawn_as_often_as_the_sampler_says(objective: Objective) -> None:
    """Item 0 opens every history and is never an answer; others stand at any place behind it."""
    generator = np.random.default_rng(0)
    of = Histories.of_lists([[0, *generator.choice(11, 2 + n % 4, p=SHARE[1:]) + 1] for n in range(400)])
    make = BatchMaker(Reading((), 9), 9, objective, horizon=2)
    counts = np.bincount(of.item, make.answered(of), len(COUNTS))
    assert counts[0] == 0
    sampler, found, expected, n = NegativeSampler("in_batch", counts, 8, corrected=True), np.zeros(12), np.zeros(12), 0
    for _ in range(60):
        for windows in make.epoch(of, 40, generator):
            target = make.training(of, windows, generator).target
            assert target is not None
            drawn = sampler.draw(generator, target)
            assert drawn.log_expected is not None
            found[drawn.items.numpy()] += 1
            expected[drawn.items.numpy()] = np.exp(drawn.log_expected.numpy())
            n += 1
    np.testing.assert_allclose(found / n, expected, atol=0.03)


@pytest.mark.parametrize("n", [1, 5, 12, 500])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_different_items_of_the_catalogue(kind: Sampler, n: int) -> None:
    generator = np.random.default_rng(0)
    sampler = NegativeSampler(kind, COUNTS, n)
    for _ in range(50):
        items = sampler.draw(generator, batch(generator, 20)).items
        assert items.dtype == torch.int64
        assert 1 <= len(items) <= min(n, len(COUNTS))
        assert len(set(items.tolist())) == len(items)
        assert 0 <= int(items.min()) <= int(items.max()) < len(COUNTS)


@pytest.mark.parametrize("n", [1, 5, 12, 500])
def test_uniform_draws_just_as_many(n: int) -> None:
    sampler = NegativeSampler("uniform", COUNTS, n)
    assert len(sampler.draw(np.random.default_rng(0), torch.zeros(0)).items) == min(n, len(COUNTS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_draw(kind: Sampler) -> None:
    sampler, targets = NegativeSampler(kind, COUNTS, 6, corrected=True), batch(np.random.default_rng(1), 40)
    first, again, other = (sampler.draw(np.random.default_rng(seed), targets) for seed in (3, 3, 4))
    assert torch.equal(first.items, again.items)
    assert first.log_expected is not None
    assert again.log_expected is not None
    assert torch.equal(first.log_expected, again.log_expected)
    assert first.items.tolist() != other.items.tolist()


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_what_nobody_took_is_drawn_by_uniform_and_mixed_alone(power: float) -> None:
    generator = np.random.default_rng(0)
    unseen = set(np.flatnonzero(COUNTS == 0).tolist())
    for kind in KINDS:
        sampler, found = NegativeSampler(kind, COUNTS, 10, power=power), set()
        for _ in range(200):
            found |= set(sampler.draw(generator, batch(generator, 20)).items.tolist())
        assert unseen.isdisjoint(found) == (kind in ("popularity", "in_batch"))
        assert found >= set(range(len(COUNTS))) - unseen  # and each of the others is


def test_in_batch_draws_targets_alone() -> None:
    generator = np.random.default_rng(0)
    for n in (2, 5, 100):
        sampler, targets = NegativeSampler("in_batch", COUNTS, n), torch.tensor([3, 9, 9, 9, 4, 11, 3])
        found = set()
        for _ in range(50):
            found |= set(sampler.draw(generator, targets).items.tolist())
        assert found == {3, 4, 9, 11}


def test_a_target_that_training_never_saw_is_expected_at_least_a_little() -> None:
    sampler = NegativeSampler("in_batch", COUNTS, 12, corrected=True)
    drawn = sampler.draw(np.random.default_rng(0), torch.tensor([0, 5]))
    assert drawn.log_expected is not None
    assert drawn.log_expected.isfinite().all()


def test_no_targets_are_no_negatives() -> None:
    drawn = NegativeSampler("in_batch", COUNTS, 5, corrected=True).draw(
        np.random.default_rng(0), torch.zeros(0, dtype=torch.int64)
    )
    assert len(drawn.items) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_only_item(kind: Sampler) -> None:
    drawn = NegativeSampler(kind, np.array([7]), 3, corrected=True).draw(np.random.default_rng(0), torch.tensor([0]))
    assert drawn.items.tolist() == [0]
    assert drawn.log_expected is not None
    assert drawn.log_expected.tolist() == pytest.approx([0.0], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_corrected_unasked(kind: Sampler) -> None:
    assert NegativeSampler(kind, COUNTS, 5).draw(np.random.default_rng(0), torch.tensor([3])).log_expected is None
