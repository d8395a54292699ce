"""Where to write the names of points so that they hide neither each other nor the points.

Greedy placement over a fixed set of candidate places with a few rounds of repair: the simple end of the point-feature
label placement studied by Christensen, Marks & Shieber (ACM Transactions on Graphics, 1995), enough for tens of points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from zhiyin.page.drawing import Frame

DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (0.75, -0.75), (0.75, 0.75), (-0.75, -0.75), (-0.75, 0.75))
"""Where a label may stand, the best first: right, left, above, below, and the corners."""
RADII = (9.0, 17.0, 28.0, 42.0, 60.0)
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; `far` tells that it stands so far from its point that a line should lead there."""

    left: float
    top: float
    right: float
    bottom: float
    penalty: float = 0.0
    far: bool = False

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide * high if wide > 0 and high > 0 else 0.0

    def outside(self, frame: Frame) -> float:
        """How far it sticks out of the frame, over all sides."""
        return (
            max(0.0, frame.left - self.left)
            + max(0.0, self.right - frame.right)
            + max(0.0, frame.top - self.top)
            + max(0.0, self.bottom - frame.bottom)
        )


def place(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Frame, radius: float = 5.0
) -> list[Box]:
    """A box of the given size (width, height) beside each point; points have `radius` and must stay visible."""
    marks = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    boxes: list[Box | None] = [None] * len(points)
    for _ in range(ROUNDS):
        before = list(boxes)
        for at, (point, size) in enumerate(zip(points, sizes, strict=True)):
            others = [box for other, box in enumerate(boxes) if box is not None and other != at]
            boxes[at] = min(_candidates(point, size), key=partial(_cost, others=others, marks=marks, frame=frame))
        if boxes == before:
            break
    return [box for box in boxes if box is not None]


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> Iterator[Box]:
    (x, y), (width, height) = point, size
    for radius in RADII:
        for order, (right, down) in enumerate(DIRECTIONS):
            middle_x = x + right * radius + (width / 2 if right > 0 else -width / 2 if right < 0 else 0)
            middle_y = y + down * radius + (height / 2 if down > 0 else -height / 2 if down < 0 else 0)
            yield Box(
                middle_x - width / 2,
                middle_y - height / 2,
                middle_x + width / 2,
                middle_y + height / 2,
                radius * 0.8 + order * 0.6,
                radius > RADII[1],
            )


def _cost(box: Box, others: Sequence[Box], marks: Sequence[Box], frame: Frame) -> float:
    hidden = sum(map(box.overlap, others)) + 1.5 * sum(map(box.overlap, marks))
    return box.penalty + 2.0 * hidden + 20.0 * box.outside(frame)
