"""How sequence models are trained: what is measured, what an absurd step leaves, clipping, compiling."""

import logging
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zhiyin
from zhiyin import models
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.metrics import NDCG
from zhiyin.models._measuring import measure
from zhiyin.models._sequences import SequenceRecommender
from zhiyin.models.hstu import HSTU
from zhiyin.models.sasrec import SASRec
from zhiyin.models.zhiyin import Zhiyin
from zhiyin.run import Run
from zhiyin.splitting import LeaveLastOut
from zhiyin.splitting.base import Cases, Split
from zhiyin.testing.worlds import tastes

ALL = ("bert4rec", "gpt4rec", "gru4rec", "hstu", "sasrec", "transformer", "transformer_xl", "zhiyin")
ONE = Run(seed=1, threads=1)


def small(model: type = SASRec, **options: object) -> SequenceRecommender:
    return model(**{"embedding_size": 16, "max_length": 12, "epochs": 3, "learning_rate": 0.01, **options})


def of_lists(lists: list[list[int]], n_items: int) -> Dataset:
    return Dataset.of(Histories.of_lists(lists), [f"i{item}" for item in range(n_items)])


@pytest.fixture(scope="module")
def split() -> Split:
    return LeaveLastOut().split(tastes())


def test_all_sequence_models_are_here() -> None:
    found = {name for name in models.available() if issubclass(models.get(name), SequenceRecommender)}
    assert found == {*ALL, "tiger"}  # which needs items enough to have codes, see test_tiger.py


# ---------------------------------------------------------------------- small catalogues


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce", "gbce"])
@pytest.mark.parametrize("name", ALL)
def test_a_catalogue_of_one_item(name: str, loss: str) -> None:
    own = {"embedding_size": 8, "max_length": 4, "epochs": 1, "loss": loss}
    for negatives in ("uniform", "in_batch"):
        model = models.get(name)(**own, negatives=negatives).fit(of_lists([[0, 0, 0], [0, 0]], 1), run=ONE)
        assert np.isfinite(model.item_vectors).all()
        found = model.recommend(Query.of(["i0"]), k=1, exclude_seen=False, fill=False)
        assert found.ids() == ["i0"]
        assert np.isfinite(found.scores).all()


# ---------------------------------------------------------------------- what is measured


def filled(model: SequenceRecommender, cases: Cases) -> float:
    """NDCG@10 as `evaluate` says it, of lists that are filled up."""
    found = model.recommend(cases.queries, 10)
    ids, wanted = model.vocabulary.ids.to_pylist(), cases.targets
    return NDCG(k=10)(found.items.tolist(), [wanted.of(row).tolist() for row in range(len(cases))]) if ids else 0.0


def test_what_a_net_does_not_say_counts_nothing_and_changes_no_choice(split: Split) -> None:
    """Strangers have the same filled list in each epoch: measured without it, epochs differ as they do with it."""
    cases = split.validation
    histories = cases.queries.histories
    strangers = np.arange(len(cases)) < 20
    cold = Cases(replace(cases.queries, histories=histories.keep(~strangers[histories.owner()])), cases.targets)
    gaps, values = [], []
    for epochs in (1, 4):
        model = small(epochs=epochs).fit(split.train, run=ONE)
        values.append(measure(model, cold, ONE)())
        gaps.append(filled(model, cold) - values[-1])
        assert measure(model, cases, ONE)() == pytest.approx(filled(model, cases)), "no list is short"
    assert values[0] != values[1]
    assert gaps[0] == pytest.approx(gaps[1])
    assert gaps[0] > 0


def test_a_net_that_says_nothing_is_worth_nothing(split: Split) -> None:
    model = small(epochs=1).fit(split.train, run=ONE)
    with torch.no_grad():
        for one in model.net.parameters():
            one.fill_(torch.nan)
    assert measure(model, split.validation, ONE)() == 0
    model._settle()
    assert filled(model, split.validation) > 0, "popularity would have made something of it"


def test_a_model_that_predicts_repeats_is_measured_with_them() -> None:
    """Items take turns, so that what comes next is in the history already."""
    world = of_lists([np.roll(np.tile(np.arange(5), 2), turn).tolist() for turn in range(5)] * 10, 6)
    cut = LeaveLastOut().split(world)
    options = {"average": 0.0, "dropout": 0.0, "batch_size": 64}
    predicting = small(repeats="predict", epochs=12, **options).fit(cut.train, cut.validation, ONE)
    assert predicting.trained.best > 0.9
    assert predicting.trained.metric == "NDCG@6"
    asked = predicting.recommend(cut.validation.queries, 1, exclude_seen=False)
    assert (asked.items[:, 0] == cut.validation.targets.item).all()
    allowing = small(repeats="allow", epochs=2, **options).fit(cut.train, cut.validation, ONE)
    assert [one.measured for one in allowing.trained.epochs] == [0.0] * 2, "nothing that was seen is listed"


# ---------------------------------------------------------------------- steps that spoil a net


