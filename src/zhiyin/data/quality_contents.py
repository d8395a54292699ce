"""Checks of what events and items hold: repeats, values, texts, the catalogue, and what the preparation removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from zhiyin.arrays import BoolVector
from zhiyin.data.quality_checks import Check, Evidence, Finding, graded, many, percent
from zhiyin.data.quality_facts import missing, ratio

SCALES: Mapping[str, tuple[float, float, float]] = {
    "1 to 5": (1, 5, 1),
    "0.5 to 5 in halves": (0.5, 5, 0.5),
    "0 to 5 in halves": (0, 5, 0.5),
    "1 to 10": (1, 10, 1),
    "0 to 10": (0, 10, 1),
    "0 to 10 in halves": (0, 10, 0.5),
    "0 or 1": (0, 1, 1),
    "-1 to 1": (-1, 1, 1),
}
"""Scales of ratings that people use: lowest, highest, step; the narrowest first."""

STRAY = 0.02
"""Up to this share of values off the scale are errors; more, and it is not the scale."""


# ---------------------------------------------------------------------- repeats


def check_duplicates(evidence: Evidence) -> Iterator[Finding]:
    """Events that were logged several times."""
    repeats = evidence.facts["repeats"]
    exact = repeats["exact_share"]
    if exact:
        yield Finding(
            "exact_duplicates",
            graded(exact, 0.001),
            "Some events occur several times",
            f"{percent(exact)} of the events ({evidence.found.exact:,}) repeat another in user, item, moment, value "
            "and kind.",
            "Clients that send again, or files that were joined twice: prepare with the step `exact_duplicates`.",
        )


def check_repeat_use(evidence: Evidence) -> Iterator[Finding]:
    """Whether users come back to the same items."""
    repeats = evidence.facts["repeats"]
    again, following = repeats["same_user_and_item_share"], repeats["consecutive_share"]
    if again >= 0.01:
        yield Finding(
            "repeat_use",
            "note",
            "Users come back to the same items",
            f"{percent(again)} of the events are on an item that the user had before.",
            "Decide whether a repeat counts: with exclude_seen (the default) it can never be recommended; where it is "
            "the point (music, groceries) say exclude_seen=False (--include-seen); where it corrects, prepare with "
            "`one_per_pair`.",
        )
    if following is not None and following >= 0.05:
        yield Finding(
            "consecutive_repeats",
            "note",
            "Events follow themselves",
            f"{percent(following)} of the events are on the same item as the event before.",
            "A model of the next item learns to say the last one again: prepare with the step `repeats`.",
        )


# ---------------------------------------------------------------------- values


def check_values(evidence: Evidence) -> Iterator[Finding]:
    """Values that are missing, infinite or all the same."""
    values = evidence.facts["values"]
    if values is None:
        return
    if values["infinite"]:
        yield Finding(
            "infinite_values",
            "problem",
            "Some values are infinite",
            f"{many(values['infinite'], 'event')} with an infinite value.",
            "Remove them with `outliers low=... high=...`; means and losses are not defined with them.",
        )
    if 0 < values["missing_share"] < 1:
        yield Finding(
            "missing_values",
            "note",
            "Some events have no value",
            f"{percent(values['missing_share'])} of the events have no value.",
            "Models of values skip them; make sure that a missing value does not mean zero.",
        )
    if values["known"] and values["min"] == values["max"]:
        yield Finding(
            "constant_values",
            "note",
            "All values are the same",
            f"Each of the {values['known']:,} known values is {values['min']:g}.",
            "They carry no information: treat the log as implicit feedback; rating prediction is pointless.",
        )


def check_scale(evidence: Evidence) -> Iterator[Finding]:
    """A few values off an otherwise clear rating scale."""
    counts = evidence.found.values
    if not counts or len(counts) < 3:
        return
    total = sum(counts.values())
    fits = {name: odd for name, scale in SCALES.items() if (odd := _strays(counts, scale)) is not None}
    name = min(fits, key=lambda one: sum(counts[value] for value in fits[one]), default="")
    stray = sum(counts[value] for value in fits.get(name, ()))
    if stray:
        low, high, _ = SCALES[name]
        odd = sorted(fits[name], key=lambda value: -counts[value])
        yield Finding(
            "off_scale",
            "warning",
            "Some values are off the rating scale",
            f"{percent(1 - ratio(stray, total))} of the values are ratings from {name}, but {stray:,} are not: "
            f"{', '.join(f'{value:g}' for value in odd[:5])}.",
            "Often a code for `not rated` or another scale mixed in: find out which, then prepare with "
            f"`outliers low={low:g} high={high:g}`.",
        )


def _strays(counts: Mapping[float, int], scale: tuple[float, float, float]) -> list[float] | None:
    """The values off a scale; None where it is not the scale: many are off it, or little of it is used.

    People who rate do use its upper end; counts of things (1, 2, 3, ...) fade out before.
    """
    low, high, step = scale
    inside = [value for value in counts if low <= value <= high and (value - low) % step == 0]
    total = sum(counts.values())
    stray = total - sum(counts[value] for value in inside)
    used = len(inside) >= 0.6 * ((high - low) / step + 1) and counts.get(high, 0) >= 0.05 * total
    return [value for value in counts if value not in set(inside)] if used and stray <= STRAY * total else None


def check_value_of_item(evidence: Evidence) -> Iterator[Finding]:
    """A value that is the same for all events of an item is a property of the item, not what the user thought."""
    found = evidence.found
    several = found.value_count >= 2
    if evidence.facts["values"] is None or np.count_nonzero(several) < 20:
        return
    lows, highs = found.value_low[several], found.value_high[several]
    most_common = np.unique(lows, return_counts=True)[1].max() / len(lows)
    if most_common < 0.8 and (lows == highs).mean() > 0.99:
        yield Finding(
            "value_of_item",
            "warning",
            "The value belongs to the item, not to the event",
            f"{percent(float((lows == highs).mean()))} of the items with two events or more have one value in all.",
            "A price or an average rating was read as the value of the event. Map the right column, or none; as it is, "
            "rating prediction is a look-up, and an average leaks the future.",
        )


# ---------------------------------------------------------------------- catalogue


def check_catalogue(evidence: Evidence) -> Iterator[Finding]:
    """How the catalogue and the events cover each other."""
    catalogue, n_items = evidence.facts["catalogue"], evidence.dataset.n_items
    unknown, cold = catalogue["items_without_row"], catalogue["items_without_events"]
    if unknown:
        share = ratio(catalogue["events_without_row"], evidence.dataset.n_events)
        described = np.logical_and.reduce([_missing(evidence, name) for name in catalogue["columns"]])
        yield Finding(
            "unknown_items",
            graded(share, 0.01),
            "Some items are not in the catalogue",
            f"{many(unknown, 'item')} without a row in the catalogue, with {percent(share)} of the events.",
            "Look for ids that are written differently in the two tables (capitals, zeros in front, variants), or "
            "export the catalogue with retired items.",
            evidence.items(np.flatnonzero(described & (evidence.found.popularity > 0))),
        )
    if cold:
        share = ratio(cold, n_items)
        yield Finding(
            "cold_catalogue",
            graded(share, 0.5),
            "Some items have no events",
            f"{cold:,} of {n_items:,} items ({percent(share)}) never touched.",
            "Only content can recommend them: compare `content` on the cold_items split, or prepare with "
            "catalogue=with_events if they cannot be bought any more.",
            evidence.items(np.flatnonzero(evidence.found.popularity == 0)),
        )


def check_user_table(evidence: Evidence) -> Iterator[Finding]:
    """Whether the users who act are those whom the table of users describes."""
    facts, table = evidence.facts["attributes"], evidence.dataset.user_table
    if facts["users_without_row"]:
        share = ratio(facts["events_without_row"], evidence.dataset.n_events)
        bare = np.logical_and.reduce([missing(table.column(name)) for name in facts["columns"]])
        yield Finding(
            "unknown_users",
            graded(share, 0.01),
            "Some users are not in the table of users",
            f"{many(facts['users_without_row'], 'user')} without a row there, with {percent(share)} of the events.",
            "Look for ids that are written differently in the two tables (capitals, zeros in front, variants), or "
            "export the users who left as well; slices by attribute leave these users out.",
            evidence.users(np.flatnonzero(bare & (evidence.found.lengths > 0))),
        )


def _missing(evidence: Evidence, name: str) -> BoolVector:
    return missing(evidence.dataset.item_table.column(name))


def check_texts(evidence: Evidence) -> Iterator[Finding]:
    """Whether items say what they are."""
    catalogue = evidence.facts["catalogue"]
    empty, texts = catalogue["missing_share"], catalogue["texts"]
    if not texts:
        yield Finding(
            "no_item_text",
            "note",
            "Items have no text",
            "There is no title, description or category: content models, items without events and readable reasons "
            "are out of reach.",
            "Prepare again with --items: even a title alone helps.",
        )
        return
    if empty.get("title", 0.0) > 0.001:
        share = empty["title"]
        yield Finding(
            "missing_titles",
            graded(share, 0.1),
            "Some items have no title",
            f"{percent(share)} of the items have no title; lists and reasons will show their ids.",
            "Complete the catalogue, or fall back to another column when exporting it.",
            evidence.items(np.flatnonzero(_missing(evidence, "title"))),
        )
    thin = {name: empty[name] for name in texts if name != "title" and empty[name] >= 0.2}
    if thin:
        listed = ", ".join(f"{name} ({percent(share)})" for name, share in thin.items())
        yield Finding(
            "missing_text",
            "note",
            "Some text columns have holes",
            f"Share of items without: {listed}.",
            "Content vectors of such items rest on what is left; check that cold items are not the ones without text.",
        )


# ---------------------------------------------------------------------- preparation


def check_preparation(evidence: Evidence) -> Iterator[Finding]:
    """What was lost between the raw log and this dataset."""
    preparation = evidence.facts["preparation"]
    steps, refused = preparation["steps"], preparation["quarantine"]
    if refused:
        rows = sum(refused.values())
        read = next((step["rows_before"] for step in steps), rows + evidence.dataset.n_events)
        share = ratio(rows, read)
        reasons = "; ".join(f"{n:,}: {reason}" for reason, n in sorted(refused.items(), key=lambda one: -one[1])[:5])
        yield Finding(
            "refused_rows",
            graded(share, 0.01),
            "Some rows could not be read",
            f"{many(rows, 'row')} ({percent(share)}) set aside. {reasons}.",
            "Look at quarantine.parquet in the dataset's folder and correct the export.",
        )
    yield from _removed(evidence)


def _removed(evidence: Evidence) -> Iterator[Finding]:
    steps = [step for step in evidence.facts["preparation"]["steps"] if step["name"] != "ingest"]
    if not steps:
        return
    before, after = steps[0]["rows_before"], steps[-1]["rows_after"]
    share = ratio(before - after, before)
    if share >= 0.3:
        most = max(steps, key=lambda step: step["removed"])
        yield Finding(
            "much_removed",
            graded(share, 0.5),
            "The preparation removed much of the log",
            f"{before - after:,} of {before:,} events ({percent(share)}) are gone; most went in the step "
            f"`{most['name']}` ({most['removed']:,}).",
            "Numbers on this dataset speak for what is left only. Loosen the step, or say so beside every number.",
        )


CHECKS: tuple[Check, ...] = (
    check_duplicates,
    check_repeat_use,
    check_values,
    check_scale,
    check_value_of_item,
    check_catalogue,
    check_user_table,
    check_texts,
    check_preparation,
)
