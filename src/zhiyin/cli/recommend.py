"""`zhiyin recommend`: a list for a known user or for a history typed at the prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt
from zhiyin.errors import shortened

LONGEST = 60
"""Letters of an id or a title that a table shows; of a longer one the middle is left out."""

LATE = 30
"""So many days after the last event that a pipeline has learnt from, what it counts of late is next to nothing."""

HEADER = ("#", "item", "score", "source", "because", "notes")

if TYPE_CHECKING:
    from zhiyin.arrays import AnyArray
    from zhiyin.data.dataset import Dataset
    from zhiyin.data.queries import Queries, Query
    from zhiyin.data.recommendations import Recommendations
    from zhiyin.models.base import Recommender
    from zhiyin.ranking.rules import Rules


def recommend(
    model: Annotated[Path, typer.Option("--model", help="A saved model.")],
    user: Annotated[list[str] | None, typer.Option("--user", help="A user's id; needs --data. Repeatable.")] = None,
    history: Annotated[
        str | None,
        typer.Option("--history", help="Item ids, oldest first, as one CSV line: 'item,\"an id, with comma\"'."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="What is asked for, in plain words; alone, or beside a user or a history."),
    ] = None,
    text_weight: Annotated[
        float, typer.Option("--text-weight", min=0, help="How much the words weigh beside the history.")
    ] = 1.0,
    data: Annotated[str | None, typer.Option("--data", help="Where the users' histories are (and the titles).")] = None,
    items: Annotated[
        str | None, typer.Option("--items", help="New items that may be listed too: a file, as for `zhiyin prepare`.")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(
            "--now",
            help="The moment of asking, ISO 8601 (UTC unless it says otherwise) or Unix seconds. By default: for "
            "--user just after the last event of the data; else the present, if the model has the rule `available`.",
        ),
    ] = None,
    k: opt.K = 10,
    reasons: Annotated[int, typer.Option("--reasons", min=0, help="Reasons for each item, at most.")] = 2,
    allow: Annotated[str | None, typer.Option("--allow", help="Item ids that alone may appear, as a CSV line.")] = None,
    exclude: Annotated[
        str | None, typer.Option("--exclude", help="Item ids that must not appear, as a CSV line.")
    ] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Items of the history may be listed.")] = False,
    json: opt.Json = False,
) -> None:
    """Recommend for users of a data set (--user), for a bare history (--history), for plain words (--text)."""
    from zhiyin.cli._terminal import say_json
    from zhiyin.data.tables import Catalogue
    from zhiyin.models.base import load

    run = opt.make_run(0, None)
    recommender = load(model)
    dataset = opt.open_data(data, run) if data else None
    names = titles(dataset, recommender)
    if items is not None:
        new = Catalogue.read(items).to_arrow()
        recommender = recommender.with_items(new, run)
        if "title" in new.column_names:
            named = zip(new.column("item_id").to_pylist(), new.column("title").to_pylist(), strict=True)
            names = {one: title for one, title in named if title} | names
    moment = _moment(now) if now is not None else _present(recommender, bool(user))
    asked = recommender.encode(_worded(_queries(user, history, text, dataset, moment), text, text_weight))
    allowed = None if allow is None else _some_ids(allow, "--allow")
    excluded = () if exclude is None else _some_ids(exclude, "--exclude")
    found = recommender.recommend(
        asked, k, exclude_seen=not include_seen, allow=allowed, exclude=excluded, reasons=reasons, run=run
    )
    if json:
        say_json({"recommendations": found.to_dicts()})
    else:
        show(found, names, k, _limits(recommender, asked, found, not include_seen, allowed, excluded))
    _doubts(recommender, dataset, None if history is None else _ids(history), text)
    _late(recommender, moment)


def _doubts(model: Recommender, dataset: Dataset | None, history: list[str] | None, text: str | None) -> None:
    """Note what makes a list worth little: ids of other data, a history or words of which the model knows nothing."""
    from zhiyin.cli._terminal import note

    if text is not None and not model.hears(text):
        note(f"note: {shortened(text)!r} says nothing to the model and changes nothing; use words that its items use")
    known, fitted_on = model.items, model.trained_on.get("data")
    if known is None:
        return
    if dataset is not None and fitted_on and dataset.name != fitted_on and dataset.items != known:
        other = f"the model was fitted on {fitted_on!r}, the data are {dataset.name!r}"
        note(f"note: {other}; their ids must mean the same")
    numbers = known.encode(history or [])
    if history and not model._knows(numbers[numbers >= 0]).any():
        some = ", ".join(shortened(one) for one in known.decode(range(min(3, len(known)))))
        note(f"note: the model knows no item of this history and answers as it would a stranger; its ids: {some}, ...")


def _late(model: Recommender, moment: int | None) -> None:
    """Note that a pipeline is asked long after all that it has learnt from."""
    from datetime import timedelta

    from zhiyin.cli._terminal import note
    from zhiyin.data.histories import NO_TIME
    from zhiyin.data.moments import EPOCH

    until = getattr(model, "until", None)
    if moment is None or until is None or until[0] == NO_TIME:
        return
    days = (moment - int(until[0])) // (24 * 60 * 60 * 1_000_000)
    if days > LATE:
        last = (EPOCH + timedelta(microseconds=int(until[0]))).date() + timedelta(days=1)
        note(
            f"note: the model is asked {days:,} days after the last event that it learnt from: what it counts of late "
            f"is nothing; fit it anew, or ask as of then: --now {last}"
        )


def _present(model: Recommender, of_users: bool) -> int | None:
    """The present, if a rule looks at the moment; else None. Users of a data set are asked as of its end."""
    from datetime import UTC, datetime

    from zhiyin.data.moments import microseconds

    rules = _rules_of(model)
    looks = rules is not None and any(getattr(one, "rule", None) == "available" for one in rules.rules)
    return microseconds(datetime.now(UTC)) if looks and not of_users else None


def _rules_of(model: Recommender) -> Rules | None:
    """The rules of a pipeline; None of a model that has none."""
    found = getattr(model, "rules", None)
    if found is None:
        return None
    from zhiyin.ranking.rules import Rules

    return found if isinstance(found, Rules) and found else None


def _moment(text: str) -> int:
    """Microseconds since 1970, of a text in ISO 8601 or of Unix seconds."""
    from datetime import datetime

    from zhiyin.data.moments import microseconds
    from zhiyin.errors import ConfigError

    plain = text.strip()
    try:
        if re.fullmatch(r"\d{9,11}(\.\d+)?", plain):  # of 1973 and later; fewer digits are a date
            return round(float(plain) * 1_000_000)
        return microseconds(datetime.fromisoformat("" if re.match(r"\d{9}", plain) else plain))
    except ValueError:
        raise ConfigError(
            f"--now came as {text!r}; expected is a moment such as 2024-06-01, 2024-06-01T08:30:00Z or 1717230600 "
            "(seconds since 1970)"
        ) from None


def _queries(
    users: list[str] | None, history: str | None, text: str | None, dataset: Dataset | None, moment: int | None
) -> Queries | list[Query]:
    import numpy as np

    from zhiyin.data.queries import Query
    from zhiyin.errors import ConfigError

    if not users and history is None and text is not None:
        return [Query.of([], now=moment)]
    if bool(users) == (history is not None):
        raise ConfigError(
            "say for whom: either --user ID (with --data), or --history 'item,item'; or what for: --text 'plain words'"
        )
    if history is not None:
        return [Query.of(_ids(history), now=moment)]
    if dataset is None:
        raise ConfigError("--user needs --data: a model keeps no users, their histories are in the data")
    numbers = np.array([dataset.users.number(one, "user") for one in users or ()])
    return dataset.queries(numbers, None if moment is None else np.full(len(numbers), moment, np.int64))


def _worded(queries: Queries | list[Query], text: str | None, weight: float) -> Queries | list[Query]:
    """The queries, each of which asks for something in words too."""
    from dataclasses import replace

    import numpy as np

    from zhiyin.errors import ConfigError

    if text is None:
        return queries
    if not text.strip():
        raise ConfigError("--text came empty; say what is asked for, or leave it out")
    told = {"text": text, "text_weight": weight}
    if isinstance(queries, list):
        return [replace(one, context={**one.context, **told}) for one in queries]
    columns = {name: np.array([value] * len(queries), object) for name, value in told.items()}
    return replace(queries, context={**queries.context, **columns})


def _ids(line: str) -> list[str]:
    """The ids of one CSV line; an id with a comma, a quote or a line end stands in double quotes."""
    import csv
    import io

    from zhiyin.errors import ConfigError

    try:
        rows = list(csv.reader(io.StringIO(line, newline=""), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ConfigError(
            f'{line!r} is not a CSV line ({error}); an id with a comma or a quote is written "an id, with comma", '
            'a quote inside it ""'
        ) from None
    return [one.strip() for row in rows for one in row if one.strip()]


def _some_ids(line: str, option: str) -> list[str]:
    from zhiyin.errors import ConfigError

    if not (found := _ids(line)):
        raise ConfigError(f"{option} came empty; name at least one item, or leave it out")
    return found


def titles(dataset: Dataset | None, model: Recommender) -> dict[str, str]:
    """A name to show for each item id, where the data knows one."""
    if dataset is None:
        return {}
    return dict(zip(dataset.items.ids.to_pylist(), dataset.item_titles(), strict=True))


def show(found: Recommendations, names: dict[str, str], k: int, limits: Sequence[str] = ()) -> None:
    """Print each list with its reasons and notes, if there are any; of one shorter than `k`, why.

    Args:
        found: the lists.
        names: what to call items, by their ids.
        k: how long each was to be.
        limits: for each list, what keeps other items from it; by default its history does.
    """
    from zhiyin.cli._terminal import note, say

    for row, one in enumerate(found.to_dicts()):
        say(f"[bold]{_title(one)}[/]", wrap=False)
        _show_items(one["items"], names)
        if len(one["items"]) < k:
            why = limits[row] if limits else "the history"
            note(f"{len(one['items'])} of {k} items: no others are allowed{f' ({why})' if why else ''}")


def _show_items(items: Sequence[dict[str, Any]], names: dict[str, str]) -> None:
    """One list; its notes are below the table where they do not fit into it."""
    from zhiyin.cli._terminal import called, fits, plain, say, table

    rows = []
    for item in items:
        made = item["rank"], _name(item["item_id"], names), item["score"], called(item["source"])
        rows.append((*made, _why(item, names), item.get("notes", [])))

    def with_columns(most: int) -> Any:
        kept = [at for at in range(most) if at < 4 or any(row[at] for row in rows)]  # the first four always
        return table([HEADER[at] for at in kept], [[row[at] for at in kept] for row in rows])

    noted = any(row[-1] for row in rows)
    whole = with_columns(len(HEADER))
    inside = not noted or fits(whole)
    say(whole if inside else with_columns(len(HEADER) - 1))
    for row in [] if inside else rows:
        if row[-1]:
            say(plain(f"{row[0]:>4}  {'; '.join(row[-1])}"), wrap=False)


def _limits(
    model: Recommender,
    asked: Queries,
    found: Recommendations,
    exclude_seen: bool,
    allow: Sequence[str] | None,
    exclude: Sequence[str],
) -> list[str]:
    """For each list, what keeps other items from it: the rules that take some, caps, the history, options."""
    if (found.items >= 0).all():
        return [""] * len(found)
    rules, n = _rules_of(model), model.n_items
    said: list[list[str]] = [[] for _ in range(len(found))]
    if rules is not None:
        free = _free(model, rules, asked, exclude_seen, allow, exclude)
        taken, caps = rules.removed(asked, n), [cap.label for cap in rules.limits.caps]
        for row, part in enumerate(said):
            part += [f"{label} takes {gone[row]:,} of {n:,}" for label, gone in taken.items() if gone[row]]
            part += caps if free[row].sum() > (found.items[row] >= 0).sum() else []
    options = (["--allow"] if allow is not None else []) + (["--exclude"] if exclude else [])
    seen = asked.histories.lengths > 0 if exclude_seen else [False] * len(found)
    return [", ".join([*part, *["the history"] * bool(some), *options]) for part, some in zip(said, seen, strict=True)]


def _free(
    model: Recommender,
    rules: Rules,
    asked: Queries,
    exclude_seen: bool,
    allow: Sequence[str] | None,
    exclude: Sequence[str],
) -> AnyArray:
    """(n_queries, n_items) what may be listed, but for caps."""
    from zhiyin.ranking.lists import hide_seen
    from zhiyin.retrieval.exact import allowed_mask

    free = rules.lets(asked, model.n_items)
    if exclude_seen:
        hide_seen(free, asked)
    ids = model.vocabulary
    mask = allowed_mask(model.n_items, None if allow is None else ids.encode(allow), ids.encode(exclude))
    return free if mask is None else free & mask


def _title(one: dict[str, Any]) -> str:
    from zhiyin.cli._terminal import plain

    title = f"for {plain(shortened(one['user_id']))}" if "user_id" in one else "for this history"
    unknown = one.get("unknown_history_items", 0)
    if not unknown:
        return title
    return f"{title} ({unknown} {'item' if unknown == 1 else 'items'} of it unknown to the model)"


def _name(item: str, names: dict[str, str]) -> str:
    return shortened(names.get(item, item), LONGEST)


def _why(item: dict[str, Any], names: dict[str, str]) -> list[str]:
    """The reasons of an item, one a line."""
    found = []
    for reason in item.get("reasons", ()):
        name = _name(reason["item_id"], names) if "item_id" in reason else ""
        found.append(" ".join(part for part in (name, reason.get("text")) if part))
    return found
