"""What the sequence models share beside how they learn: other catalogues, words, queries, the saved form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
import pyarrow as pa
from scipy.special import logsumexp

from zhiyin.arrays import BoolVector, FloatMatrix, FloatVector, IntVector
from zhiyin.artifacts import load_arrays, save_arrays
from zhiyin.data.dataset import Dataset
from zhiyin.data.queries import Queries, Query
from zhiyin.data.recommendations import Reason
from zhiyin.errors import ConfigError, DataError
from zhiyin.models._catalogues import extended, replaced
from zhiyin.models._learning import SequenceLearner
from zhiyin.models._sides import ItemSides, UserSides, saved_item_sides
from zhiyin.models._tables import text_table
from zhiyin.models._texts import ItemTexts, saved_texts
from zhiyin.models._torch import device_of, torch_of, torch_threads
from zhiyin.models._wishes import TEXT, mixed, text_vectors
from zhiyin.models.base import Asked
from zhiyin.run import Run
from zhiyin.splitting.base import Cases

if TYPE_CHECKING:
    import torch

    from zhiyin.models._live import LiveHistory

T = TypeVar("T")

QUERY_EVENTS = 16_384
"""So many events of queries are encoded at a time."""

WEIGHTS, TRAINED = "weights.safetensors", "training.json"


class SequenceRecommender(SequenceLearner):
    """Score by the product of the last state of a history and the vector of an item; a model writes `_net`."""

    no_graph: ClassVar[str] = ""
    """Why an ONNX graph cannot hold what the model does; empty where one can."""

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
        if not (self.known[item] and self._met(query).histories.n_events):
            return None
        return Reason("sequence", 0.0, text="the history as a whole, no single item of it")

    def _contributions(self, query: Queries, items: IntVector) -> FloatMatrix:
        """Leave one out, of the events that the model looks at; the others add nothing."""
        found = np.zeros((query.histories.n_events, len(items)), np.float32)
        found[self._knows(query.histories.item)] = super()._contributions(self._met(query), items)
        return found

    def hears(self, text: str) -> bool:
        """Whether a text says anything to the model: it has a word that items have, or that the encoder knows."""
        return self.reads_text and self.speaks and bool(np.isfinite(self.text_vectors([text])).all())

    def _worth_of_words(self, query: Queries, items: IntVector) -> FloatVector:
        """Leave them out: what they add to an item's score beyond what they add to the mean item.

        Not to its log-probability, as for events: strong words let the first few items have it all, and all others,
        named by them or not, lose.
        """
        if not self.speaks:
            return super()._worth_of_words(query, items)
        wordless = {name: values for name, values in query.context.items() if name != TEXT}
        both, without = self._score(query)[0], self._score(replace(query, context=wordless))[0]
        added = both - np.where(np.isfinite(without), without, 0)  # without a history there was no score
        counts = np.isfinite(both)
        found = np.where(counts, added, 0)[items] - (added[counts].mean() if counts.any() else 0)
        return np.where(counts[items], found, 0).astype(np.float32)

    def _evidence(self, queries: Queries, items: IntVector) -> FloatMatrix:
        """Log-probabilities, as an event that lifts all items alike speaks for none of them; without any, all alike."""
        scores = self._score(queries)
        unheard = ~np.isfinite(scores).any(1)  # of what words ask for, if they do
        silent = (self._met(queries).histories.lengths == 0) & unheard
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
