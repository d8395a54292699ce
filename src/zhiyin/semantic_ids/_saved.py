"""The saved form of a codebook: what it is, its settings, and what it learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zhiyin._components import component_in, write_header
from zhiyin.artifacts import load_arrays, new_folder, save_arrays
from zhiyin.errors import DataError

if TYPE_CHECKING:
    from zhiyin.semantic_ids.base import Codebook

FORMAT = 1
ARRAYS = "arrays.safetensors"


def save(codebook: Codebook, path: str | Path, overwrite: bool = False) -> Path:
    """Write a codebook to a folder, whole or not at all."""
    with new_folder(path, overwrite) as folder:
        write_header(codebook, folder, FORMAT)
        save_arrays(folder / ARRAYS, {name: getattr(codebook, name) for name in codebook.learnt})
    return Path(path)


def load(path: str | Path) -> Codebook:
    """Open a saved codebook, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin import semantic_ids

    folder = Path(path)
    codebook: Codebook = component_in(folder, "semantic_ids", "codebook", FORMAT, semantic_ids.get)
    found = load_arrays(folder / ARRAYS)
    if found.keys() != set(codebook.learnt):
        came, wanted = ", ".join(sorted(found)) or "nothing", ", ".join(sorted(codebook.learnt))
        raise DataError(f"{folder} is damaged: it holds {came}, {codebook.name} learns {wanted}; save it anew")
    for name, value in found.items():
        setattr(codebook, name, value)
    return codebook
