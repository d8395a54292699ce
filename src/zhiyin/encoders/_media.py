"""What encoders of pictures and of sound share: files named in a column, hashed by what they hold, read one by one."""

from __future__ import annotations

import copy
import errno
import hashlib
import logging
from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector
from zhiyin.config import Config, setting
from zhiyin.encoders._folders import folder_of, weights_hash
from zhiyin.encoders._kept import KEY_BYTES
from zhiyin.encoders._opening import POOLER, check_weights_are_there, opening
from zhiyin.encoders._terms import values_of
from zhiyin.encoders.base import Encoder
from zhiyin.errors import ConfigError, DataError, MissingExtra, unknown
from zhiyin.run import Run

logger = logging.getLogger(__name__)


class MediaConfig(Config):
    """Settings of encoders of files."""

    root: str | None = None
    """The folder from which relative paths are read, by default the one of the process. Where it is given, a path of a
    catalogue that leads out of it, by `..` or by a link too, is not read."""
    outside: bool = False
    """Whether paths that lead out of `root` are read all the same."""
    model: str | None = None
    """A folder of a transformers model with weights in safetensors, or its name on the hub; None for the descriptor
    that is computed here, which needs no weights."""
    batch_size: int = setting(16, ge=1)
    """Files that the model reads at once."""


