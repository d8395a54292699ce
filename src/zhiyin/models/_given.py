"""What models are given, looked at before they work: a wrong thing is refused with a word on what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries, Query
from zhiyin.errors import ConfigError, DataError
from zhiyin.splitting.base import Cases, Split


def check_fit(name: str, train: Any, validation: Any) -> None:
    """See that the model `name` is to learn from a dataset, and to be measured on cases if on anything.

    Raises:
        DataError: it is something else.
    """
    if isinstance(train, Split):
        raise DataError(f"{name} learns from one part of a split; give split.train and split.validation")
    if not isinstance(train, Dataset):
        raise DataError(
            f"{name} learns from a zhiyin.Dataset, but {_kind(train)} came; make one with zhiyin.prepare(events)"
        )
    if validation is not None and not isinstance(validation, Cases):
        raise DataError(f"{name} is measured on the cases of a split (split.validation), but {_kind(validation)} came")


def given_queries(name: str, queries: Any) -> Queries | list[Query]:
    """A batch as it is, one query as a list, and any other collection of queries as a list.

    Raises:
        DataError: it is something else.
    """
    if isinstance(queries, Queries):
        return queries
    if isinstance(queries, Query):
        return [queries]
    if isinstance(queries, Dataset):
        raise DataError(
            f"{name} answers queries, but a dataset came; give dataset.queries(), or dataset.query_of(user)"
        )
    listed = None if isinstance(queries, (str, bytes)) or not hasattr(queries, "__iter__") else list(queries)
    wrong = [one for one in listed if not isinstance(one, Query)] if listed is not None else [queries]
    if listed is None or wrong:
        raise DataError(
            f"{name} answers queries, but {_kind(wrong[0])} came; a history of item ids becomes one by "
            "zhiyin.Query.of(ids)"
        )
    return listed


def check_k(k: Any, n_items: int) -> int:
    """The length of a list.

    Raises:
        ConfigError: it is no whole number, or not between 1 and the size of the catalogue.
    """
    if not isinstance(k, Integral) or isinstance(k, bool) or not 1 <= int(k) <= n_items:
        raise ConfigError(f"k = {k!r} came; a list has between 1 and {n_items} items (the size of the catalogue)")
    return int(k)


def _kind(given: Any) -> str:
    if isinstance(given, (str, bytes)):
        return f"the text {given!r}"
    listed = f" of {len(given)}" if isinstance(given, Sequence) else ""
    return f"{type(given).__name__}{listed}" if given is not None else "nothing"
