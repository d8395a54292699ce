"""The command line: one file a verb.

Exit codes: 0 done, 1 failed with a clear message (a traceback only with `--debug`), 2 wrong usage, 130 stopped by
Ctrl-C.
Results go to standard output, everything else (progress, notes, errors) to standard error.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

STOPPED = 130


def main() -> None:
    """Run the command line; the entry point `zhiyin`."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    with _noticing_ctrl_c() as presses:
        try:
            _run()
        except KeyboardInterrupt:
            _fail("stopped; nothing was left half-written", STOPPED)
        except BrokenPipeError:  # who reads the output has seen enough
            _discard_output()
            sys.exit(0)
        except Exception as error:
            if presses:  # what was stopped fails in its own ways
                _fail("stopped; nothing was left half-written", STOPPED)
            if debug:
                raise
            _fail(_said(error), 1)


def _run() -> None:
    """Run the command; its exit code comes as `SystemExit`, after all of its output was really written."""
    from zhiyin.cli._app import Unread, app

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    try:
        app()
    except Unread:
        raise BrokenPipeError from None
    except SystemExit as end:
        if end.code == STOPPED:  # so typer answers Ctrl-C, without a word
            raise KeyboardInterrupt from None
        raise
    finally:
        sys.stdout.flush()


@contextmanager
def _noticing_ctrl_c() -> Iterator[list[int]]:
    """Give a list that grows with each Ctrl-C: some libraries swallow the exception and go on, or fail otherwise."""
    presses: list[int] = []

    def press(number: int, frame: Any) -> None:
        presses.append(number)
        raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, press)
    try:
        yield presses
    finally:
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail(message: str, code: int) -> NoReturn:
    from zhiyin.cli._terminal import fail

    _discard_output()
    fail(message, code)


def _discard_output() -> None:
    """Let go of output that cannot be written (a closed pipe, a full disk), or Python complains of it at its end."""
    import os

    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _said(error: Exception) -> str:
    """The one message of a failure: what came, what was expected, what to do."""
    from zhiyin.errors import ZhiyinError

    if isinstance(error, ZhiyinError):
        return str(error)
    if isinstance(error, MemoryError):
        said = str(error) or "this machine has no more"
        return f"not enough memory: {said}; take a smaller part of the data, or a model that needs less"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return (
        f"{type(error).__name__}: {error}; this is a fault of zhiyin itself. Please report it, with what the same "
        "command prints with --debug"
    )
