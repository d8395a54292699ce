"""Weights: how much an event of each kind speaks for its item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from zhiyin.config import Config, setting
from zhiyin.data.engine import Engine
from zhiyin.data.steps.base import Events, PreparationStep, listed, next_table

T = TypeVar("T")

DEFAULTS: Mapping[str, float] = {
    "view": 1.0,
    "click": 1.0,
    "watch": 2.0,
    "rating": 2.0,
    "like": 3.0,
    "follow": 3.0,
    "share": 4.0,
    "cart": 4.0,
    "purchase": 5.0,
}
"""A rising scale of effort and intent. It is a convention, not a measurement: tune it where the kinds matter."""

SYNONYMS: Mapping[str, str] = {
    "addtocart": "cart",
    "basket": "cart",
    "buy": "purchase",
    "detailview": "view",
    "favorite": "like",
    "favourite": "like",
    "order": "purchase",
    "pageview": "view",
    "play": "watch",
    "listen": "watch",
    "rate": "rating",
    "retweet": "share",
    "transaction": "purchase",
}
"""Other names of the same kinds, without capitals, spaces, hyphens and underscores."""

EXPOSURES = ("display", "exposure", "impression", "shown")
"""Kinds that tell what a user was shown, not what they did: nothing speaks for the item yet."""

Weight = Annotated[float, Field(ge=0, le=1e9)]


class WeightsConfig(Config):
    """Settings of `weights`.

    Kinds are compared without capitals, spaces, hyphens and underscores; what is said of a usual kind is said of its
    other names too (of `purchase`: buy, order, transaction).
    """

    kinds: dict[str, Weight] = setting({})
    """Weights of event kinds, beside and before the usual ones (view, click 1; watch, rating 2; like, follow 3; share,
    cart 4; purchase 5)."""
    other: float | None = setting(1.0, ge=0, le=1e9)
    """Weight of a kind that is not listed, and of events without one; None drops such events."""
    drop: tuple[str, ...] = ()
    """Kinds whose events go, because they say nothing for the item (what was merely shown)."""
    least: dict[str, float] = setting({})
    """The least value that speaks for the item, by kind ("*" for all others): a rating of 4, half of a video. An event
    without a value passes."""
    below: Literal["drop", "zero"] = "drop"
    """What happens to events below `least`: dropped, or kept with weight 0."""
    log_of_value: tuple[str, ...] = ()
    """Kinds ("*" for all) whose value counts plays or visits, 1 where it is missing: their weight is multiplied by
    log(1 + value)."""


class Weights(PreparationStep):
    """Give each event a weight by its kind and value. Without kinds and rules for values it changes nothing."""

    config: WeightsConfig

    def _apply(self, engine: Engine, events: Events) -> tuple[Events, str]:
        if "kind_number" not in events.columns and not (self.config.least or self.config.log_of_value):
            return events, "the log has no kinds of events: all weigh the same"
        bare = events.without("weight")
        weighed = f"SELECT {listed(bare.columns)}, {self._case(events)} AS weight FROM {events.table}"
        sql = f"SELECT {listed(bare.columns)}, weight FROM ({weighed}) AS weighed WHERE weight IS NOT NULL"
        after = next_table(engine, bare, sql, add=["weight"])
        return after, self._note(events)

    def _case(self, events: Events) -> str:
        """The weight as an expression; NULL for an event that goes."""
        others = self._weight("*", self.config.other, events)
        if "kind_number" not in events.columns:
            return others
        cases = " ".join(
            f"WHEN {number} THEN {self._weight(kind, self._of_kind(kind), events)}"
            for number, kind in enumerate(events.kinds)
        )
        return f"CASE kind_number {cases} ELSE {others} END"

    def _of_kind(self, kind: str) -> float | None:
        """The weight of a kind before its value is looked at."""
        if _matches(kind, self.config.drop):
            return None
        usual = DEFAULTS.get(_names(kind)[-1], self.config.other)
        return _said_of(kind, self.config.kinds, usual)

    def _weight(self, kind: str, weight: float | None, events: Events) -> str:
        if weight is None:
            return "CAST(NULL AS DOUBLE)"
        found = f"CAST({weight!r} AS DOUBLE)"
        if "value" not in events.columns:
            return found
        if _matches(kind, self.config.log_of_value):
            found = f"{found} * LN(1 + CASE WHEN value < 0 THEN 0 ELSE COALESCE(value, 1) END)"
        least = self._least(kind)
        if least is None:
            return found
        failed = "CAST(NULL AS DOUBLE)" if self.config.below == "drop" else "CAST(0 AS DOUBLE)"
        return f"(CASE WHEN value < CAST({least!r} AS DOUBLE) THEN {failed} ELSE {found} END)"

    def _least(self, kind: str) -> float | None:
        return _said_of(kind, self.config.least, self.config.least.get("*"))

    def _note(self, events: Events) -> str:
        if "kind_number" not in events.columns:
            return "weighed by value"
        weights = {kind: self._of_kind(kind) for kind in events.kinds}
        said = ", ".join(f"{kind} {'dropped' if weight is None else f'{weight:g}'}" for kind, weight in weights.items())
        shown = [kind for kind, weight in weights.items() if weight and _matches(kind, EXPOSURES)]
        hint = '; {0} seems to be what was shown, not what was done: weights drop=["{0}"] leaves it out'
        return f"weights: {said}" + "".join(hint.format(kind) for kind in shown) + self._idle(events)

    def _idle(self, events: Events) -> str:
        """What to say of settings that meet no event, as those with a typing error do."""
        config, there = self.config, {name for kind in events.kinds for name in _names(kind)} | {"*"}
        named = (*config.kinds, *config.drop, *config.least, *config.log_of_value)
        idle = [name for name in named if _plain(name) not in there]
        said = f"; no event is of the kind {' or '.join(map(repr, dict.fromkeys(idle)))}" if idle else ""
        if (config.least or config.log_of_value) and "value" not in events.columns:
            said += "; the log has no values, so rules on them do nothing"
        return said


def _plain(kind: str) -> str:
    return "".join(one for one in kind.lower() if one not in " -_")


def _names(kind: str) -> tuple[str, str]:
    """Its own name and the usual one, which may be the same."""
    own = _plain(kind)
    return own, SYNONYMS.get(own, own)


def _said_of(kind: str, rules: Mapping[str, T], otherwise: T | None) -> T | None:
    """What is said of a kind by its own name, else by its usual one."""
    plain = {_plain(name): rule for name, rule in rules.items()}
    own, usual = _names(kind)
    return plain.get(own, plain.get(usual, otherwise))


def _matches(kind: str, names: tuple[str, ...]) -> bool:
    plain = {_plain(name) for name in names}
    return "*" in plain or not plain.isdisjoint(_names(kind))
