"""Watching: what is known of each epoch, handed on to TensorBoard or MLflow.

model.fit(split.train, split.validation, Run(watch=tensorboard("logs")))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from zhiyin.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from zhiyin.nn.training import Epoch

Watch: TypeAlias = "Callable[[Epoch], None]"


def numbers(epoch: Epoch) -> dict[str, float]:
    """What there is to draw of an epoch, by name."""
    found = {"loss": epoch.loss, "seconds": epoch.seconds, "events": float(epoch.events)}
    return found if epoch.measured is None else {**found, "validation": epoch.measured}


def tensorboard(folder: str | Path) -> Watch:
    """Write each epoch to a folder of TensorBoard.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtra("tensorboard", "tensorboard", "watching a training in TensorBoard") from None
    writer = SummaryWriter(str(folder))

    def watch(epoch: Epoch) -> None:
        for name, value in numbers(epoch).items():
            writer.add_scalar(name, value, epoch.epoch)
        writer.flush()

    return watch


def mlflow(address: str | None = None) -> Watch:
    """Log each epoch to the run of MLflow that is active, or to a new one, where MLflow is told to or at an address.

    Raises:
        MissingExtra: MLflow is not installed.
    """
    try:
        import mlflow as library
    except ImportError:
        raise MissingExtra("mlflow", "mlflow", "watching a training in MLflow") from None

    if address:
        library.set_tracking_uri(address)

    def watch(epoch: Epoch) -> None:
        library.log_metrics(numbers(epoch), step=epoch.epoch)

    return watch


def watch_of(text: str) -> Watch:
    """Who watches, as text: `tensorboard:FOLDER`, `mlflow:ADDRESS`, or `mlflow` for where MLflow is told to log.

    Raises:
        ConfigError: the text names nobody.
        MissingExtra: what it names is not installed.
    """
    kind, _, place = text.partition(":")
    if kind == "tensorboard" and place:
        return tensorboard(place)
    if kind == "mlflow":
        return mlflow(place or None)
    raise ConfigError(f"{text!r} came; to log epochs, write tensorboard:FOLDER, mlflow:ADDRESS or mlflow")
