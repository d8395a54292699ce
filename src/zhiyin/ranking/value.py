"""Value: what a candidate is worth, as a formula that somebody has declared and that everybody can read.

    click + 5 * conversion * price + 0.2 * `events of the item, last 7 days` / 100

Names are what a ranker foretells ("click", "conversion", "chance", "worth"), and columns of numbers of the catalogue
("price", "margin"); where both have a name it is the ranker's. In backquotes stands the name of a feature. There are
+ - * /, brackets, numbers, and log, min, max and clip(x, low, high). Nothing else is read, and nothing is ever run.

*What is not known.* A formula is a sum of terms. A term that is no number for a candidate (its price is not known, or
it divides by 0) counts as the mean of that term among the other candidates of the same query, so that an item is
neither lifted nor sunk by what nobody knows; as 0 where it is known of none. The item's provenance leaves it out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
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

QUOTED = re.compile(r"`([^`]+)`")
MARK = "feature_in_backquotes_"

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
    """As it is shown to people."""
    sign: int
    tree: ast.expr


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
            ConfigError: it is none, or holds what is not understood.
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
            ConfigError: a name is neither foretold nor a column of numbers; the message lists what there is.
        """
        known = [name for name in items.column_names if is_number(items.schema.field(name).type)]
        for name in self.formula.names:
            if name not in foretold and name not in known:
                raise ConfigError(
                    f"{unknown('name in value', name, (*foretold, *known))}; the ranker foretells "
                    f"{', '.join(foretold)}, the catalogue has the numbers {', '.join(known) or '(none)'}; features "
                    "stand in backquotes"
                )
        self.columns = {name: numbers_of(items, name) for name in self.formula.names if name not in foretold}
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

    def check(self, features: tuple[str, ...]) -> None:
        """Make sure that features in backquotes are there.

        Raises:
            ConfigError: one is not.
        """
        for name in self.formula.features:
            if name not in features:
                raise ConfigError(unknown("feature in value", name, features))

    def worth(
        self, candidates: Candidates, table: FeatureTable, outcomes: Mapping[str, DoubleVector]
    ) -> tuple[DoubleVector, tuple[Remark, ...]]:
        """(n,) what each candidate is worth, and what its terms come to."""
        if not len(candidates):
            return np.zeros(0), ()
        known: dict[str, AnyArray] = {name: column[candidates.item] for name, column in self.columns.items()}
        known |= {name: outcomes[name] for name in self.formula.names if name not in known}
        self.check(table.names)
        known |= {name: table.column(name).astype(np.float64) for name in self.formula.features}
        terms = [np.broadcast_to(one, len(candidates)) for one in self.formula.of_terms(known)]
        owner, n = candidates.owner(), len(candidates.queries)
        total = np.sum([_completed(one, owner, n) for one in terms], axis=0)
        remarks = (
            Remark(f"value: {one.text} = {{}}", found) for one, found in zip(self.formula.terms, terms, strict=True)
        )
        return np.asarray(total, np.float64), tuple(remarks)


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
    parts: list[Any] = [getattr(tree, name, None) for name in ("left", "right", "operand")]
    for part in (*parts, *getattr(tree, "args", ())):
        if part is not None:
            _check(part, text)


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
