"""The later sections of a report's page: slices, example users, and the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from zhiyin.evaluation import report_text as text
from zhiyin.evaluation.examples import Example, Shown
from zhiyin.evaluation.report import Report
from zhiyin.evaluation.report_text import NOTHING
from zhiyin.evaluation.significance import Estimate
from zhiyin.evaluation.slices import SMALLEST, SliceResult
from zhiyin.page import Block, Cell, Columns, Details, Items, Note, Table, Text

FACTS = {
    "later_train_share": "test cases with some later training event (the future leaks)",
    "later_train_events": "training events that are later, mean over test cases",
    "tie_share": "events at one moment with another of the same user",
    "cold_users": "test cases without a history",
    "cold_items": "test targets on items without training events",
    "repeats": "test targets that are in the history already",
    "left_out_cases": "test cases left out by the settings",
    "left_out_targets": "test targets left out by the settings",
}
"""The facts of a split in words."""


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of a program, to copy."""

    text: str

    def html(self) -> str:
        """Its HTML."""
        style = "overflow-x: auto; padding: 1rem; border-radius: .55rem; background: var(--wash); font-size: .84rem"
        return f'<pre style="{style}"><code>{escape(self.text)}</code></pre>'


# ---------------------------------------------------------------------- slices


def slice_blocks(report: Report) -> Iterator[Block]:
    """The primary metric of every model in each group of queries or targets."""
    lost = _lost(report)
    yield Text(
        f"{report.primary} of every model where queries, or targets, are looked at in groups. "
        f"Bold: best of its row. Groups under {SMALLEST} queries have no interval and may say nothing."
    )
    if lost:
        yield Note("", "info", f"Where {report.best.name} is not the best", Items(*lost))
    for kind in dict.fromkeys(one.kind for one in report.slices):
        yield Text(_slice_words(kind, report.primary))
        yield _slice_table(report, kind, [one for one in report.slices if one.kind == kind])


def _value(part: SliceResult, model: str, label: str) -> Estimate:
    return part.values.get(model, {}).get(label, NOTHING)


def _slice_table(report: Report, kind: str, parts: Sequence[SliceResult]) -> Table:
    names = [one.name for one in report.models]
    header = [kind, "queries", *names]
    rows: list[list[Any]] = []
    for part in parts:
        values = [_value(part, name, report.primary) for name in names]
        best = _best_of(report, values)
        cells = [
            Cell(one.value, title=text.between(one), strong=one.value is not None and one.value == best)
            for one in values
        ]
        rows.append([part.name, part.n, *cells])
    return Table(header, rows, align="lr" + "r" * len(names))


def _slice_words(kind: str, label: str) -> str:
    if kind == "target popularity":
        return f"By {kind}: only the targets of a group count, so {label} says whether the model finds those at all."
    if kind == "event kind":
        return f"By {kind}: only the targets of a kind count."
    return f"By {kind} of the user:" if kind == "history length" else f"By {kind}:"


def _best_of(report: Report, values: Sequence[Estimate]) -> float | None:
    known = [one.value for one in values if one.value is not None]
    if not known or min(known) == max(known):
        return None
    return min(known) if report.directions[report.primary] is False else max(known)


def _lost(report: Report) -> list[str]:
    """The groups whose best model is another one, with intervals that do not overlap."""
    found = []
    sign = -1 if report.directions[report.primary] is False else 1
    for part in report.slices:
        mine = _value(part, report.best.name, report.primary)
        rivals = {one.name: _value(part, one.name, report.primary) for one in report.models[1:]}
        ahead = {name: theirs for name, theirs in rivals.items() if _apart(mine, theirs, sign)}
        if ahead:
            name = max(ahead, key=lambda one: sign * (ahead[one].value or 0.0))
            found.append(f"{part.kind}, {part.name}: {name} has {ahead[name]}, {report.best.name} {mine}")
    return found


def _apart(mine: Estimate, theirs: Estimate, sign: int) -> bool:
    if mine.low is None or mine.high is None or theirs.low is None or theirs.high is None:
        return False
    return theirs.low > mine.high if sign > 0 else theirs.high < mine.low


# ---------------------------------------------------------------------- example users


def example_blocks(report: Report) -> Iterator[Block]:
    """A few users: what they did before and after, and what each model would have shown them."""
    yield Text(
        "Chosen by rule, not by hand: the users whose history length is at the 10 %, 50 % and 90 % quantile of all "
        "test queries. ✓ marks an item that the user really took afterwards."
    )
    for example in report.examples:
        yield from _example(report, example)


def _example(report: Report, example: Example) -> Iterator[Block]:
    who = f"user {example.user_id}" if example.user_id is not None else f"query {example.query}"
    when = f", asked on {example.when}" if example.when is not None else ""
    past = _listing(example.history[::-1], example.history_length)
    future = _listing(example.targets, example.n_targets)
    yield Details(
        f"{example.kind.capitalize()}: {who}, {example.history_length:,} events before{when}",
        Columns(
            Table([f"history ({example.history_length:,}), newest first"], past),
            Table([f"what the user did next ({example.n_targets:,})"], future),
        ),
        _lists_table(report, example),
        *_why(report, example),
        opened=example is report.examples[0] or example.kind.startswith("average"),
    )


