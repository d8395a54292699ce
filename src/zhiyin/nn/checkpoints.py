"""Checkpoints: a training as it is between two epochs, in a folder that is whole or not there.

It stays when the training is over: the same fit once more takes the best weights from it and returns at once. Where
several processes train together, the first one alone reads and writes it, so that the others need not see its disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zhiyin.arrays import AnyArray
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.nn.training import Training

MARK = "checkpoint.json"
WEIGHTS = "weights.safetensors"


def check_place(path: Path) -> None:
    """See that a checkpoint can be written there, before an epoch is spent.

    Raises:
        DataError: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent):
            pass
    except OSError as error:
        raise DataError(f"cannot keep a checkpoint in {path}: {error.strerror}; name another folder") from error


def keep(training: Training, path: Path) -> None:
    """Write the training as it is now, in place of what was written before."""
    parts: dict[str, Mapping[str, Tensor]] = {
        "net": training.net.state_dict(),
        "best": training.best_weights,
        "optimizer": training.optimizers.state(),
        "mean": {str(place): one for place, one in enumerate(training.average.means)},
    }
    flat = {
        f"{part}/{name}": one.detach().cpu().numpy() for part, named in parts.items() for name, one in named.items()
    }
    with new_folder(path, overwrite=True, mark=MARK) as folder:
        save_arrays(folder / WEIGHTS, flat)
        content = {
            "purpose": training.purpose,
            "arrays": sorted(flat),
            "steps": training.average.steps,
            **training.trained.to_dict(),
        }
        (folder / MARK).write_text(to_json(content), encoding="utf-8")


def take_up(training: Training, path: Path) -> None:
    """Set a training to where a checkpoint of it stood.

    Raises:
        DataError: the folder holds no checkpoint, or a damaged one.
        ConfigError: it is of other settings, other data or another seed.
    """
    flat: dict[str, AnyArray] = {}

    def read() -> dict[str, Any]:
        content = _content(training.purpose, path)
        flat.update(load_arrays(path / WEIGHTS))
        return {"content": content, "arrays": {name: [str(one.dtype), one.shape] for name, one in flat.items()}}

    found = training.world.first(read)
    if training.world.rank:
        flat = {name: np.empty(shape, dtype) for name, (dtype, shape) in found["arrays"].items()}
    tensors = {name: torch.from_numpy(flat[name]).to(training.world.device) for name in found["arrays"]}
    training.world.same(tensors.values())
    try:
        _set(training, found["content"], tensors)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it to train from the beginning") from error


def _content(purpose: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What the mark of a checkpoint says, if it is of this purpose."""
    if not (path / MARK).is_file():
        raise DataError(f"{path} holds no checkpoint ({MARK}); name another folder, or one that is not there yet")
    content = read_json(path / MARK)
    if not isinstance(content, dict) or not isinstance(content.get("purpose"), dict):
        raise DataError(f"{path / MARK} is damaged: it does not say what it is of; remove {path} to train anew")
    _check(purpose, content["purpose"], path)
    return content


def _set(training: Training, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    from zhiyin.nn.training import Trained

    parts: dict[str, dict[str, Tensor]] = {"net": {}, "best": {}, "optimizer": {}, "mean": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts[part][name] = tensor
    if sorted(tensors) != content["arrays"]:
        raise ValueError("its arrays are not those that were written")
    shapes = [{name: one.shape for name, one in parts[part].items()} for part in ("net", "best")]
    if shapes[1] and shapes[0] != shapes[1]:
        raise ValueError("its best weights are of another net")
    training.net.load_state_dict(parts["net"])
    training.optimizers.restore(parts["optimizer"])
    for place, one in enumerate(training.average.means):
        one.copy_(parts["mean"][str(place)])
    training.average.steps = content["steps"]
    training.best_weights = parts["best"]
    training.trained = Trained.of_dict({"metric": training.trained.metric, **content})


def _check(wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    own, other = _flat(wanted), _flat(found)
    unlike = [name for name in own | other if to_json(own.get(name)) != to_json(other.get(name))]
    if unlike:
        came = ", ".join(f"{name} = {other.get(name)!r}" for name in unlike)
        here = ", ".join(f"{own.get(name)!r}" for name in unlike)
        raise ConfigError(
            f"{path} is a checkpoint with {came}, this training has {here}; name another folder, or go on with the "
            "same settings, data and seed"
        )


def _flat(purpose: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by names of their own, so that only those that differ need to be said."""
    settings = purpose.get("settings")
    return {**purpose, "settings": None, **settings} if isinstance(settings, dict) else dict(purpose)
