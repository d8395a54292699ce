"""What is said of a training: how it stands, how long it may take, how it ended."""

import pytest

from zhiyin.nn.telling import Telling, elapsed, ending
from zhiyin.nn.training import Epoch, Trained
from zhiyin.run import Silent


def trained(*measured: float | None, wall: float = 10.0, **options: object) -> Trained:
    """Epochs of 4 seconds and 100 events, and of so many seconds by the clock on the wall."""
    epochs = [
        Epoch(number, 4.0 * number, 0.0, 5.0 - number, 100, value, wall * number)
        for number, value in enumerate(measured, start=1)
    ]
    best = max((value for value in measured if value is not None), default=None)
    if best is None:
        return Trained(epochs, metric="NDCG@10", **options)
    return Trained(epochs, best, measured.index(best) + 1, metric="NDCG@10", **options)


def stands(one: Trained, epochs: int = 8, seconds: float = 0.0, share: float = 0.0) -> str:
    telling = Telling(Silent(), "toy", epochs)
    telling.step(3.0, 10)
    telling.step(1.0, 30)
    return telling._stands(one, seconds, share)


def test_between_epochs_the_last_one_is_told() -> None:
    told = stands(trained(0.25, 0.5, 0.125))
    assert told == "25 events/s, loss 2.000, NDCG@10 0.1250 (best 0.5000 in epoch 2), at most 50 s more"


def test_within_an_epoch_its_own_loss_and_rate_are_told() -> None:
    told = stands(trained(0.25), seconds=2.0, share=0.5)
    assert told == "20 events/s, loss 1.500, NDCG@10 0.2500 (best 0.2500 in epoch 1), at most 1 min 8 s more"


def test_the_first_epoch_is_judged_by_its_share() -> None:
    assert stands(Trained(), seconds=2.0, share=0.25) == "20 events/s, loss 1.500, at most 1 min 2 s more"


def test_time_left_counts_what_measuring_takes() -> None:
    assert "at most 50 s more" in stands(trained(0.25, 0.5, 0.125, wall=10.0))
    assert "at most 1 min 40 s more" in stands(trained(0.25, 0.5, 0.125, wall=20.0))
    assert "at most 20 s more" in stands(trained(0.25, 0.5, 0.125, wall=0.0)), "of training alone, if no more is known"


@pytest.mark.parametrize(("one", "epochs"), [(trained(0.5, 0.25), 2), (trained(0.5, stopped="enough"), 8)])
def test_nothing_is_left_of_a_training_that_is_over(one: Trained, epochs: int) -> None:
    assert "at most" not in stands(one, epochs)


def test_epochs_without_a_measurement_show_the_one_before() -> None:
    assert "NDCG@10 0.5000 (best 0.5000 in epoch 1)" in stands(trained(0.5, None))
    assert "NDCG" not in stands(trained(None, None))


def test_how_it_ended() -> None:
    assert ending(trained(0.25, 0.5)) == "best NDCG@10 0.5000, in epoch 2 of 2; all epochs were made; 20 s"
    stopped = trained(0.5, 0.25, stopped="1 measurements without a better one than 0.5000")
    assert ending(stopped) == (
        "best NDCG@10 0.5000, in epoch 1 of 2; 1 measurements without a better one than 0.5000; 20 s"
    )
    assert ending(trained(None, None)) == "loss 3.000 in epoch 2, nothing measured; all epochs were made; 20 s"
    assert elapsed(Trained()) == 0