def _listing(shown: Sequence[Shown], total: int) -> list[list[Cell]]:
    rows = [[Cell(one.title, title=one.item_id)] for one in shown]
    if total > len(shown):
        rows.append([Cell(f"… {total - len(shown):,} more")])
    return rows or [[Cell("nothing")]]


def _lists_table(report: Report, example: Example) -> Table:
    names = [one.name for one in report.models if one.name in example.lists]
    places = max((len(shown) for shown in example.lists.values()), default=0)
    rows: list[list[Any]] = [
        [place + 1, *(_listed(example.lists[name], place) for name in names)] for place in range(places)
    ]
    return Table(["place", *names], rows, align="l" + "l" * len(names))


def _listed(shown: Sequence[Shown], place: int) -> Cell:
    if place >= len(shown):
        return Cell(None)
    one = shown[place]
    return Cell(f"✓\u00a0{one.title}" if one.hit else one.title, title=one.item_id, strong=one.hit)


def _why(report: Report, example: Example) -> Iterator[Block]:
    listed = example.lists.get(report.best.name, ())
    reasons = [f"{one.title}: {_joined(one.reasons)}" for one in listed if one.reasons]
    if reasons:
        yield Text(f"Why {report.best.name} lists them:")
        yield Items(*reasons)


def _joined(reasons: Sequence[str]) -> str:
    """Reasons in one line, "because of" only once."""
    first, *others = reasons
    return " and ".join([first, *(one.removeprefix("because of ") for one in others)])


# ---------------------------------------------------------------------- protocol


def protocol_blocks(report: Report) -> Iterator[Block]:
    """How the numbers were made, and how to make them again."""
    protocol = report.protocol
    yield Text(protocol.sentence())
    facts = {
        "data": f"{protocol.data}: {_counts(report.dataset)}",
        "content hash": protocol.content_hash,
        "split": f"{protocol.split}: {_pairs(protocol.settings)}",
        "what is ranked": "every item of the catalogue; equal scores by item number",
        "items of the history": "left out of the lists" if protocol.exclude_seen else "may be listed",
        "short lists": "filled with the most popular items",
        "seeds": ", ".join(map(str, protocol.seeds)),
        "protocol hash": protocol.hash,
    }
    yield Table(["ingredient", "value"], [[name, value] for name, value in facts.items()], align="ll")
    yield Details("The split in numbers", Table(["of the split", "value"], _facts(report), align="lr"))
    yield Details("The models and their settings", _settings_table(report))
    yield Details("Where it ran", Table(["what", "value"], [[k, str(v)] for k, v in report.environment.items()], "ll"))
    yield Text(
        "Beside this page lie report.json (all numbers), per_query.parquet (every value of every query), "
        "recommendations/MODEL.parquet and targets.parquet: with these two, any other tool can compute the accuracy "
        "numbers anew. To run it again:"
    )
    yield Code(_again(report))


def _again(report: Report) -> str:
    """Python that makes the same comparison; settings that are not shown are the defaults."""
    models, baselines = (
        [
            f"        {one.name!r}: ({one.component!r}, {dict(one.given)!r}),"
            for one in report.models
            if one.baseline is simple
        ]
        for simple in (False, True)
    )
    protocol = report.protocol
    settings = ", ".join(f"{name}={value!r}" for name, value in protocol.settings.items() if value is not None)
    lines = [
        "import zhiyin",
        "from zhiyin import splitting",
        "",
        'data = zhiyin.Dataset.load("FOLDER")  # content hash ' + protocol.content_hash,
        "zhiyin.compare(",
        "    data,",
        "    {",
        *models,
        "    },",
        "    baselines={",
        *baselines,
        "    },",
        f'    split=splitting.get("{protocol.split}")({settings}),',
        f"    metrics={list(protocol.metrics)!r},",
        f"    k={protocol.k},",
        f"    exclude_seen={protocol.exclude_seen},",
        f"    seeds={list(protocol.seeds)!r},",
        '    out="report",',
        ")",
    ]
    return "\n".join(lines)


def _settings_table(report: Report) -> Table:
    rows = [[one.name, one.component, _pairs(one.settings) or "none", one.fitted_on] for one in report.models]
    return Table(["model", "component", "settings", "fitted on"], rows, align="llll")


def _facts(report: Report) -> list[list[Any]]:
    said = {name: value for name, value in report.split.items() if name != "warnings"}
    return [[FACTS.get(name, name.replace("_", " ")), _fact(value)] for name, value in said.items()]


def _fact(value: Any) -> Any:
    return f"{value:.1%}" if isinstance(value, float) else value


def _counts(facts: Mapping[str, Any]) -> str:
    return f"{facts['users']:,} users, {facts['items']:,} items, {facts['events']:,} events"


def _pairs(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items() if value is not None)
