"""Several rankers as one: chances by trees, by a net and by a sum of curves err in different ways.

Each part learns from the rows; on the validation rows, the log-odds that they give are weighed by a logistic regression
with weights of 0 or more (stacking: Wolpert 1992; Breiman 1996), so that a part that says nothing new gets none.
Without validation rows all count alike.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator
from scipy.optimize import minimize
from scipy.special import expit

from zhiyin.arrays import AnyArray, DoubleVector, FloatMatrix
from zhiyin.config import Config, setting
from zhiyin.errors import ConfigError
from zhiyin.ranking import rankers
from zhiyin.ranking._saved import load, save
from zhiyin.ranking.chances import log_odds
from zhiyin.ranking.rankers.base import Ranker, RankerConfig, Rows, ordered
from zhiyin.ranking.table import FeatureTable
from zhiyin.run import Run

logger = logging.getLogger(__name__)


class Part(Config):
    """One ranker of a blend."""

    ranker: str
    """Its name, or `package.module:Class`; it must give chances."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, where they are not the defaults."""


class BlendConfig(RankerConfig):
    """Settings of `blend`."""

    parts: tuple[Part, ...] = (
        Part(ranker="boosted_trees", settings={"objective": "chance"}),
        Part(ranker="deep_cross"),
        Part(ranker="logistic"),
    )
    """The rankers; also as text, `boosted_trees, logistic`, with `objective: chance` where there is such a setting."""
    steadiness: float = setting(1.0, ge=0)
    """How strongly weights are drawn to being alike, in validation rows."""

    @field_validator("parts", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [one.strip() for one in value.split(",") if one.strip()]
        if isinstance(value, (list, tuple)):
            return tuple(_part(one) if isinstance(one, str) else one for one in value)
        return value

    @field_validator("parts")
    @classmethod
    def _some(cls, value: tuple[Part, ...]) -> tuple[Part, ...]:
        if not value:
            raise ValueError("no ranker came; at least one is expected")
        return value


def _part(name: str) -> dict[str, Any]:
    """A part of that name which gives chances."""
    has = "objective" in rankers.get(name).settings().model_fields
    return {"ranker": name, "settings": {"objective": "chance"} if has else {}}


class Blend(Ranker):
    """Chances of several rankers, weighed by how much each adds to the others."""

    config: BlendConfig
    learns = ("shares",)
    shares: DoubleVector
    """(n_parts + 1,) the weight of the log-odds of each part, and what is added."""
    parts: list[Ranker]
    _vectors: FloatMatrix | None = None
    """(n_items, d) for parts that can use them."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        for one in self._made():
            if one.foretold[-1] == "worth":
                raise ConfigError(
                    f"{one.name} gives no chances, which {self.name} weighs; set its objective to chance, or its "
                    "calibration to isotonic"
                )

    @property
    def says_chances(self) -> bool:
        """Always, here."""
        return True

    @property
    def reads_histories(self) -> bool:
        """Whether one of its parts does."""
        return any(one.reads_histories for one in self._made())

    def with_vectors(self, vectors: FloatMatrix) -> Self:
        """The same, yet to learn, with the vectors (n_items, d) of a model that knows the items, for its parts."""
        self._vectors = vectors
        return self

    def ready(self) -> None:
        """What its parts need is."""
        for one in self._made():
            one.ready()

    def _made(self) -> list[Ranker]:
        """The parts, yet to learn."""
        return [rankers.get(one.ranker)(**one.settings) for one in self.config.parts]

    def _check(self, rows: Rows, what: str) -> None:
        super()._check(rows, what)
        for one in self._made():
            one._check(rows, what)

    def _fit(self, rows: Rows, validation: Rows | None, run: Run) -> None:
        told = self._vectors
        made = [one if told is None else one.with_vectors(told) for one in self._made()]
        self.parts = [one.fit(rows, validation, run) for one in made]
        n = len(self.parts)
        self.shares = np.append(np.full(n, 1 / n), 0.0)
        if validation is not None:
            self.shares = self._weighed(validation)
        shares = ", ".join(f"{one.name} {share:.2f}" for one, share in zip(self.parts, self.shares, strict=False))
        logger.info("%s: %s", self.name, shares)

    def _weighed(self, held: Rows) -> DoubleVector:
        said, label = self._odds(held.features), held.label.astype(np.float64)
        weight = np.ones(len(label)) if held.weight is None else held.weight / held.weight.mean()

        def loss(given: DoubleVector) -> tuple[float, DoubleVector]:
            odds = said @ given[:-1] + given[-1]
            apart = given[:-1] - 1 / len(self.parts)
            value = (weight * (np.logaddexp(0, odds) - label * odds)).sum() + self.config.steadiness * (apart**2).sum()
            residual = weight * (expit(odds) - label)
            slope = np.append(said.T @ residual + 2 * self.config.steadiness * apart, residual.sum())
            return value / len(label), slope / len(label)

        bounds = [(0.0, None)] * len(self.parts) + [(None, None)]
        found = minimize(loss, self.shares, jac=True, method="L-BFGS-B", bounds=bounds)
        return np.asarray(found.x, np.float64)

    def _odds(self, features: FeatureTable) -> AnyArray:
        """(n, n_parts)."""
        return np.stack([log_odds(one.predict(features)) for one in self.parts], 1)

    def _predict(self, features: FeatureTable) -> DoubleVector:
        return np.asarray(expit(self._odds(features) @ self.shares[:-1] + self.shares[-1]), np.float64)

    def importance(self) -> dict[str, float]:
        """That of the parts which can tell, weighed as they are."""
        total: dict[str, float] = {}
        for one, share in zip(self.parts, self.shares, strict=False):
            for name, amount in one.importance().items():
                total[name] = total.get(name, 0.0) + share * amount
        return ordered(list(total), np.array(list(total.values()))) if total else {}

    def write(self, folder: Path) -> None:
        """Write the parts."""
        for at, one in enumerate(self.parts):
            save(one, folder / f"{at:02d}")

    def read(self, folder: Path) -> None:
        """Read the parts."""
        places = [folder / f"{at:02d}" for at in range(len(self.config.parts))]
        self.parts = [load(one, "rankers", "ranker", rankers.get) for one in places]
