"""Where the weights of a pretrained encoder are: a folder, a package that carries them, or the hub's cache on the disk.

Weights are read from safetensors alone: the older files of torch are pickles, which run whatever they hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zhiyin.artifacts import read_json
from zhiyin.errors import DataError, MissingExtra

CONFIG, MODULES, ROUTES = "config.json", "modules.json", "router_config.json"
SAFE = "*.safetensors"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SEEN_BY_VECTORS = (SAFE, *PICKLED, "*.json", "*.txt", "*.model")
"""The files of a model on which its vectors depend, or might: what is pickled is not read, but its change is seen."""
WANTED = (SAFE, "*.json", "*.txt", "*.model")
"""The files of a model that are fetched from the hub."""
INSTEAD = "the encoder 'multilingual'"
"""What there is without the internet."""


def folder_of(model: str, name: str, carried: Mapping[str, str], extra: str, instead: str = INSTEAD) -> Path:
    """The folder of a model that is given as a folder, or by the name that the hub knows.

    Args:
        model: what the user said.
        name: of the encoder, for people.
        carried: model -> the module of a package that carries it.
        extra: the extra that installs these packages.
        instead: what to take where the model is not to be had.

    Raises:
        DataError: the folder holds no model, or pickled weights of a module alone; or the model is not to be had.
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
    packed = "".join(f'{known!r} (pip install "zhiyin[{extra}]"), ' for known in carried)
    return _checked(_fetched(model, name, extra, packed + instead), name)


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


def _fetched(model: str, name: str, extra: str, instead: str) -> Path:
    """The folder of a model in the hub's cache, where what is missing of it is put if the hub answers."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingExtra(extra, "huggingface-hub", f"the encoder {name}") from None
    held: Path | None = None
    with contextlib.suppress(Exception):  # it is not there yet, for whichever reason of the hub's library
        held = Path(snapshot_download(model, local_files_only=True))
    if held is not None and _is_whole(held):
        return held
    try:
        return Path(snapshot_download(model, allow_patterns=list(WANTED), etag_timeout=8))
    except (OSError, ValueError, HfHubHTTPError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = "is not on this disk" if held is None else f"is on this disk without all of its weights ({held})"
        raise DataError(
            f"{name}: the model {model!r} {what} and could not be fetched ({first}); without the internet "
            f"take {instead}, or a folder that you copied here"
        ) from error


def _checked(folder: Path, name: str) -> Path:
    """The folder, if it is of a model with weights that are safe to read."""
    if not (folder / CONFIG).is_file() and not (folder / MODULES).is_file():
        held = ", ".join(sorted(one.name for one in folder.iterdir())[:5]) or "nothing"
        raise DataError(f"{name}: {folder} is no folder of a model: {CONFIG} is missing (it holds {held})")
    found = next((one for one in map(_pickled, _read_folders(folder)) if one is not None), None)
    if found is None and any(folder.rglob(SAFE)):
        return folder
    if found is None:
        found = next((one for pattern in PICKLED for one in folder.rglob(pattern)), None)
    what = "no weights" if found is None else f"only {found.name}, which can run code when it is read"
    raise DataError(
        f"{name}: {folder if found is None else found.parent} holds {what}; weights are read from safetensors alone: "
        "save the whole model anew with save_pretrained(folder), on a machine on which you trust it"
    )


def _read_folders(folder: Path) -> list[Path]:
    """The folders from which the library of a model reads weights: itself, or those of its modules."""
    if not (folder / MODULES).is_file():
        return [folder]
    told = read_json(folder / MODULES)
    modules = [folder / str(one.get("path", "")) for one in told if isinstance(one, dict)]
    routes = [one for module in modules if (module / ROUTES).is_file() for one in module.rglob("*")]
    return [one for one in (*modules, *routes) if one.is_dir()]


def _pickled(folder: Path) -> Path | None:
    """A pickle that would be read for want of a safe file beside it."""
    if any(folder.glob(SAFE)):
        return None
    return next((one for pattern in PICKLED for one in sorted(folder.glob(pattern))), None)


def _is_whole(folder: Path) -> bool:
    """Whether no weights are missing, as far as the folder tells."""
    shards = [set(read_json(one).get("weight_map", {}).values()) for one in folder.glob("*.safetensors.index.json")]
    return any(folder.rglob(SAFE)) and all((folder / str(shard)).is_file() for shard in set().union(*shards))
