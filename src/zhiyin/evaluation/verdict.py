"""Verdict: paired tests between models, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zhiyin.arrays import DoubleVector, IntVector
from zhiyin.evaluation.report_text import digits, p_of, signed
from zhiyin.evaluation.significance import PairedTest, Sample, bootstrap, holm, interval, sign_flip

if TYPE_CHECKING:
    from zhiyin.evaluation.report import ModelResult, Report

FEW = 100
"""Below this many test queries the verdict warns."""


def paired_tests(
    values: Mapping[str, Mapping[str, DoubleVector]],
    baselines: Sequence[str],
    directions: Mapping[str, bool],
    seed: int = 0,
    owner: IntVector | None = None,
) -> tuple[PairedTest, ...]:
    """Every model against the best baseline, and all others against the best model, for each metric.

    Each of the two is a family of its own for Holm's correction, which is over as many comparisons as come back. Models
    that are defined on no query together are not compared.

    The best of a metric is chosen on the same queries that test it. For the baseline this makes it harder to win; for
    "best against the others" it flatters the best a little, which Holm's correction over all the others bounds.

    Args:
        values: by model and metric label, the values per query (n,), NaN where undefined.
        baselines: the names of the simple baselines.
        directions: by metric label, whether more is better.
        seed: of the draws.
        owner: (n,) the user of each query, where some have several.
    """
    families = [
        (label, reference, names)
        for label, higher in directions.items()
        for reference, names in _families(values, baselines, label, higher)
    ]
    pairs = [(label, name, reference) for label, reference, names in families for name in names]
    if not pairs:
        return ()
    gaps = [values[name][label] - values[reference][label] for label, name, reference in pairs]
    p = sign_flip(np.stack(gaps, axis=1), seed, owner=owner)
    corrected = np.concatenate([holm(part) for part in np.split(p, np.cumsum([len(one[2]) for one in families])[:-1])])
    samples = [Sample.of(gap) for gap in gaps]
    ranges = [interval(column) for column in bootstrap(samples, seed, owner=owner).T]
    return tuple(
        PairedTest(label, name, reference, sample.value, low, high, float(raw), float(holmed), sample.n)
        for (label, name, reference), sample, (low, high), raw, holmed in zip(
            pairs, samples, ranges, p, corrected, strict=True
        )
    )


def _families(
    values: Mapping[str, Mapping[str, DoubleVector]], baselines: Sequence[str], label: str, higher: bool
) -> Iterator[tuple[str, list[str]]]:
    """(reference, the models held against it): the best baseline first, then the best of all if it is another."""

    def held(reference: str, names: list[str]) -> list[str]:
        against = values[reference][label]
        return [name for name in names if not np.isnan(values[name][label] - against).all()]

    means = {name: Sample.of(found[label]).value for name, found in values.items() if label in found}
    known = {name: mean if higher else -mean for name, mean in means.items() if not np.isnan(mean)}
    # equal means: the first by name, as in the table
    ranking = sorted(known, key=lambda name: (-known[name], name))
    simple = [name for name in ranking if name in baselines]
    if simple and (others := [name for name in ranking if name not in baselines]):
        yield simple[0], held(simple[0], others)
    if len(ranking) > 1 and (not simple or ranking[0] != simple[0]):
        yield ranking[0], held(ranking[0], ranking[1:])


def verdict(report: Report) -> str:
    """Which model is best, by how much, whether that is beyond chance, and who comes close."""
    if all_equal(report):
        value = digits(report.best.metrics[report.primary].value)
        said = [f"Every model has {value} on {report.primary}, which tells none of them from another."]
    else:
        said = [_first(report), *_against_baseline(report), *_rivals(report)]
    return " ".join([*said, *_caution(report)])


def all_equal(report: Report) -> bool:
    """Whether there are several models, and the primary metric has one value for all of them."""
    values = [_primary(result, report.primary) for result in report.models]
    return len(values) > 1 and values[0] is not None and len(set(values)) == 1


def _primary(result: ModelResult, label: str) -> float | None:
    return result.metrics[label].value if label in result.metrics else None


def best_baseline(report: Report) -> ModelResult | None:
    """The best of the simple baselines on the primary metric (models are in that order)."""
    return next((result for result in report.models if result.baseline), None)


def _first(report: Report) -> str:
    best, label = report.best, report.primary
    if label not in best.metrics or best.metrics[label].value is None:
        return f"{label} is undefined for every model on these test queries, so none of them is best."
    if best.baseline and len(report.models) > sum(result.baseline for result in report.models):
        return f"No model beats the simple baselines: {best.name} is best on {label}, {best.metrics[label]}."
    simple = best_baseline(report)
    if simple is not None and not best.baseline and _primary(simple, label) == _primary(best, label):
        level = f"{best.name} and {simple.name} are level on {label}, {best.metrics[label]}"
        return f"No model beats the simple baselines: {level}."
    return f"{best.name} is best on {label}: {best.metrics[label]}."


def _against_baseline(report: Report) -> list[str]:
    simple = best_baseline(report)
    if simple is None or report.best.baseline:
        return []
    if _primary(simple, report.primary) == _primary(report.best, report.primary):
        return []
    family = report.tests_of(report.primary, simple.name)
    found = [one for one in family if one.model == report.best.name]
    if not found:
        return []
    test, base = found[0], simple.metrics[report.primary].value
    gap = f"{signed(test.difference)} ({signed(test.low)} to {signed(test.high)})"
    share = f"{abs(test.difference / base):.0%} better than" if base else "better than"
    chance = "beyond chance" if test.beyond_chance else "which may well be chance"
    p = f"{p_of(test.p_holm)}{_corrected(family)}"
    return [f"That is {share} the best simple baseline, {simple.name}: {gap}, {chance} ({p})."]


def _rivals(report: Report) -> list[str]:
    tests = report.tests_of(report.primary, report.best.name)
    # where the best is a baseline, baselines are not held against each other
    close = [test.model for test in tests if not test.beyond_chance]
    if not tests:
        return []
    if not close:
        return [] if len(tests) == 1 else [f"It is better than every other model, beyond chance{_corrected(tests)}."]
    return [f"Not told apart from it on these {tests[0].n:,} queries{_corrected(tests)}: {', '.join(close)}."]


def _corrected(family: Sequence[PairedTest]) -> str:
    """Over which comparisons p-values are corrected; nothing of a single one, whose p-value is as it is."""
    if len(family) < 2:
        return ""
    return f" after Holm's correction over the {len(family)} comparisons with {family[0].reference}"


def _caution(report: Report) -> list[str]:
    n = int(report.split.get("test_cases", 0))
    return [f"Only {n} test queries: expect the numbers to move."] if n < FEW else []
