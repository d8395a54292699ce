"""What the terminal shows: results on standard output, progress and notes on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def fail(message: str, code: int = 1) -> NoReturn:
    """Print one message to standard error and end with an exit code."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {_escape(message)}", soft_wrap=True)
    sys.exit(code)


def note(message: str) -> None:
    """Print one line to standard error."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(message, soft_wrap=True)


def say(*parts: Any) -> None:
    """Print a result to standard output."""
    from rich.console import Console

    Console(highlight=False).print(*parts)


def say_json(content: Any) -> None:
    """Print one JSON document to standard output."""
    from zhiyin.artifacts import to_json

    sys.stdout.write(to_json(content))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", numbers_from: int = 1) -> Any:
    """A terminal table; columns from `numbers_from` on are aligned right."""
    from rich import box
    from rich.table import Table

    found = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for place, name in enumerate(header):
        justify: Any = "right" if place >= numbers_from else "left"
        found.add_column(name, justify=justify, overflow="fold", no_wrap=place == 0)
    for row in rows:
        found.add_row(*(_escape(_cell(value)) for value in row))
    return found


def fitting(header: Sequence[str], rows: Sequence[Sequence[str]], expendable: Sequence[str]) -> tuple[list[str], Any]:
    """The columns of a table that fit into the terminal side by side; expendable ones go first, in their order."""
    from rich.console import Console

    room = Console().width
    kept = list(range(len(header)))
    for name in expendable:
        if sum(max(len(row[at]) for row in (header, *rows)) + 2 for at in kept) <= room:
            break
        kept = [at for at in kept if header[at].partition("@")[0] != name]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


class Bars:
    """Progress bars on standard error, with rate and time left; nothing where that is no terminal."""

    def track(self, steps: Iterable[T], total: int | None, description: str) -> Iterator[T]:
        """Yield every step and move a bar."""
        from rich.console import Console

        console = Console(stderr=True)
        if not console.is_terminal:
            yield from steps
            return
        with _bar(console) as progress:
            yield from progress.track(steps, total=total, description=_escape(description))


def _bar(console: Any) -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
