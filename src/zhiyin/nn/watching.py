"""Watching: what is known of each epoch, handed on to TensorBoard or MLflow.

model.fit(split.train, split.validation, Run(watch=tensorboard("logs")))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from zhiyin.errors import MissingExtra

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


def mlflow() -> Watch:
    """Log each epoch to the run of MLflow that is active, or to a new one.

    Raises:
        MissingExtra: MLflow is not installed.
    """
    try:
        import mlflow as library
    except ImportError:
        raise MissingExtra("mlflow", "mlflow", "watching a training in MLflow") from None

    def watch(epoch: Epoch) -> None:
        library.log_metrics(numbers(epoch), step=epoch.epoch)

    return watch
