"""Checks of users: histories that are tiny, and users who are hardly people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zhiyin.data.quality_checks import Check, Evidence, Finding, graded, many, percent, plain
from zhiyin.data.quality_facts import ratio


def check_short_histories(evidence: Evidence) -> Iterator[Finding]:
    """Users with hardly any event."""
    lengths, n = evidence.facts["history_length"], evidence.facts["counts"]["users_with_events"]
    if not n:
        return
    one, five = lengths["one_event_share"], lengths["under_five_share"]
    detail = (
        f"{percent(one)} of the users have a single event and {percent(five)} fewer than five; the median history has "
        f"{plain(lengths['median'])}."
    )
    if one == 1:
        yield Finding(
            "no_histories",
            "problem",
            "Nobody has two events",
            detail,
            "A recommender learns from what the same person did, so only popularity is left, and no split can test it. "
            "Is the right column the user (not the order, the visit or the event)? If it is, map another: a customer, "
            "a device.",
        )
    elif five >= 0.5:
        yield Finding(
            "tiny_histories",
            "warning",
            "Most histories are tiny",
            detail,
            "Judge models on the slice of short histories too. `minimum_counts users=5` makes the numbers stable, but "
            "then they no longer speak for the users that were removed.",
        )
    elif one >= 0.1:
        yield Finding(
            "single_events",
            "note",
            "Some users have a single event",
            detail,
            "They can be trained on but not tested with leave_last_out; what they get should be reported apart.",
        )


def check_rate(evidence: Evidence) -> Iterator[Finding]:
    """Users that act faster than a person, for minutes."""
    rapid = np.flatnonzero(evidence.found.rapid)
    if not len(rapid):
        return
    share = ratio(evidence.found.lengths[rapid].sum(), evidence.dataset.n_events)
    config = evidence.config
    yield Finding(
        "rapid_users",
        graded(share, 0.01),
        "Some users act faster than people do",
        f"{many(len(rapid), 'user')} with more than {config.rate_per_minute} events a minute for "
        f"{config.rate_minutes} minutes, and with {percent(share)} of all events.",
        "Robots, or an import under one clock. Look at some of them, then remove them with the step `bots`.",
        evidence.users(rapid[np.argsort(-evidence.found.lengths[rapid])]),
    )


def check_repetition(evidence: Evidence) -> Iterator[Finding]:
    """Users who do the same few things again and again, in a log where others do not."""
    found = evidence.found
    long = found.lengths >= 50
    repetitive = long & (found.distinct <= 0.1 * found.lengths)
    odd = np.flatnonzero(repetitive)
    others = ratio(found.distinct[~repetitive].sum(), found.lengths[~repetitive].sum())
    if not len(odd) or (others < 0.5 and len(odd) > 0.05 * np.count_nonzero(long)):
        return
    share = ratio(found.lengths[odd].sum(), evidence.dataset.n_events)
    yield Finding(
        "repetitive_users",
        graded(share, 0.01),
        "Some users repeat a handful of items",
        f"{many(len(odd), 'user')} with 50 events or more, at least ten for each of their items on average, and with "
        f"{percent(share)} of all events.",
        "Robots, tests or a player in a loop. Remove them with the step `bots`, or collapse with `repeats`.",
        evidence.users(odd[np.argsort(-found.lengths[odd])]),
    )


def check_long_histories(evidence: Evidence) -> Iterator[Finding]:
    """Histories far longer than the rest."""
    lengths = evidence.found.lengths
    used = lengths[lengths > 0]
    if len(used) < 50:
        return
    limit = max(200.0, 10 * float(np.quantile(used, 0.95)))
    odd = np.flatnonzero(lengths > limit)
    if len(odd):
        share = ratio(lengths[odd].sum(), evidence.dataset.n_events)
        yield Finding(
            "long_histories",
            graded(share, 0.05),
            "Some histories are extremely long",
            f"{many(len(odd), 'user')} with more than {plain(limit)} events, ten times what 95 % of the users stay "
            f"under, and with {percent(share)} of all events; the longest history has {lengths.max():,}.",
            "Robots, shared accounts or staff: they outweigh everybody else in item similarities. Remove them with "
            "`outliers activity_z=...` or `bots`, or keep only the last events of each.",
            evidence.users(odd[np.argsort(-lengths[odd])]),
        )


def check_twins(evidence: Evidence) -> Iterator[Finding]:
    """Users with near-identical histories."""
    twins, config = evidence.twins, evidence.config
    if not len(twins.users):
        return
    users = evidence.facts["counts"]["users_with_events"]
    share = ratio(len(twins.users), users)
    largest = twins.largest()
    yield Finding(
        "twin_users",
        "warning" if share >= 0.01 or len(largest) >= 10 else "note",
        "Some users have near-identical histories",
        f"{many(len(twins.users), 'user')} ({percent(share)}) in {many(twins.n_groups, 'group')} share at least "
        f"{percent(config.similarity)} of their items with another one (of {config.similar_items} items or more); the "
        f"largest group has {len(largest):,}.",
        "One person with several accounts, a bot farm, or rows copied under new ids. Where some are trained on and "
        "others tested, the numbers are too good: join or remove them.",
        evidence.users(largest),
    )


CHECKS: tuple[Check, ...] = (
    check_short_histories,
    check_rate,
    check_repetition,
    check_long_histories,
    check_twins,
)
