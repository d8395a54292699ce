"""The loop on toy nets: what is learnt, kept and measured, when it stops, and that a seed decides everything."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zhiyin.errors import DataError
from zhiyin.nn.blocks import Dropout
from zhiyin.nn.training import Average, Epoch, Plan, Trained, Training, rate
from zhiyin.run import Run

ROWS, WIDTH, BATCH = 60, 4, 10
STEPS = ROWS // BATCH
LOSSES = STEPS + 1
"""Of an epoch: the last batch is looked at once more when it is over."""
FAST = Plan(epochs=5, learning_rate=0.05)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, WIDTH, generator=generator)
    return x, x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(ROWS, generator=generator)


def net_of(dropout: float = 0.2) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), Dropout(dropout), nn.Linear(8, 1))


def batches(generator: np.random.Generator) -> list[np.ndarray]:
    return np.split(generator.permutation(ROWS), STEPS)


def error_of(net: nn.Module, rows: np.ndarray) -> Tensor:
    x, y = data()
    found: Tensor = (net(x[rows])[:, 0] - y[rows]).square().mean()
    return found


def training(
    plan: Plan = FAST,
    measure: Callable[[], float] | None = None,
    net: nn.Module | None = None,
    loss: Callable[..., Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> Training:
    own = net_of() if net is None else net
    return Training(
        own,
        batches,
        loss or (lambda batch, _: (error_of(own, batch), len(batch))),
        measure,
        plan,
        Run(seed=seed, threads=1),
        "toy",
        **options,
    )


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in net.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(one[name], two[name]) for name in one)


class Script:
    """Measurements that are known beforehand, and the weights at each of them."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values, self.seen = list(values), list[dict[str, Tensor]]()
        self.net = net_of()

    def __call__(self) -> float:
        assert not self.net.training  # measured as it will be used
        self.seen.append(weights(self.net))
        return self.values[len(self.seen) - 1]


# ---------------------------------------------------------------------- what is learnt


def test_the_loss_falls_and_the_net_learns() -> None:
    net = net_of(dropout=0.0)
    before = error_of(net, np.arange(ROWS)).item()
    trained = training(Plan(epochs=30, learning_rate=0.02), net=net).go()
    losses = [one.loss for one in trained.epochs]
    assert losses[0] > 5 * losses[-1]
    assert error_of(net, np.arange(ROWS)).item() < 0.1 * before
    assert not net.training
    assert [one.epoch for one in trained.epochs] == list(range(1, 31))
    assert all(one.events == ROWS for one in trained.epochs)
    seconds = [0.0, *(one.seconds for one in trained.epochs)]
    assert (np.diff(seconds) > 0).all()
    assert (trained.stopped, trained.diverged, trained.best_epoch) == ("", False, 0)


def test_the_loss_of_an_epoch_is_the_mean_over_its_events() -> None:
    own = nn.Linear(1, 1)
    parts = {0: (2.0, 1), 1: (5.0, 3)}

    def loss(batch: int, _: np.random.Generator) -> tuple[Tensor, int]:
        value, n = parts[batch]
        return own.weight.sum() * 0 + value, n

    trained = Training(own, lambda _: [0, 1], loss, None, Plan(epochs=1), Run(threads=1)).go()
    assert (trained.epochs[0].loss, trained.epochs[0].events) == (pytest.approx((2 + 15) / 4), 4)


def test_a_seed_is_a_training() -> None:
    found = []
    for seed in (3, 3, 4):
        one = training(seed=seed)
        one.go()
        found.append(weights(one.net))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_state_of_torch_before_does_not_matter_and_is_left_as_it_was() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        one = training(measure=lambda: float(torch.rand(()).item() * 0))
        one.go()
        assert torch.equal(torch.get_rng_state(), state)
        found.append(weights(one.net))
    assert same(*found)


