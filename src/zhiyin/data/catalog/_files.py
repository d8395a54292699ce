"""Files of a set, wherever they lie: in a folder, its subfolders, a compressed copy, or inside an archive."""

from __future__ import annotations

import bz2
import gzip
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from zhiyin.errors import DataError

_ZIPS, _TARS = (".zip", ".whl"), (".tar", ".tar.gz", ".tgz", ".tar.bz2")
_COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}


class Files:
    """The files under a folder, by the end of their path; archives are looked into and never unpacked."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder")
        self.folder = folder

    def has(self, name: str) -> bool:
        """Whether a file is here."""
        return self._plain(name) is not None or self._archived(name) is not None

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading.

        Raises:
            DataError: it is not here.
        """
        plain = self._plain(name)
        if plain is not None:
            opener = open if plain.name == PurePosixPath(name).name else _COMPRESSED[plain.suffix]
            with opener(plain, "rb") as stream:
                yield stream
            return
        archived = self._archived(name)
        if archived is None:
            raise DataError(f"{name} is missing in {self.folder}")
        with _open_member(*archived) as stream:
            yield stream

    def _plain(self, name: str) -> Path | None:
        for ending in ("", *_COMPRESSED):
            for above in ("", "*/", "*/*/"):
                found = sorted(path for path in self.folder.glob(f"{above}{name}{ending}") if path.is_file())
                if found:
                    return found[0]
        return None

    def _archived(self, name: str) -> tuple[Path, str] | None:
        for archive in sorted(self.folder.iterdir()):
            members = [one for one in _members(archive) if one == name or one.endswith(f"/{name}")]
            if members:
                return archive, min(members, key=lambda one: (len(one), one))
        return None


def _members(archive: Path) -> list[str]:
    try:
        if archive.name.endswith(_ZIPS):
            with zipfile.ZipFile(archive) as zipped:
                return zipped.namelist()
        if archive.name.endswith(_TARS):
            with tarfile.open(archive) as tarred:
                return tarred.getnames()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive.name} is damaged ({error}); fetch it again") from error
    return []


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if archive.name.endswith(_ZIPS):
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as stream:
            yield stream
        return
    with tarfile.open(archive) as tarred:
        inside = tarred.extractfile(member)
        if inside is None:
            raise DataError(f"{member} in {archive.name} is not a file")
        with inside:
            yield inside
