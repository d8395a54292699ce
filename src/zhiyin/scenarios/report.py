"""ScenarioReport: what a recipe came to, beside popularity and the oracle, and whether that is good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zhiyin.evaluation.significance import Estimate, PairedTest

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that good looks like, and what came."""

    what: str
    value: float | None
    """None where it is not defined."""
    wanted: str
    passed: bool

    def __str__(self) -> str:
        value = "undefined" if self.value is None else f"{self.value:.3f}"
        return f"{'yes' if self.passed else 'NO '}  {self.what}: {value}, wanted {self.wanted}"


@dataclass(frozen=True, slots=True)
class ScenarioReport:
    """What came of one recipe on one dataset."""

    title: str
    data: str
    """What the data are called, and how many users, items and events they have."""
    cases: int
    """How many questions were asked."""
    results: Mapping[str, Mapping[str, Estimate]]
    """By who answered (for lists "popularity", "pipeline" and, where the truth is known, "oracle"), then by metric."""
    test: PairedTest
    """What the recipe makes (`test.model`) against the baseline (`test.reference`), on the metric that decides."""
    checks: tuple[Check, ...]
    seconds: Mapping[str, float]
    """How long it took to learn and to answer."""
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all is as good as the recipe says."""
        return all(one.passed for one in self.checks)

    def value(self, model: str, label: str) -> float:
        """A metric of a model; NaN where it is not defined."""
        found = self.results[model][label].value
        return float("nan") if found is None else found

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format": FORMAT,
            "title": self.title,
            "data": self.data,
            "cases": self.cases,
            "passed": self.passed,
            "results": {name: {label: asdict(one) for label, one in of.items()} for name, of in self.results.items()},
            "test": asdict(self.test),
            "checks": [asdict(one) for one in self.checks],
            "seconds": dict(self.seconds),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        labels = list(next(iter(self.results.values())))
        lines = [f"{self.title}: {self.cases:,} questions to {self.data}"]
        lines += [f"note: {one}" for one in self.warnings]
        width = max(len(name) for name in self.results) + 2
        lines += [
            f"  {name:<{width}}" + ", ".join(f"{label} {of[label]}" for label in labels)
            for name, of in self.results.items()
        ]
        lines += [f"  {one}" for one in self.checks]
        return "\n".join([*lines, "good" if self.passed else "not good"])
