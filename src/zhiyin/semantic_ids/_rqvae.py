"""How the nets and centres of `residual_vq` are learnt, with torch; what is learnt leaves as numpy arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zhiyin._torch import torch_threads
from zhiyin.arrays import AnyArray, FloatMatrix, FloatVector
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run, Silent
from zhiyin.semantic_ids._kmeans import Clusters, KMeansConfig, kmeans, nearest, revived

if TYPE_CHECKING:
    from zhiyin.semantic_ids.residual_vq import ResidualVQConfig


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """What is learnt."""

    layers: list[Tensor]
    """(inputs + 1, outputs) each; the first half squeezes."""
    centres: Tensor
    """(levels, n_codes, embedding_size)."""

    @property
    def parameters(self) -> list[Tensor]:
        return [*self.layers, self.centres]

    def squeezed(self, vectors: Tensor) -> Tensor:
        """(n, embedding_size)."""
        return _passed(vectors, self.layers[: len(self.layers) // 2])

    def brought_back(self, squeezed: Tensor) -> Tensor:
        """(n, d)."""
        return _passed(squeezed, self.layers[len(self.layers) // 2 :])


def train(
    vectors: FloatMatrix, config: ResidualVQConfig, shapes: list[tuple[int, int]], run: Run, name: str
) -> tuple[AnyArray, FloatVector]:
    """The centres (levels, n_codes, embedding_size) and the weights of all layers as one row.

    Raises:
        ConfigError: the device of the run is not there.
        DataError: the weights grew without bounds.
    """
    drawn = run.generator(f"{name}: weights and batches")
    with torch_threads(run.threads):
        told, net = _begun(vectors, config, shapes, drawn, run, name)
        optimizer = torch.optim.Adam(net.parameters, lr=config.learning_rate)
        epochs = config.warmup + config.epochs
        for epoch in run.progress.track(range(epochs), epochs, f"{name}: epochs"):
            if epoch == config.warmup:
                _place_centres(net, told, config, drawn, run)
            _rate(optimizer, config.learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2)
            _epoch(net, told, optimizer, config, drawn, coded=epoch >= config.warmup)
            if epoch >= config.warmup:
                _revive(net, told)
    weights = np.concatenate([_numpy(layer).ravel() for layer in net.layers])
    if not np.isfinite(weights).all():
        raise DataError(f"{name}: the weights grew without bounds; set learning_rate below {config.learning_rate:g}")
    return _numpy(net.centres), weights


def _begun(
    vectors: FloatMatrix,
    config: ResidualVQConfig,
    shapes: list[tuple[int, int]],
    drawn: np.random.Generator,
    run: Run,
    name: str,
) -> tuple[Tensor, Net]:
    """The vectors on the device of the run, and a net of random weights (He et al., ICCV 2015)."""
    layers = []
    for inputs, outputs in shapes:
        layer = drawn.normal(0, math.sqrt(2 / (inputs - 1)), (inputs, outputs)).astype(np.float32)
        layer[-1] = 0
        layers.append(layer)
    centres = np.zeros((config.levels, config.n_codes, config.embedding_size), np.float32)
    try:
        device = torch.device(run.device or "cpu")
        told = torch.from_numpy(vectors).to(device)
        return told, Net([_learnable(layer, device) for layer in layers], _learnable(centres, device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"{name}: the device {run.device!r} is not there: {str(error).splitlines()[0]}") from None


def _learnable(values: AnyArray, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device).requires_grad_()


def _epoch(
    net: Net,
    told: Tensor,
    optimizer: torch.optim.Optimizer,
    config: ResidualVQConfig,
    drawn: np.random.Generator,
    coded: bool,
) -> None:
    """See all vectors once, in batches drawn at random."""
    order = torch.from_numpy(drawn.permutation(len(told))).to(told.device)
    for start in range(0, len(told), config.batch_size):
        vectors = told[order[start : start + config.batch_size]]
        squeezed = net.squeezed(vectors)
        if coded:
            coarse, apart = _coded(net, squeezed, config.commitment)
            loss = _distance(net.brought_back(coarse), vectors) + apart
        else:
            loss = _distance(net.brought_back(squeezed), vectors)
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        optimizer.step()


def _coded(net: Net, squeezed: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
    """(n, embedding_size) the sums of centres, through which gradients pass as if they were not there; their loss."""
    rest, apart = squeezed, squeezed.new_zeros(())
    for centres in net.centres:
        with torch.no_grad():
            codes = torch.cdist(rest, centres).argmin(1)
        piece = centres[codes]
        apart = apart + _distance(piece, rest.detach()) + commitment * _distance(rest, piece.detach())
        rest = rest - piece.detach()
    return squeezed - rest.detach(), apart


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """The mean squared distance of rows."""
    return (one - other).square().sum(1).mean()


@torch.no_grad()
def _place_centres(net: Net, told: Tensor, config: ResidualVQConfig, drawn: np.random.Generator, run: Run) -> None:
    """Begin with the centres of k-means, level by level."""
    settings = KMeansConfig(n_codes=config.n_codes, most_vectors=config.most_vectors, rounds=10)
    rest = _numpy(net.squeezed(told))
    for centres in net.centres:
        clusters = kmeans(rest, settings, drawn, replace(run, progress=Silent()))
        rest = rest - clusters.centres[nearest(rest, clusters)[0]]
        centres.copy_(torch.from_numpy(clusters.centres))


@torch.no_grad()
def _revive(net: Net, told: Tensor) -> None:
    """Move centres that nothing is nearest to where vectors are served worst."""
    rest = _numpy(net.squeezed(told))
    none = np.zeros(net.centres.shape[1], np.float32)
    for centres in net.centres:
        found = _numpy(centres)
        codes, distances = nearest(rest, Clusters(found, none))
        dead = np.bincount(codes, minlength=len(found)) == 0
        if dead.any():
            found = revived(found, dead, rest, distances)
            centres.copy_(torch.from_numpy(found))
            codes, _ = nearest(rest, Clusters(found, none))
        rest = rest - found[codes]


def _passed(vectors: Tensor, layers: list[Tensor]) -> Tensor:
    found = vectors
    for place, layer in enumerate(layers):
        found = torch.addmm(layer[-1], found.relu() if place else found, layer[:-1])
    return found


def _rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _numpy(values: Tensor) -> AnyArray:
    found: AnyArray = values.detach().cpu().numpy()
    return found
