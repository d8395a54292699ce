"""The features of candidates as one table: which families there are, their columns side by side, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator

from zhiyin._numbers import is_real
from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, IntMatrix, IntVector, LongVector, offsets_of
from zhiyin.config import Config, setting
from zhiyin.data.dataset import Dataset
from zhiyin.errors import DataError
from zhiyin.ranking import features
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family
from zhiyin.ranking.features.context import hashed
from zhiyin.run import Run

PAIRS_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The features of candidates: one row each, a column a feature."""

    names: tuple[str, ...]
    values: FloatMatrix
    """(n, n_features) float32; NaN where nothing is known. Categories are their numbers."""
    sizes: Mapping[str, int]
    """Of the columns that are categories: how many values there may be."""
    offsets: LongVector
    """(n_queries + 1,) where the rows of each query begin."""
    item: IntVector | None = None
    """(n,) the number of the item of each row; for rankers that read histories."""
    history: IntMatrix | None = None
    """(n_queries, length) the numbers of the last items of each history, the newest last, -1 where there are fewer."""

    def __len__(self) -> int:
        return len(self.values)

    def take(self, queries: BoolVector) -> FeatureTable:
        """The rows of some queries, in their order."""
        kept = queries[self.owner()]
        item, history = (None if self.item is None else self.item[kept]), self.history
        offsets = offsets_of(np.diff(self.offsets)[queries])
        return replace(
            self,
            values=self.values[kept],
            offsets=offsets,
            item=item,
            history=None if history is None else history[queries],
        )

    @classmethod
    def of(
        cls, columns: Mapping[str, AnyArray | Sequence[Any]], *, texts: Sequence[str] = (), buckets: int = 2**18
    ) -> FeatureTable:
        """From plain columns, each row a query of its own; for logs that come as one table.

        Args:
            columns: (n,) each, arrays or lists; numbers with NaN, or None, where nothing is known, or texts. A column
                of Python objects is of numbers if all are that it knows, and of texts if it knows none.
            texts: the columns that are categories although they hold numbers.
            buckets: categories are hashed into so many, so that tables need no vocabulary and fit to each other.

        Raises:
            DataError: no columns, or of different lengths; or one that is neither numbers nor texts, one for each row.
        """
        if not isinstance(columns, Mapping):
            raise DataError(f"columns by their names are expected, {{name: column}}; {type(columns).__name__} came")
        told = {name: _column(name, column) for name, column in columns.items()}
        lengths = {len(column) for column in told.values()}
        if len(lengths) != 1:
            raise DataError(f"columns of {sorted(lengths) or 'no'} rows came; some of one length are expected")
        values, sizes = [], {}
        for name, column in told.items():
            numbers = None if name in texts else _numbers(column)
            if numbers is None:
                sizes[name] = buckets
                place = hashed(column, buckets).astype(np.float32)
                numbers = np.where(place < 0, np.float32(np.nan), place)
            values.append(numbers)
        return cls(tuple(told), np.stack(values, 1), sizes, np.arange(lengths.pop() + 1))

    @classmethod
    def join(cls, parts: Sequence[FeatureTable]) -> FeatureTable:
        """Several tables of the same features, one after the other."""
        first, offsets = parts[0], offsets_of(np.concatenate([np.diff(one.offsets) for one in parts]))
        return replace(
            first,
            values=np.concatenate([one.values for one in parts]),
            offsets=offsets,
            item=None if first.item is None else np.concatenate([one.item for one in parts if one.item is not None]),
            history=None
            if first.history is None
            else np.concatenate([one.history for one in parts if one.history is not None]),
        )

    def column(self, name: str) -> AnyArray:
        """(n,) one feature."""
        return self.values[:, self.names.index(name)]

    @property
    def categories(self) -> list[int]:
        """The places of the columns that are categories."""
        return [at for at, name in enumerate(self.names) if name in self.sizes]

    def owner(self) -> IntVector:
        """(n,) the number of the query of each row."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))

    def as_named(self, wanted: Sequence[str]) -> FeatureTable:
        """The same with the columns of these names in this order, as a ranker has learnt them.

        Raises:
            DataError: one of them is not here.
        """
        if self.names == tuple(wanted):
            return self
        missing = [name for name in wanted if name not in self.names]
        if missing:
            raise DataError(
                f"the ranker has learnt {len(missing)} features that are not there now: {', '.join(missing[:5])}; make "
                "the same features for asking as for learning"
            )
        places = [self.names.index(name) for name in wanted]
        sizes = {name: size for name, size in self.sizes.items() if name in wanted}
        return replace(self, names=tuple(wanted), values=self.values[:, places], sizes=sizes)


def check_table(features: Any, who: str) -> None:
    """See that `who` is given a table of features.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(features, FeatureTable):
        raise DataError(
            f"{who} reads a table of features, {type(features).__name__} came; FeatureTable.of({{name: column}}) makes "
            "one of plain columns"
        )


