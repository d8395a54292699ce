"""How the sequence models learn: what they are told of items and users, the net, its loss, the vectors of items."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntMatrix, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.errors import DataError
from zhiyin.models._answers import answers, digest, longest_window, may_learn, uses
from zhiyin.models._catalogues import goes_on, take
from zhiyin.models._footprint import footprint
from zhiyin.models._losses import held_loss, loss_of, times_asked
from zhiyin.models._measuring import measure
from zhiyin.models._newcomers import lean, lenders_of
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.models._sides import ItemSides, UserSides
from zhiyin.models._tables import Known, begin, item_table_of, own_table, pieces
from zhiyin.models._texts import ItemTexts, shares
from zhiyin.models._torch import device_of, precision_of, torch_of, torch_threads
from zhiyin.models.base import VectorRecommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

if TYPE_CHECKING:
    import torch

    from zhiyin.nn.batches import BatchMaker
    from zhiyin.nn.encoder import Encoder
    from zhiyin.nn.items import ItemTable
    from zhiyin.nn.memory import Footprint
    from zhiyin.nn.reading import Reading
    from zhiyin.nn.training import Plan, Trained

logger = logging.getLogger(__name__)

STEPS = 16
"""An epoch of a small log has at least so many steps, as long as its batches are no smaller than `SMALLEST_BATCH`."""

SMALLEST_BATCH = 256
"""Events; a smaller `batch_size` is taken as it is."""


class SequenceLearner(VectorRecommender):
    """How a sequence model learns; a model writes `_net`."""

    config: SequenceConfig
    needs = "position"
    uses_validation = True
    threaded = False
    learns: ClassVar[tuple[str, ...]] = ("read", "edges", "known", "window", "uses")

    net: Encoder
    trained: Trained
    """How the last fit went."""
    read: list[str]
    """The features that the data have."""
    edges: FloatVector
    """Between the buckets of values."""
    known: BoolVector
    """(n_items,) the items of which training says anything."""
    uses: LongVector
    """(n_items,) the events that taught each item's own row."""
    window: AnyArray
    """(1,) so many events of a history are looked at: `max_length`, or fewer where training saw no place beyond."""
    item_sides: sparse.csr_array | None = None
    """(n_items, n_values) the features of items, if there are any; saved with the net."""
    item_columns: ItemSides | None = None
    """Their columns, if there are any."""
    users: UserSides | None = None
    """The features of users, if there are any."""
    texts: ItemTexts | None = None
    """Who reads the items, where what they say is told."""
    said: FloatMatrix | None = None
    """(n_items, s) what items say, where it is told; saved with the net."""
    _begun: SequenceLearner | None = None
    """Where learning goes on from, see `adapt`."""

    def _net(self, sizes: dict[str, int]) -> Encoder:
        """The net, with its first weights; `sizes` are those of the features."""
        raise NotImplementedError

    def _made(self, sizes: dict[str, int]) -> Encoder:
        net = self._net(sizes)
        net.temperature = self.config.temperature
        begin(net.items, self._told(), self.config)
        return net

    def _items(self) -> ItemTable:
        """The item table, for `_net`; its codes are learnt or read afterwards."""
        return item_table_of(self.config, self._told())

    def _told(self) -> Known:
        """What is known of items beside who used them."""
        share = None if self.said is None else shares(self.uses, self.config.gate)
        silent = None if self.item_columns is None else self.item_columns.silent
        return Known(self.n_items, self.item_sides, self.said, share, silent=silent)

    def _sizes(self, reading: Reading) -> dict[str, int]:
        """How many buckets each feature of an event, and each of its user, has."""
        return reading.sizes if self.users is None else {**reading.sizes, **self.users.sizes}

    def _footprint(self, histories: Histories) -> Footprint:
        """What the memory of training depends on."""
        return footprint(self, histories)

    def _fit(self, train: Dataset, validation: Cases | None, run: Run) -> None:
        torch_of(self.name)
        from zhiyin.nn.distributed import neighbours, world
        from zhiyin.nn.encoder import compiled
        from zhiyin.nn.memory import check_memory
        from zhiyin.nn.training import Training

        device, histories = device_of(run, self.name), train.histories
        reading = self._fit_reading(train)
        told = self._fit_sides(train, run)
        spoken = self._spoken(train, run)
        size = self._batch_events(histories)
        many = {"processes": world(device).size, "sharers": neighbours()}
        check_memory(self._footprint(histories), min(size, histories.n_events), device, self.name, **many)
        self._fit_net(train, self._sizes(reading), spoken, device, run)
        maker, wanted = self._maker(device), answers(histories, train.kinds, self.config, self.name)
        training = Training(
            self.net,
            lambda generator: maker.epoch(histories, size, generator, wanted),
            self._loss(histories, maker, wanted, told, precision_of(run, device, self.name)),
            None if validation is None else measure(self, validation, run),
            self._plan(),
            run,
            self.name,
            {
                "model": self.name,
                "settings": self.config.model_dump(mode="json"),
                "data": train.content_hash,
                "begun": None if self._begun is None else self._begun.trained_on["content_hash"],
                "validation": None if validation is None else digest(validation),
            },
            watch=run.watch,
            metric=f"NDCG@{min(10, self.n_items)}",
        )
        with torch_threads(run), compiled(self.net) if run.compile else nullcontext():
            self.trained = training.go()
        self._place_newcomers(run)

    def _fit_reading(self, train: Dataset) -> Reading:
        """Find how events are read, and say what of the settings the data have no use for.

        Raises:
            DataError: no history has two events.
        """
        from zhiyin.nn.reading import Reading

        histories = train.histories
        known = histories if train.clock == "time" else histories.without("time")
        reading = Reading.fit(self.config.features, self.config.max_length, known, len(train.kinds))
        if self._begun is not None:
            reading = goes_on(self._begun, reading, train)
        self.read, self.edges = list(reading.features), reading.edges
        self.window = np.array([longest_window(histories, self.config, self.read)])
        if not may_learn(histories).any():
            raise DataError(
                f"{self.name} cannot learn from {train.name!r}: no history has two events, one to foretell the other"
            )
        if "time" in self.config.model_dump().get("relations", ()) and train.clock != "time":
            logger.warning("%s: %r has no times, so relations in time are left out", self.name, train.name)
        for setting, why in self.config.idle(self.n_items).items():
            logger.warning("%s: %s has no effect, as %s", self.name, setting, why)
        return reading

    def _fit_net(
        self, train: Dataset, sizes: dict[str, int], spoken: FloatMatrix | None, device: torch.device, run: Run
    ) -> None:
        """Make the net with its first weights: drawn, or those of the model that goes on."""
        import torch

        from zhiyin.nn.items import ProductItems

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(run.generator(f"{self.name}: weights").integers(2**62)))
            self.net = self._made(sizes).to(device)
        if not self.config.tells_text:
            self.texts, self.said = None, None  # they have said all that they had to
        items = own_table(self.net.items)
        if self._begun is not None:
            take(self.net, self._begun.net)
        elif isinstance(items, ProductItems):
            items.codes.copy_(
                torch.from_numpy(pieces(train.histories, self.n_items, self.config, run, self.name, spoken))
            )

    def _fit_sides(self, train: Dataset, run: Run) -> IntMatrix | None:
        """Find what is told of items and users; that of the user of each history to learn from, if there is any."""
        own = self.config
        self.texts, self.said = None, None
        if self._begun is not None:
            self.texts, self.said = self._begun.texts, self._begun.said
        elif own.text != "none":
            self.texts, self.said = ItemTexts.fit(train, own.encoder, own.said_width, run)
        self.item_sides, self.item_columns = None, None
        self.uses = uses(train.histories, self.n_items)
        if self._begun is not None:
            self.uses = self.uses + self._begun.uses
        self.known = self.uses > 0
        if own.tells_sides:
            begun = None if self._begun is None else self._begun.item_columns
            columns = begun or ItemSides.fit(train.item_table, own.item_features, own.words)
            self.item_sides = columns.of(train.item_table)
            self.item_columns = columns.taught(self.known, self.item_sides)
            self.known = self.known | self.item_columns.know(self.item_sides)
        if self._begun is not None:
            self.known = self.known | self._begun.known
        if self.said is not None and own.tells_text:
            self.known = self.known | self.said.any(1)
        self.users = None
        if not own.user_features:
            return None
        self.users, every = UserSides.fit(train.user_table, own.user_features, may_learn(train.histories))
        return every

    def _loss(
        self,
        histories: Histories,
        maker: BatchMaker,
        wanted: BoolVector | None,
        told: IntMatrix | None,
        precision: Callable[[], AbstractContextManager[Any]],
    ) -> Callable[..., tuple[torch.Tensor, int, int]]:
        """What a batch of windows costs; the arguments are those of `loss_of`.

        An item that is known by what it says or has in common with others, and that nobody has used, is no wrong
        answer: it would be pushed away from everybody before anyone could have met it.
        """
        met = self.uses > 0
        if not (self.known & ~met).any():
            return loss_of(self.net, self.config, histories, maker, wanted, told, precision)
        answer = held_loss(self.net, self.config, times_asked(self.config, histories, maker, wanted, self.n_items), met)
        return loss_of(self.net, self.config, histories, maker, wanted, told, precision, answer)

    def _spoken(self, train: Dataset, run: Run) -> FloatMatrix | None:
        """(n_items, s) what items say, where they share pieces by it: then nobody needs to have used them."""
        if not (self.config.codes and self.config.codes_by == "text"):
            return None
        found = self.said
        if found is None:
            _, found = ItemTexts.fit(train, self.config.encoder, self.config.said_width, run)
        self.known = self.known | found.any(1)
        return found

    def _batch_events(self, histories: Histories) -> int:
        """The events in a batch: so many as are asked for, or fewer where an epoch would be a step or two."""
        return min(self.config.batch_size, max(SMALLEST_BATCH, histories.n_events // STEPS))

    def _maker(self, device: torch.device | None = None) -> BatchMaker:
        from zhiyin.nn.batches import BatchMaker
        from zhiyin.nn.reading import Reading

        own = self.config
        reading, window = Reading(tuple(self.read), own.max_length, len(self.kinds), self.edges), int(self.window[0])
        blind = own.blind if reading.tells else 0.0
        return BatchMaker(reading, window, blind=blind, device=device, users=self.users, strangers=own.blind)

    def _plan(self) -> Plan:
        from zhiyin.nn.training import Plan

        return Plan(**self.config.model_dump(include={one.name for one in fields(Plan)}))

    def _place_newcomers(self, run: Run) -> None:
        """Say where items stand that nobody has used, and take the vectors of all."""
        new, lenders = self.known & (self.uses == 0), lenders_of(self.uses, self.known)
        lean(self.net.items, new, lenders, self.config.neighbours, run)
        self._settle()

    def _settle(self) -> None:
        """Take the item vectors from the net; NaN for those of which nothing is known."""
        import torch

        self.net.eval()
        with torch.no_grad():
            vectors = self.net.held_all()
            if not self.known.all():
                own = {one.data_ptr() for one in self.net.parameters()}
                vectors = vectors.clone() if vectors.data_ptr() in own else vectors
                vectors[torch.from_numpy(~self.known).to(vectors.device)] = torch.nan
            self.item_vectors = vectors.cpu().numpy()
