"""What every table in the documents needs: the results, Markdown, and how numbers are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], text_columns: int = 1) -> str:
    """A Markdown table; columns after the first `text_columns` are aligned right."""
    rule = ["---" if place < text_columns else "---:" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, rule, *rows))


def seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
