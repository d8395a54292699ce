"""`zhiyin recommend`: a list for a known user or for a history typed at the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt
from zhiyin.errors import shortened

LONGEST = 60
"""Letters of an id or a title that a table shows; of a longer one the middle is left out."""

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.data.queries import Queries, Query
    from zhiyin.data.recommendations import Recommendations
    from zhiyin.models.base import Recommender


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
    found = recommender.recommend(
        _worded(_queries(user, history, text, dataset), text, text_weight),
        k,
        exclude_seen=not include_seen,
        allow=None if allow is None else _some_ids(allow, "--allow"),
        exclude=() if exclude is None else _some_ids(exclude, "--exclude"),
        reasons=reasons,
        run=run,
    )
    if json:
        say_json({"recommendations": found.to_dicts()})
    else:
        show(found, names, k)
    _doubts(recommender, dataset, None if history is None else _ids(history))


def _doubts(model: Recommender, dataset: Dataset | None, history: list[str] | None) -> None:
    """Note what makes a list worth little: ids of other data, or a history of which the model knows nothing."""
    from zhiyin.cli._terminal import note

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


def _queries(
    users: list[str] | None, history: str | None, text: str | None, dataset: Dataset | None
) -> Queries | list[Query]:
    import numpy as np

    from zhiyin.data.queries import Query
    from zhiyin.errors import ConfigError

    if not users and history is None and text is not None:
        return [Query.of([])]
    if bool(users) == (history is not None):
        raise ConfigError(
            "say for whom: either --user ID (with --data), or --history 'item,item'; or what for: --text 'plain words'"
        )
    if history is not None:
        return [Query.of(_ids(history))]
    if dataset is None:
        raise ConfigError("--user needs --data: a model keeps no users, their histories are in the data")
    return dataset.queries(np.array([dataset.users.number(one, "user") for one in users or ()]))


def _worded(queries: Queries | list[Query], text: str | None, weight: float) -> Queries | list[Query]:
    """The queries, each of which asks for something in words too."""
    from dataclasses import replace

    import numpy as np

    if text is None:
        return queries
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


def show(found: Recommendations, names: dict[str, str], k: int) -> None:
    """Print each list with its reasons, if there are any; of one shorter than `k`, why."""
    from zhiyin.cli._terminal import note, say, table

    header = ["#", "item", "score", "source", "because"]
    for one in found.to_dicts():
        lines = [
            (item["rank"], _name(item["item_id"], names), item["score"], item["source"], _why(item, names))
            for item in one["items"]
        ]
        shown = len(header) if any(line[-1] for line in lines) else len(header) - 1
        say(f"[bold]{_title(one)}[/]", wrap=False)
        say(table(header[:shown], [line[:shown] for line in lines]))
        if len(lines) < k:
            note(f"{len(lines)} of {k} items: no others are allowed (the history, --allow and --exclude leave none)")


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