def test_random_state_of_torch_survives_an_error() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()

    def loss(batch: Any, generator: np.random.Generator) -> tuple[Tensor, int]:
        torch.rand(3)
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        training(loss=loss).go()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_gradient_is_clipped() -> None:
    moved = []
    for clip in (None, 1e-12):
        own = net_of()
        training(Plan(epochs=1, learning_rate=0.05, clip=clip), net=own).go()
        moved.append(float((own[0].weight - net_of()[0].weight).detach().abs().max()))
    assert moved[1] < 0.01 * moved[0]  # what is cut to less than Adam's epsilon hardly moves


def test_watchers_are_told_of_every_epoch() -> None:
    told: list[Epoch] = []
    trained = training(measure=lambda: 1.0, watch=told.append).go()
    assert told == trained.epochs
    assert all(one.measured == 1.0 for one in told)


class Bar:
    """Notes what it is asked to show, and whether it was put away."""

    def __init__(self) -> None:
        self.shown, self.closed = list[tuple[int | None, str]](), 0

    def track(self, steps: Any, total: int | None, description: str) -> Iterator[Any]:
        self.shown.append((total, description))
        try:
            yield from steps
        finally:
            self.closed += 1


class Listener(Bar):
    """Hears how the work stands, too."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, str]] = []

    def tell(self, said: str) -> None:
        self.heard.append((len(self.shown), said))


def watched(progress: Bar, measure: Callable[[], float] | None = lambda: 0.25, epochs: int = 2) -> Trained:
    own = net_of()
    run, loss = Run(progress=progress), lambda rows, _: (error_of(own, rows), len(rows))
    return Training(own, batches, loss, measure, Plan(epochs=epochs), run, "toy", metric="NDCG@10").go()


def test_progress_is_shown() -> None:
    bar = Bar()
    watched(bar)
    assert [total for total, _ in bar.shown] == [STEPS, STEPS]
    assert bar.shown[0][1] == "toy: epoch 1 of 2"
    for part in ("toy: epoch 2 of 2", "NDCG@10 0.2500 (best 0.2500 in epoch 1)", "loss ", "events/s", " s more"):
        assert part in bar.shown[1][1]
    assert bar.closed == 2


def test_who_listens_hears_within_an_epoch_how_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhiyin.nn.telling.OFTEN", 0.0)
    bar, values = Listener(), iter([0.5, 0.25])
    trained = watched(bar, lambda: next(values))
    assert [said for _, said in bar.shown] == ["toy: epoch 1 of 2", "toy: epoch 2 of 2"]
    assert [epoch for epoch, _ in bar.heard] == [1] * STEPS + [2] * STEPS
    first, second = bar.heard[:STEPS], bar.heard[STEPS:]
    for _, said in bar.heard:
        for part in (" events/s, loss ", ", at most ", " more"):
            assert part in said
    assert all("NDCG" not in said for _, said in first)
    assert all("NDCG@10 0.5000 (best 0.5000 in epoch 1)" in said for _, said in second)
    for heard, epoch in ((first, trained.epochs[0]), (second, trained.epochs[1])):
        assert f"loss {epoch.loss:.3f}" in heard[-1][1]  # the mean of what was done so far: at last, of all
        assert len({said.partition("loss ")[2] for _, said in heard}) > 1  # and it moves


def test_a_bar_is_put_away_when_training_breaks_off() -> None:
    bar, own = Bar(), net_of()

    def loss(batch: Any, _: Any) -> tuple[Tensor, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        Training(own, batches, loss, None, FAST, Run(progress=bar)).go()
    assert bar.closed == 1, "though the traceback is still held"
    del caught


def test_each_epoch_has_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    values = iter([0.5, 0.25])
    with caplog.at_level(logging.INFO, "zhiyin.nn.telling"):
        trained = watched(Bar(), lambda: next(values))
    first, second = (one.getMessage() for one in caplog.records)
    assert first.startswith("toy: epoch 1 of 2: ")
    assert f"loss {trained.epochs[0].loss:.3f}, NDCG@10 0.5000 (best 0.5000 in epoch 1), at most " in first
    assert second.endswith(f"loss {trained.epochs[1].loss:.3f}, NDCG@10 0.2500 (best 0.5000 in epoch 1)")


def test_the_clock_on_the_wall_counts_what_measuring_takes() -> None:
    def measure() -> float:
        time.sleep(0.02)
        return 0.0

    trained = watched(Bar(), measure, epochs=3)
    assert [one.wall_seconds - one.seconds >= 0.02 * one.epoch for one in trained.epochs] == [True] * 3


# ---------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("values", "patience", "every", "epochs", "best", "ran"),
    [
        ([1, 3, 2, 2.5, 9], 2, 1, 20, 2, 4),
        ([1, 3, 2, 4, 3, 3, 9], 2, 1, 20, 4, 6),
        ([1, 3, 2, 2.5, 9], 2, 2, 20, 4, 8),
        ([1, 2, 3], 1, 1, 3, 3, 3),
        ([5, 4], 1, 1, 20, 1, 2),
        ([5, 5], 1, 1, 20, 1, 2),  # as good is no better
        ([1, 2, 3], 5, 3, 7, 7, 7),  # measured at 3, 6 and at the end
        ([-3, -2, -4, -5], 2, 1, 20, 2, 4),  # a metric may be negative
        ([math.nan, 2, math.nan, 1], 2, 1, 20, 2, 4),
    ],
)
def test_training_stops_when_patience_ends_and_keeps_the_best_weights(
    values: list[float], patience: int, every: int, epochs: int, best: int, ran: int
) -> None:
    script = Script(values)
    plan = Plan(epochs=epochs, learning_rate=0.05, patience=patience, measure_every=every)
    trained = training(plan, script, script.net).go()
    assert len(trained.epochs) == ran
    assert trained.best_epoch == best
    place = [one.epoch for one in trained.epochs if one.measured is not None].index(best)
    assert trained.best == values[place]
    assert same(weights(script.net), script.seen[place])
    assert bool(trained.stopped) == (ran < epochs)
    assert not trained.diverged
    for one in script.seen[:place] + script.seen[place + 1 :]:
        assert not same(weights(script.net), one)


def test_unmeasured_epochs_are_marked_so() -> None:
    script = Script([1, 2])
    trained = training(Plan(epochs=4, measure_every=2), script, script.net).go()
    assert [one.measured for one in trained.epochs] == [None, 1, None, 2]


def test_without_measurements_the_last_weights_are_kept() -> None:
    last: list[dict[str, Tensor]] = []
    own = net_of()
    training(net=own, watch=lambda _: last.append(weights(own))).go()
    assert same(weights(own), last[-1])


# ---------------------------------------------------------------------- averaged weights


def test_an_average_is_its_formula() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -4.0]))
    average = Average([weight], 0.5)
    mean, values = torch.tensor([1.0, -4.0]), []
    for step in range(1, 12):
        with torch.no_grad():
            weight.copy_(torch.tensor([float(step), step**2]))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12, ... 9/18, then 0.5
        mean = decay * mean + (1 - decay) * weight.detach()
        values.append(average.means[0].clone())
        torch.testing.assert_close(average.means[0], mean)
    assert average.steps == 11
    own = weight.detach().clone()
    average.swap()
    torch.testing.assert_close(weight.detach(), mean)
    average.swap()
    assert torch.equal(weight.detach(), own)


def test_no_decay_is_no_average() -> None:
    weight = nn.Parameter(torch.ones(2))
    average = Average([weight], 0.0)
    average.update()
    average.swap()
    assert average.means == []
    assert weight.tolist() == [1, 1]


@pytest.mark.parametrize("measured", [False, True])
def test_the_average_is_what_is_measured_and_kept_and_training_goes_on_without_it(measured: bool) -> None:
    script = Script([1, 2, 5, 3, 4])
    bare, own = net_of(), script.net
    after: list[dict[str, Tensor]] = []
    training(net=bare, watch=lambda _: after.append(weights(bare))).go()
    plan = Plan(epochs=5, learning_rate=0.05, average=0.9)
    means: list[list[Tensor]] = []
    raw: list[dict[str, Tensor]] = []

    def watch(_: Epoch) -> None:
        raw.append(weights(own))
        means.append([one.clone() for one in job.average.means])

    job = training(plan, script if measured else None, own, watch=watch)
    job.go()
    assert all(same(one, two) for one, two in zip(raw, after, strict=True))  # the path is the same
    kept = list(weights(own).values())
    assert all(torch.equal(one, two) for one, two in zip(kept, means[2 if measured else -1], strict=True))
    if measured:
        assert all(torch.equal(one, two) for one, two in zip(script.seen[0].values(), means[0], strict=True))


def test_averaging_calms_noisy_steps() -> None:
    """Each step pulls to another target around 0; the average is nearer to 0 than the weights themselves."""
    errors = {}
    for decay in (0.0, 0.995):
        own = nn.Linear(50, 1, bias=False)
        nn.init.zeros_(own.weight)

        def loss(_: Any, generator: np.random.Generator, own: nn.Linear = own) -> tuple[Tensor, int]:
            return (own.weight - torch.as_tensor(generator.normal(size=50), dtype=torch.float32)).square().sum(), 1

        plan = Plan(epochs=12, learning_rate=0.05, average=decay)
        Training(own, lambda _: list(range(50)), loss, None, plan, Run(threads=1)).go()
        errors[decay] = own.weight.detach().norm().item()
    assert errors[0.995] < 0.7 * errors[0.0]


# ---------------------------------------------------------------------- the learning rate


def test_schedules_by_hand() -> None:
    constant = Plan(epochs=10)
    assert [rate(constant, done) for done in (0, 3.5, 9.9)] == [1.0, 1.0, 1.0]
    rising = Plan(epochs=10, warmup=2.0)
    assert rate(rising, 0) == pytest.approx(0.0005)  # not quite nothing, so that the first step does something
    assert rate(rising, 1) == pytest.approx(0.5005)
    assert rate(rising, 2) == 1.0
    assert rate(rising, 7) == 1.0
    cosine = Plan(epochs=10, schedule="cosine")
    assert rate(cosine, 0) == pytest.approx(1.0)
    assert rate(cosine, 5) == pytest.approx(0.02 + 0.49)
    assert rate(cosine, 10) == pytest.approx(0.02)
    assert rate(cosine, 11) == pytest.approx(0.02)
    both = Plan(epochs=4, schedule="cosine", warmup=2.0)
    assert rate(both, 1) == pytest.approx(1.001 / 2 * (0.02 + 0.49 * (1 + math.cos(math.pi / 4))))


def test_steps_are_made_at_the_rate_of_their_time() -> None:
    plan, asked = Plan(epochs=3, learning_rate=0.4, schedule="cosine", warmup=1.0), []
    job = training(plan)
    step = job.optimizers.step
    job.optimizers.step = lambda one: (asked.append(one), step(one))[1]
    job.go()
    assert asked == pytest.approx([0.4 * rate(plan, place / STEPS) for place in range(3 * STEPS)])


# ---------------------------------------------------------------------- when it goes wrong


def bad_from(epoch: int, value: float, own: nn.Module) -> Callable[..., tuple[Tensor, int]]:
    """A loss that is spoilt from the third step of an epoch on."""
    calls = [0]

    def loss(batch: np.ndarray, _: np.random.Generator) -> tuple[Tensor, int]:
        calls[0] += 1
        found = error_of(own, batch)
        return (found * value if calls[0] > (epoch - 1) * LOSSES + 2 else found), len(batch)

    return loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_after_a_measurement_keeps_the_best_weights(value: float, caplog: pytest.LogCaptureFixture) -> None:
    script, told = Script([1, 3, 2]), list[Epoch]()
    job = training(Plan(epochs=20), script, script.net, bad_from(4, value, script.net), watch=told.append)
    with caplog.at_level(logging.WARNING):
        trained = job.go()
    assert trained.diverged
    assert trained.best_epoch == 2
    assert same(weights(script.net), script.seen[1])
    assert len(trained.epochs) == len(told) == 3
    (message,) = [one.getMessage() for one in caplog.records]
    for part in ("toy", f"step 3 of epoch 4 is {value}", "of epoch 2", "learning_rate"):
        assert part in message


def test_divergence_in_the_first_epoch_is_an_error() -> None:
    own = net_of()
    job = training(Plan(epochs=20), lambda: 1.0, own, bad_from(1, math.nan, own))
    said = r"toy diverged: the loss of step 3 of epoch 1 is nan, and no epoch before it was sound; .*smaller learning_"
    with pytest.raises(DataError, match=said):
        job.go()


@pytest.mark.parametrize("measure", [None, lambda: 1.0])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_divergence_before_a_measurement_keeps_the_last_sound_epoch(
    measure: Callable[[], float] | None, average: float, caplog: pytest.LogCaptureFixture
) -> None:
    right = net_of()
    training(Plan(epochs=3, learning_rate=0.05, average=average), net=right).go()
    own = net_of()
    plan = Plan(epochs=20, learning_rate=0.05, average=average, measure_every=5)
    trained = training(plan, measure, own, bad_from(4, math.nan, own)).go()
    assert same(weights(own), weights(right))
    assert not own.training
    assert (trained.diverged, trained.best_epoch, len(trained.epochs)) == (True, 0, 3)
    (message,) = [one.getMessage() for one in caplog.records]
    for part in ("step 3 of epoch 4 is nan", "the weights of epoch 3, the last sound one, are kept", "learning_rate"):
        assert part in message


OVERFLOWS = {
    1e39: "the weights after epoch {} are not finite",
    1e25: "is inf, before",
    1e6: "the loss after epoch {} is",
}
"""Learning rates, and what they do to a net in one step."""


def leaping(job: Training, epoch: int, rate: float) -> Training:
    """A training with an absurd learning rate in the last step of an epoch."""
    made, step = list[int](), job.optimizers.step

    def leap(learning_rate: float) -> None:
        made.append(1)
        step(rate if len(made) == epoch * STEPS else learning_rate)

    job.optimizers.step = leap  # type: ignore[method-assign]
    return job


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("rate", OVERFLOWS)
def test_what_the_last_step_of_an_epoch_spoils_is_neither_measured_nor_kept(
    rate: float, average: float, caplog: pytest.LogCaptureFixture
) -> None:
    script, told = Script([1, 2, 9]), list[Epoch]()
    plan = Plan(epochs=6, learning_rate=0.05, average=average)
    trained = leaping(training(plan, script, script.net, watch=told.append), 3, rate).go()
    assert OVERFLOWS[rate].format(3) in trained.stopped
    assert (trained.diverged, trained.best, trained.best_epoch) == (True, 2, 2)
    assert len(script.seen) == len(trained.epochs) == len(told) == 2
    assert same(weights(script.net), script.seen[1])
    assert "the best weights, of epoch 2, are kept" in caplog.text


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("rate", OVERFLOWS)
def test_what_the_last_step_of_an_epoch_spoils_is_not_kept_where_nothing_is_measured(
    rate: float, average: float
) -> None:
    plan, right, own = Plan(epochs=3, learning_rate=0.05, average=average), net_of(), net_of()
    training(replace(plan, epochs=2), net=right).go()
    trained = leaping(training(plan, net=own), 3, rate).go()  # no step comes after it that would notice
    assert (trained.diverged, len(trained.epochs)) == (True, 2)
    assert OVERFLOWS[rate].format(3) in trained.stopped
    assert same(weights(own), weights(right))


@pytest.mark.parametrize("measure", [None, lambda: 1.0])
@pytest.mark.parametrize("rate", OVERFLOWS)
def test_one_epoch_with_an_absurd_learning_rate_stops_with_the_reason(
    measure: Callable[[], float] | None, rate: float
) -> None:
    own = net_of()
    job = leaping(training(Plan(epochs=1, learning_rate=0.05), measure, own), 1, rate)
    with pytest.raises(DataError, match=r"toy diverged: the .* after epoch 1 (is|are) .*no epoch before it was sound"):
        job.go()


def test_one_copy_of_the_weights_is_held_at_most() -> None:
    """That of the last epoch until one is the best, and then that one, in the same memory."""
    places: list[tuple[set[int], set[int]]] = []

    def watch(_: Epoch) -> None:
        places.append(tuple({one.data_ptr() for one in kept.values()} for kept in (job.last_weights, job.best_weights)))

    job = training(Plan(epochs=5), Script([math.nan, math.nan, 1, 0.5]), watch=watch)
    job.measure.net = job.net
    job.measure.values.append(2)
    job.go()
    held = places[0][0]
    assert held
    assert places == [(held, set()), (held, set()), *[(set(), held)] * 3]


def test_a_last_epoch_is_held_no_second_time() -> None:
    job = training(Plan(epochs=1))
    job.go()
    assert job.last_weights == job.best_weights == {}


def test_a_bad_loss_makes_no_step() -> None:
    script = Script([1])
    job = training(Plan(epochs=20, learning_rate=0.05), script, script.net, bad_from(2, math.nan, script.net))
    job.go()
    assert all(one.isfinite().all() for one in weights(script.net).values())
    assert all(one.isfinite().all() for one in job.optimizers.state().values())


def test_an_error_of_a_measurement_leaves_the_weights_unaveraged() -> None:
    own = net_of()

    def measure() -> float:
        raise RuntimeError("on purpose")

    job = training(Plan(epochs=2, learning_rate=0.05, average=0.9), measure, own)
    bare = net_of()
    training(Plan(epochs=1, learning_rate=0.05), net=bare).go()
    with pytest.raises(RuntimeError, match="on purpose"):
        job.go()
    assert same(weights(own), weights(bare))


def test_nothing_to_learn_from_is_nothing_learnt() -> None:
    own = net_of()
    trained = Training(own, lambda _: [], lambda *_: (torch.zeros(()), 0), None, Plan(epochs=2), Run(threads=1)).go()
    assert same(weights(own), weights(net_of()))
    assert len(trained.epochs) == 2


def test_how_it_went_is_written_and_read(tmp_path: Path) -> None:
    epochs = [Epoch(1, 0.5, 0.4, 3.2, 100), Epoch(2, 1.0, 0.8, 2.9, 100, 0.25, 1.5)]
    one = Trained(epochs, 0.25, 2, "enough", False, "NDCG@10")
    for trained in (one, Trained()):
        trained.write(tmp_path / "training.json")
        assert Trained.read(tmp_path / "training.json") == trained
    older = one.to_dict()
    del older["metric"], older["epochs"][1]["wall_seconds"]
    assert Trained.of_dict(older) == Trained([epochs[0], replace(epochs[1], wall_seconds=0.0)], 0.25, 2, "enough")
    (tmp_path / "training.json").write_text('{"best": 1, "epochs": [{"no": 1}]}')
    with pytest.raises(DataError, match="damaged"):
        Trained.read(tmp_path / "training.json")


def test_a_loss_that_grows_without_end_stops_training_though_it_is_a_number() -> None:
    """The loss of every epoch is twice that of the one before."""
    net = nn.Linear(1, 1)
    epochs = []

    def loss(batch: Any, generator: np.random.Generator) -> tuple[Tensor, int]:
        return (net.weight**2).sum() * 0 + 10.0 * 2 ** len(epochs), 1

    def measure() -> float:
        epochs.append(len(epochs))
        return -float(len(epochs))

    training = Training(net, lambda generator: [0], loss, measure, Plan(epochs=9, patience=9), Run())
    trained = training.go()
    assert trained.diverged
    assert trained.stopped == "the loss of epoch 3 is 40, at first it was 10"
    assert trained.best_epoch == 1
