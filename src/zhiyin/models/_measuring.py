"""How a sequence model is measured while it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from zhiyin.errors import DataError
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

if TYPE_CHECKING:
    from zhiyin.models._learning import SequenceLearner


def measure(model: SequenceLearner, validation: Cases, run: Run) -> Callable[[], float]:
    """NDCG@10 on the validation cases, by the code that evaluation uses, of lists that are not filled up.

    What popularity adds to short ones is the same in each epoch; a net that says nothing would look good by it.
    """
    from zhiyin.metrics import NDCG
    from zhiyin.metrics.base import Lists, World

    cases, most = asked_for(model, validation), model.config.measured_cases
    if len(cases) > most:
        cases = cases.take(np.sort(run.generator("measured cases").permutation(len(cases))[:most]))
    k = min(10, model.n_items)
    metric, world = NDCG(k=k), World(model.n_items, model.popularity)

    def measured() -> float:
        model._place_newcomers(run)
        exclude_seen = model.config.repeats != "predict"
        found = model.recommend(cases.queries, k, exclude_seen=exclude_seen, fill=False, run=run)
        return float(metric.overall(Lists(found.items, cases.targets, cases.queries.histories, world)))

    return measured


def asked_for(model: SequenceLearner, validation: Cases) -> Cases:
    """The cases that ask for what is learnt: with `target_kind`, those with a target of that kind."""
    kind, wanted = validation.targets.kind, model.config.target_kind
    if wanted is None or kind is None:
        return validation
    targets = validation.targets.keep(np.equal(kind, model.kinds.index(wanted)))
    if not targets.n_events:
        raise DataError(
            f"no validation case of {model.name} has a target of the kind {wanted!r}, so nothing says when to stop; "
            "fit without a validation part, or split otherwise"
        )
    return Cases(validation.queries, targets).take(targets.lengths > 0)
