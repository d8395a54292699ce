"""What the sequence models share: settings, training on windows of histories, encoding of queries, the saved form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
import pyarrow as pa
from scipy import sparse
from scipy.special import logsumexp

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector, LongVector
from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries, Query
from zhiyin.data.recommendations import Reason
from zhiyin.errors import ConfigError, DataError, shortened
from zhiyin.models._answers import answers, digest, longest_window, may_learn, uses
from zhiyin.models._catalogues import extended, goes_on, replaced, take
from zhiyin.models._footprint import footprint
from zhiyin.models._losses import held_loss, loss_of, times_asked
from zhiyin.models._measuring import measure
from zhiyin.models._newcomers import Lenders
from zhiyin.models._sequence_config import SequenceConfig
from zhiyin.models._sides import ItemSides, UserSides, saved_item_sides
from zhiyin.models._tables import Known, begin, item_table_of, own_table, pieces, text_table
from zhiyin.models._texts import ItemTexts, saved_texts, shares
from zhiyin.models._torch import device_of, precision_of, torch_of, torch_threads
from zhiyin.models._wishes import TEXT, mixed, text_vectors, wished
from zhiyin.models.base import Asked, VectorRecommender
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

if TYPE_CHECKING:
    import torch

    from zhiyin.models._live import LiveHistory
    from zhiyin.nn.batches import BatchMaker
    from zhiyin.nn.encoder import Encoder
    from zhiyin.nn.items import ItemTable
    from zhiyin.nn.memory import Footprint
    from zhiyin.nn.reading import Reading
    from zhiyin.nn.training import Plan, Trained

T = TypeVar("T")

logger = logging.getLogger(__name__)

QUERY_EVENTS = 16_384
"""So many events of queries are encoded at a time."""

STEPS = 16
"""An epoch of a small log has at least so many steps, as long as its batches are no smaller than `SMALLEST_BATCH`."""

SMALLEST_BATCH = 256
"""Events; a smaller `batch_size` is taken as it is."""

WEIGHTS, TRAINED = "weights.safetensors", "training.json"


class SequenceRecommender(VectorRecommender):
    """Score by the product of the last state of a history and the vector of an item; a model writes `_net`."""

    config: SequenceConfig
    needs = "position"
    uses_validation = True
    threaded = False
    learns: ClassVar[tuple[str, ...]] = ("read", "edges", "known", "window", "uses")
    no_graph: ClassVar[str] = ""
    """Why an ONNX graph cannot hold what the model does; empty where one can."""

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
    _begun: SequenceRecommender | None = None
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

    def live(self, query: Query | None = None) -> LiveHistory:
        """A history that grows while it is asked, each new event at the cost of one event.

        Raises:
            ConfigError: what the model knows of a history cannot be extended by an event.
            DataError: the query is none that was made by `Query.of`, or its times fall.
            NotFittedError: before `fit`.
        """
        from zhiyin.models._live import LiveHistory

        self.vocabulary  # noqa: B018 - there is one once it is fitted
        if query is not None and not isinstance(query, Query):
            raise DataError(
                f"a live history begins with one zhiyin.Query, not with {type(query).__name__}; give "
                "Query.of(item ids, times, ...)"
            )
        if why := self._no_live():
            raise ConfigError(f"{self.name} {why}; ask recommend() anew, or use a causal one, such as zhiyin or sasrec")
        return LiveHistory(self, query or Query.of([]))

    def _no_live(self) -> str:
        """Why there are no live histories; empty where there are."""
        return ""

    # ------------------------------------------------------------------ other items, other words

    @property
    def reads_text(self) -> bool:
        """Whether a query may say in words what is asked for, as `context={"text": ...}`."""
        return self.speaks or TEXT in self.config.user_features

    @property
    def speaks(self) -> bool:
        """Whether words have vectors in the space of items."""
        return self.texts is not None or bool(self.config.words)

    @property
    def places_by_sides(self) -> bool:
        """Whether words or features of a new item say where it stands; pieces of codes are chosen by use or text."""
        return self.item_columns is not None and not self.config.codes

    def with_items(self, items: pa.Table | Dataset, run: Run | None = None) -> Self:
        """The model with new items in its catalogue, each known by what is told of it; nothing is learnt anew.

        Items that are there already stay as they are. The model itself is not changed.

        Args:
            items: with the columns of the items that it learnt from.
            run: of the encoder.

        Raises:
            ConfigError: the model is told nothing of items but their use.
            DataError: no items came, or two have one id.
        """
        return extended(self, items, run or Run())

    def with_catalogue(self, items: pa.Table | Dataset, run: Run | None = None) -> Self:
        """The model over these items alone, in their order: known ids keep what is theirs, others are what is told.

        So a model answers for another set than it learnt from (zero-shot). What it tells of events beside their items
        (values, kinds, ...) must mean the same there. Arguments and errors are those of `with_items`.
        """
        return replaced(self, items, run or Run())

    def _renumbered(self, place: IntVector) -> None:
        """Take up other items in what is kept of each, once `said` and `known` are theirs.

        Args:
            place: (n_items,) the number that each had so far; -1 for a new one.
        """

    def adapt(self, train: Dataset, validation: Cases | None = None, run: Run | None = None, **settings: Any) -> Self:
        """A model that goes on learning from here with other events: new ones, or a few of another set (few-shot).

        Args:
            train: whose items become the catalogue.
            validation: as for `fit`.
            run: as for `fit`.
            settings: that are to differ, such as `epochs` and `learning_rate`.

        Raises:
            ConfigError: the model is told nothing of items but their use, or settings change what it is.
            DataError: the data lack what the model is told of events.
        """
        found = type(self)(**{**self.config.model_dump(), **settings})
        for name in ("item_features", "words"):
            if getattr(found.config, name) != getattr(self.config, name):
                raise ConfigError(
                    f"a model goes on with settings that leave its net as it is; {name} = "
                    f"{', '.join(getattr(found.config, name)) or 'none'} is not the same"
                )
        found._begun = self.with_catalogue(train, run)
        try:
            return found.fit(train, validation, run)
        finally:
            del found._begun

    def behaviour_vectors(self, queries: Asked, run: Run | None = None) -> FloatMatrix:
        """(n_queries, d) the states of histories, in the space of `item_vectors`; NaN for an empty one."""
        batch = self.encode(queries)
        parts = self._in_blocks(
            lambda start, stop: self._encode(batch.slice(start, stop)), len(batch), run or Run(), "encode"
        )
        return np.concatenate(parts) if parts else np.zeros((0, self.config.embedding_size), np.float32)

    def text_vectors(self, texts: Sequence[str], run: Run | None = None) -> FloatMatrix:
        """(n, d) the vectors of items that would say these texts; NaN for one that says nothing.

        Raises:
            ConfigError: the model is not told what items say, or they do not say it in words.
        """
        return text_vectors(self, texts, run or Run())

    def _unused(self, said: torch.Tensor) -> torch.Tensor:
        """(n, d) the vectors of items that say this (n, s) and that nobody has used."""
        return text_table(self.net.items).unused(said)

    # ------------------------------------------------------------------ learning

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
            self.texts, self.said = ItemTexts.fit(train, own.encoder, own.text_size, run)
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
            _, found = ItemTexts.fit(train, self.config.encoder, self.config.text_size, run)
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
        new = np.flatnonzero(self.known & (self.uses == 0)).astype(np.int32)
        if len(new):
            self._lenders().lean(self.net.items, new, self.config.neighbours, run)
        self._settle()

    def _lenders(self) -> Lenders:
        """The items on which others may lean."""
        return Lenders.of(self.net.items, self.uses, self.known)

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

    # ------------------------------------------------------------------ answering

    def _in_blocks(
        self, task: Callable[[int, int], T], n: int, run: Run, doing: str, row_bytes: int | None = None
    ) -> list[T]:
        if run.device is not None:
            self.net.to(device_of(run, self.name))
        with torch_threads(run):
            return super()._in_blocks(task, n, run, doing, row_bytes)

    def _encode(self, queries: Queries) -> FloatMatrix:
        """(n_queries, d); NaN for a query without a history, about which the model has nothing to say."""
        import torch

        from zhiyin.nn.batches import blocks

        queries = self._met(queries)
        weight = next(self.net.parameters())
        maker = self._maker(weight.device)
        states = np.full((len(queries), self.config.embedding_size), np.nan, np.float32)
        told = np.flatnonzero(queries.histories.lengths)
        events = np.minimum(queries.histories.lengths[told], self.window[0])
        with torch.inference_mode():
            for start, stop in blocks(events, QUERY_EVENTS):
                rows = told[start:stop]
                batch = maker.queries(queries.take(rows))
                states[rows[batch.order]] = self.net.last(batch).cpu().numpy()
        return mixed(self, states, queries) if self.speaks else states

    def _knows(self, items: IntVector) -> BoolVector:
        return np.take(self.known, items)

    def _met(self, queries: Queries) -> Queries:
        """The queries without events on items that training never met, whose vectors say nothing."""
        known = self._knows(queries.histories.item)
        return queries if known.all() else replace(queries, histories=queries.histories.keep(known))

    def _general_reason(self, item: int, query: Queries) -> Reason | None:
        if self.known[item] and self.speaks and wished(query).any():
            return Reason("text", 0.0, text=f"near to what was asked for: {shortened(query.context[TEXT][0])}")
        if not (self.known[item] and self._met(query).histories.n_events):
            return None
        return Reason("sequence", 0.0, text="the history as a whole, no single item of it")

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Leave one out, of the events that the model looks at; the others add nothing."""
        found = np.zeros((query.histories.n_events, len(items)), np.float32)
        found[self._knows(query.histories.item)] = super()._contributions(self._met(query), items)
        return found

    def _evidence(self, queries: Queries, items: IntVector) -> FloatMatrix:
        """Log-probabilities, as an event that lifts all items alike speaks for none of them; without any, all alike."""
        scores = self._score(queries)
        silent = self._met(queries).histories.lengths == 0
        if self.speaks:
            silent &= ~wished(queries)
        scores[np.ix_(silent, self.known)] = 0
        found: FloatMatrix = scores[:, items] - logsumexp(scores, axis=1, keepdims=True)
        return found

    # ------------------------------------------------------------------ saved form

    def _write(self, folder: Path) -> None:
        weights = {name: one.detach().cpu().numpy() for name, one in self.net.state_dict().items()}
        save_arrays(folder / WEIGHTS, weights)
        self.trained.write(folder / TRAINED)
        if self.item_columns is not None:
            self.item_columns.write(folder)
        if self.users is not None:
            self.users.write(folder)
        if self.texts is not None:
            self.texts.write(folder)

    def _read(self, folder: Path) -> None:
        torch_of(self.name)
        import torch

        from zhiyin.nn.training import Trained

        arrays = load_arrays(folder / WEIGHTS)
        self.trained = Trained.read(folder / TRAINED)
        if self.config.tells_sides:
            self.item_sides = saved_item_sides(arrays, self.n_items, folder / WEIGHTS)
            self.item_columns = ItemSides.read(folder, self.config.item_features, self.config.words)
        if self.config.user_features:
            self.users = UserSides.read(folder, self.config.user_features)
        if self.config.tells_text:
            self.texts = ItemTexts.read(folder)
            self.said = saved_texts(arrays, self.n_items, folder / WEIGHTS)
        self.net = self._made(self._sizes(self._maker().reading))
        try:
            self.net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        except RuntimeError as error:
            said = str(error).splitlines()[1].strip()
            raise DataError(f"{folder / WEIGHTS} is not of this model: {said}; save the model anew") from None
        self._settle()
