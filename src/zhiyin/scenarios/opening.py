"""Opening: what a recipe names as its data, as a value that a task can work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from zhiyin.data.dataset import Dataset
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.run import Run
from zhiyin.scenarios import worlds
from zhiyin.scenarios.recipe import DataChoice
from zhiyin.scenarios.worlds.base import World

Data: TypeAlias = Dataset | World | pa.Table
"""What a task may be given."""


def opened(data: DataChoice, run: Run) -> Data:
    """What a recipe names as its data: a world, a dataset that is prepared now where it is not yet, or a plain table.

    Raises:
        ConfigError: an unknown world or setting.
        DataError: the data are not there, or cannot be read.
    """
    if data.world is not None:
        made: World = worlds.get(data.world)(**data.settings)
        return made
    if data.table is not None:
        table: Data = read_table(data.table)
        return table
    return _from_source(data.source, run) if data.source is not None else _from_tables(data, run)


def weighed(dataset: Dataset, weights: Mapping[str, float]) -> Dataset:
    """The same dataset with what an event of each kind weighs; kinds that are not named keep what they have, else 1.

    Raises:
        ConfigError: no event can be of such a kind.
    """
    if not weights:
        return dataset
    for one in weights:
        if one not in dataset.kinds:
            raise ConfigError(f"[weights]: {unknown('kind of event', one, dataset.kinds)}")
    past = dataset.histories
    weight = past.strength().copy()
    if past.kind is not None:
        for kind, told in weights.items():
            weight[past.kind == dataset.kinds.index(kind)] = told
    return dataset.with_histories(replace(past, weight=weight))


def _from_source(source: str, run: Run) -> Dataset:
    from zhiyin.data import catalog
    from zhiyin.data.prepare import prepare
    from zhiyin.data.sources.folder import open_folder

    folder = Path(source).expanduser()
    if not (folder / "manifest.json").is_file():
        folder = catalog.resolve(source)
    if (folder / "manifest.json").is_file():
        return Dataset.load(folder)
    events, items, users = open_folder(folder)
    return prepare(events, items, users, name=folder.name, run=run)


def _from_tables(data: DataChoice, run: Run) -> Dataset:
    from zhiyin.data.prepare import prepare
    from zhiyin.data.tables import Catalogue, EventLog, Users

    assert data.events is not None
    events = EventLog.read(data.events, roles=data.roles)
    items = None if data.items is None else Catalogue.read(data.items, roles=data.item_roles, lists=data.item_lists)
    users = None if data.users is None else Users.read(data.users, roles=data.user_roles, lists=data.user_lists)
    return prepare(events, items, users, name=Path(data.events).stem, run=run)


def read_table(path: str | Path) -> pa.Table:
    """A CSV or Parquet file, as it is.

    Raises:
        DataError: there is none, it is neither, or two of its columns have one name.
    """
    from pyarrow import csv, parquet

    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"no file is at {path}; name a CSV or Parquet file under [data] table")
    try:
        table = parquet.ParquetFile(file).read() if file.suffix == ".parquet" else csv.read_csv(file)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} cannot be read: {error}; a CSV with a header, or a Parquet file, is expected"
        ) from None
    twice = [name for name, times in Counter(table.column_names).items() if times > 1]
    if twice:
        raise DataError(
            f"{path} has several columns named {', '.join(map(repr, twice))}; one of each name is expected: rename or "
            "remove the others"
        )
    return table
