"""Checkpoints: a training as it is between two epochs, in a folder that is whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.nn.training import Training

MARK = "checkpoint.json"


def keep(training: Training, path: Path) -> None:
    """Write the training as it is now, in place of what was written before."""
    trained = training.trained
    parts: dict[str, Mapping[str, Tensor]] = {
        "net": training.net.state_dict(),
        "best": training.best_weights,
        "optimizer": training.optimizers.state(),
        "mean": {str(place): one for place, one in enumerate(training.average.means)},
    }
    flat = {f"{part}/{name}": one.detach().numpy() for part, named in parts.items() for name, one in named.items()}
    with new_folder(path, overwrite=True, mark=MARK) as folder:
        save_arrays(folder / "weights.safetensors", flat)
        content = {
            "purpose": training.purpose,
            "steps": training.average.steps,
            "best": trained.best if trained.best_epoch else None,
            "best_epoch": trained.best_epoch,
            "stopped": trained.stopped,
            "epochs": [asdict(one) for one in trained.epochs],
        }
        (folder / MARK).write_text(to_json(content), encoding="utf-8")


def take_up(training: Training, path: Path) -> None:
    """Set a training to where a checkpoint of it stood.

    Raises:
        DataError: the folder holds no checkpoint, or a damaged one.
        ConfigError: it is of other settings, other data or another seed.
    """
    from zhiyin.nn.training import Epoch

    if not (path / MARK).is_file():
        raise DataError(f"{path} holds no checkpoint ({MARK}); name another folder, or one that is not there yet")
    content = read_json(path / MARK)
    _check(training.purpose, content.get("purpose", {}), path)
    parts: dict[str, dict[str, Tensor]] = {"net": {}, "best": {}, "optimizer": {}, "mean": {}}
    for key, array in load_arrays(path / "weights.safetensors").items():
        part, _, name = key.partition("/")
        parts[part][name] = torch.from_numpy(array)
    try:
        training.net.load_state_dict(parts["net"])
        training.optimizers.restore(parts["optimizer"])
        for place, one in enumerate(training.average.means):
            one.copy_(parts["mean"][str(place)])
        training.average.steps = content["steps"]
        training.best_weights = parts["best"]
        trained = training.trained
        trained.best_epoch, trained.stopped = content["best_epoch"], content["stopped"]
        trained.best = -torch.inf if content["best"] is None else content["best"]
        trained.epochs = [Epoch(**one) for one in content["epochs"]]
    except (KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it to train from the beginning") from error


def _check(wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    for name in wanted:
        came = found.get(name)
        if to_json(came) != to_json(wanted[name]):
            raise ConfigError(
                f"{path} is a checkpoint with {name} = {came!r}, this training has {wanted[name]!r}; name another "
                "folder, or go on with the same settings, data and seed"
            )
