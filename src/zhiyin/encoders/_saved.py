"""The saved form of an encoder: what it is, its settings, and what it learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin._components import component_in, write_header
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.encoders.base import Encoder

FORMAT = 1
ARRAYS, TEXTS = "arrays.safetensors", "texts.json"


def save(encoder: Encoder, path: str | Path, overwrite: bool = False) -> Path:
    """Write an encoder to a folder, whole or not at all."""
    learnt = {name: getattr(encoder, name) for name in encoder.learns}
    texts = {name: value for name, value in learnt.items() if isinstance(value, list)}
    with new_folder(path, overwrite) as folder:
        write_header(encoder, folder, FORMAT)
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
    encoder: Encoder = component_in(folder, "encoders", "encoder", FORMAT, encoders.get)
    found: dict[str, Any] = {**load_arrays(folder / ARRAYS), **read_json(folder / TEXTS)}
    if found.keys() != set(encoder.learns):
        came, wanted = ", ".join(sorted(found)) or "nothing", ", ".join(sorted(encoder.learns)) or "nothing"
        raise DataError(f"{folder} is damaged: it holds {came}, {encoder.name} learns {wanted}; save the encoder anew")
    for name, value in found.items():
        setattr(encoder, name, value)
    encoder._read(folder)
    return encoder
