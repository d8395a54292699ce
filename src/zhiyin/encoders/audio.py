"""Audio: sound files to vectors, by a descriptor of timbre, harmony and rhythm, or by an audio model of transformers.

The descriptor needs no weights: how loud each band of the mel scale is on average, how much that changes (as the
coefficients of Logan, ISMIR 2000, and Tzanetakis and Cook, IEEE TSAP 2002, do), which notes sound (Fujishima, ICMC
1999), and how beats follow each other. It is the same for a sound played louder, and near for sounds of one kind; it
does not know what is sung. A wav2vec, CLAP or AST folder knows more.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector
from zhiyin.config import setting
from zhiyin.encoders._media import MediaConfig, MediaEncoder, joined
from zhiyin.errors import MissingExtra

RATE = 16_000
"""Sound is looked at in so many values a second."""
FRAME, HOP = 1_024, 512
"""Values of a frame, and from one frame to the next."""
BANDS = 40
"""Of the mel scale."""
SYSTEM = 2
"""What libsndfile calls a fault of the machine and not of the file."""
NOTES = 12
LAGS = 32
"""Frames to the next beat that are told apart."""
RATES = (1_000, 768_000)
"""Values a second of a file that is read; what says more or less is broken, and could fill the memory."""
LOWEST, HIGHEST = 55.0, 4_000.0
"""Hertz of the notes that are listened to."""


class AudioConfig(MediaConfig):
    """Settings of `audio`."""

    column: str = "audio"
    """The item column that holds the paths of sound files."""
    seconds: float = setting(60.0, gt=0)
    """So much of a file is listened to, from its middle."""


class Audio(MediaEncoder):
    """The vector of a sound file; files that are missing, broken or silent are counted, and their vectors are zero."""

    config: AudioConfig
    tower = "get_audio_features"
    edition = 2

    def _open(self, path: Path) -> AnyArray:
        """(n,) float32 at `RATE`, one channel."""
        try:
            import soundfile
        except ImportError:
            raise MissingExtra("media", "soundfile", f"the encoder {self.name}") from None
        try:
            with soundfile.SoundFile(path) as file:
                if not RATES[0] <= file.samplerate <= RATES[1]:
                    raise ValueError(f"{file.samplerate} values a second")
                wanted = int(self.config.seconds * file.samplerate)
                file.seek(max(0, (file.frames - wanted) // 2))
                sound = file.read(wanted, dtype="float32", always_2d=True).mean(1)
                rate = file.samplerate
        except soundfile.LibsndfileError as error:
            if error.code == SYSTEM:
                raise OSError(errno.EIO, str(error)) from error
            raise ValueError(str(error)) from error
        if not len(sound) or not np.isfinite(sound).all():
            raise ValueError("no sound")
        return _at_rate(sound, rate)

    def _blank(self) -> AnyArray:
        return np.random.default_rng(0).normal(size=RATE).astype(np.float32)

    def _describe(self, held: AnyArray) -> FloatVector:
        power = _spectrogram(held)
        if power.max() < 1e-10:
            return np.full(2 * BANDS + NOTES + LAGS, np.nan, np.float32)
        bands = np.log(power @ _mel().T + 1e-6 * power.sum(1).max())
        loud = bands.mean(1)
        middle = bands.mean(0)
        blocks = (middle - middle.mean(), bands.std(0), _notes(power), _beats(loud))
        return joined(blocks)

    def _processor(self, folder: Path) -> Any:
        from transformers import AutoFeatureExtractor

        maker: Any = AutoFeatureExtractor  # not annotated in every version
        return maker.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)

    def _together(self, held: list[AnyArray]) -> list[list[int]]:
        """Those of one length: what a shorter one is filled up with would be heard too."""
        found: dict[int, list[int]] = {}
        for row, one in enumerate(held):
            found.setdefault(len(one), []).append(row)
        return list(found.values())

    def _inputs(self, processor: Any, held: list[AnyArray]) -> Any:
        import torch

        given = [self._prepared(processor, one) for one in held]
        return {name: torch.cat([one[name] for one in given]) for name in given[0]}

    def _prepared(self, processor: Any, sound: AnyArray) -> dict[str, Any]:
        """One sound as the model reads it, by itself; of less than a frame, the rest is silence."""
        rate = int(processor.sampling_rate)
        whole = _at_rate(np.pad(sound, (0, max(0, FRAME - len(sound)))), RATE, rate)
        with _same_draws():
            given = processor(whole, sampling_rate=rate, return_tensors="pt")
        return {name: value for name, value in given.items() if hasattr(value, "to")}


@contextmanager
def _same_draws() -> Iterator[None]:
    """What a processor draws, as that of CLAP does the part of a long sound, is the same for each file."""
    state = np.random.get_state()  # noqa: NPY002 - the one of the library
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _at_rate(sound: AnyArray, rate: int, wanted: int = RATE) -> AnyArray:
    """The sound in so many values a second."""
    if rate == wanted:
        return sound
    from math import gcd

    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    found: AnyArray = resample_poly(sound, wanted // common, rate // common).astype(np.float32)
    return found


def _spectrogram(sound: AnyArray) -> FloatMatrix:
    """(n_frames, FRAME / 2 + 1) the power of each frequency in each frame."""
    padded = np.pad(sound, (0, max(0, FRAME - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    window = np.hanning(FRAME).astype(np.float32)
    found: FloatMatrix = np.concatenate(
        [np.abs(np.fft.rfft(frames[start : start + 256] * window)) ** 2 for start in range(0, len(frames), 256)]
    ).astype(np.float32)
    return found


@lru_cache(maxsize=1)
def _mel() -> FloatMatrix:
    """(BANDS, FRAME / 2 + 1) triangles of equal width on the mel scale, 2595 log10(1 + f / 700)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(FRAME, 1 / RATE)
    rising = (frequency - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    falling = (hertz[2:, None] - frequency) / (hertz[2:] - hertz[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    found: FloatMatrix = (triangles / np.maximum(triangles.sum(1, keepdims=True), 1e-12)).astype(np.float32)
    return found


def _notes(power: FloatMatrix) -> FloatVector:
    """(NOTES,) how much of each note sounds, in whichever octave, from their mean."""
    frequency = np.fft.rfftfreq(FRAME, 1 / RATE)
    heard = (frequency >= LOWEST) & (frequency <= HIGHEST)
    note = np.round(12 * np.log2(frequency[heard] / 440)).astype(np.int64) % NOTES
    strength = np.sqrt(power[:, heard]).mean(0)
    found = np.bincount(note, strength, minlength=NOTES) / np.maximum(np.bincount(note, minlength=NOTES), 1)
    notes: FloatVector = (found - found.mean()).astype(np.float32)
    return notes


def _beats(loud: AnyArray) -> FloatVector:
    """(LAGS,) how alike the rises of loudness are to themselves some frames later."""
    rises = np.maximum(0, np.diff(loud, prepend=loud[:1]))
    rises = rises - rises.mean()
    padded = np.pad(rises, (0, LAGS + 1))
    found = np.array([rises @ padded[lag : lag + len(rises)] for lag in range(1, LAGS + 1)])
    return found.astype(np.float32)
