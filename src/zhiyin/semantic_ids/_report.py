"""What codes are worth: who shares a code, how evenly digits are used, what is lost, what a digit says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, IntMatrix, LongVector
from zhiyin.errors import DataError
from zhiyin.semantic_ids._digits import checked, prefixes, unique

SHUFFLES = 5
"""How often labels are shuffled to see which purity chance gives."""
ROWS = 8_192
"""Vectors that are compared at once."""


@dataclass(frozen=True, slots=True)
class CodeReport:
    """What the codes of some items are worth. `str` is a text for people, `to_dict` plain values."""

    n_items: int
    """Items that have a code."""
    silent: int
    """Items that have none."""
    sizes: tuple[int, ...]
    """How many values each digit may have."""
    collisions: float
    """Share of the items that share all digits with another one."""
    largest_group: int
    """How many items share the most common code; so many values the last digit needs."""
    collisions_after: float
    """Share of the items that share all digits with another one, the last digit too, where that has no more values than
    the largest of the others."""
    used: tuple[float, ...]
    """For each digit the share of its values that some item has."""
    entropy: tuple[float, ...]
    """For each digit, in bits: log2 of its size where all values are used equally often, 0 where one is."""
    perplexity: tuple[float, ...]
    """2 to the entropy: of how many equally common values the digit is worth."""
    error: float | None = None
    """Squared distance of vectors from what codes give back, as a share of that from the mean; 0 loses nothing."""
    purity: tuple[float | None, ...] | None = None
    """For each number of first digits: of the items that share them, the share with the commonest label. The mean over
    all items that share them with another one; None where there are none."""
    chance: tuple[float | None, ...] | None = None
    """The purity if labels were dealt out anew among the same items."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, under stable names."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        lines = [
            f"{self.n_items:,} items with a code, {self.silent:,} without",
            f"collisions: {self.collisions:.2%} of the items, {self.collisions_after:.2%} after the last digit",
            f"largest group of one code: {self.largest_group}",
        ]
        if self.error is not None:
            lines.append(f"error: {self.error:.4f} of the variance is lost")
        lines += [self._level(level) for level in range(len(self.sizes))]
        return "\n".join(lines)

    def _level(self, level: int) -> str:
        said = (
            f"digit {level + 1}: {self.used[level]:.1%} of {self.sizes[level]} values used, perplexity "
            f"{self.perplexity[level]:.1f}"
        )
        if self.purity is None or self.chance is None or self.purity[level] is None:
            return said
        return f"{said}; purity {self.purity[level]:.3f}, by chance {self.chance[level]:.3f}"


def report(
    codes: AnyArray,
    sizes: Sequence[int],
    vectors: FloatMatrix | None = None,
    decoded: FloatMatrix | None = None,
    labels: Sequence[Any] | None = None,
) -> CodeReport:
    """What codes are worth; see `zhiyin.semantic_ids.report`."""
    found = checked(codes, sizes)
    if len(sizes) != found.shape[1]:
        raise DataError(f"codes of {found.shape[1]} digits came with {len(sizes)} sizes; one a digit is expected")
    there = np.flatnonzero(found[:, 0] >= 0)
    if not len(there):
        raise DataError(f"none of {len(found)} items has a code; there is nothing to report")
    spoken = found[there]
    shared, largest = _collisions(spoken)
    counts = [np.bincount(column, minlength=size) for column, size in zip(spoken.T, sizes, strict=True)]
    entropy = [_entropy(one) for one in counts]
    purity, chance = (None, None) if labels is None else _purity(spoken, _numbered(labels, len(found))[there])
    return CodeReport(
        n_items=len(there),
        silent=len(found) - len(there),
        sizes=tuple(int(size) for size in sizes),
        collisions=shared,
        largest_group=largest,
        collisions_after=_collisions(unique(spoken, max(sizes)))[0],
        used=tuple(float(np.mean(one > 0)) for one in counts),
        entropy=tuple(entropy),
        perplexity=tuple(float(2**one) for one in entropy),
        error=_error(vectors, decoded, found),
        purity=purity,
        chance=chance,
    )


def _collisions(codes: IntMatrix) -> tuple[float, int]:
    """The share of items that share all digits with another, and how many share the commonest code."""
    *_, whole = prefixes(codes)
    counts = np.bincount(whole.of_item)
    return float(counts[counts > 1].sum() / len(codes)), int(counts.max())


def _entropy(counts: AnyArray) -> float:
    """In bits."""
    shares = counts[counts > 0] / counts.sum()
    return float(abs(np.sum(shares * np.log2(shares))))


def _error(vectors: FloatMatrix | None, decoded: FloatMatrix | None, codes: IntMatrix) -> float | None:
    if vectors is None and decoded is None:
        return None
    came = [np.shape(one) for one in (vectors, decoded) if one is not None]
    if vectors is None or decoded is None or came[0] != came[1] or len(came[0]) != 2 or len(vectors) != len(codes):
        raise DataError(
            f"for the error, vectors and what codebook.decode(codes) gives are expected, ({len(codes)}, d) both; "
            f"{' and '.join(map(str, came))} came"
        )
    rows = np.flatnonzero(codes[:, 0] >= 0)
    mean = np.asarray(vectors)[rows].mean(0, dtype=np.float64)
    lost = whole = 0.0
    for start in range(0, len(rows), ROWS):
        right = np.asarray(vectors)[rows[start : start + ROWS]].astype(np.float64)
        lost += float(np.square(right - np.asarray(decoded)[rows[start : start + ROWS]]).sum())
        whole += float(np.square(right - mean).sum())
    return lost / whole if whole else None


def _numbered(labels: Sequence[Any], n: int) -> LongVector:
    """(n,) a number for each different label, -1 for None."""
    if len(labels) != n:
        raise DataError(f"{len(labels)} labels came for {n} codes; one an item is expected, None where there is none")
    known: dict[Any, int] = {}
    try:
        found = [
            -1 if one is None else known.setdefault(one, len(known)) for one in np.asarray(labels, object).tolist()
        ]
    except TypeError:
        raise DataError("a label is one text or number an item; of lists, take one member, such as the last") from None
    return np.array(found, np.int64)


def _purity(codes: IntMatrix, labels: LongVector) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """For each number of first digits the purity, and that of shuffled labels."""
    known = labels >= 0
    if not known.any():
        raise DataError("no item with a code has a label; give some")
    told, shuffler = labels[known], np.random.default_rng(0)
    shuffled = [shuffler.permutation(told) for _ in range(SHUFFLES)]
    groups = [step.of_item for step in prefixes(codes[known])]
    by_chance = [[_pure(group, one) for one in shuffled] for group in groups]
    means = tuple(
        None if None in some else float(np.mean([one for one in some if one is not None])) for some in by_chance
    )
    return tuple(_pure(group, told) for group in groups), means


def _pure(groups: LongVector, labels: LongVector) -> float | None:
    """The mean share of the commonest label in the group of an item, of groups of more than one item."""
    width = int(labels.max()) + 1
    pairs, counts = np.unique(groups * width + labels, return_counts=True)
    size = np.bincount(groups)
    commonest = np.zeros(len(size), np.int64)
    np.maximum.at(commonest, pairs // width, counts)
    shared = size > 1
    return float(commonest[shared].sum() / size[shared].sum()) if shared.any() else None
