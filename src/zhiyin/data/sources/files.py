"""Files: finding them, telling what they are by their first bytes, and reading each once for its fingerprint."""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Literal, cast

from zhiyin.errors import DataError

Form = Literal["text", "json", "parquet", "sqlite"]

SUFFIXES: dict[str, Form] = {
    **dict.fromkeys((".csv", ".tsv", ".psv", ".txt", ".tab", ".dat", ".data", ".inter", ".item", ".user"), "text"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".parquet", ".pq", ".parq"), "parquet"),
}  # fmt: skip

_ARCHIVES = {b"PK\x03\x04": "a zip archive (or a spreadsheet)", b"\x28\xb5\x2f\xfd": "zstd-compressed",
             b"BZh": "bzip2-compressed", b"\xfd7zXZ": "xz-compressed", b"7z\xbc\xaf": "a 7z archive",
             b"ARROW1": "an Arrow IPC file", b"\x80\x04": "a pickle, which is never opened"}  # fmt: skip
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Print:
    """The fingerprint of a file: `name` (inside its folder), `size` in bytes, `blake2b` of the content.

    Of a text also its `encoding` and the number of its `lines`.
    """

    name: str
    size: int
    blake2b: str
    encoding: str = "utf-8"
    lines: int = 0
    notes: tuple[str, ...] = field(default=())

    def fact(self, rows: int) -> dict[str, str | int]:
        """What the manifest keeps of the file."""
        return {"name": self.name, "size": self.size, "rows": rows, "blake2b": self.blake2b}


