"""The checks of the quality report: each looks at the facts and says what it finds, how bad it is and what to do.

Here are the words that all checks share and the checks of time and size; those of users, contents and leakage have
modules of their own. A check is a function from `Evidence` to findings; it says nothing where there is nothing to say.
A `problem` makes results wrong, a `warning` makes them doubtful or costs quality, a `note` is good to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from zhiyin.arrays import AnyArray
from zhiyin.data.dataset import Dataset
from zhiyin.data.quality_facts import ratio
from zhiyin.data.quality_measures import Measures, QualityConfig
from zhiyin.data.quality_twins import Twins

Severity = Literal["problem", "warning", "note", "good"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note", "good")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `code` is stable, `detail` has the numbers, `advice` what to do, `examples` ids."""

    code: str
    severity: Severity
    title: str
    detail: str
    advice: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the checks look at."""

    dataset: Dataset
    found: Measures
    facts: Mapping[str, Any]
    twins: Twins
    config: QualityConfig

    def users(self, numbers: AnyArray) -> tuple[str, ...]:
        """The ids of the first few users."""
        return tuple(self.dataset.users.decode(numbers[: self.config.examples]))

    def items(self, numbers: AnyArray) -> tuple[str, ...]:
        """The ids of the first few items."""
        return tuple(self.dataset.items.decode(numbers[: self.config.examples]))


Check: TypeAlias = Callable[[Evidence], Iterator[Finding]]


def graded(share: float, limit: float) -> Severity:
    """A warning from a share of `limit` on, a note below it."""
    return "warning" if share >= limit else "note"


def percent(share: float) -> str:
    """A share as a person reads it.

    >>> percent(0.5), percent(0.012), percent(0.00004), percent(0.99996), percent(1)
    ('50 %', '1.2 %', 'less than 0.1 %', 'more than 99.9 %', '100 %')
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    fine = 0 < share < 0.1 or 0.99 < share < 1
    return f"{100 * share:.1f} %" if fine else f"{100 * share:.0f} %"


def density(share: float) -> str:
    """A share that may be very small, with two digits that count.

    >>> density(0.017), density(0.000734)
    ('1.7 %', '0.073 %')
    """
    return f"{100 * share:.2g} %" if share < 0.1 else percent(share)


