from itertools import product

import numpy as np
import pytest
import torch

from zhiyin.nn.digits import DigitItems
from zhiyin.nn.heads import DepthDecoder, DigitHead, ParallelDigits

SIZES = (3, 4, 2)
EVERY = torch.tensor(list(product(*map(range, SIZES))))


def made(kind: str, temperature: float | None = 0.5, levels: int = 3) -> tuple[DigitHead, DigitItems]:
    torch.manual_seed(0)
    digits = DigitItems(EVERY[:, :levels], SIZES[:levels], 8)
    head = (
        DepthDecoder(levels, 8, 2, 16, 2, 0.0, temperature)
        if kind == "depth"
        else ParallelDigits(levels, 8, temperature)
    )
    for one in (*digits.parameters(), *head.parameters()):
        torch.nn.init.normal_(one)
    return head.eval(), digits


def states(n: int) -> torch.Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("temperature", [None, 0.5])
@pytest.mark.parametrize("kind", ["depth", "parallel"])
def test_probabilities_of_all_codes_sum_to_one(kind: str, temperature: float | None) -> None:
    head, digits = made(kind, temperature)
    with torch.inference_mode():
        logs = head.log_probs(states(1).expand(len(EVERY), -1), EVERY, digits)
    assert float(logs.exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("kind", ["depth", "parallel"])
def test_the_loss_is_the_mean_over_digits_of_what_codes_cost(kind: str, levels: int) -> None:
    head, digits = made(kind, levels=levels)
    codes = EVERY[[3, 17, 20, 3], :levels]
    wanted = -head.log_probs(states(4), codes, digits).mean() / levels
    assert head.loss(states(4), codes, digits).item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["depth", "parallel"])
def test_gradients_are_those_of_the_plain_formula(kind: str) -> None:
    found = []
    for plain in (False, True):
        head, digits = made(kind)
        own = states(4).requires_grad_()
        codes = EVERY[[3, 17, 20, 3]]
        loss = -head.log_probs(own, codes, digits).mean() / 3 if plain else head.loss(own, codes, digits)
        loss.backward()
        found.append([own.grad, *(one.grad for one in (*head.parameters(), *digits.parameters()))])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_a_digit_is_foretold_without_those_that_come_after_it() -> None:
    head, digits = made("depth")
    first, other = EVERY[[0, 0]], EVERY[[0, 7]].clone()
    other[1, 0] = 0
    with torch.inference_mode():
        ours, theirs = (head.outputs(states(2), codes, digits) for codes in (first, other))
    torch.testing.assert_close(ours[:, :2], theirs[:, :2])
    assert not torch.allclose(ours[1, 2], theirs[1, 2])


def test_step_by_step_is_as_all_at_once() -> None:
    head, digits = made("depth")
    assert isinstance(head, DepthDecoder)
    codes = EVERY[[1, 9, 22]]
    with torch.inference_mode():
        told, total = head.begin(states(3)), torch.zeros(3)
        for level in range(3):
            chances = head.next(told, level, digits)
            assert chances.shape == (3, SIZES[level])
            total += chances.gather(1, codes[:, level, None])[:, 0]
            turned = torch.tensor([2, 0, 1])  # rows may be taken in another order on the way
            told, codes, total = told.of(turned), codes[turned], total[turned]
            head.read(told, level, codes[:, level], digits)
        wanted = head.log_probs(states(3)[turned][turned][turned], codes, digits)
    torch.testing.assert_close(total, wanted, rtol=1e-4, atol=1e-5)


def test_all_items_are_scored_by_the_sum_of_their_digits() -> None:
    head, digits = made("parallel")
    assert isinstance(head, ParallelDigits)
    with torch.inference_mode():
        found = head.all(states(5), digits).numpy()
        wanted = np.stack([head.log_probs(one.expand(len(EVERY), -1), EVERY, digits) for one in states(5)], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["depth", "parallel"])
def test_a_batch_without_answers_costs_nothing(kind: str) -> None:
    head, digits = made(kind)
    loss = head.loss(states(0), EVERY[:0], digits)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("kind", ["depth", "parallel"])
def test_it_learns_which_code_goes_with_which_state(kind: str) -> None:
    torch.manual_seed(0)
    digits = DigitItems(EVERY, SIZES, 16)
    head = DepthDecoder(3, 16, 2, 32, 1, 0.0, 0.1) if kind == "depth" else ParallelDigits(3, 16, 0.1)
    torch.nn.init.normal_(digits.weight, std=0.02)
    own = torch.randn(len(EVERY), 16)
    optimizer = torch.optim.Adam([*head.parameters(), *digits.parameters()], 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(own, EVERY, digits).backward()
        optimizer.step()
    head.eval()
    with torch.inference_mode():
        assert float(head.log_probs(own, EVERY, digits).exp().min()) > 0.8
