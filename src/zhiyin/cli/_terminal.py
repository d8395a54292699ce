"""What the terminal shows: results on standard output, progress and notes on standard error.

Text from data (ids, titles, names of files) goes through `plain` before it is printed among markup: it may hold
anything, also what a terminal would obey.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, NoReturn, TypeVar

from zhiyin._processes import is_first

T = TypeVar("T")

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Letters that move the cursor, turn the direction of writing, or cannot be written at all."""

_PIPELINE = "zhiyin.ranking.pipeline:Pipeline"


def fail(message: str, code: int = 1) -> NoReturn:
    """Print one message to standard error and end with an exit code."""
    _console(stderr=True).print(f"[bold red]error:[/] {plain(called(message))}", soft_wrap=True)
    sys.exit(code)


def note(message: str) -> None:
    """Print one line to standard error; of several processes that work together, the first one does."""
    if is_first():
        _console(stderr=True).print(plain(message), soft_wrap=True)


def say(*parts: Any, wrap: bool = True) -> None:
    """Print a result, with markup, to standard output; lines that people copy are not to be wrapped."""
    _console().print(*parts, soft_wrap=not wrap)


def say_table(made: Any) -> None:
    """Print a table, and nothing less of it where the terminal is too narrow, which wraps its lines then."""
    console = _console()
    console.width = max(console.width, _width(made))
    console.print(made)


def say_json(content: Any) -> None:
    """Print one JSON document to standard output, in letters that it can write."""
    import json

    from zhiyin.artifacts import to_json

    text = to_json(content)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=2) + "\n"
    sys.stdout.write(text)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers_from: int | None = None) -> Any:
    """A terminal table. Columns of numbers are aligned right; of texts, those from `numbers_from` on.

    A cell may be a list of lines.
    """
    from rich import box
    from rich.table import Table

    listed = [list(row) for row in rows]
    found = Table(box=box.SIMPLE_HEAD)
    for place, name in enumerate(header):
        column = [row[place] for row in listed]
        right = place >= numbers_from if numbers_from is not None else _are_numbers(column)
        found.add_column(plain(name), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in listed:
        found.add_row(*(_cell(value) for value in row))
    return found


def _are_numbers(column: Sequence[Any]) -> bool:
    known = [value for value in column if value is not None]
    return bool(known) and all(isinstance(value, (int, float)) for value in known)


def fitting(header: Sequence[str], rows: Sequence[Sequence[str]], expendable: Sequence[str]) -> tuple[list[str], Any]:
    """The columns of a table that fit into the terminal side by side; expendable ones go first, in their order."""
    from rich.cells import cell_len

    room = _console().width
    kept = list(range(len(header)))
    for name in expendable:
        widths = [max(cell_len(row[at]) for row in (header, *rows)) for at in kept]
        if sum(widths) + 3 * len(kept) + 1 <= room:  # two spaces and a border at each
            break
        kept = [at for at in kept if header[at].partition("@")[0] != name]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def fits(made: Any) -> bool:
    """Whether the terminal has room for a table as it is, with nothing folded or cut."""
    return _width(made) <= int(_console().width)


def _width(made: Any) -> int:
    """How many columns of a terminal a table takes, if it may have as many as it wants."""
    from rich.measure import Measurement

    console = _console()
    return int(Measurement.get(console, console.options.update(max_width=1_000_000), made).maximum)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return "\n".join(plain(line) for line in value)
    if isinstance(value, float):
        return _float(value)
    return f"{value:,}" if isinstance(value, int) else plain(str(value))


def _float(value: float) -> str:
    if 0 < abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def plain(text: str) -> str:
    r"""A text that is printed as it stands, among markup: what a terminal would obey is spelt out.

    >>> plain("a[b]\n")
    'a\\[b]\\n'
    """
    from rich.markup import escape

    return escape(_UNSEEN.sub(_spelt, text))


def called(text: str) -> str:
    """A text for people, in which a pipeline is called that; elsewhere it goes by its path, which finds it.

    >>> called("zhiyin.ranking.pipeline:Pipeline is not fitted yet")
    'pipeline is not fitted yet'
    """
    return text.replace(_PIPELINE, "pipeline")


def _spelt(letter: re.Match[str]) -> str:
    return letter.group().encode("unicode_escape").decode("ascii")


def _console(stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False)


class Bars:
    """Progress bars on standard error, with rate and time left; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._drawn: list[Any] = []
        """What is drawn at the moment, the innermost last."""

    def track(self, steps: Iterable[T], total: int | None, description: str) -> Iterator[T]:
        """Yield every step and move a bar."""
        console = _console(stderr=True)
        if not (console.is_terminal and is_first()):
            yield from steps
            return
        with _bar(console) as progress:
            self._drawn.append(progress)
            try:
                yield from progress.track(steps, total=total, description=plain(called(description)))
            finally:
                self._drawn.remove(progress)

    def tell(self, said: str) -> None:
        """Show how the work stands, in a line of its own below the bar."""
        for progress in self._drawn[-1:]:
            progress.update(progress.task_ids[0], said=said)


def _bar(console: Any) -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Standing(Progress):
        """A bar, and below it how the work stands."""

        def get_renderables(self) -> Iterator[Any]:
            yield from super().get_renderables()
            for task in self.tasks:
                if said := task.fields.get("said"):
                    yield f"  [dim]{plain(said)}[/]"

    return Standing(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


@contextmanager
def logged(name: str) -> Iterator[None]:
    """Where no bars are drawn, print what a logger says while a block of `with` goes on: a line for each message."""
    if _console(stderr=True).is_terminal:
        yield
        return
    with _heard(name, _Notes()):
        yield


@contextmanager
def stages(said: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """Give a function that tells of a stage that is done: a line with the seconds since the one before.

    Args:
        said: how the line begins that tells what a logger says, by its name: its news end a stage too.
    """
    since = perf_counter()

    def tell(what: str) -> None:
        nonlocal since
        now = perf_counter()
        note(f"{now - since:6.1f} s  {called(what)}")
        since = now

    with ExitStack() as stack:
        for name, start in said.items():
            stack.enter_context(_heard(name, _Stages(start, tell)))
        yield tell


@contextmanager
def _heard(name: str, handler: logging.Handler) -> Iterator[None]:
    """Let a handler have what a logger says, from its news on, while a block of `with` goes on."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Notes(logging.Handler):
    """Log lines as notes on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        note(called(record.getMessage()))


class _Stages(_Notes):
    """News as stages that are done; warnings as notes."""

    def __init__(self, start: str, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._start, self._tell = start, tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO:
            super().emit(record)
        else:
            self._tell(f"{self._start}: {record.getMessage()}")
