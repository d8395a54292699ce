"""The loss of a sequence model: what a batch of windows costs, by the settings of the model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from zhiyin.arrays import AnyArray, BoolVector, IntMatrix
from zhiyin.data.histories import Histories
from zhiyin.models._sequence_config import SequenceConfig

if TYPE_CHECKING:
    import torch

    from zhiyin.nn.batches import BatchMaker
    from zhiyin.nn.encoder import Encoder


Answer: TypeAlias = "Callable[[torch.Tensor, torch.Tensor, np.random.Generator], torch.Tensor]"
"""The loss of states (M, d) whose targets are items (M,)."""


def loss_of(
    net: Encoder,
    own: SequenceConfig,
    histories: Histories,
    maker: BatchMaker,
    wanted: BoolVector | None = None,
    told: IntMatrix | None = None,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    answer: Answer | None = None,
) -> Callable[..., tuple[torch.Tensor, int, int]]:
    """The loss of some windows, the number of their events and of the answers that it is the mean of.

    Args:
        net: what learns.
        own: `loss`, `negatives`, `n_negatives`, `corrected` and `calibration` decide.
        histories: to learn from.
        maker: of batches.
        wanted: (n_events,) which events may be asked for; None for all.
        told: (n_histories, n_columns) what is known of the user of each history, if anything is.
        precision: surrounds the work of the net.
        answer: what a state costs whose target is known; by default what `held_loss` says, of products with items.
    """
    from zhiyin.nn.distributed import world

    cost = answer or held_loss(net, own, times_asked(own, histories, maker, wanted, net.items.n_items))
    others = world(maker.device)

    def loss(windows: Any, generator: np.random.Generator) -> tuple[torch.Tensor, int, int]:
        batch = maker.training(histories, windows, others.own(generator), wanted, told)
        with precision():
            states = net(batch).float()
        target = batch.target
        assert target is not None
        if batch.places is not None:
            states = states.index_select(0, batch.places)
        return cost(states, target, generator), batch.n_events, len(target)

    return loss


def times_asked(
    own: SequenceConfig, histories: Histories, maker: BatchMaker, wanted: BoolVector | None, n_items: int
) -> AnyArray:
    """(n_items,) how often each item is met in training, or is an answer where negatives are those of a batch."""
    often = maker.answered(histories, wanted) if own.negatives == "in_batch" else wanted
    return np.bincount(histories.item, often, n_items)


def held_loss(net: Encoder, own: SequenceConfig, counts: AnyArray, met: BoolVector | None = None) -> Answer:
    """The loss of products of states with what the net holds them against.

    Args:
        net: what learns.
        own: as for `loss_of`.
        counts: (n_items,) see `times_asked`.
        met: (n_items,) the items that answers are held against, all targets among them; None for all.
    """
    import torch

    from zhiyin.nn.losses import Negatives, base_rate, gbce_beta, sampled_loss, softmax_loss
    from zhiyin.nn.negatives import NegativeSampler

    numbers = None if met is None or met.all() else torch.from_numpy(np.flatnonzero(met))
    n_items = net.items.n_items if numbers is None else len(numbers)
    name = own.loss_for(net.items.n_items)
    sampler = NegativeSampler(
        own.negatives, counts if numbers is None else counts[numbers.numpy()], own.n_negatives, own.corrected
    )
    beta = gbce_beta(sampler.n, n_items, own.calibration) if name == "gbce" else 1.0
    prior = base_rate(sampler.n, beta)
    kind: Literal["softmax", "bce"] = "softmax" if name == "sampled_softmax" else "bce"

    def loss(states: torch.Tensor, target: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
        chosen = None if numbers is None else numbers.to(target.device)
        place = target if chosen is None else torch.searchsorted(chosen, target)
        if name == "softmax":
            return softmax_loss(states, net.held_all() if chosen is None else net.held(chosen), place)
        drawn = sampler.draw(generator, place)
        items = drawn.items if chosen is None else chosen[drawn.items]
        return sampled_loss(
            states,
            net.held(target),
            net.held(items),
            target,
            Negatives(items, drawn.log_expected),
            kind=kind,
            beta=beta,
            prior=prior,
        )

    return loss
