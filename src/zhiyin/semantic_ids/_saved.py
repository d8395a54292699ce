"""The saved form of a codebook: what it is, its settings, and what it learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin._version import __version__
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.semantic_ids.base import Codebook

FORMAT = 1
HEADER, ARRAYS = "config.json", "arrays.safetensors"


def save(codebook: Codebook, path: str | Path, overwrite: bool = False) -> Path:
    """Write a codebook to a folder, whole or not at all."""
    header = {
        "format": FORMAT,
        "zhiyin": __version__,
        "room": "semantic_ids",
        "component": codebook.name,
        "config": codebook.config.model_dump(mode="json"),
    }
    with new_folder(path, overwrite) as folder:
        (folder / HEADER).write_text(to_json(header), encoding="utf-8")
        save_arrays(folder / ARRAYS, {name: getattr(codebook, name) for name in codebook.learnt})
    return Path(path)


def load(path: str | Path) -> Codebook:
    """Open a saved codebook, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin import semantic_ids

    folder = Path(path)
    header = _header(folder)
    try:
        codebook: Codebook = semantic_ids.get(header["component"])(**header["config"])
    except (ConfigError, KeyError, TypeError) as error:
        raise DataError(f"{folder / HEADER} asks for what this version does not have: {error}") from error
    found = load_arrays(folder / ARRAYS)
    if found.keys() != set(codebook.learnt):
        came, wanted = ", ".join(sorted(found)) or "nothing", ", ".join(sorted(codebook.learnt))
        raise DataError(f"{folder} is damaged: it holds {came}, {codebook.name} learns {wanted}; save it anew")
    for name, value in found.items():
        setattr(codebook, name, value)
    return codebook


def _header(folder: Path) -> dict[str, Any]:
    if not (folder / HEADER).is_file():
        raise DataError(f"{folder} is not a saved codebook (no {HEADER}); make one with codebook.save(folder)")
    content = read_json(folder / HEADER)
    room, came = (content.get("room"), content.get("format")) if isinstance(content, dict) else (None, None)
    if room != "semantic_ids" or came != FORMAT:
        raise DataError(f"{folder} holds {room!r} in format {came!r}, no codebook for this version")
    return dict(content)