ABSURD = {1e3: "the loss after epoch 1 is", 1e20: "the loss after epoch 1 is nan", 1e38: "epoch 1 are not finite"}


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("learning_rate", ABSURD)
def test_one_epoch_with_an_absurd_learning_rate_stops_with_the_reason(learning_rate: float, measured: bool) -> None:
    cut = LeaveLastOut().split(tastes(n_users=10, n_items=20))
    options = {"epochs": 1, "warmup": 0, "schedule": "constant", "average": 0.0}  # an epoch is one step
    model = small(learning_rate=learning_rate, **options)
    with pytest.raises(DataError, match=f"sasrec diverged: .*{ABSURD[learning_rate]}.*no epoch before it was sound"):
        model.fit(cut.train, cut.validation if measured else None, ONE)
    assert model.items is None


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("average", [0.0, 0.998])
def test_a_net_that_its_last_step_spoils_is_not_what_is_kept(
    measured: bool, average: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cut = LeaveLastOut().split(tastes(n_users=20, n_items=20))
    validation = cut.validation if measured else None
    options = {"epochs": 4, "schedule": "constant", "warmup": 0, "average": average}
    with monkeypatch.context() as patch:
        right = small(**{**options, "epochs": 3}).fit(cut.train, validation, ONE)
        assert right.trained.epochs[0].events < 256, "an epoch is one step"
        patch.setattr("zhiyin.nn.training.rate", lambda plan, done: 1e25 if done >= 3 else 1.0)
        model = small(**options).fit(cut.train, validation, ONE)
    assert model.trained.diverged
    assert "after epoch 4" in model.trained.stopped
    assert "are kept; try a smaller learning_rate" in caplog.text
    assert len(model.trained.epochs) == 3
    np.testing.assert_array_equal(model.item_vectors, right.item_vectors)
    assert (
        model.recommend(Query.of(["i0001"]), k=3, fill=False).ids() == right.recommend(Query.of(["i0001"]), k=3).ids()
    )


# ---------------------------------------------------------------------- clipping


def test_a_plan_says_what_the_settings_say() -> None:
    model = small(clip=0.5, patience=3, measure_every=2, warmup=0.5, regularization=0.1, average=0.9)
    plan = asdict(model._plan())
    assert plan == {name: getattr(model.config, name) for name in plan}
    assert (small()._plan().clip, small(clip=None)._plan().clip, small(clip="none")._plan().clip) == (1.0, None, None)
    with pytest.raises(ConfigError, match="clip"):
        small(clip=0)


def test_gradients_are_clipped_at_the_length_of_the_settings(split: Split) -> None:
    first, usual, given, less, free, tight = (
        small(epochs=1, average=0.0, **options).fit(split.train, run=ONE).item_vectors
        for options in ({"learning_rate": 1e-9}, {}, {"clip": 1.0}, {"clip": 0.1}, {"clip": None}, {"clip": 1e-9})
    )
    np.testing.assert_array_equal(usual, given)
    assert not np.array_equal(less, free)
    moved = [float(np.abs(one - first).max()) for one in (free, tight)]
    assert moved[1] < 0.2 * moved[0]  # what is cut to less than Adam's epsilon hardly moves


# ---------------------------------------------------------------------- compiling


@pytest.fixture
def eagerly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch traces what it is to compile, with its guards, and then runs it as it is: it takes no C++ compiler."""
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend="eager"))
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch hides it, not from us
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("model", [SASRec, HSTU, Zhiyin])
def test_a_net_that_is_traced_learns_the_same(model: type, split: Split) -> None:
    plain, traced = (
        small(model, epochs=2, n_layers=2).fit(split.train, split.validation, replace(ONE, compile=one))
        for one in (False, True)
    )
    np.testing.assert_array_equal(traced.item_vectors, plain.item_vectors)
    assert [one.measured for one in traced.trained.epochs] == [one.measured for one in plain.trained.epochs]


def test_epochs_are_told_in_the_log(split: Split, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "zhiyin.nn.telling"):
        model = small(epochs=2).fit(split.train, split.validation, ONE)
    lines = [one.getMessage() for one in caplog.records]
    for line, one in zip(lines, model.trained.epochs, strict=True):
        assert line.startswith(f"sasrec: epoch {one.epoch} of 2: ")
        assert f"loss {one.loss:.3f}, NDCG@10 {one.measured:.4f} (best " in line


def test_the_guide_says_rightly_how_to_log_epochs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines on TensorBoard and MLflow, with stand-ins for both."""
    told: list[Any] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            told.append(folder)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, step))

        def flush(self) -> None:
            pass

    board, flow = types.ModuleType("torch.utils.tensorboard"), types.ModuleType("mlflow")
    board.SummaryWriter = SummaryWriter
    flow.set_tracking_uri, flow.log_metrics = told.append, lambda values, step: told.append((sorted(values), step))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    monkeypatch.setitem(sys.modules, "mlflow", flow)
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "sequence-models.md").read_text(encoding="utf-8")
    lines = guide.partition("can be the ones who watch:\n")[2].partition("\nAt the prompt")[0]
    cut = LeaveLastOut().split(tastes(n_users=10, n_items=20))
    exec(textwrap.dedent(lines), {"zhiyin": zhiyin, "model": small(epochs=1), "split": cut})
    names = ["loss", "seconds", "events", "validation"]
    assert told == [
        "logs/sasrec",
        *((name, 1) for name in names),
        "http://localhost:5000",
        (sorted(names), 1),
    ]