def _column(name: str, given: Any) -> AnyArray:
    """(n,) a column that was given, as an array."""
    if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
        raise DataError(f"column {name!r} came as {type(given).__name__}; an array or a list of values is expected")
    listed = isinstance(given, (list, tuple))
    found = np.fromiter(given, object, len(given)) if listed else np.asarray(given)
    if found.ndim != 1 or found.dtype.kind not in "biufUSO":
        raise DataError(f"column {name!r} is {found.dtype} of shape {found.shape}; (n,) numbers or texts are expected")
    several = [one for one in found if isinstance(one, (list, tuple, dict, set, np.ndarray))] if listed else []
    if several:
        raise DataError(
            f"column {name!r} holds {several[0]!r}, and {len(several):,} such cells; one value in each is expected"
        )
    return found


def _numbers(column: AnyArray) -> AnyArray | None:
    """(n,) float32 a column of numbers, NaN where nothing is known; None where it is of something else."""
    if column.dtype.kind != "O":
        return None if column.dtype.kind in "US" else column.astype(np.float32)
    known = np.array([one is not None for one in column], bool)
    if not known.any() or not all(is_real(one) for one in column[known]):
        return None
    found = np.full(len(column), np.nan, np.float32)
    found[known] = [float(one) for one in column[known]]
    return found


class FamilyChoice(Config):
    """One family of features and its settings."""

    family: str
    """Its name, or `package.module:Class`; see `zhiyin list features`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


DEFAULT = (
    "retrieval",
    "popularity",
    "values",
    "activity",
    "pair",
    "transitions",
    "moment",
    "affinity",
    "attributes",
    "semantic",
)


class FeaturesConfig(Config):
    """Which features are made."""

    families: tuple[FamilyChoice, ...] = tuple(FamilyChoice(family=name) for name in DEFAULT)
    """The families; also as text, `popularity, pair`. One for which the data have nothing is left out."""

    history: int = setting(0, ge=0)
    """So many of the last items of a history are kept beside, for rankers that read them."""

    @field_validator("families", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [one.strip() for one in value.split(",") if one.strip()]
        if isinstance(value, (list, tuple)):
            return tuple({"family": one} if isinstance(one, str) else one for one in value)
        return value


class Features:
    """The families of features that are made, fitted on one dataset."""

    def __init__(self, config: FeaturesConfig | None = None, **options: Any) -> None:
        self.config = FeaturesConfig.read(options, "features") if config is None else config
        self.families: list[Family] = []

    def fit(self, train: Dataset, run: Run | None = None) -> Self:
        """Learn each family from a dataset.

        Raises:
            DataError: none suits the data.
        """
        self.families = [one.fit(train, run) for one in self.made() if one.suits(train)]
        if not self.families:
            raise DataError(f"{train.name!r} has nothing for any of the features that were asked for")
        return self

    def refresh(self, known: Dataset, run: Run | None = None) -> None:
        """Count what a longer log holds; what was learnt of items and people stays.

        Args:
            known: the whole log, of the items that were fitted on, in their order.
            run: how to run.

        Raises:
            DataError: it lacks what a family counts.
        """
        found = []
        for one in self.families:
            if one.counts:
                again = type(one)(one.config).fit(known, run) if one.suits(known) else None
                if again is None or again.names != one.names:
                    raise DataError(
                        f"{known.name!r} has not all that the features {one.name!r} count; refresh them with a log of "
                        "the columns (times, values) of the one that they were fitted on"
                    )
                found.append(again)
            else:
                found.append(one)
        self.families = found

    def made(self) -> list[Family]:
        """The families that are asked for, yet to learn.

        Raises:
            ConfigError: one is unknown, or a setting of it.
        """
        return [features.get(one.family)(**one.settings) for one in self.config.families]

    @property
    def categories(self) -> list[str]:
        """The names of the features that are categories."""
        return [name for one in self.families for name in one.sizes]

    def save(self, folder: Path) -> None:
        """Write each family to a folder of its own, in a folder that is there."""
        for at, one in enumerate(self.families):
            save(one, folder / f"{at:02d}")

    @classmethod
    def load(cls, folder: Path, config: FeaturesConfig) -> Self:
        """Open what `save` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        made = cls(config)
        places = sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
        made.families = [load(one, "features", "family of features", features.get) for one in places]
        if not made.families:
            raise DataError(f"{folder} holds no features; save the model anew")
        return made

    def table(self, candidates: Candidates) -> FeatureTable:
        """The features of candidates."""
        families = tuple(self.families)  # those of now, also if they are refreshed meanwhile
        parts = [_part(families, block) for block in candidates.blocks(PAIRS_AT_ONCE)]
        names = max((part for part, _ in parts), key=len, default=())
        values = np.concatenate([values for _, values in parts]) if parts else np.zeros((0, 0), np.float32)
        sizes = {name: size for one in families for name, size in one.sizes.items() if name in names}
        length = self.config.history
        past = candidates.queries.histories.last_items(length) if length else None
        return FeatureTable(names, values, sizes, candidates.offsets, candidates.item if length else None, past)


def _part(families: Sequence[Family], block: Candidates) -> tuple[tuple[str, ...], FloatMatrix]:
    columns: dict[str, AnyArray] = {}
    for one in families:
        for name, column in one.columns(block).items():
            if name in columns:
                raise DataError(f"two features have the name {name!r}; leave one of their families out")
            columns[name] = column
    values = np.empty((len(block), len(columns)), np.float32)
    for at, column in enumerate(columns.values()):
        values[:, at] = column
        if column.dtype.kind == "i":
            values[column < 0, at] = np.nan
    return tuple(columns), values
