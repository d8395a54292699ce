"""The saved form of an encoder: what it is, its settings, and what it learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin._components import HEADER, component_in, write_header
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import DataError, MissingExtra

if TYPE_CHECKING:
    from zhiyin.encoders.base import Encoder

FORMAT = 1
ARRAYS, TEXTS = "arrays.safetensors", "texts.json"
WEIGHTS = "weights"
"""In the header: the hash of what the encoder reads with and does not save, such as a folder of weights."""
THEN = "_weights_then"
"""Where a loaded encoder holds that hash until it is first used."""


def save(encoder: Encoder, path: str | Path, overwrite: bool = False) -> Path:
    """Write an encoder to a folder, whole or not at all."""
    learnt = {name: getattr(encoder, name) for name in encoder.learns}
    texts = {name: value for name, value in learnt.items() if isinstance(value, list)}
    with new_folder(path, overwrite) as folder:
        write_header(encoder, folder, FORMAT)
        if (weights := _weights_of(encoder)) is not None:
            (folder / HEADER).write_text(to_json({**read_json(folder / HEADER), WEIGHTS: weights}), encoding="utf-8")
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
    texts = read_json(folder / TEXTS)
    if not isinstance(texts, dict):
        raise DataError(f"{folder / TEXTS} is damaged: it holds {type(texts).__name__}, names are expected")
    found: dict[str, Any] = {**load_arrays(folder / ARRAYS), **texts}
    if found.keys() != set(encoder.learns):
        came, wanted = ", ".join(sorted(found)) or "nothing", ", ".join(sorted(encoder.learns)) or "nothing"
        raise DataError(f"{folder} is damaged: it holds {came}, {encoder.name} learns {wanted}; save the encoder anew")
    for name, value in found.items():
        setattr(encoder, name, value)
    encoder._read(folder)
    if (weights := read_json(folder / HEADER).get(WEIGHTS)) is not None:  # older ones do not say
        encoder.__dict__[THEN] = weights
    return encoder


def check_weights(encoder: Encoder) -> None:
    """See that a loaded encoder reads with the weights that it was saved with, before it is first used.

    Raises:
        DataError: they are others.
    """
    then = encoder.__dict__.get(THEN)
    if then is None:
        return
    if (now := encoder._weights()) != then:
        raise DataError(
            f"{encoder.name}: its weights are others than when it was saved ({now} now, {then} then), and its vectors "
            "would not go with those from before; put the old weights back, or make the encoder anew, and what was "
            "learnt from it"
        )
    del encoder.__dict__[THEN]


def _weights_of(encoder: Encoder) -> str | None:
    """What is to be said of the weights; None where they are not here, or where parts say it, each of its own."""
    if hasattr(encoder, "parts"):
        return None
    if (then := encoder.__dict__.get(THEN)) is not None:  # loaded, and not used since
        return str(then)
    try:
        return encoder._weights() or None
    except (DataError, MissingExtra):  # it was never used here
        return None