class MediaEncoder(Encoder):
    """Base of encoders of files: an encoder writes what has no body here."""

    config: MediaConfig
    about_contents: ClassVar[tuple[str, ...]] = ("column", "root", "outside", "model", "batch_size")
    refuses: ClassVar[str] = "name a file outside of `root`, which is not read unless outside=True"
    tower: ClassVar[str] = ""
    """The method by which a model of several modalities reads these files."""
    edition: ClassVar[int] = 1
    """Rises when a file comes to have another vector than before, so that none of before is taken for it."""
    unreadable: ClassVar[tuple[type[Exception], ...]] = (OSError, ValueError, MemoryError)
    """What opening a broken file raises; whether that is the machine's fault, `_passes` says."""

    def _open(self, path: Path) -> AnyArray:
        """What the file holds; raises one of `unreadable` for a broken one."""
        raise NotImplementedError

    def _blank(self) -> AnyArray:
        """What a file might hold, to learn how long a vector is."""
        raise NotImplementedError

    def _describe(self, held: AnyArray) -> FloatVector:
        """(d,) the descriptor of what a file holds."""
        raise NotImplementedError

    def _processor(self, folder: Path) -> Any:
        """What prepares files for the model of a folder."""
        raise NotImplementedError

    def _inputs(self, processor: Any, held: list[AnyArray]) -> Any:
        """Some files, prepared for the model."""
        raise NotImplementedError

    def _together(self, held: list[AnyArray]) -> list[list[int]]:
        """Which of them the model may read at once, without a change of what it says of each."""
        return [list(range(len(held)))]

    def encode_files(self, paths: Sequence[str | Path], run: Run | None = None) -> FloatMatrix:
        """(n, d) float32 the vectors of files, of length 1; zeros for one that is missing or broken.

        They are read wherever they lie: who calls, and no catalogue, has named them.
        """
        table = pa.table({self._column: pa.array([str(one) for one in paths], pa.string())})
        _ = self.width  # so that what reads is made once, and not for each call
        anywhere = copy.copy(self)
        anywhere.config = self.config.model_copy(update={"outside": True})
        return anywhere.encode(table, keep=False, run=run).values

    @property
    def _column(self) -> str:
        return str(self.config.model_dump()["column"])

    def _contents(self, items: pa.Table) -> list[str]:
        if self._column not in items.column_names:
            raise DataError(
                f"{unknown('column', self._column, items.column_names)}; {self.name} reads paths of files from it"
            )
        root = self._root
        return [
            str(root / one) if isinstance(one, str) and one.strip() else "" for one in values_of(items, self._column)
        ]

    @property
    def _root(self) -> Path:
        return Path(self.config.root or ".").expanduser()

    def _refuses(self, content: str) -> bool:
        if self.config.root is None or self.config.outside:
            return False
        try:
            return not Path(content).resolve().is_relative_to(self._root.resolve())
        except (OSError, RuntimeError, ValueError):  # nor does it open
            return False

    def _key(self, content: str) -> bytes | None:
        if self._refuses(content):
            return None
        try:
            with Path(content).open("rb") as file:
                return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=KEY_BYTES)).digest()
        except (OSError, ValueError):
            return None

    def _weights(self) -> str:
        """The descriptor or the model's weights, and the edition of how files are read."""
        known = "descriptor" if self.config.model is None else weights_hash(self._folder)
        return f"{known} {self.edition}"

    def _probe(self) -> int:
        return int(self._read_all([self._blank()], Run()).shape[1])

    def _encode(self, contents: Sequence[str], run: Run) -> FloatMatrix:
        vectors = np.full((len(contents), self.width), np.nan, np.float32)
        for places, some in self._steps(contents, run):
            vectors[places] = some
        return vectors

    def _steps(self, contents: Sequence[str], run: Run) -> Generator[tuple[list[int], FloatMatrix]]:
        """So many files as may be held at once; NaN for broken ones, nothing for those that may open another time."""
        size = self.config.batch_size
        for start in range(0, len(contents), size):
            held = [self._held(Path(one)) for one in contents[start : start + size]]
            rows = [row for row, one in enumerate(held) if not _passes(one)]
            yield [start + row for row in rows], self._some([held[row] for row in rows], run)

    def _some(self, held: list[AnyArray | Exception], run: Run) -> FloatMatrix:
        """(n, d) the vectors of what some files hold; NaN for broken ones."""
        there = [row for row, one in enumerate(held) if not isinstance(one, Exception)]
        vectors = np.full((len(held), self.width), np.nan, np.float32)
        if there:
            vectors[there] = self._read_all([one for one in held if not isinstance(one, Exception)], run)
        return vectors

    def _held(self, path: Path) -> AnyArray | Exception:
        """What a file holds, or why it does not open."""
        try:
            return self._open(path)
        except self.unreadable as error:
            if _passes(error):
                logger.warning("%s: %s does not open now, and is tried again next time: %r", self.name, path, error)
            return error

    def _read_all(self, held: list[AnyArray], run: Run) -> FloatMatrix:
        """(n, d) the vectors of what some files hold."""
        if self.config.model is None:
            return np.stack([self._describe(one) for one in held])
        import torch

        from zhiyin._torch import torch_threads

        (processor, net, pools), device = self._net, run.device or "cpu"
        with torch_threads(run.threads), torch.inference_mode():
            try:
                net.to(device)
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(f"{self.name}: the device {device!r} is not there: {error}") from None
            found: dict[int, AnyArray] = {}
            for rows in self._together(held):
                inputs = self._inputs(processor, [held[row] for row in rows])
                output = getattr(net, self.tower, net)(**{name: one.to(device) for name, one in inputs.items()})
                found |= zip(rows, _pooled(output, pools).float().cpu().numpy(), strict=True)
        return np.stack([found[row] for row in range(len(held))]).astype(np.float32)

    @cached_property
    def _folder(self) -> Path:
        assert self.config.model is not None
        return folder_of(self.config.model, self.name, {}, "text", "the descriptor that needs none (leave model out)")

    @cached_property
    def _net(self) -> tuple[Any, Any, bool]:
        """What prepares files, the model, and whether it has learnt to pool its states."""
        try:
            from transformers import AutoModel
        except ImportError:
            raise MissingExtra("text", "transformers", f"the encoder {self.name} with a model") from None
        safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
        with opening(self.name, self._folder):
            net, told = AutoModel.from_pretrained(str(self._folder), output_loading_info=True, **safe)
            check_weights_are_there(told["missing_keys"], self.name, self._folder)
            processor = self._processor(self._folder)
        return processor, net.eval(), not any(map(POOLER.search, told["missing_keys"]))


def _passes(fault: AnyArray | Exception) -> bool:
    """Whether a file did not open by a fault of the machine, such as too many open files, and may do so next time.

    What libraries say of broken contents has no number of the system, but for places in a file that cannot be.
    """
    if isinstance(fault, OSError):
        return fault.errno not in (None, errno.EINVAL)
    return isinstance(fault, MemoryError)


def _pooled(output: Any, pools: bool) -> Any:
    """(n, d) the state of each file: the model's own pooled one where it has learnt to pool, or the mean of all."""
    if not hasattr(output, "last_hidden_state"):
        return output
    pooled = getattr(output, "pooler_output", None)
    return pooled.flatten(1) if pools and pooled is not None else output.last_hidden_state.mean(1)


def joined(blocks: Sequence[AnyArray]) -> FloatVector:
    """Blocks of length 1 each, one after the other; one without a length stays zero."""
    lengths = [float(np.linalg.norm(block)) for block in blocks]
    parts = [block / max(length, 1e-9) for block, length in zip(blocks, lengths, strict=True)]
    found: FloatVector = np.concatenate(parts).astype(np.float32)
    return found
