"""Rules: what may be listed at all, for whom and when, and what a list must keep to; declared, not learnt.

rule        what it does                                                        what is not known
available   only inside the item's window, at the moment of the query           `unknown`: the moment; an empty cell is
                                                                                no bound
stock       only items with more than `above` in stock                          `unknown`
fits        item and person (context, or user table) share a value: region,     `unknown`, on either side
            language
mutual      the items are people: each is what the other seeks, none blocks     `unknown`: what a person is; who seeks
            the other, and nobody is offered to themselves                      nothing seeks anyone
only        only items with one of some values                                  `unknown`, "drop" by default
never       no items with one of some values                                    `unknown`
between     a number such as the price from `least` to `most`                   `unknown`
not_owned   nothing that the person bought: events of some kinds                an event of no kind is none of them
frequency   nothing that the person met `most` times within `days`              `unknown`: events without a time
cap         at most so many of one creator or category in a list                an item of no value is never held back
pin         an item at a place                                                  -

`unknown` is "keep" or "drop". All but the last two are filters. They take items away before retrievers look for the
best, so that candidates, lists and what completes short lists are all of what is left. A filter is law and a pin a
wish: a pinned item that is filtered for a query is not listed there, which is logged. Caps and pins are held while a
list is made (see `zhiyin.ranking.draft`); a pinned item counts for the caps.

Rules are written as settings, or in a file:

    [[rule]]
    rule = "fits"
    column = "language"

    [[rule]]
    rule = "cap"
    column = "creator"
    most = 2
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BeforeValidator, Field

from zhiyin.arrays import AnyArray, BoolVector
from zhiyin.artifacts import load_arrays, read_json, save_arrays, to_json
from zhiyin.config import Config
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries
from zhiyin.data.vocabulary import Vocabulary
from zhiyin.errors import ConfigError, DataError, unknown
from zhiyin.models._saved import flatten, unflatten
from zhiyin.ranking._mutual import Mutual
from zhiyin.ranking._personal_rules import Fits, Frequency, NotOwned
from zhiyin.ranking._rules import Available, Between, Capped, Never, Only, Pinned, Rule, Stock, World
from zhiyin.ranking.limits import Cap, Limits, Pin

logger = logging.getLogger(__name__)

AnyRule = Annotated[
    Available | Stock | Fits | Mutual | Only | Never | Between | NotOwned | Frequency | Capped | Pinned,
    Field(discriminator="rule"),
]

KNOWN: tuple[str, ...] = tuple(one.model_fields["rule"].default for one in get_args(get_args(AnyRule)[0]))
"""The names of all rules."""

FEW = 0.01
"""A newer table that lacks a larger part of the items is warned of."""


def rules_from(value: Any) -> Any:
    """Rules from text: a list as JSON, or the path of a TOML or JSON file; a list as it is.

    Raises:
        ValueError: there is no such file, or it holds something else; or something else than a list of rules came.
    """
    found = _from_text(value) if isinstance(value, (str, Path)) else value
    if not isinstance(found, (list, tuple)):
        raise ValueError(
            f"a list of rules is expected, such as [{{'rule': 'stock'}}], or [[rule]] in a TOML file; a "
            f"{type(found).__name__} came"
        )
    for place, one in enumerate(found, 1):
        _named_rule(one, place)
    return found


def _named_rule(one: Any, place: int) -> None:
    """Refuse what names none of the rules there are."""
    if isinstance(one, Rule):
        return
    if not isinstance(one, Mapping) or not isinstance(one.get("rule"), str):
        raise ValueError(
            f"entry {place} of the rules is {one!r}, and does not say which rule it is; write {{'rule': 'stock'}}, or "
            f"another of {', '.join(KNOWN)}"
        )
    if one["rule"] not in KNOWN:
        raise ValueError(f"{unknown('rule', one['rule'], KNOWN)}; there are {', '.join(KNOWN)}")


def _from_text(value: str | Path) -> Any:
    """What a text, or the file that it names, holds."""
    text, form = str(value).strip(), ".json"
    if not text.startswith(("[", "{")):
        path = Path(text)
        form = path.suffix
        if form not in (".toml", ".json") or not path.is_file():
            raise ValueError(f"no TOML or JSON file of rules is at {text!r}")
        text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text) if form == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{str(value)!r} cannot be read: {error}") from None
    if isinstance(found, dict):
        if set(found) != {"rule"}:
            raise ValueError(f"{str(value)!r} holds {', '.join(found) or 'nothing'}; a list of [[rule]] is expected")
        found = found["rule"]
    return found


def _free(rules: tuple[AnyRule, ...]) -> tuple[AnyRule, ...]:
    """Refuse two pins of one place or of one item."""
    pins = [one for one in rules if isinstance(one, Pinned)]
    for what, taken in (("place", [one.place for one in pins]), ("item", [one.item for one in pins])):
        twice = [one for one, n in Counter(taken).items() if n > 1]
        if twice:
            raise ValueError(f"two pins have the {what} {twice[0]!r}; one each is expected")
    return rules


RuleList = Annotated[tuple[AnyRule, ...], BeforeValidator(rules_from), AfterValidator(_free)]
"""Rules in their order; also the path of a TOML or JSON file."""


class RulesConfig(Config):
    """A list of rules."""

    rules: RuleList = ()
    """In their order; also the path of a TOML or JSON file."""


class Rules:
    """Rules, and what they need to know of a catalogue; read anew whenever that changes."""

    def __init__(self, rules: Sequence[Rule | Mapping[str, Any]] | str | Path = ()) -> None:
        """From rules, plain dictionaries, JSON, or the path of a file.

        Raises:
            ConfigError: one is not understood, or two contradict each other.
        """
        self.rules: tuple[Rule, ...] = RulesConfig.read({"rules": rules}, "rules").rules
        self.labels = _named([one.label for one in self.rules])
        self.held: list[dict[str, Any]] = []
        self.limits = Limits()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def fit(self, train: Dataset) -> Self:
        """Read what the rules need of a dataset's tables and kinds of events.

        Raises:
            ConfigError: a column or kind is not there, nothing is left to list, or a pin contradicts another rule.
        """
        return self.read(train.item_table, train.user_table, train.kinds)

    def read(self, items: pa.Table, users: pa.Table, kinds: Sequence[str]) -> Self:
        """The same from tables; row `i` of `items` is item `i` of the vocabulary."""
        world = World(items, users, tuple(kinds), Vocabulary(items["item_id"]))
        self.held = []
        for one, label in zip(self.rules, self.labels, strict=True):
            with _told_by(one, label):
                self.held.append(one.gather(world))
        self._derive()
        self._consistent(world.items)
        return self

    def update(self, items: pa.Table, vocabulary: Vocabulary) -> Self:
        """The same rules by another item table, as stock and windows change from hour to hour; users and kinds stay.

        The table is of all items. Of those that it lacks nothing is known any more, so that `unknown` says what becomes
        of them, which is logged; what was known before is not kept.

        Args:
            items: row `i` is item `i` of the vocabulary.
            vocabulary: the items of the model.

        Raises:
            ConfigError: as `fit`; also where a bound of windows was told before, and the table has no such column.
            DataError: nothing is told of any item; or moments are of another unit than microseconds.
        """
        gone = _untold(items)
        if gone.all():
            raise DataError(
                f"this table says nothing of any of the {len(gone):,} items, such as {items['item_id'][0].as_py()!r}: "
                "none of its ids is one of theirs, or it has no column beside them; send one with the ids of the model"
            )
        world, anew = World(items, None, None, vocabulary), type(self)(self.rules)
        for one, label, before in zip(self.rules, self.labels, self.held, strict=True):
            with _told_by(one, label):
                anew.held.append(one.newer(before, world))
        anew._derive()
        anew._consistent(items)
        self._say_lost(anew, gone)
        return anew

    def _say_lost(self, newer: Rules, gone: BoolVector) -> None:
        """Log how many of the items that a newer table lacks, (n_items,), rules knew anything of."""
        both = [(one.knows(a), one.knows(b)) for one, a, b in zip(self.rules, self.held, newer.held, strict=True)]
        lost = [before & ~now for before, now in both if before is not None and now is not None]
        n = int((gone & np.any(lost, axis=0)).sum()) if lost else 0
        if n:
            logger.log(
                logging.WARNING if n > FEW * len(gone) else logging.INFO,
                "%d of %d items are not in this table: nothing is known of them now, and what becomes of them is "
                "`unknown` of each rule; merge a table of what changed with the whole one, and send that",
                *(n, len(gone)),
            )

    def _derive(self) -> None:
        both = list(zip(self.rules, self.labels, self.held, strict=True))
        caps = [Cap(label, held["of"], one.most) for one, label, held in both if isinstance(one, Capped)]
        pins = [Pin(int(held["item"][0]), one.place) for one, _, held in both if isinstance(one, Pinned)]
        self.limits = Limits(tuple(caps), tuple(pins))

    def _consistent(self, table: pa.Table) -> None:
        """Refuse rules that contradict each other whatever is asked."""
        ids, free = table["item_id"], np.ones(table.num_rows, bool)
        taken = []
        for one, label, held in zip(self.rules, self.labels, self.held, strict=True):
            if one.fixed:
                lets = one.lets(held, None)[0]
                taken.append(f"{label} takes {int((free & ~lets).sum()):,}")
                free &= lets
                for pin in self.limits.pins:
                    if not lets[pin.item]:
                        raise ConfigError(f"{ids[pin.item].as_py()!r} is pinned, but {label} takes it away; drop one")
        if taken and not free.any():
            raise ConfigError(f"rules leave none of {len(free):,} items: {', '.join(taken)}; loosen one of them")
        for cap in self.limits.caps:
            most = int(cap.values[[pin.item for pin in self.limits.pins]].sum(0).max()) if self.limits.pins else 0
            if most > cap.most:
                raise ConfigError(f"{most} pinned items share a value, but {cap.label}; loosen the cap, or drop a pin")

    # ------------------------------------------------------------------ answering

    def _filters(self, queries: Queries, past: bool = False) -> Iterator[tuple[str, AnyArray]]:
        """The label of each filter and what it lets through, (n_queries, n_items) or (1, n_items)."""
        for one, label, held in zip(self.rules, self.labels, self.held, strict=True):
            if one.filters and not (past and one.of_today):
                yield label, one.lets(held, queries)

    def lets(self, queries: Queries, n_items: int, past: bool = False) -> AnyArray:
        """(n_queries, n_items) bool: what filters let through.

        Args:
            queries: what is asked.
            n_items: the size of the catalogue.
            past: whether moments are past ones, of which rules that read a state of today, as `stock` does, are silent.
        """
        found = np.ones((len(queries), n_items), bool)
        for _, part in self._filters(queries, past):
            found &= part
        return found

    def removed(self, queries: Queries, n_items: int) -> dict[str, AnyArray]:
        """(n_queries,) each: how many items each filter takes away that those before it had left, by its label."""
        found, left = {}, np.ones((len(queries), n_items), bool)
        for label, part in self._filters(queries):
            before = left.sum(1)
            left &= part
            found[label] = before - left.sum(1)
        return found

    def against(self, queries: Queries, item: int) -> dict[str, BoolVector]:
        """(n_queries,) each: for which queries a filter takes this item away, by its label."""
        return {label: np.broadcast_to(~part[:, item], len(queries)) for label, part in self._filters(queries)}

    # ------------------------------------------------------------------ saved form

    def report(self, block: Queries, free: AnyArray) -> None:
        """Log where they leave nothing, and where they take away what is pinned.

        Args:
            block: what is asked.
            free: (n_queries, n_items) what they leave.
        """
        none: BoolVector = ~np.asarray(free.any(1))
        if none.any():
            counts = self.removed(block.take(none), free.shape[1])
            said = ", ".join(f"{label} takes {n.mean():,.0f}" for label, n in counts.items() if n.any())
            logger.warning("rules leave nothing for %d of %d queries: in the mean %s", none.sum(), len(none), said)
        for pin in self.limits.pins:
            gone: BoolVector = ~free[:, pin.item]
            if gone.any():
                by = {label: int(n.sum()) for label, n in self.against(block, pin.item).items() if n.any()}
                said = ", ".join(f"{label} ({n})" for label, n in by.items())
                name = block.items.decode([pin.item])[0]
                logger.warning("%r is pinned, but not for %d of %d queries: %s", name, gone.sum(), len(gone), said)

    def save(self, folder: Path) -> None:
        """Write what was read to a new folder; the rules themselves are settings."""
        folder.mkdir()
        arrays, texts = flatten(
            {f"{name}_{at}": one for at, held in enumerate(self.held) for name, one in held.items()}
        )
        save_arrays(folder / "arrays.safetensors", arrays)
        (folder / "texts.json").write_text(to_json(texts), encoding="utf-8")

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        found = unflatten(load_arrays(folder / "arrays.safetensors"), read_json(folder / "texts.json"))
        self.held = [{} for _ in self.rules]
        for key, value in found.items():
            name, _, at = key.rpartition("_")
            if not at.isdigit() or int(at) >= len(self.held):
                raise DataError(f"{folder} is damaged: it holds {key!r}; save the model anew")
            self.held[int(at)][name] = value
        for one, held in zip(self.rules, self.held, strict=True):
            if set(held) != set(one.holds):
                raise DataError(f"{folder} is damaged: {one.label} holds {', '.join(held) or 'nothing'}; save it anew")
        self._derive()
        return self


def _named(labels: list[str]) -> list[str]:
    """With a number where one comes twice."""
    nth = [labels[: at + 1].count(label) for at, label in enumerate(labels)]
    return [one if labels.count(one) == 1 else f"{one} ({n})" for one, n in zip(labels, nth, strict=True)]


@contextmanager
def _told_by(rule: Rule, label: str) -> Iterator[None]:
    """Say in errors which rule they are of."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(f"{label}: {str(error).removeprefix(f'{rule.label}: ')}") from None


def _untold(items: pa.Table) -> BoolVector:
    """(n_items,) of which a table says nothing beside their ids."""
    found = np.ones(items.num_rows, bool)
    for name in items.column_names:
        if name != "item_id":
            found &= np.asarray(pc.is_null(items[name]))
    return found
