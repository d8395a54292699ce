"""The saved form of features, rankers, re-rankers and uplift models: what they are, settings, what they learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhiyin._components import component_in, write_header
from zhiyin.artifacts import load_arrays, new_folder, read_json, save_arrays, to_json
from zhiyin.errors import DataError
from zhiyin.models._saved import flatten, unflatten

if TYPE_CHECKING:
    from zhiyin.ranking.features.base import Family
    from zhiyin.ranking.rankers.base import Ranker
    from zhiyin.ranking.rerankers.base import ReRanker
    from zhiyin.ranking.uplift.base import UpliftModel

FORMAT = 1
ARRAYS, TEXTS = "arrays.safetensors", "texts.json"


def save(part: Family | Ranker | ReRanker | UpliftModel, folder: Path) -> Path:
    """Write a family, a ranker, a re-ranker or an uplift model to a new folder, whole or not at all."""
    with new_folder(folder) as new:
        write_header(part, new, FORMAT)
        arrays, texts = flatten({name: getattr(part, name) for name in part.saved})
        save_arrays(new / ARRAYS, arrays)
        (new / TEXTS).write_text(to_json(texts), encoding="utf-8")
        part.write(new)
    return folder


def load(folder: Path, room: str, what: str, get: Callable[[str], Any]) -> Any:
    """Open what `save` wrote.

    Args:
        folder: of the saved form.
        room: where it must be from: "features", "rankers", "rerankers" or "uplift".
        what: such a thing is called for people.
        get: name -> class.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    part = component_in(folder, room, what, FORMAT, get)
    found = unflatten(load_arrays(folder / ARRAYS), read_json(folder / TEXTS))
    if found.keys() != set(part.saved):
        came, wanted = (", ".join(sorted(one)) or "nothing" for one in (found, part.saved))
        raise DataError(f"{folder} is damaged: it holds {came}, {part.name} learns {wanted}; save it anew")
    for name, value in found.items():
        setattr(part, name, value)
    part.read(folder)
    part.derive()
    return part
