"""Value: what a candidate is worth, as a formula that somebody has declared and that everybody can read.

    click + 5 * conversion * price + 0.2 * `events of the item, last 7 days` / 100

Names are what a ranker foretells ("click", "conversion", "chance", "worth"), and columns of numbers of the catalogue
("price", "margin", but no moments); where both have a name it is the ranker's. In backquotes stands the name of a
feature, of those that are numbers. There are + - * /, brackets, numbers, and log, min, max and clip(x, low, high).
Nothing else is read, and nothing is ever run.

*What is not known.* A formula is a sum of terms. A term that is no number for a candidate (its price is not known, or
it divides by 0) counts as the mean of that term among the other candidates of the same query, so that an item is
neither lifted nor sunk by what nobody knows; as 0 where it is known of none, and where that is so of all queries, it
is logged. The item's provenance leaves it out.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, DoubleVector
from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.errors import ConfigError, DataError, shortened, unknown
from zhiyin.ranking._cells import is_number, numbers_of
from zhiyin.ranking.candidates import Candidates
from zhiyin.ranking.ranked import Remark
from zhiyin.ranking.table import FeatureTable

logger = logging.getLogger(__name__)

QUOTED = re.compile(r"`([^`]+)`")
MARK = "feature_in_backquotes_"

MOMENTS = ("available_from", "available_until")
"""Columns of the catalogue that hold numbers (of microseconds) and are none."""

SCARCE = 0.5
"""A column that has a number for a smaller part of the items is warned of."""

MOST = 600
"""Of the parts of a formula; a longer one is hardly meant."""

OPERATORS: dict[type, Callable[..., AnyArray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}
FUNCTIONS: dict[str, tuple[Callable[..., AnyArray], int, int]] = {
    "log": (np.log, 1, 1),
    "min": (lambda *of: reduce(np.minimum, of), 2, 9),
    "max": (lambda *of: reduce(np.maximum, of), 2, 9),
    "clip": (lambda x, low, high: np.minimum(np.maximum(x, low), high), 3, 3),
}
"""Each with the least and the most of what it takes."""


@dataclass(frozen=True, slots=True)
class Term:
    """One of the summands of a formula."""

    text: str
    """Without its sign."""
    sign: int
    tree: ast.expr

    @property
    def shown(self) -> str:
        """As it is shown to people: with its sign, so that it is what it comes to."""
        if self.sign > 0:
            return self.text
        return f"-({self.text})" if self.text.startswith(("-", "+")) else f"-{self.text}"


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, read and checked.

    >>> formula = Formula.parse("click + 5 * conversion * price")
    >>> formula.names
    ('click', 'conversion', 'price')
    >>> known = {"click": np.array([0.5, 0.1]), "conversion": np.array([0.0, 0.1]), "price": np.array([9.0, 2.0])}
    >>> formula.of(known).round(3)
    array([0.5, 1.1])
    """

    text: str
    terms: tuple[Term, ...]
    names: tuple[str, ...]
    """Those of outcomes and columns."""
    features: tuple[str, ...]
    """Those in backquotes."""

    @classmethod
    def parse(cls, text: str) -> Formula:
        """Read a formula.

        Raises:
            ConfigError: it is none, or holds what is not understood or is no finite number.
        """
        features = tuple(dict.fromkeys(QUOTED.findall(text)))
        marked = QUOTED.sub(lambda found: f"{MARK}{features.index(found[1])}", text)
        try:
            tree = ast.parse(marked.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"value {shortened(text)!r} is no formula ({error}); write one such as {EXAMPLE!r}"
            ) from None
        if sum(1 for _ in ast.walk(tree)) > MOST:
            raise ConfigError(f"a value of more than {MOST} names, numbers and signs came; write a shorter one")
        _check(tree, text)
        _constant(tree, text)
        found = sorted({one.id for one in ast.walk(tree) if isinstance(one, ast.Name)} - FUNCTIONS.keys())
        terms = tuple(Term(_shown(part, features), sign, part) for sign, part in _summands(tree, 1))
        return cls(text, terms, tuple(one for one in found if not one.startswith(MARK)), features)

    def of_terms(self, known: Mapping[str, AnyArray]) -> list[DoubleVector]:
        """(n,) each: what every term comes to, with its sign; NaN where it is no number."""
        found = {MARK + str(at): known[name] for at, name in enumerate(self.features)}
        found |= {name: known[name] for name in self.names}
        n = len(next(iter(found.values()))) if found else 1
        with np.errstate(all="ignore"):
            values = [np.broadcast_to(one.sign * _value(one.tree, found), n) for one in self.terms]
        return [np.where(np.isfinite(one), one, np.nan) for one in values]

    def of(self, known: Mapping[str, AnyArray]) -> DoubleVector:
        """(n,) the sum of the terms; NaN where one is no number."""
        return np.asarray(np.sum(self.of_terms(known), axis=0), np.float64)


