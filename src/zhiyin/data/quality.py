"""The data quality report: is this log fit for a recommender, and what should be done first?

    quality = assess(dataset)
    quality.verdict.title          "Fit for a recommender, with 2 warnings"
    quality.findings               what was found, the worst first, each with numbers and advice
    quality.to_page().write("quality.html")

The parts: `quality_measures` reads the log once, `quality_facts` turns that into facts and curves, `quality_checks`,
`quality_users`, `quality_contents` and `quality_leakage` judge them, `quality_page` shows them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zhiyin.data import quality_checks, quality_contents, quality_leakage, quality_users
from zhiyin.data.dataset import Dataset
from zhiyin.data.quality_checks import SEVERITIES, Evidence, Finding, Severity, density, many, percent
from zhiyin.data.quality_facts import curves_of, facts_of, support_of
from zhiyin.data.quality_measures import QualityConfig, measure
from zhiyin.data.quality_twins import near_twins

if TYPE_CHECKING:
    from zhiyin.page import Page

__all__ = ["Finding", "Quality", "QualityConfig", "Severity", "Verdict", "assess"]

CHECKS = (*quality_checks.CHECKS, *quality_users.CHECKS, *quality_contents.CHECKS, *quality_leakage.CHECKS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in one line, and what to do first."""

    severity: Severity
    title: str
    first: tuple[tuple[str, str], ...]
    """What was found and what to do about it, the three worst."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What is known of the quality of a dataset: facts and curves by topic, uses, and findings, the worst first."""

    name: str
    content_hash: str
    facts: Mapping[str, Any]
    curves: Mapping[str, Any]
    uses: tuple[tuple[str, bool, str], ...]
    """What the log can be used for: the use, whether it is possible, and why or why not."""
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def verdict(self) -> Verdict:
        """Whether the log is fit for a recommender, and the first three things to do."""
        problems, warnings = len(self.of("problem")), len(self.of("warning"))
        first = tuple((one.title, one.advice) for one in self.findings if one.severity != "good")[:3]
        if problems:
            return Verdict("problem", f"Not fit yet: {many(problems, 'problem')} to solve first", first)
        if warnings:
            return Verdict("warning", f"Fit for a recommender, with {many(warnings, 'warning')}", first)
        return Verdict("good", "Fit for a recommender", first)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, under stable names."""
        return {
            "name": self.name,
            "content_hash": self.content_hash,
            "verdict": _verdict_dict(self.verdict),
            "findings": [asdict(finding) for finding in self.findings],
            "uses": [{"use": use, "possible": possible, "why": why} for use, possible, why in self.uses],
            "facts": dict(self.facts),
            "curves": dict(self.curves),
        }

    def to_page(self) -> Page:
        """The report as a self-contained HTML page with charts."""
        from zhiyin.data.quality_page import page_of

        return page_of(self)

    def summary_rows(self) -> list[tuple[str, str]]:
        """The main facts as (name, text) rows for a terminal; the verdict is the first."""
        return [("verdict", self.verdict.title), *_summary(self.facts)]


def assess(
    dataset: Dataset,
    ingested: Mapping[str, Any] | None = None,
    config: QualityConfig | None = None,
    now: int | None = None,
) -> Quality:
    """Judge a dataset. Its events are read once, in blocks; twenty million take some seconds.

    Args:
        dataset: what to judge.
        ingested: what the reader of the raw log told, with refused rows by `reasons`; by default as the manifest says.
        config: thresholds of the checks.
        now: the present moment in microseconds since 1970, to tell events of the future; by default the real one.
    """
    config = config or QualityConfig()
    found = measure(dataset, config, time.time_ns() // 1000 if now is None else now)
    facts = facts_of(dataset, found, ingested)
    twins = near_twins(dataset.histories, found.signed, found.signatures, config.similarity, dataset.n_items)
    evidence = Evidence(dataset, found, facts, twins, config)
    findings = [finding for check in CHECKS for finding in check(evidence)] if dataset.n_events else _nothing(evidence)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Quality(
        dataset.name,
        dataset.content_hash,
        facts,
        curves_of(dataset, found),
        tuple(support_of(facts)),
        tuple(findings),
    )


def _verdict_dict(verdict: Verdict) -> dict[str, Any]:
    first = [{"finding": finding, "advice": advice} for finding, advice in verdict.first]
    return {"severity": verdict.severity, "title": verdict.title, "first": first}


def _nothing(evidence: Evidence) -> list[Finding]:
    return list(quality_checks.check_size(evidence))


def _summary(facts: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    counts, lengths, items = facts["counts"], facts["history_length"], facts["events_per_item"]
    shares, repeats = facts["concentration"], facts["repeats"]
    rows = [
        ("users", f"{counts['users']:,}"),
        ("items", f"{counts['items']:,}, {counts['items_with_events']:,} with events"),
        ("events", f"{counts['events']:,}"),
        ("density", density(counts["density"])),
        ("events per user", _spread(lengths)),
        ("events per item", _spread(items)),
        ("top 1 / 10 / 20 % of items", " / ".join(percent(shares[f"top_{part}"]) for part in (1, 10, 20))),
        *_time_rows(facts["time"], counts["clock"]),
        ("repeats of an item", percent(repeats["same_user_and_item_share"])),
    ]
    if facts["values"] is not None and facts["values"]["known"]:
        values = facts["values"]
        rows.append(("values", f"{values['min']:g} to {values['max']:g}, mean {values['mean']:.2f}"))
    if facts["kinds"]:
        rows.append(("kinds", ", ".join(f"{name} {count:,}" for name, count in facts["kinds"].items())))
    return rows


def _spread(spread: Mapping[str, Any]) -> str:
    return f"{spread['min']:,} to {spread['max']:,}, median {spread['median']:,.0f}, mean {spread['mean']:,.1f}"


def _time_rows(time_facts: Mapping[str, Any] | None, clock: str) -> list[tuple[str, str]]:
    if time_facts is None:
        return [("time", "only the order is known" if clock == "position" else "not known")]
    return [
        ("time", f"{time_facts['first'][:10]} to {time_facts['last'][:10]}, {time_facts['span_days']:,.0f} days"),
        ("ties in time", f"{percent(time_facts['tied_share'])} of the events"),
    ]
