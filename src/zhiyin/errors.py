"""What can go wrong, as one small tree.

    ZhiyinError
    ├── DataError        the events, items or users are not what was expected
    ├── ConfigError      a setting, name or argument is wrong
    ├── NotFittedError   a component is asked for something that it learns only in `fit`
    ├── MissingExtra     an optional dependency is not installed
    └── LeakageError     the future would reach a model, or numbers of different protocols would be compared

A message says what came, what was expected and what to do next. The command line prints it and exits with 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ZhiyinError(Exception):
    """Any error that zhiyin raises on purpose."""


class DataError(ZhiyinError):
    """The events, items or users are not what was expected."""


class ConfigError(ZhiyinError):
    """A setting, a name or an argument is wrong."""


class NotFittedError(ZhiyinError):
    """A component is asked for something that it learns only in `fit`."""


class MissingExtra(ZhiyinError):  # noqa: N818 - it names what is missing, not a fault
    """An optional dependency is not installed."""

    def __init__(self, extra: str, needs: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs {needs}, which is not installed: pip install "zhiyin[{extra}]"')


class LeakageError(ZhiyinError):
    """The future would reach a model, or numbers of different protocols would be compared."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that `name` is not a known `what`, with the nearest known names.

    >>> unknown("model", "item_kn", ["ease", "item_knn", "user_knn"])
    "unknown model 'item_kn'; did you mean 'item_knn'?"
    """
    options = sorted(known)
    near = get_close_matches(name, options, n=3, cutoff=0.6)
    said = f"unknown {what} {shortened(name)!r}"
    if near:
        return f"{said}; did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(map(shortened, options[:20])) + (f" and {len(options) - 20} more" if len(options) > 20 else "")
    return f"{said}; known: {shown or 'none'}"


def shortened(text: str, most: int = 80) -> str:
    """A long text without its middle, for people.

    >>> shortened("a very long title", 9)
    'a ve…itle'
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[-half:]}"
