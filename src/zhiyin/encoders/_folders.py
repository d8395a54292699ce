"""Where the weights of a pretrained encoder are: a folder, a package that carries them, or the hub's cache on the disk.

Weights are read from safetensors alone: the older files of torch are pickles, which run whatever they hold.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zhiyin.errors import DataError, MissingExtra

CONFIG = "config.json"
SAFE = "*.safetensors"
SEEN_BY_VECTORS = (SAFE, "*.json", "*.txt", "*.model")
"""The files of a model on which its vectors depend."""
WANTED = (SAFE, "*.json", "*.txt", "*.model")
"""The files of a model that are fetched from the hub."""


def folder_of(model: str, name: str, carried: Mapping[str, str], extra: str) -> Path:
    """The folder of a model that is given as a folder, or by the name that the hub knows.

    Args:
        model: what the user said.
        name: of the encoder, for people.
        carried: model -> the module of a package that carries it.
        extra: the extra that installs these packages.

    Raises:
        DataError: the folder holds no model, or only pickled weights; or the model is not to be had.
        MissingExtra: a package that carries the model is not installed.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return _checked(path, name)
    if path.is_file():
        raise DataError(f"{name} reads a model's folder, but {model} is a file; name the folder in which {CONFIG} lies")
    if module := carried.get(model.rpartition("/")[2]):
        return _checked(_carried(module, name, extra), name)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise DataError(f"{name}: there is no folder {model}; name one that holds {CONFIG}, or a model by its name")
    return _checked(_fetched(model, name, carried, extra), name)


def weights_hash(folder: Path) -> str:
    """A hash of all files in a model's folder that its vectors depend on."""
    total = hashlib.blake2b(digest_size=16)
    files = sorted({file for pattern in SEEN_BY_VECTORS for file in folder.rglob(pattern)})
    for file in files:
        total.update(f"{file.relative_to(folder)} ".encode())
        total.update(_digest(file))
    return total.hexdigest()


def file_hash(file: Path) -> str:
    """A hash of what a file holds."""
    return _digest(file)[:16].hex()


def _digest(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").digest()


def _carried(module: str, name: str, extra: str) -> Path:
    try:
        package: Any = importlib.import_module(module)
    except ImportError:
        raise MissingExtra(extra, module.replace("_", "-"), f"the encoder {name}") from None
    return Path(package.get_model_path())


def _fetched(model: str, name: str, carried: Mapping[str, str], extra: str) -> Path:
    """The folder of a model in the hub's cache, where it is put if the hub answers."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingExtra(extra, "huggingface-hub", f"the encoder {name}") from None
    try:
        return Path(snapshot_download(model, local_files_only=True))
    except Exception:  # it is not there yet, for whichever reason of the hub's library
        pass
    try:
        return Path(snapshot_download(model, allow_patterns=list(WANTED), etag_timeout=8))
    except (OSError, ValueError, HfHubHTTPError) as error:
        first = str(error).strip().splitlines()[0]
        packed = "".join(f'{known!r} (pip install "zhiyin[{extra}]"), ' for known in carried)
        raise DataError(
            f"{name}: the model {model!r} is not on this disk and could not be fetched ({first}); without the internet "
            f"take {packed}the encoder 'multilingual', or a folder that you copied here"
        ) from error


def _checked(folder: Path, name: str) -> Path:
    """The folder, if it is of a model with weights that are safe to read."""
    if not (folder / CONFIG).is_file() and not (folder / "modules.json").is_file():
        held = ", ".join(sorted(one.name for one in folder.iterdir())[:5]) or "nothing"
        raise DataError(f"{name}: {folder} is no folder of a model: {CONFIG} is missing (it holds {held})")
    if not any(folder.rglob(SAFE)):
        pickled = [one.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for one in folder.rglob(pattern)]
        what = f"only {pickled[0]}, which can run code when it is read" if pickled else "no weights"
        raise DataError(
            f"{name}: {folder} holds {what}; weights are read from safetensors alone: save the model anew with "
            "save_pretrained(folder), on a machine on which you trust it"
        )
    return folder
