"""The saved form of a model: what it is, its ids, what it learnt, and a card for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ValidationError
from scipy import sparse

from zhiyin._version import __version__
from zhiyin.arrays import AnyArray
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zhiyin.models.base import Recommender

FORMAT = 1


class Header(BaseModel):
    """What `config.json` of a saved model says."""

    format: int = FORMAT
    zhiyin: str = __version__
    """The version that wrote it."""
    room: str = "models"
    component: str
    config: dict[str, Any]
    kinds: tuple[str, ...]
    kind_weights: tuple[float, ...]
    trained_on: dict[str, Any]
    learnt: dict[str, tuple[str, tuple[int, ...]]]
    """The type and shape of each array."""


def save(model: Recommender, path: str | Path, overwrite: bool = False) -> Path:
    """Write a fitted model to a folder, whole or not at all."""
    vocabulary = model.vocabulary
    arrays, texts = flatten({name: getattr(model, name) for name in model.learns})
    arrays = {"popularity": model.popularity, **arrays}
    settings = model.config.model_dump(mode="json")
    header = Header(
        component=model.name,
        config=settings,
        kinds=model.kinds,
        kind_weights=model.kind_weights,
        trained_on=dict(model.trained_on),
        learnt=_described(arrays),
    )
    with new_folder(path, overwrite) as folder:
        (folder / "config.json").write_text(to_json(header.model_dump()), encoding="utf-8")
        (folder / "card.md").write_text(card(model.name, settings, model.trained_on), encoding="utf-8")
        write_ids(folder / "items.parquet", vocabulary)
        save_arrays(folder / "arrays.safetensors", arrays)
        if texts:
            (folder / "texts.json").write_text(to_json(texts), encoding="utf-8")
        model._write(folder)
    return Path(path)


def load(path: str | Path) -> Recommender:
    """Open a saved model, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin import models

    folder = Path(path)
    header = _header(folder)
    try:
        model: Recommender = models.get(header.component)(**header.config)
    except ConfigError as error:
        raise DataError(f"{folder / 'config.json'} asks for what this version does not have: {error}") from error
    model.items = read_ids(folder / "items.parquet")
    model.kinds, model.kind_weights, model.trained_on = header.kinds, header.kind_weights, header.trained_on
    _take_up(model, _arrays(folder, header, len(model.items)), folder)
    model._read(folder)
    return model


def _header(folder: Path) -> Header:
    place = folder / "config.json"
    if not place.is_file():
        raise DataError(f"{folder} is not a saved model (no config.json); make one with `zhiyin fit`")
    content = read_json(place)
    room, came = (content.get("room"), content.get("format")) if isinstance(content, dict) else (None, None)
    if room != "models" or came != FORMAT:
        raise DataError(f"{folder} holds {room!r} in format {came!r}, no model for this version")
    try:
        return Header.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise DataError(f"{place} is damaged: {where}: {fault['msg'].lower()}; save the model anew") from None


def _arrays(folder: Path, header: Header, n_items: int) -> dict[str, AnyArray]:
    """The arrays of a saved model, if they are those that its `config.json` speaks of."""
    place = folder / "arrays.safetensors"
    arrays = load_arrays(place)
    found = _described(arrays)
    for name in sorted(header.learnt.keys() | found.keys()):
        said, came = header.learnt.get(name), found.get(name)
        if said != came:
            raise DataError(
                f"{place} is not of this model: {name} is {_shown(came)}, config.json says {_shown(said)}; save the "
                "model anew"
            )
    if len(arrays.get("popularity", ())) != n_items:
        raise DataError(f"{folder / 'items.parquet'} is not of this model: it has {n_items:,} ids; save the model anew")
    return arrays


def _take_up(model: Recommender, arrays: dict[str, AnyArray], folder: Path) -> None:
    """Give a model its arrays and texts."""
    place = folder / "texts.json"
    texts = read_json(place) if place.is_file() else {}
    if not isinstance(texts, dict) or not all(isinstance(one, list) for one in texts.values()):
        raise DataError(f"{place} is damaged: lists of texts by name were expected; save the model anew")
    model.popularity = arrays.pop("popularity")
    found = unflatten(arrays, texts)
    if found.keys() != set(model.learns):
        came, wanted = ", ".join(sorted(found)) or "nothing", ", ".join(sorted(model.learns)) or "nothing"
        raise DataError(f"{folder} is damaged: it holds {came}, {model.name} learns {wanted}; save the model anew")
    for name in model.learns:
        setattr(model, name, found[name])


def _described(arrays: Mapping[str, AnyArray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (str(array.dtype), array.shape) for name, array in arrays.items()}


def _shown(described: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if described is None else f"{described[0]} {described[1]}"


def card(name: str, settings: Mapping[str, Any], trained_on: Mapping[str, Any]) -> str:
    """What a person should know of a saved model, as Markdown."""
    tables = {"setting": settings, "trained on": trained_on}
    lines = [f"# {name}", "", "A recommender fitted by zhiyin."]
    for title, values in tables.items():
        lines += ["", f"| {title} | |", "|---|---|", *(f"| {key} | {value} |" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def write_ids(path: Path, vocabulary: Vocabulary) -> None:
    """Write the item ids of a model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"item_id": vocabulary.ids}), path, compression="zstd")


def read_ids(path: Path) -> Vocabulary:
    """Read the item ids of a model.

    Raises:
        DataError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return Vocabulary(pq.read_table(path).column("item_id"))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{path} is missing or damaged: {error}") from None


def flatten(values: Mapping[str, Any]) -> tuple[dict[str, AnyArray], dict[str, list[str]]]:
    """Arrays by name, a CSR matrix as three of them, and lists of text apart."""
    arrays: dict[str, AnyArray] = {}
    texts: dict[str, list[str]] = {}
    for name, value in values.items():
        if sparse.issparse(value):
            matrix = value.tocsr()
            arrays |= {
                f"{name}.data": matrix.data,
                f"{name}.indices": matrix.indices,
                f"{name}.indptr": matrix.indptr,
                f"{name}.shape": np.array(matrix.shape, np.int64),
            }
        elif isinstance(value, list):
            texts[name] = value
        else:
            arrays[name] = np.asarray(value)
    return arrays, texts


def unflatten(arrays: Mapping[str, AnyArray], texts: Mapping[str, list[str]]) -> dict[str, Any]:
    """What `flatten` was given."""
    found: dict[str, Any] = {name: array for name, array in arrays.items() if "." not in name} | dict(texts)
    for name in {key.partition(".")[0] for key in arrays if "." in key}:
        parts = (arrays[f"{name}.data"], arrays[f"{name}.indices"], arrays[f"{name}.indptr"])
        found[name] = sparse.csr_array(parts, shape=tuple(arrays[f"{name}.shape"]))
    return found
