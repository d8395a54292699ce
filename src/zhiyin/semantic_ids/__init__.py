"""Semantic ids: vectors as codes of a few digits; one file each. `available()` lists them, `load` opens a saved one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhiyin._rooms import open_room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from pyarrow import Table

    from zhiyin.arrays import AnyArray, FloatMatrix, IntMatrix
    from zhiyin.data.dataset import Dataset
    from zhiyin.semantic_ids._report import CodeReport
    from zhiyin.semantic_ids._tree import CodeTree
    from zhiyin.semantic_ids.base import Codebook

available, get, __getattr__ = open_room(__name__, "codebook")


def load(path: str | Path) -> Codebook:
    """Open a saved codebook, whatever its kind.

    Raises:
        DataError: the folder is missing, damaged, or holds something else.
    """
    from zhiyin.semantic_ids._saved import load as opened

    return opened(path)


def unique(codes: AnyArray, most: int | None = None) -> IntMatrix:
    """(n, levels + 1) the codes with one more digit, which tells items of equal codes apart; see `_digits.unique`."""
    from zhiyin.semantic_ids._digits import unique as told_apart

    return told_apart(codes, most)


def tree(codes: AnyArray, sizes: Sequence[int] | None = None) -> CodeTree:
    """The tree of all codes that there are: which digit may follow, which item is at the end."""
    from zhiyin.semantic_ids._tree import CodeTree

    return CodeTree.of(codes, sizes)


def report(
    codes: AnyArray,
    sizes: Sequence[int],
    vectors: FloatMatrix | None = None,
    decoded: FloatMatrix | None = None,
    labels: Sequence[Any] | None = None,
) -> CodeReport:
    """What codes are worth: collisions, use, error, purity; see `CodeReport`.

    Args:
        codes: (n, levels), without a last digit that tells items apart; -1 for an item without a code.
        sizes: how many values each digit may have.
        vectors: (n, d) what was encoded; with `decoded`, for the error.
        decoded: (n, d) what the codes give back.
        labels: (n,) a label of each item, such as its category, for the purity; None for an item without one.

    Raises:
        DataError: codes beyond the sizes, or arrays that do not fit together.
    """
    from zhiyin.semantic_ids._report import report as reported

    return reported(codes, sizes, vectors, decoded, labels)


def words(
    codes: AnyArray,
    items: Table | Dataset | Sequence[str],
    levels: int | None = None,
    n_words: int = 3,
    columns: Sequence[str] | None = None,
) -> dict[tuple[int, ...], tuple[str, ...]]:
    """For each beginning of a code, the words that set its items apart from those beside them, best first.

    Args:
        codes: (n, levels); -1 for an item without a code.
        items: their table, the dataset that has it, or one text an item.
        levels: so many digits are read; by default all.
        n_words: at most so many words a digit.
        columns: which columns to read; by default all of text, and lists of it.

    Raises:
        DataError: as many items as codes are expected, or a column is named that is not there.
    """
    from zhiyin.semantic_ids._words import words as found

    return found(codes, items, levels, n_words, columns)


def describe(
    codes: AnyArray,
    items: Table | Dataset | Sequence[str],
    levels: int | None = None,
    n_words: int = 3,
    columns: Sequence[str] | None = None,
) -> list[str]:
    """(n,) the code of each item as a person reads it, such as "shampoo, hair > curly"; empty without a code.

    A digit whose items no word sets apart is shown by its number. The arguments are those of `words`.
    """
    from zhiyin.semantic_ids._words import describe as described

    return described(codes, items, levels, n_words, columns)
