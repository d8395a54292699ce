"""Protocol: how a number was made. Two numbers may be compared only when their protocols have the same hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from zhiyin.artifacts import to_json
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError, LeakageError
from zhiyin.splitting.base import Split

FORMAT = 1
"""Raised whenever the meaning of a number changes although no ingredient below does (a new fill or tie rule)."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that decides what a number means. Whatever only makes it come faster or slower is not here.

    Fixed by the format, for all protocols: every item of the catalogue is ranked (no sampled candidates); equal scores
    are ordered by item number; a list that a model leaves short is filled with the most popular items; a target that
    occurs twice in a case counts once.
    """

    data: str
    """What people call the data. Not part of the hash: the content is."""
    content_hash: str
    """The hash of the data's content."""
    split: str
    """The name of the splitter."""
    settings: Mapping[str, Any]
    """The splitter's settings."""
    split_hash: str
    """The hash of what the models saw and must foretell, so that a split made by hand is told apart as well."""
    ties: str
    """How events of one user at one moment are ordered."""
    k: int
    """The length of the lists that are kept."""
    exclude_seen: bool
    """Whether items of a query's own history are left out of its list."""
    metrics: tuple[str, ...]
    """The labels of the metrics."""
    fitted_on: str = "development"
    """What models without early stopping learn from; models with it learn from train and stop on validation."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the runs; with several, a value is the mean over them."""
    version: int = FORMAT

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        split: Split,
        metrics: tuple[str, ...],
        k: int,
        exclude_seen: bool,
        seeds: tuple[int, ...],
    ) -> Self:
        """The protocol of a comparison on one split of a dataset."""
        return cls(
            data=dataset.name,
            content_hash=dataset.content_hash,
            split=split.name,
            settings=dict(split.settings),
            split_hash=split_hash(split),
            ties=str(split.settings.get("ties", "stable")),
            k=k,
            exclude_seen=exclude_seen,
            metrics=tuple(metrics),
            seeds=tuple(seeds),
        )

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits: equal for equal protocols on every machine."""
        content = {name: value for name, value in self._fields().items() if name != "data"}
        return hashlib.blake2b(to_json(content).encode(), digest_size=6).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the hash."""
        return {"hash": self.hash, **self._fields()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            DataError: something is missing, or the hash does not fit the content.
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in content]:
            raise DataError(f"this protocol lacks {', '.join(missing)}; it was written by another version of zhiyin")
        values = {name: content[name] for name in names}
        found = cls(**{**values, "metrics": tuple(values["metrics"]), "seeds": tuple(values["seeds"])})
        if content.get("hash") != found.hash:
            raise DataError(
                f"the protocol says hash {content.get('hash')}, its content has {found.hash}: it was edited"
            )
        return found

    def sentence(self) -> str:
        """One line for people."""
        settings = ", ".join(
            f"{name}={value}" for name, value in sorted(self.settings.items()) if name != "ties" and value is not None
        )
        seen = "items of the history left out" if self.exclude_seen else "items of the history allowed"
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        return (
            f"{self.data}, split {self.split} ({settings}), ties {self.ties}, whole catalogue ranked, top {self.k}, "
            f"{seen}, fitted on {self.fitted_on}, {seeds}; protocol {self.hash}"
        )

    def require(self, other: Protocol) -> None:
        """Make sure that numbers of `other` may stand beside numbers of this protocol.

        Raises:
            LeakageError: the hashes differ; the message names what differs.
        """
        if self.hash == other.hash:
            return
        mine, theirs = self._fields(), other._fields()
        differences = [
            f"{name}: {mine[name]} against {theirs[name]}"
            for name in mine
            if name != "data" and mine[name] != theirs[name]
        ]
        raise LeakageError(
            f"numbers of protocol {self.hash} and {other.hash} cannot be compared ({'; '.join(differences)}); "
            "run all models in one comparison"
        )

    def _fields(self) -> dict[str, Any]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**found, "settings": dict(self.settings), "metrics": list(self.metrics), "seeds": list(self.seeds)}


def split_hash(split: Split) -> str:
    """A short hash of what a split lets models see and asks them to foretell: events, not their descriptions."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (split.train, split.development):
        _add(digest, part.histories)
    for cases in (split.validation, split.test):
        digest.update(b"none" if cases is None else b"cases")
        if cases is not None:
            _add(digest, cases.queries.histories)
            _add(digest, cases.targets)
    if split.test.queries.now is not None:
        digest.update(np.ascontiguousarray(split.test.queries.now).data)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, histories: Histories) -> None:
    digest.update(np.ascontiguousarray(histories.offsets).data)
    for name, column in histories.columns().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(column).data)