def many(count: int, what: str) -> str:
    """A count of things.

    >>> many(1, "user"), many(1200, "user")
    ('1 user', '1,200 users')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def plain(number: float) -> str:
    """A number with no more digits than a person reads."""
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:,.1f}"


# ---------------------------------------------------------------------- time


def check_clock(evidence: Evidence) -> Iterator[Finding]:
    """Whether times, or at least the order of events, are known."""
    clock = evidence.dataset.clock
    if clock == "position":
        yield Finding(
            "no_times",
            "warning",
            "Only the order of events is known, not their times",
            "The global_time split, popularity windows, time decay and drift cannot be used; what is left is "
            "leave_last_out, which leaks time, user_holdout and cold_items.",
            "Export the log again with a time column. Until then, treat every number as optimistic.",
        )
    if clock == "none":
        yield Finding(
            "no_order",
            "warning",
            "Not even the order of events is known",
            "The splits global_time and leave_last_out and every sequential model are impossible; what is left is "
            "user_holdout and cold_items.",
            "Export the log again with a time column, or with the place of each event in the history.",
        )


def check_times(evidence: Evidence) -> Iterator[Finding]:
    """Times that cannot be: in the future, before there were logs, or out of order."""
    time, n = evidence.facts["time"], evidence.dataset.n_events
    if time is None:
        return
    if time["future"]:
        yield Finding(
            "future_times",
            "problem",
            "Some events are in the future",
            f"{many(time['future'], 'event')} ({percent(ratio(time['future'], n))}) later than now; "
            f"the last is at {time['last']}.",
            "Check the unit and the time zone of the time column, then prepare again with `time_window until=...`. "
            "A global time split would put them alone into the test.",
        )
    if time["before_1990"]:
        everything = time["before_1990"] == n
        yield Finding(
            "ancient_times",
            "warning" if everything else "problem",
            "All times lie before 1990" if everything else "Some times lie before 1990",
            f"{many(time['before_1990'], 'event')} ({percent(ratio(time['before_1990'], n))}) older than any click "
            f"log; the first is at {time['first']}.",
            "Usual causes: seconds that were read as microseconds, zeros for unknown times, a clock that was made up. "
            "Correct the unit, or remove them with `time_window since=...`.",
        )
    if time["disordered"]:
        yield Finding(
            "disordered_times",
            "problem",
            "Histories are not in the order of time",
            f"{many(time['disordered'], 'event')} earlier than the one before in the same history.",
            "Prepare the log again: `zhiyin prepare` sorts it. Sequences and time splits are wrong as they are.",
        )


def check_ties(evidence: Evidence) -> Iterator[Finding]:
    """Events of one user at one moment: their order is a convention, not knowledge."""
    time = evidence.facts["time"]
    if time is None:
        return
    tied, one_day = time["tied_share"], time["one_day_user_share"]
    detail = (
        f"{percent(tied)} of the events share their moment with another event of the same user "
        f"(the clock's resolution is one {time['resolution']}); {percent(one_day)} of the users with two events or "
        "more did everything within 24 hours."
    )
    if tied >= 0.05:
        yield Finding(
            "tied_times",
            "warning",
            "Many events share their moment",
            detail,
            "Their order is a convention: compare ties=stable with ties=shuffle, test on whole moments "
            "(global_time, targets=all), and do not read much into gains of sequential models.",
        )
    elif one_day <= 0.5 and evidence.facts["history_length"]["one_event_share"] < 1:
        yield Finding("clear_order", "good", "The order of events is clear", detail)
    if one_day > 0.5:
        yield Finding(
            "one_day_users",
            "warning",
            "Most users are here for one day only",
            f"{percent(one_day)} of the users with two events or more did everything within 24 hours, as when people "
            "rate a list at sign-up or ids live as long as a session.",
            "Long-term taste cannot be learnt or tested from such users: use a global_time split, look at the slice of "
            "users with longer spans, and recommend within the session.",
        )


def check_gaps(evidence: Evidence) -> Iterator[Finding]:
    """Days without events amid busy ones: a part of the log is missing."""
    time = evidence.facts["time"]
    if time is None or not time["longest_gap_days"]:
        return
    days, usual = time["longest_gap_days"], time["longest_gap_usual"]
    if days >= 2 and usual >= 20:
        yield Finding(
            "gap",
            "warning",
            "A part of the log seems to be missing",
            f"There is no event for {days:,} days from {time['longest_gap_from']}; {plain(usual)} a day are usual.",
            "Ask whoever exports the log. If the days cannot be had, keep them out of the validation and test periods.",
        )


def check_span(evidence: Evidence) -> Iterator[Finding]:
    """A log of a few days knows no weeks or seasons."""
    time = evidence.facts["time"]
    if time is not None and time["span_days"] < 7 and evidence.dataset.n_events > 0:
        yield Finding(
            "short_span",
            "note",
            "The log covers less than a week",
            f"It spans {time['span_days']:.1f} days: weekdays, seasons and the decay of interest cannot be learnt.",
            "Export a longer period if there is one.",
        )


def check_drift(evidence: Evidence) -> Iterator[Finding]:
    """How much of the end of the log is on items, or by users, that were not there before."""
    time = evidence.facts["time"]
    if time is None:
        return
    items, users = time["new_item_share"], time["new_user_share"]
    detail = (
        f"Of the last tenth of the events, {percent(items)} are on items and {percent(users)} by users that were "
        "never seen before it."
    )
    if items >= 0.2:
        yield Finding(
            "item_drift",
            "warning",
            "The catalogue turns over quickly",
            detail,
            "Models of ids cannot find items without events: use item content, refit often, and test with global_time "
            "only, since leave_last_out hides this.",
        )
    if users >= 0.5:
        yield Finding(
            "user_drift",
            "note",
            "Most of the late events are by new users",
            detail,
            "What they get depends on the first few events: look at the slice of short histories, and have a good "
            "recommendation for an empty one.",
        )


# ---------------------------------------------------------------------- size and shape


def check_size(evidence: Evidence) -> Iterator[Finding]:
    """Whether there is enough to tell models apart."""
    counts = evidence.facts["counts"]
    users, items, events = counts["users_with_events"], counts["items_with_events"], counts["events"]
    detail = (
        f"{events:,} events of {users:,} users on {items:,} items; {density(counts['density'])} of all pairs occur."
    )
    if events == 0:
        yield Finding("no_events", "problem", "There are no events", detail, "Prepare a log that has some.")
    elif users < 100 or events < 1_000:
        yield Finding(
            "small",
            "warning",
            "There is little data",
            detail,
            "Differences between models will mostly be chance: trust the intervals, not the order, and collect more.",
        )
    elif users >= 500 and events >= 20_000:
        yield Finding("enough", "good", "There is enough data to compare models", detail)


def check_concentration(evidence: Evidence) -> Iterator[Finding]:
    """How unevenly the events spread over the items."""
    shares, n = evidence.facts["concentration"], evidence.facts["counts"]["items_with_events"]
    detail = (
        f"The top 1 % of the items have {percent(shares['top_1'])} of the events, the top 10 % "
        f"{percent(shares['top_10'])}, the top 20 % {percent(shares['top_20'])} (Gini {shares['gini']:.2f})."
    )
    if n >= 50 and (shares["top_10"] >= 0.8 or shares["gini"] >= 0.9):
        yield Finding(
            "concentrated",
            "warning",
            "A few items have most of the events",
            detail,
            "Popularity will be hard to beat and models will repeat it: report coverage, novelty and the slice of rare "
            "items beside accuracy, and re-rank for exposure where the long tail matters.",
        )


def check_rare_items(evidence: Evidence) -> Iterator[Finding]:
    """Items with so few events that their company says little."""
    items = evidence.facts["events_per_item"]
    if items["under_five_share"] >= 0.5 and evidence.facts["counts"]["items_with_events"] >= 50:
        yield Finding(
            "rare_items",
            "note",
            "Most items are rare",
            f"{percent(items['under_five_share'])} of the items with events have fewer than five; the median has "
            f"{plain(items['median'])}.",
            "Neighbours and factors of such items are noise. Add content, or set `minimum_counts items=5` and say so "
            "beside every number.",
        )


CHECKS: tuple[Check, ...] = (
    check_clock,
    check_times,
    check_ties,
    check_gaps,
    check_span,
    check_drift,
    check_size,
    check_concentration,
    check_rare_items,
)
