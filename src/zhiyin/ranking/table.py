"""The features of candidates as one table: which families there are, their columns side by side, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator

from zhiyin.arrays import AnyArray, FloatMatrix, IntVector, LongVector, offsets_of
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.errors import DataError
from zhiyin.ranking import features
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.features.base import Family
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

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def join(cls, parts: Sequence[FeatureTable]) -> FeatureTable:
        """Several tables of the same features, one after the other."""
        offsets = offsets_of(np.concatenate([np.diff(one.offsets) for one in parts]))
        return cls(parts[0].names, np.concatenate([one.values for one in parts]), parts[0].sizes, offsets)

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
        return FeatureTable(tuple(wanted), self.values[:, places], sizes, self.offsets)


class FamilyChoice(Config):
    """One family of features and its settings."""

    family: str
    """Its name, or `package.module:Class`; see `zhiyin list features`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


DEFAULT = ("retrieval", "popularity", "activity", "pair", "moment", "affinity", "attributes", "semantic")


class FeaturesConfig(Config):
    """Which features are made."""

    families: tuple[FamilyChoice, ...] = tuple(FamilyChoice(family=name) for name in DEFAULT)
    """The families; also as text, `popularity, pair`. One for which the data have nothing is left out."""

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
        made: list[Family] = [features.get(one.family)(**one.settings) for one in self.config.families]
        self.families = [one.fit(train, run) for one in made if one.suits(train)]
        if not self.families:
            raise DataError(f"{train.name!r} has nothing for any of the features that were asked for")
        return self

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
        parts = [self._part(block) for block in candidates.blocks(PAIRS_AT_ONCE)]
        names = max((part for part, _ in parts), key=len, default=())
        values = np.concatenate([values for _, values in parts]) if parts else np.zeros((0, 0), np.float32)
        sizes = {name: size for one in self.families for name, size in one.sizes.items() if name in names}
        return FeatureTable(names, values, sizes, candidates.offsets)

    def _part(self, block: Candidates) -> tuple[tuple[str, ...], FloatMatrix]:
        columns: dict[str, AnyArray] = {}
        for one in self.families:
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
