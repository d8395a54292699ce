import sys
import types

import pytest

from zhiyin.errors import ConfigError, MissingExtra
from zhiyin.nn.training import Epoch
from zhiyin.nn.watching import mlflow, numbers, tensorboard, watch_of


def epoch(measured: float | None = 0.5) -> Epoch:
    return Epoch(3, 12.0, 20.0, 1.25, 100, measured)


def test_an_epoch_in_numbers() -> None:
    assert numbers(epoch()) == {"loss": 1.25, "seconds": 12.0, "events": 100.0, "validation": 0.5}
    assert "validation" not in numbers(epoch(None))


def test_mlflow_is_told_each_epoch(monkeypatch) -> None:
    told = []
    module = types.ModuleType("mlflow")
    module.log_metrics = lambda values, step: told.append((values, step))
    module.set_tracking_uri = told.append
    monkeypatch.setitem(sys.modules, "mlflow", module)
    mlflow()(epoch())
    assert told == [(numbers(epoch()), 3)]
    mlflow("http://here:5000")(epoch())
    assert told[1:] == ["http://here:5000", (numbers(epoch()), 3)]


def test_tensorboard_is_told_each_epoch(monkeypatch, tmp_path) -> None:
    told = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            told.append(folder)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def flush(self) -> None:
            told.append("flushed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    tensorboard(tmp_path)(epoch())
    assert told == [str(tmp_path), *((name, value, 3) for name, value in numbers(epoch()).items()), "flushed"]


@pytest.mark.parametrize(("watch", "module"), [(mlflow, "mlflow"), (tensorboard, "torch.utils.tensorboard")])
def test_what_is_not_installed_says_how_to_have_it(watch, module, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match="pip install"):
        watch() if watch is mlflow else watch("logs")


def test_who_watches_may_be_said_in_words(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr("zhiyin.nn.watching.tensorboard", lambda folder: asked.append(("tensorboard", folder)))
    monkeypatch.setattr("zhiyin.nn.watching.mlflow", lambda address: asked.append(("mlflow", address)))
    for text in ("tensorboard:logs/one", "mlflow:http://here:5000", "mlflow"):
        watch_of(text)
    assert asked == [("tensorboard", "logs/one"), ("mlflow", "http://here:5000"), ("mlflow", None)]
    for text in ("tensorboard", "tensorboard:", "wandb:x", ""):
        with pytest.raises(ConfigError, match="write tensorboard:FOLDER, mlflow:ADDRESS or mlflow"):
            watch_of(text)