EXAMPLE = "click + 5 * conversion * price"


class Value:
    """A formula with the columns of the catalogue that it needs."""

    def __init__(self, text: str) -> None:
        self.formula = Formula.parse(text)
        self.columns: dict[str, DoubleVector] = {}

    def fit(self, items: pa.Table, foretold: tuple[str, ...]) -> Value:
        """Read what the formula needs of the catalogue.

        Args:
            items: the item table.
            foretold: what the ranker foretells.

        Raises:
            ConfigError: a name is neither foretold nor a column of numbers, and the message lists what there is; or a
                column has no number at all.
        """
        kinds = {name: items.schema.field(name).type for name in items.column_names if name not in MOMENTS}
        known = [name for name, kind in kinds.items() if is_number(kind)]
        for name in self.formula.names:
            if name not in foretold and name not in known:
                raise ConfigError(
                    f"{unknown('name in value', name, (*foretold, *known))}; the ranker foretells "
                    f"{', '.join(foretold)}, the catalogue has the numbers {', '.join(known) or '(none)'}; features "
                    "stand in backquotes"
                )
        self.columns = {name: numbers_of(items, name) for name in self.formula.names if name not in foretold}
        for name, column in self.columns.items():
            _say_scarce(name, column)
        return self

    def save(self, path: Path) -> None:
        """Write what was read; the formula itself is a setting."""
        save_arrays(path, {str(at): self.columns[name] for at, name in enumerate(sorted(self.columns))})

    def load(self, path: Path, foretold: tuple[str, ...]) -> None:
        """Read what `save` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        names, found = sorted(set(self.formula.names) - set(foretold)), load_arrays(path)
        if set(found) != {str(at) for at in range(len(names))}:
            raise DataError(f"{path} is damaged: {len(found)} columns, {len(names)} are needed; save the model anew")
        self.columns = {name: found[str(at)] for at, name in enumerate(names)}

    def check(self, features: tuple[str, ...], categories: Collection[str] = ()) -> None:
        """Make sure that features in backquotes are there, and are numbers.

        Args:
            features: those that are there.
            categories: those that are none of numbers; what stands for them are buckets, which no arithmetic has.

        Raises:
            ConfigError: one is not, or is a category.
        """
        numbers = [name for name in features if name not in categories]
        for name in self.formula.features:
            if name not in features:
                raise ConfigError(unknown("feature in value", name, numbers))
        wrong = [name for name in self.formula.features if name in categories]
        if wrong:
            raise ConfigError(
                f"value {shortened(self.formula.text)!r} counts with {', '.join(map(repr, wrong))}, which no number is "
                f"but a category; features that are numbers: {', '.join(numbers) or '(none)'}"
            )

    def worth(
        self, candidates: Candidates, table: FeatureTable, outcomes: Mapping[str, DoubleVector]
    ) -> tuple[DoubleVector, tuple[Remark, ...]]:
        """(n,) what each candidate is worth, and what its terms come to."""
        if not len(candidates):
            return np.zeros(0), ()
        known: dict[str, AnyArray] = {name: column[candidates.item] for name, column in self.columns.items()}
        known |= {name: outcomes[name] for name in self.formula.names if name not in known}
        self.check(table.names, table.sizes)
        known |= {name: table.column(name).astype(np.float64) for name in self.formula.features}
        terms = [np.broadcast_to(one, len(candidates)) for one in self.formula.of_terms(known)]
        self._say_unknown(terms)
        owner, n = candidates.owner(), len(candidates.queries)
        total = np.sum([_completed(one, owner, n) for one in terms], axis=0)
        remarks = (
            Remark(f"value: {one.shown} = {{}}", found) for one, found in zip(self.formula.terms, terms, strict=True)
        )
        return np.asarray(total, np.float64), tuple(remarks)

    def _say_unknown(self, found: list[DoubleVector]) -> None:
        """Warn of terms that are a number for none of the candidates."""
        for term, values in zip(self.formula.terms, found, strict=True):
            if np.isnan(values).all():
                logger.warning(
                    "value: %s is no number for any of %d candidates, and counts as 0: what it reads is not known, or "
                    "it divides by 0",
                    *(term.shown, len(values)),
                )


def _say_scarce(name: str, column: DoubleVector) -> None:
    """Refuse a column (n_items,) without numbers, and warn of one of few."""
    n, known = len(column), int(np.isfinite(column).sum())
    if not known:
        raise ConfigError(
            f"value reads {name!r}, and that column of the catalogue has no number for any of {n:,} items; fill it, or "
            "leave it out of the formula"
        )
    if known < SCARCE * n:
        logger.warning(
            "value: %r is known of %d of %d items; for others it counts as the mean of the same list's candidates",
            *(name, known, n),
        )


def _completed(term: DoubleVector, owner: AnyArray, n: int) -> DoubleVector:
    """(n_rows,) with the mean of those of the same query where it is not known."""
    known = ~np.isnan(term)
    if known.all():
        return term
    count = np.bincount(owner[known], minlength=n)
    mean = np.bincount(owner[known], term[known], n) / np.maximum(count, 1)
    return np.where(known, term, mean[owner])


def _check(tree: ast.AST, text: str) -> None:
    """Refuse what is not arithmetic."""
    if isinstance(tree, ast.Constant):
        right = type(tree.value) in (int, float)
    elif isinstance(tree, ast.Call):
        right = isinstance(tree.func, ast.Name) and tree.func.id in FUNCTIONS and not tree.keywords
        if right:
            _, least, most = FUNCTIONS[tree.func.id]  # type: ignore[attr-defined]
            right = least <= len(tree.args) <= most
    else:
        right = isinstance(tree, (ast.Name, ast.BinOp, ast.UnaryOp))
        right = right and type(getattr(tree, "op", ast.Add())) in OPERATORS
        right = right and getattr(tree, "id", "") not in FUNCTIONS
    if not right:
        held = shortened(ast.unparse(tree))
        raise ConfigError(
            f"value {shortened(text)!r} holds {held!r}; names, numbers, + - * /, brackets, and log(x), min(x, y), "
            "max(x, y), clip(x, low, high) are understood"
        )
    for part in _parts(tree):
        _check(part, text)


def _parts(tree: ast.AST) -> list[ast.expr]:
    """What an operator or a function takes."""
    found: list[Any] = [getattr(tree, name, None) for name in ("left", "right", "operand")]
    return [*(one for one in found if one is not None), *getattr(tree, "args", ())]


def _constant(tree: ast.AST, text: str) -> float | None:
    """What a checked tree comes to if it holds no names, else None; refuse a part of it that is no finite number."""
    if isinstance(tree, ast.Name):
        return None
    if isinstance(tree, ast.Constant):
        return _finite(tree, text)
    found = [_constant(one, text) for one in _parts(tree)]
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div) and found[1] == 0:
        raise ConfigError(f"value {shortened(text)!r} divides by {ast.unparse(tree.right)!r}, which is 0")
    return None if None in found else _finite(tree, text)


def _finite(tree: ast.AST, text: str) -> float:
    """What a checked tree without names comes to."""
    try:
        with np.errstate(all="ignore"):
            found = float(_value(tree, {}))  # type: ignore[arg-type]
    except OverflowError:  # a whole number of hundreds of digits
        found = np.inf
    if not np.isfinite(found):
        raise ConfigError(
            f"value {shortened(text)!r} holds {shortened(ast.unparse(tree))!r}, which comes to {found:g}; a finite "
            "number is expected"
        )
    return found


def _summands(tree: ast.expr, sign: int) -> list[tuple[int, ast.expr]]:
    """The terms of a sum, with their signs."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, (ast.Add, ast.Sub)):
        other = sign if isinstance(tree.op, ast.Add) else -sign
        return [*_summands(tree.left, sign), *_summands(tree.right, other)]
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return _summands(tree.operand, -sign)
    return [(sign, tree)]


def _value(tree: ast.expr, known: Mapping[str, AnyArray]) -> AnyArray:
    """What a checked tree comes to."""
    if isinstance(tree, ast.Constant):
        return np.float64(tree.value)  # type: ignore[arg-type, return-value]
    if isinstance(tree, ast.Name):
        return np.asarray(known[tree.id], np.float64)
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name)
        return FUNCTIONS[tree.func.id][0](*(_value(one, known) for one in tree.args))
    if isinstance(tree, ast.BinOp):
        return OPERATORS[type(tree.op)](_value(tree.left, known), _value(tree.right, known))
    assert isinstance(tree, ast.UnaryOp)
    return OPERATORS[type(tree.op)](_value(tree.operand, known))


def _shown(tree: ast.expr, features: tuple[str, ...]) -> str:
    """As text, with the names of features."""
    return re.sub(MARK + r"(\d+)", lambda found: features[int(found[1])], ast.unparse(tree))
