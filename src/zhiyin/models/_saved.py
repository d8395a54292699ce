"""The saved form of a model: its ids, its arrays and its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import DataError


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
    except (OSError, pa.ArrowInvalid) as error:
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
