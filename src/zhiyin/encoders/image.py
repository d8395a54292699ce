"""Image: picture files to vectors, by a descriptor of colours and edges, or by any vision model of transformers.

The descriptor needs no weights: what colours there are (Swain and Ballard, IJCV 1991), what colour is where, and which
way edges run in each part of the picture (Dalal and Triggs, CVPR 2005). It finds the same picture in another size or
format, and pictures of the same look; it does not know what they show. A CLIP, SigLIP or DINOv2 folder does.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np

from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector
from zhiyin.encoders._media import MediaConfig, MediaEncoder, joined
from zhiyin.errors import MissingExtra

logger = logging.getLogger(__name__)

SIDE = 96
"""A picture is looked at in so many rows and columns."""
CELLS = 4
"""In each direction, for where colours are."""
EDGE_CELLS, EDGE_WAYS = 6, 9
"""In each direction, and directions told apart, for edges."""
BRIGHTS, HUES, SATURATIONS = 4, 8, 3
"""Buckets of the histogram of colours."""
MOST_PIXELS = 100_000_000
"""A picture of more is not opened: it may be made to fill the memory."""
BROKEN = (SyntaxError, LookupError, TypeError, ArithmeticError, EOFError, struct.error)
"""What else Pillow raises at broken contents."""


class ImageConfig(MediaConfig):
    """Settings of `image`."""

    column: str = "image"
    """The item column that holds the paths of picture files."""


class Image(MediaEncoder):
    """The vector of a picture file; files that are missing or broken are counted, and their vectors are zero."""

    config: ImageConfig
    tower = "get_image_features"
    edition = 2
    unreadable = (*MediaEncoder.unreadable, *BROKEN)

    def _open(self, path: Path) -> AnyArray:
        """(height, width, 3) uint8, upright as its EXIF says; what is transparent is white."""
        try:
            from PIL import Image as Pillow
        except ImportError:
            raise MissingExtra("media", "pillow", f"the encoder {self.name}") from None
        with _opened(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels")
            opened.draft("RGB", (4 * SIDE, 4 * SIDE))
            picture = _upright(opened).convert("RGBA")
        white = Pillow.new("RGBA", picture.size, "white")
        return np.asarray(Pillow.alpha_composite(white, picture).convert("RGB"))

    def _blank(self) -> AnyArray:
        return np.zeros((SIDE, SIDE, 3), np.uint8)

    def _describe(self, held: AnyArray) -> FloatVector:
        from PIL import Image as Pillow

        small = Pillow.fromarray(held).resize((SIDE, SIDE), Pillow.Resampling.BOX)
        colour = np.asarray(small, np.float32) / 255
        blocks = (_histogram(np.asarray(small.convert("HSV"))), _places(colour), _edges(colour.mean(2)))
        return joined(blocks)

    def _processor(self, folder: Path) -> Any:
        from transformers import AutoImageProcessor

        maker: Any = AutoImageProcessor  # not annotated in every version
        return maker.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)

    def _inputs(self, processor: Any, held: list[AnyArray]) -> Any:
        return {"pixel_values": processor(images=held, return_tensors="pt")["pixel_values"]}


def _opened(path: Path) -> Any:
    """The picture of a file, of which little is read yet."""
    from PIL import Image as Pillow

    try:
        return Pillow.open(path)
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise ValueError(str(error)) from error


def _upright(picture: Any) -> Any:
    """The picture turned as its EXIF says; as it is where that is broken."""
    from PIL import ImageOps

    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except (ValueError, *BROKEN):
        logger.debug("the EXIF data of %s is broken", getattr(picture, "filename", "a picture"), exc_info=True)
    return picture


def _histogram(hsv: AnyArray) -> FloatVector:
    """The shares of colours, as square roots: then a product of two says how much they overlap (Hellinger)."""
    hue, saturation, bright = (hsv[..., place].astype(np.int32) for place in range(3))
    grey = saturation < 32  # whose hue means nothing
    hue = np.where(grey, 0, hue * HUES // 256)
    saturation = np.where(grey, 0, 1 + (saturation - 32) * (SATURATIONS - 1) // 224)
    bucket = (bright * BRIGHTS // 256 * SATURATIONS + saturation) * HUES + hue
    counts = np.bincount(bucket.ravel(), minlength=BRIGHTS * SATURATIONS * HUES)
    found: FloatVector = np.sqrt(counts / counts.sum()).astype(np.float32)
    return found


def _places(colour: AnyArray) -> FloatVector:
    """The mean colour of each cell, as brightness and two differences, from the middle of their ranges."""
    cells: AnyArray = colour.reshape(CELLS, SIDE // CELLS, CELLS, SIDE // CELLS, 3).mean((1, 3))
    red, green, blue = cells[..., 0], cells[..., 1], cells[..., 2]
    bright = (red + green + blue) / 3
    return np.stack([bright - 0.5, red - green, (red + green) / 2 - blue], -1).ravel()


def _edges(bright: FloatMatrix) -> FloatVector:
    """How strong edges of each direction are in each cell; a picture without edges has them all alike."""
    down, across = np.gradient(bright)
    strength = np.hypot(down, across)
    way = ((np.arctan2(down, across) % np.pi) * EDGE_WAYS / np.pi).astype(np.int32) % EDGE_WAYS
    cell = np.arange(SIDE) * EDGE_CELLS // SIDE
    bucket = (cell[:, None] * EDGE_CELLS + cell[None, :]) * EDGE_WAYS + way
    found = np.bincount(bucket.ravel(), strength.ravel(), minlength=EDGE_CELLS**2 * EDGE_WAYS)
    edges: FloatVector = np.sqrt(found + 1e-3).astype(np.float32)
    return edges
