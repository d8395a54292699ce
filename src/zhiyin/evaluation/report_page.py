"""The report as one HTML page: the verdict in words first, then the numbers that carry it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zhiyin.errors import ZhiyinError
from zhiyin.evaluation import report_text as text
from zhiyin.evaluation import significance
from zhiyin.evaluation.report import ModelResult, Report
from zhiyin.evaluation.report_details import example_blocks, protocol_blocks, slice_blocks
from zhiyin.evaluation.report_text import NOTHING
from zhiyin.evaluation.significance import Estimate, PairedTest
from zhiyin.evaluation.verdict import all_equal, best_baseline
from zhiyin.page import Block, Cell, Columns, Details, Figure, Figures, Items, Note, Page, Table, Text, charts

VALUES = ("rmse", "mae")
"""Metrics of predicted values; they have a table of their own."""
TRADED = ("coverage", "novelty", "intra_list_diversity")
"""What accuracy is traded against on the charts, where it was measured."""


def page_of(report: Report) -> Page:
    """The page of a report."""
    page = Page(
        f"Which recommender is best on {report.dataset['name']}?",
        subtitle=f"{len(report.models)} models, {int(report.split['test_cases']):,} test queries, "
        f"protocol {report.protocol.hash}",
        footer=f"zhiyin {report.environment['zhiyin']} · protocol {report.protocol.hash}",
    )
    page.section("", *_opening(report))
    page.section("Models", *_models(report))
    page.section("Is it beyond chance?", *_tests(report))
    page.section("What it trades", *_trades(report))
    if report.slices:
        page.section("For whom, and on what", *slice_blocks(report))
    if report.examples:
        page.section("Example users", *example_blocks(report))
    return page.section("Protocol, and how to reproduce", *protocol_blocks(report))


# ---------------------------------------------------------------------- the verdict


def _opening(report: Report) -> Iterator[Block]:
    yield Note(report.verdict(), _kind(report), _headline(report), large=True)
    yield Figures(*_figures(report))
    if report.warnings:
        yield Note("", "warning", "Before you believe these numbers", Items(*report.warnings))
    if report.skipped:
        reasons = [f"{name}: {reason}" for name, reason in report.skipped.items()]
        yield Note("", "info", "Not compared", Items(*reasons))


def _won(report: Report) -> PairedTest | None:
    """The test of the best model against the best baseline."""
    simple = best_baseline(report)
    if simple is None:
        return None
    tests = report.tests_of(report.primary, simple.name)
    return next((one for one in tests if one.model == report.best.name), None)


def _kind(report: Report) -> Any:
    test = _won(report)
    return "good" if test is not None and test.beyond_chance else "warning"


def _headline(report: Report) -> str:
    best, test = report.best, _won(report)
    value = best.metrics.get(report.primary, NOTHING).value
    if value is None:
        return f"No model is best: {report.primary} is undefined"
    if best.baseline or value == _baseline_value(report):
        return "Nothing beats the simple baselines"
    if all_equal(report):
        return "No model is better than another"
    if test is None:
        return f"{best.name} is best"
    if test.beyond_chance:
        return f"{best.name} is best, and better than {test.reference} beyond chance"
    return f"{best.name} is ahead, but that may be chance"


def _figures(report: Report) -> Iterator[Figure]:
    best = report.best
    value = best.metrics.get(report.primary, NOTHING)
    yield Figure(f"{report.primary} of {best.name}", text.digits(value.value), text.between(value))
    simple, test = best_baseline(report), _won(report)
    if simple is not None and test is not None:
        base = simple.metrics[report.primary].value
        gain = f"{test.difference / base:+.0%}" if base else text.signed(test.difference)
        yield Figure(f"against {simple.name}", gain, f"from {text.digits(base)}, {text.p_of(test.p_holm)}")
    yield Figure("test queries", int(report.split["test_cases"]), f"{int(report.split['test_targets']):,} targets")
    yield Figure("users per second", f"{best.users_per_second:,.0f}", f"fitted in {text.seconds(best.fit_seconds)}")


# ---------------------------------------------------------------------- the models


def _models(report: Report) -> Iterator[Block]:
    labels = [report.primary, *(one for one in report.protocol.metrics if one != report.primary)]
    judged = [label for label in labels if label in report.judging]
    others = [label for label in labels if label not in (*report.judging, *VALUES)]
    yield charts.intervals(
        [_named(one) for one in report.models],
        *_triples([one.metrics.get(report.primary, NOTHING) for one in report.models]),
        title=f"{report.primary} with 95 % intervals",
        x_label=report.primary,
        reference=_baseline_value(report),
        caption="Dashed: the best simple baseline. Overlapping intervals do not mean a tie: the paired tests below "
        "compare the models query by query.",
    )
    yield Text(
        "How well the lists hit what users did next. Bold: the best of a column; bars: the share of the best; the "
        "tooltip of a number gives its 95 % interval."
    )
    yield _metric_table(report, judged)
    if others:
        yield Text("What kind of lists they are. Nothing is bold where neither direction is better in itself.")
        yield _metric_table(report, others)
    yield from _ratings(report)
    yield Text(
        f"What they cost, with {report.environment['threads']} threads. Memory is the {report.environment['memory']}. "
        "Filled: the share of listed items that a model left to popularity."
    )
    yield _costs(report)
    yield Details("What the metrics mean", Items(*_meanings(report)))


def _metric_table(report: Report, labels: Sequence[str]) -> Table:
    rows = [[_model_cell(one), *(_metric_cell(report, one, label) for label in labels)] for one in report.models]
    return Table(["model", *labels], rows, highlight=[0])


def _named(result: ModelResult) -> str:
    return f"{result.name} (baseline)" if result.baseline else result.name


def _model_cell(result: ModelResult) -> Cell:
    settings = ", ".join(f"{name}={value}" for name, value in result.settings.items())
    return Cell(_named(result), title=f"{result.component}: {settings}; fitted on {result.fitted_on}")


def _metric_cell(report: Report, result: ModelResult, label: str) -> Cell:
    found = result.metrics.get(label, NOTHING)
    if found.value is None:
        return Cell(None, title="undefined on these data")
    higher = report.directions.get(label)
    values = [value for one in report.models if (value := one.metrics.get(label, NOTHING).value) is not None]
    best = None if higher is None else max(values) if higher else min(values)
    bar = found.value / max(values) if higher and max(values) > 0 and label in report.judging else None
    spread = "" if found.spread is None else f"; standard deviation over seeds {found.spread:.4f}"
    return Cell(found.value, title=text.between(found) + spread, strong=found.value == best, bar=bar)


def _ratings(report: Report) -> Iterator[Block]:
    """Errors of predicted values, for the models that predict them."""
    labels = [label for label in report.directions if label in VALUES]
    rows = [one for one in report.models if any(label in one.metrics for label in labels)]
    if rows:
        rows.sort(key=lambda one: one.metrics.get(labels[0], NOTHING).value or 0.0)
        yield Text(
            "Errors of the predicted values (ratings) of the test targets, for the models that predict them; less is "
            "better."
        )
        cells = [[_model_cell(one), *(_metric_cell(report, one, label) for label in labels)] for one in rows]
        yield Table(["model", *labels], cells, highlight=[0])


def _costs(report: Report) -> Table:
    rows: list[list[Any]] = [
        [
            _model_cell(one),
            text.seconds(one.fit_seconds),
            text.seconds(one.recommend_seconds),
            f"{one.users_per_second:,.0f}",
            text.seconds(one.cpu_seconds),
            f"{one.peak_mib:,.0f} MiB",
            f"{one.filled:.1%}",
        ]
        for one in report.models
    ]
    header = ["model", "fit", "recommend", "users / s", "processor time", "memory", "filled"]
    return Table(header, rows, align="lrrrrrr", highlight=[0])


def _meanings(report: Report) -> Iterator[str]:
    from zhiyin.metrics import parse

    for label in report.directions:
        try:
            text = (type(parse(label)).__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        except ZhiyinError:  # somebody else's metric, which is not installed where the page is written
            text = "a metric of another package"
        yield f"{label}: {' '.join(text.split())}"


# ---------------------------------------------------------------------- the tests


def _tests(report: Report) -> Iterator[Block]:
    simple = best_baseline(report)
    families = [report.tests_of(report.primary, name) for name in _references(report, simple)]
    for tests in families:
        if tests:
            yield Text(_about(report, tests))
            yield _differences(report, tests)
            yield _tests_table(tests)
    if not any(families):
        yield Text("No model stood against another, so there is nothing to test.")
    yield Details("How intervals and tests are made", *_definitions())
    if more := [one for one in report.tests if one.metric != report.primary]:
        yield Details(f"All tests of the other metrics ({len(more)})", _tests_table(more, with_metric=True))


def _about(report: Report, tests: Sequence[PairedTest]) -> str:
    against = "the best model" if tests[0].reference == report.best.name else "the best simple baseline"
    return f"Against {against}, {tests[0].reference}, on {tests[0].n:,} queries, query by query:"


def _references(report: Report, simple: ModelResult | None) -> list[str]:
    names = [report.best.name] if simple is None else [simple.name, report.best.name]
    return list(dict.fromkeys(names))


def _differences(report: Report, tests: Sequence[PairedTest]) -> Block:
    return charts.intervals(
        [one.model for one in tests],
        [one.difference for one in tests],
        [one.low for one in tests],
        [one.high for one in tests],
        title=f"{report.primary}: difference to {tests[0].reference}",
        x_label=f"difference of {report.primary}",
        reference=0.0,
    )


def _tests_table(tests: Sequence[PairedTest], with_metric: bool = False) -> Table:
    header = ["model", "against", "difference", "95 % interval", "p", "p (Holm)", "verdict"]
    rows: list[list[Any]] = [
        [
            one.model,
            one.reference,
            text.signed(one.difference),
            f"{text.signed(one.low)} to {text.signed(one.high)}",
            text.p(one.p),
            text.p(one.p_holm),
            Cell(_direction(one), strong=one.beyond_chance),
        ]
        for one in tests
    ]
    if with_metric:
        rows = [[one.metric, *row] for one, row in zip(tests, rows, strict=True)]
        return Table(["metric", *header], rows, align="lllrrrrl")
    return Table(header, rows, align="llrrrrl", caption=f"Holm's correction is over these {len(tests)} comparisons.")


def _direction(test: PairedTest) -> str:
    if not test.beyond_chance:
        return "may be chance"
    return "higher, beyond chance" if test.difference > 0 else "lower, beyond chance"


def _definitions() -> list[Block]:
    paragraphs = (significance.__doc__ or "").strip().split("\n\n")
    return [Text(" ".join(one.replace("*", "").split())) for one in paragraphs[1:]]


# ---------------------------------------------------------------------- trade-offs


def _trades(report: Report) -> Iterator[Block]:
    labels = [one for name in TRADED for one in report.protocol.metrics if one.partition("@")[0] == name][:2]
    plots = [plot for label in labels if (plot := _scatter(report, label)) is not None]
    if plots:
        yield Columns(*plots)
    seconds = [(one, one.fit_seconds + one.recommend_seconds) for one in report.models]
    yield charts.scatter(
        [_point(report, one, max(total, 1e-3)) for one, total in seconds],
        title=f"{report.primary} against time",
        x_label="seconds to fit and to recommend for all test queries",
        y_label=report.primary,
        x_log=True,
        caption="Up and to the left is better.",
    )


def _scatter(report: Report, label: str) -> Block | None:
    known = [one for one in report.models if one.metrics.get(label, NOTHING).value is not None]
    if not known:
        return None
    return charts.scatter(
        [_point(report, one, one.metrics[label].value or 0.0) for one in known],
        title=f"{report.primary} against {label}",
        x_label=label,
        y_label=report.primary,
        caption="Up and to the right is better.",
    )


def _point(report: Report, result: ModelResult, x: float) -> charts.Point:
    y = result.metrics.get(report.primary, NOTHING).value
    return charts.Point(x, float("nan") if y is None else y, result.name, "baseline" if result.baseline else "model")


def _baseline_value(report: Report) -> float | None:
    simple = best_baseline(report)
    return None if simple is None else simple.metrics.get(report.primary, NOTHING).value


def _triples(found: Sequence[Estimate]) -> tuple[list[Any], list[Any], list[Any]]:
    return [one.value for one in found], [one.low for one in found], [one.high for one in found]
