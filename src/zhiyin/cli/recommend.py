"""`zhiyin recommend`: a list for a known user or for a history typed at the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhiyin.cli import _options as opt

if TYPE_CHECKING:
    from zhiyin.data.dataset import Dataset
    from zhiyin.data.histories import Queries, Query
    from zhiyin.data.recommendations import Recommendations
    from zhiyin.models.base import Recommender


def recommend(
    model: Annotated[Path, typer.Option("--model", help="A saved model.")],
    user: Annotated[list[str] | None, typer.Option("--user", help="A user's id; needs --data. Repeatable.")] = None,
    history: Annotated[
        str | None,
        typer.Option("--history", help="Item ids, oldest first, as one CSV line: 'item,\"an id, with comma\"'."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Where the users' histories are (and the titles).")] = None,
    k: opt.K = 10,
    reasons: Annotated[int, typer.Option("--reasons", min=0, help="Reasons for each item, at most.")] = 2,
    allow: Annotated[str | None, typer.Option("--allow", help="Item ids that alone may appear, as a CSV line.")] = None,
    exclude: Annotated[
        str | None, typer.Option("--exclude", help="Item ids that must not appear, as a CSV line.")
    ] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Items of the history may be listed.")] = False,
    json: opt.Json = False,
) -> None:
    """Recommend for users of a data set (--user) or for a bare history (--history)."""
    from zhiyin.cli._terminal import say_json
    from zhiyin.models.base import load

    run = opt.make_run(0, None)
    recommender = load(model)
    dataset = opt.open_data(data, run) if data else None
    found = recommender.recommend(
        _queries(user, history, dataset),
        k,
        exclude_seen=not include_seen,
        allow=_ids(allow) if allow else None,
        exclude=_ids(exclude) if exclude else (),
        reasons=reasons,
        run=run,
    )
    if json:
        say_json({"recommendations": found.to_dicts()})
    else:
        show(found, titles(dataset, recommender))


def _queries(users: list[str] | None, history: str | None, dataset: Dataset | None) -> Queries | list[Query]:
    import numpy as np

    from zhiyin.data.histories import Query
    from zhiyin.errors import ConfigError

    if bool(users) == (history is not None):
        raise ConfigError("say for whom: either --user ID (with --data), or --history 'item,item'")
    if history is not None:
        return [Query.of(_ids(history))]
    if dataset is None:
        raise ConfigError("--user needs --data: a model keeps no users, their histories are in the data")
    return dataset.queries(np.array([dataset.users.number(one, "user") for one in users or ()]))


def _ids(line: str) -> list[str]:
    """The ids of one CSV line; an id with a comma stands in double quotes."""
    import csv

    return [one.strip() for row in csv.reader([line], skipinitialspace=True) for one in row if one.strip()]


def titles(dataset: Dataset | None, model: Recommender) -> dict[str, str]:
    """A name to show for each item id, where the data knows one."""
    if dataset is None:
        return {}
    return dict(zip(dataset.items.ids.to_pylist(), dataset.item_titles(), strict=True))


def show(found: Recommendations, names: dict[str, str]) -> None:
    """Print each list with its reasons."""
    from zhiyin.cli._terminal import say, table

    for one in found.to_dicts():
        title = f"for {one['user_id']}" if "user_id" in one else "for this history"
        if one.get("unknown_history_items"):
            title += f" ({one['unknown_history_items']} of its items are unknown to the model)"
        lines = [
            (
                item["rank"],
                names.get(item["item_id"], item["item_id"]),
                item["score"],
                item["source"],
                _why(item, names),
            )
            for item in one["items"]
        ]
        say(table(["#", "item", "score", "source", "because"], _aligned(lines), title=title, numbers_from=9))


def _aligned(lines: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(f"{rank:>2}", item, score, source, why) for rank, item, score, source, why in lines]


def _why(item: dict[str, Any], names: dict[str, str]) -> str:
    parts = []
    for reason in item.get("reasons", ()):
        name = names.get(reason.get("item_id", ""), reason.get("item_id"))
        parts.append(" ".join(part for part in (name, reason.get("text")) if part))
    return "; ".join(parts)