def find(path: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that a path, a glob, a folder or a list of them stands for, sorted by path.

    Raises:
        DataError: there are none; the message names the nearest names in that folder.
    """
    if isinstance(path, (str, Path)):
        return tuple(sorted(_expand(Path(path).expanduser())))
    every = sorted({file for one in path for file in _expand(Path(one).expanduser())})
    if not every:
        raise DataError("an empty list of files came; at least one is expected")
    return tuple(every)


def find_one(path: Path) -> Path:
    """The one file of that path.

    Raises:
        DataError: it is not there, or is a folder.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; a file is expected")
    if not path.is_file():
        raise DataError(_not_there(path))
    return path


def _expand(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        return _in_folder(path)
    if any(letter in str(path) for letter in "*?["):
        found = [Path(one) for one in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - the glob may be absolute
        files = [one for one in found if one.is_file() and not one.name.startswith(".")]
        if files:
            return files
        raise DataError(f"no file matches {str(path)!r}")
    raise DataError(_not_there(path))


def _in_folder(folder: Path) -> list[Path]:
    inside = [one for one in folder.rglob("*") if one.is_file() and not _hidden(one.relative_to(folder))]
    forms = {one: SUFFIXES[suffix(one)] for one in inside if suffix(one) in SUFFIXES}
    if not forms:
        raise DataError(f"folder {folder} holds no CSV, JSON lines or Parquet files")
    kinds = sorted(set(forms.values()))
    if len(kinds) > 1:
        raise DataError(
            f"folder {folder} holds files of several forms ({', '.join(kinds)}); name them by a glob such as *.csv"
        )
    return list(forms)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _not_there(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"{path} is not there: there is no folder {folder}"
    names = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    near = get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"{path} is not there; did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"{path} is not there; {folder} holds {shown or 'nothing'}"


def suffix(path: Path) -> str:
    """The suffix of the file, below .gz."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def form_of(path: Path) -> Form:
    """What a file is: by its first bytes where they tell, else by its suffix.

    Raises:
        DataError: it is empty, an archive, or cannot be read.
    """
    head = head_of(path, 4096)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{path} is empty ({path.stat().st_size} bytes)")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    for magic, what in _ARCHIVES.items():
        if head.startswith(magic):
            raise DataError(f"{path} is {what}; unpack it into CSV, JSON lines (.gz is fine) or Parquet first")
    form = SUFFIXES.get(suffix(path), "text")
    if form == "parquet":
        raise DataError(
            f"{path} is called Parquet but is none (it does not start with PAR1); is it cut off or another form?"
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "json"
    return form


def is_gzip(path: Path) -> bool:
    """Whether the file is gzip-compressed, whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is gzip-compressed."""
    return cast(IO[bytes], gzip.open(path) if is_gzip(path) else path.open("rb"))


def head_of(path: Path, size: int) -> bytes:
    """The first `size` bytes, unpacked."""
    return next(_chunks(path, size), b"")


def _chunks(path: Path, size: int = _CHUNK) -> Iterator[bytes]:
    try:
        with opened(path) as file:
            while chunk := file.read(size):
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; is it cut off or damaged?") from error


def fingerprint(path: Path, name: str, text: bool = False) -> Print:
    """Hash the file and, if it is text, find out its encoding; it is read once (twice when gzip-compressed)."""
    digest = hashlib.blake2b(digest_size=16)
    packed = text and is_gzip(path)
    content = _Text() if text else None
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                if content is not None and not packed:
                    content.feed(chunk)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if content is not None and packed:
        for chunk in _chunks(path):
            content.feed(chunk)
    found = content.verdict() if content is not None else "utf-8"
    notes = (f"{name} is not UTF-8 and was read as {found}",) if found != "utf-8" else ()
    lines = content.lines if content is not None else 0
    return Print(name, path.stat().st_size, digest.hexdigest(), found, lines, notes)


class _Text:
    """Encoding and lines: UTF-8 as long as it holds; Latin-1 when more bytes are broken than letters are whole."""

    def __init__(self) -> None:
        self._strict = codecs.getincrementaldecoder("utf-8")("strict")
        self._loose = codecs.getincrementaldecoder("utf-8")("replace")
        self._valid, self._broken, self._whole = True, 0, 0
        self._first = self._last = b""
        self._feeds = self._returns = 0

    @property
    def lines(self) -> int:
        """The number of lines, the last one also where it does not end."""
        return (self._feeds or self._returns) + (self._last not in (b"", b"\n", b"\r"))

    def feed(self, chunk: bytes) -> None:
        self._first, self._last = self._first or chunk[:2], chunk[-1:]
        self._feeds += chunk.count(b"\n")
        self._returns += 0 if self._feeds else chunk.count(b"\r")
        if self._valid and chunk.isascii() and not self._strict.getstate()[0]:
            return
        if self._valid:
            state = self._strict.getstate()
            try:
                self._strict.decode(chunk)
                return
            except UnicodeDecodeError:
                self._valid = False
                self._loose.setstate(state)
        text = self._loose.decode(chunk)
        broken = text.count("�")
        self._broken += broken
        self._whole += sum(not letter.isascii() for letter in text) - broken

    def verdict(self) -> str:
        if self._first in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
        return "utf-8" if self._valid or self._whole > self._broken else "latin-1"


def rewrite(path: Path, encoding: str, target: Path) -> Path:
    """Copy a text file as UTF-8 with line feeds, unpacked; for what the engine's reader does not take as it is.

    Broken bytes of a UTF-8 file stay broken, so that only their rows are refused.
    """
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    try:
        with (
            io.TextIOWrapper(opened(path), encoding, errors, newline=None) as text,
            target.open("w", encoding="utf-8", errors=errors, newline="\n") as out,
        ):
            while chunk := text.read(_CHUNK):
                out.write(chunk)
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise DataError(f"cannot read {path}: {error}; is it cut off or damaged?") from error
    return target


def count_lines(path: Path, encoding: str) -> int:
    """How many lines of the file are not blank; slow, to check a fast reader where in doubt."""
    with io.TextIOWrapper(opened(path), encoding, "replace", newline="") as text:
        return sum(1 for line in text if line.strip())


def label_of(paths: Sequence[Path]) -> str:
    """What to call the files in messages."""
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more"


def names_of(paths: Sequence[Path]) -> list[str]:
    """Short names that tell the files apart: inside the folder that holds them all."""
    if len(paths) == 1:
        return [paths[0].name]
    folders = [path.absolute().parent for path in paths]
    common = folders[0]
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return [path.absolute().relative_to(common).as_posix() for path in paths]


def engine_path(path: Path) -> str:
    """The path as the engine reads it literally: its glob letters are escaped."""
    return glob.escape(str(path))
