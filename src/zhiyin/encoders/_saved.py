"""The saved form of an encoder: what it is, its settings, and what it learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin._version import __version__
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.encoders.base import Encoder

FORMAT = 1
HEADER, ARRAYS, TEXTS = "config.json", "arrays.safetensors", "texts.json"


def save(encoder: Encoder, path: str | Path, overwrite: bool = False) -> Path:
    """Write an encoder to a folder, whole or not at all."""
    learnt = {name: getattr(encoder, name) for name in encoder.learns}
    texts = {name: value for name, value in learnt.items() if isinstance(value, list)}
    header = {
        "format": FORMAT,
        "zhiyin": __version__,
        "room": "encoders",
        "component": encoder.name,
        "config": encoder.config.model_dump(mode="json"),
    }
    with new_folder(path, overwrite) as folder:
        (folder / HEADER).write_text(to_json(header), encoding="utf-8")
        save_arrays(folder / ARRAYS, {name: value for name, value in learnt.items() if name not in texts})
        (folder / TEXTS).write_text(to_json(texts), encoding="utf-8")
        encoder._write(folder)
    return Path(path)


def load(path: str | Path) -> Encoder:
    """Open a saved encoder, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin import encoders

    folder = Path(path)
    header = _header(folder)
    try:
        encoder: Encoder = encoders.get(header["component"])(**header["config"])
    except (ConfigError, KeyError, TypeError) as error:
        raise DataError(f"{folder / HEADER} asks for what this version does not have: {error}") from error
    found: dict[str, Any] = {**load_arrays(folder / ARRAYS), **read_json(folder / TEXTS)}
    if found.keys() != set(encoder.learns):
        came, wanted = ", ".join(sorted(found)) or "nothing", ", ".join(sorted(encoder.learns)) or "nothing"
        raise DataError(f"{folder} is damaged: it holds {came}, {encoder.name} learns {wanted}; save the encoder anew")
    for name, value in found.items():
        setattr(encoder, name, value)
    encoder._read(folder)
    return encoder


def _header(folder: Path) -> dict[str, Any]:
    if not (folder / HEADER).is_file():
        raise DataError(f"{folder} is not a saved encoder (no {HEADER}); make one with encoder.save(folder)")
    content = read_json(folder / HEADER)
    room, came = (content.get("room"), content.get("format")) if isinstance(content, dict) else (None, None)
    if room != "encoders" or came != FORMAT:
        raise DataError(f"{folder} holds {room!r} in format {came!r}, no encoder for this version")
    return dict(content)
