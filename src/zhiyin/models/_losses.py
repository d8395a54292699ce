"""The loss of a sequence model: what a batch of windows costs, by the settings of the model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zhiyin.arrays import BoolVector, IntMatrix
from zhiyin.data.histories import Histories
from zhiyin.models._sequence_config import SequenceConfig

if TYPE_CHECKING:
    import torch

    from zhiyin.nn.batches import BatchMaker
    from zhiyin.nn.encoder import Encoder


def loss_of(
    net: Encoder,
    own: SequenceConfig,
    histories: Histories,
    maker: BatchMaker,
    wanted: BoolVector | None = None,
    told: IntMatrix | None = None,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
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
    """
    from zhiyin.nn.distributed import world
    from zhiyin.nn.losses import base_rate, gbce_beta, sampled_loss, softmax_loss
    from zhiyin.nn.negatives import NegativeSampler

    n_items = net.items.n_items
    name = own.loss_for(n_items)
    often = maker.answered(histories, wanted) if own.negatives == "in_batch" else wanted
    counts = np.bincount(histories.item, often, n_items)
    sampler = NegativeSampler(own.negatives, counts, own.n_negatives, own.corrected)
    beta = gbce_beta(sampler.n, n_items, own.calibration) if name == "gbce" else 1.0
    prior = base_rate(sampler.n, beta)
    kind: Literal["softmax", "bce"] = "softmax" if name == "sampled_softmax" else "bce"
    others = world(maker.device)

    def loss(windows: Any, generator: np.random.Generator) -> tuple[torch.Tensor, int, int]:
        batch = maker.training(histories, windows, others.own(generator), wanted, told)
        with precision():
            states = net(batch).float()
        target = batch.target
        assert target is not None
        if batch.places is not None:
            states = states.index_select(0, batch.places)
        if name == "softmax":
            return softmax_loss(states, net.held_all(), target), batch.n_events, len(target)
        drawn = sampler.draw(generator, target)
        found = sampled_loss(
            states, net.held(target), net.held(drawn.items), target, drawn, kind=kind, beta=beta, prior=prior
        )
        return found, batch.n_events, len(target)

    return loss
