"""Saved forms: a folder of plain files, written whole or not at all, and never unpickled.

model/
  config.json            what it is, its settings, the version that wrote it
  arrays.safetensors     what it learnt
  card.md                on which data, by which protocol, with which numbers
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray
from zhiyin.errors import DataError

MARKS = ("manifest.json", "config.json", "report.json", "source.json", "vectors.json")
"""The file that tells what a folder is: a dataset, a component, a report, a public set."""


@contextmanager
def new_folder(path: str | Path, overwrite: bool = False, mark: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its name only when the block ends well.

    A crash, Ctrl-C or a full disk leaves `path` as it was. Of two writers, the one that ends first wins and the other
    is told.

    Args:
        path: the folder to write.
        overwrite: replace it if it is there; only a folder that zhiyin wrote is ever replaced.
        mark: the file that a folder must hold to be replaced; by default any of `MARKS`.

    Raises:
        DataError: `path` is there already and may not be replaced, or the disk refuses to write.
    """
    target = Path(path)
    check_free(target, overwrite, mark)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise DataError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield work
        _take_name(work, target, overwrite)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}; nothing was left half-written") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_free(path: str | Path, overwrite: bool = False, mark: str | None = None) -> None:
    """Refuse a name that `new_folder` would refuse, before any work is done.

    Raises:
        DataError: it is taken; with `overwrite`, by anything but a folder that is empty or holds the mark.
    """
    target, marks = Path(path), MARKS if mark is None else (mark,)
    if not target.exists() or (overwrite and target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise DataError(
            f"{target} is there already; choose another name, or replace it with overwrite=True (at the prompt: "
            "--overwrite)"
        )
    if not any((target / mark).is_file() for mark in marks):
        held = "is a file" if target.is_file() else f"holds no {' or '.join(marks)}"
        raise DataError(
            f"{target} {held}, so it is not what would be written there, and is not replaced; choose another name, or "
            "remove it first"
        )


def _take_name(work: Path, target: Path, overwrite: bool) -> None:
    work.chmod(0o755)
    old: Path | None = None
    if target.exists():
        if not overwrite:
            raise DataError(f"{target} was written by somebody else meanwhile; nothing was changed there")
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        if old is not None:
            target.rename(old / "it")
        work.rename(target)
    except OSError as error:
        raise DataError(f"{target} was written by somebody else meanwhile; nothing was changed there") from error
    finally:
        if old is not None:
            if not target.exists() and (old / "it").exists():  # also when Ctrl-C came between the two renames
                (old / "it").rename(target)
            shutil.rmtree(old, ignore_errors=True)


def cache_folder() -> Path:
    """Where is kept what can be fetched or made anew: `ZHIYIN_CACHE`, else the platform's own cache folder."""
    if chosen := os.environ.get("ZHIYIN_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zhiyin"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "zhiyin" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zhiyin"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        DataError: the path is a folder, or the disk refuses to write.
    """
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder; name a file in it")
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.write_text(text, encoding="utf-8")
            work.replace(path)
        finally:
            work.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; nothing was left half-written") from error


def to_json(content: Any) -> str:
    """JSON text of plain values and numpy numbers; sorted names, so that equal contents give equal text."""
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; is {path.parent} really a folder that zhiyin wrote?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def save_arrays(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write named arrays to one safetensors file.

    Raises:
        OSError: the disk refuses to write.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path.touch()
    mode = path.stat().st_mode  # safetensors writes a file that its owner alone may read, and puts it in place
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
        path.chmod(mode)
    except SafetensorError as error:  # which hides that of the operating system
        raise OSError(str(error).removeprefix("Error while serializing: ").removeprefix("I/O error: ")) from error


def load_arrays(path: Path) -> dict[str, AnyArray]:
    """Read the named arrays of a safetensors file.

    Raises:
        DataError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}") from error
