"""The quality report as a page: the answer first, then what to do, then the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zhiyin.data.quality_checks import Finding, density, percent
from zhiyin.page import Block, Cell, Columns, Details, Figure, Figures, Items, Note, Page, Table, charts
from zhiyin.page.document import Kind

if TYPE_CHECKING:
    from zhiyin.data.quality import Quality

KIND_OF: Mapping[str, Kind] = {"problem": "problem", "warning": "warning", "note": "info", "good": "good"}
UNITS = {"day": "each day", "week": "mean of each week", "month": "mean of each month"}


def page_of(quality: Quality) -> Page:
    """The whole page."""
    counts = quality.facts["counts"]
    subtitle = f"{counts['events']:,} events of {counts['users']:,} users on {counts['items']:,} items"
    page = Page(f"Data quality of {quality.name}", subtitle)
    page.section("", _verdict(quality), _figures(quality.facts))
    page.section("Findings", *_findings(quality.findings))
    page.section("What this log can be used for", _uses(quality))
    for title, blocks in (
        ("Users and items", _activity(quality)),
        ("Time", _time(quality)),
        ("Values and kinds", _values(quality)),
        ("Catalogue", _catalogue(quality.facts)),
        ("Preparation", _preparation(quality.facts["preparation"])),
    ):
        found = list(blocks)
        if found:
            page.section(title, *found)
    page.section("Every number", Details("All facts by name", _every_number(quality.facts)))
    return page


# ---------------------------------------------------------------------- the first screen


def _verdict(quality: Quality) -> Note:
    verdict = quality.verdict
    if not verdict.first:
        return Note("Nothing was found that needs attention.", KIND_OF[verdict.severity], verdict.title, large=True)
    lead = "What to do first:" if verdict.severity != "good" else "Good to know:"
    return Note(
        lead,
        KIND_OF[verdict.severity],
        verdict.title,
        Items(*((f"{finding}.", advice) for finding, advice in verdict.first)),
        large=True,
    )


def _figures(facts: Mapping[str, Any]) -> Figures:
    counts, lengths, shares, time = facts["counts"], facts["history_length"], facts["concentration"], facts["time"]
    figures = [
        Figure("users", counts["users"]),
        Figure("items", counts["items"], f"{counts['items_with_events']:,} with events"),
        Figure("events", counts["events"]),
        Figure("of all pairs occur", density(counts["density"]), "density"),
        Figure("events per user", f"{lengths['median']:,.0f}", "median"),
        Figure("of events on 10 % of items", percent(shares["top_10"]), f"Gini {shares['gini']:.2f}"),
    ]
    if time is not None:
        figures += [
            Figure("covered", _span(time["span_days"]), f"{time['first'][:10]} to {time['last'][:10]}"),
            Figure("of events tied in time", percent(time["tied_share"]), f"clock of one {time['resolution']}"),
        ]
    return Figures(*figures)


def _span(days: float) -> str:
    if days >= 730:
        return f"{days / 365.25:.1f} years"
    return f"{days:,.0f} days" if days >= 2 else f"{days * 24:,.0f} hours"


def _findings(findings: Sequence[Finding]) -> list[Block]:
    """What must be looked at in full, what is good to know folded, the good news as a list."""
    serious: list[Block] = [
        Note(one.detail, KIND_OF[one.severity], one.title, *_rest(one))
        for one in findings
        if one.severity in ("problem", "warning")
    ]
    notes: list[Block] = [Details(one.title, one.detail, *_rest(one)) for one in findings if one.severity == "note"]
    good = [(f"{one.title}.", one.detail) for one in findings if one.severity == "good"]
    return [*serious, *notes, *([Note("", "good", "What is well", Items(*good))] if good else [])]


def _rest(finding: Finding) -> list[Block | str]:
    blocks: list[Block | str] = []
    if finding.advice:
        blocks.append(f"What to do: {finding.advice}")
    if finding.examples:
        blocks.append("For example: " + ", ".join(f"“{one}”" for one in finding.examples))
    return blocks


def _uses(quality: Quality) -> Table:
    rows: list[list[Any]] = [
        [use, Cell("yes" if possible else "no", strong=possible), why[:1].upper() + why[1:]]
        for use, possible, why in quality.uses
    ]
    return Table(["use", "possible", "why"], rows)


# ---------------------------------------------------------------------- the numbers behind it


def _activity(quality: Quality) -> Iterator[Block]:
    activity, tail, facts = quality.curves["activity"], quality.curves["popularity"], quality.facts
    yield Columns(
        charts.histogram(
            activity["edges"],
            activity["counts"],
            "How active users are",
            "events per user",
            x_log=True,
            y_label="users",
        ),
        charts.line(
            {"items": (tail["rank"], tail["events"])},
            "How popular items are",
            "rank of the item",
            "events",
            x_log=True,
            y_log=True,
        ),
    )
    yield _concentration(facts["concentration"], tail)
    yield _spreads(facts)


def _concentration(shares: Mapping[str, float], tail: Mapping[str, Any]) -> Columns:
    last = max(tail["rank"], default=1)
    return Columns(
        charts.bars(
            ["top 1 % of items", "top 10 %", "top 20 %"],
            [round(100 * shares[f"top_{part}"], 1) for part in (1, 10, 20)],
            "How much the most popular items have",
            "% of the events",
        ),
        charts.line(
            {
                "items": (
                    [0, *(100 * one / last for one in tail["rank"])],
                    [0, *(100 * one for one in tail["cumulative_share"])],
                )
            },
            "How much so many items have together",
            "% of the items, the most popular first",
            "% of the events",
        ),
    )


def _spreads(facts: Mapping[str, Any]) -> Table:
    spreads = [("events per user", facts["history_length"]), ("events per item", facts["events_per_item"])]
    names = ("min", "median", "mean", "p95", "max")
    return Table(
        ["", *("95 % below" if name == "p95" else name for name in names), "under five"],
        [
            [what, *(_number(spread[name]) for name in names), percent(spread["under_five_share"])]
            for what, spread in spreads
        ],
        align="lrrrrrr",
        caption="Users and items without events are left out.",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.1f}"


def _time(quality: Quality) -> Iterator[Block]:
    curve, hours, time = quality.curves["time"], quality.curves["hours"], quality.facts["time"]
    if time is None:
        return
    if curve is not None and len(curve["start"]) > 1:
        yield charts.line(
            {"events": (curve["start"], curve["events_per_day"])},
            f"Events per day ({UNITS[curve['unit']]})",
            "",
            "events per day",
            x_is_time=True,
        )
    rows: list[list[Any]] = [
        ["first event", time["first"]],
        ["last event", time["last"]],
        ["resolution of the clock", f"one {time['resolution']}"],
        ["days without events", time["empty_days"]],
        ["longest run of them, days", time["longest_gap_days"]],
        ["events that share user and moment", percent(time["tied_share"])],
        ["users with a history of one day", percent(time["one_day_user_share"])],
        ["late events on new items", percent(time["new_item_share"])],
        ["late events by new users", percent(time["new_user_share"])],
    ]
    table = Table(["", "value"], rows, align="lr", caption="Late events: the last tenth of them. Times in UTC.")
    if hours is None:
        yield table
    else:
        day = charts.histogram(list(range(25)), hours, "When events happen", "hour of the day, UTC", y_label="events")
        yield Columns(day, table)


def _values(quality: Quality) -> Iterator[Block]:
    curve, kinds = quality.curves["values"], quality.facts["kinds"]
    blocks: list[Block] = []
    if curve is not None and "values" in curve and curve["values"]:
        labels = [f"{value:g}" for value in curve["values"]]
        blocks.append(charts.bars(labels, curve["counts"], "Values of events", "events"))
    elif curve is not None and curve.get("edges"):
        edges, counts = curve["edges"], curve["counts"]
        blocks.append(
            charts.histogram(edges, counts, "Values of events", "value", x_log=curve["log"], y_label="events")
        )
    if kinds:
        blocks.append(charts.bars(list(kinds), list(kinds.values()), "Kinds of events", "events"))
    if blocks:
        yield Columns(*blocks)


def _catalogue(facts: Mapping[str, Any]) -> Iterator[Block]:
    catalogue, counts = facts["catalogue"], facts["counts"]
    rows: list[list[Any]] = [
        ["items", counts["items"]],
        ["with events", counts["items_with_events"]],
        ["without events", catalogue["items_without_events"]],
        ["with events but not described", catalogue["items_without_row"]],
    ]
    table = Table(["", "items"], rows, align="lr")
    empty = catalogue["missing_share"]
    if not empty:
        yield table
        return
    most = sorted(empty.items(), key=lambda one: -one[1])[:20]
    chart = charts.bars(
        [name for name, _ in most], [100 * share for _, share in most], "What the catalogue lacks", "% of items without"
    )
    yield Columns(chart, table)


def _preparation(preparation: Mapping[str, Any]) -> Iterator[Block]:
    steps, refused = preparation["steps"], preparation["quarantine"]
    if steps:
        yield Table(
            ["step", "events before", "removed", "after", "what happened"],
            [
                [
                    step["name"],
                    step["rows_before"],
                    Cell(step["removed"], bar=step["removed"] / max(step["rows_before"], 1)),
                    step["rows_after"],
                    step["note"],
                ]
                for step in steps
            ],
        )
    if refused:
        rows = sorted(refused.items(), key=lambda one: -one[1])
        yield Table(["reason for setting rows aside", "rows"], rows, align="lr")


def _every_number(facts: Mapping[str, Any]) -> Table:
    rows = list(_flat("", {name: facts[name] for name in facts if name != "preparation"}))
    return Table(["fact", "value"], rows, align="lr")


def _flat(prefix: str, content: Mapping[str, Any]) -> Iterator[list[Any]]:
    for name, value in content.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            yield from _flat(path, value)
        elif isinstance(value, (list, tuple)):
            yield [path, ", ".join(map(str, value))]
        else:
            yield [path, f"{value:,.6g}" if isinstance(value, float) else value]
