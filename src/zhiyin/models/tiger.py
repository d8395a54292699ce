"""TIGER: a generative model of the code of the next item (Rajput et al., NeurIPS 2023).

Items get codes of a few digits from what they say and who uses them (see `zhiyin.semantic_ids`); the model foretells
the code of the item that follows, and a search down the tree of codes finds the items. What differs from the paper:

* A history is one position an event, as in all our sequence models, and not one a digit: an item enters as the sum of
  its digits' vectors (and of its own and its text's), so that sequences are a quarter as long, and every event of a
  window learns to foretell the next one.
* The decoder is a small causal Transformer over the depth of a code (`head="beam"`), as the depth transformer of
  RQ-Transformer (Lee et al., CVPR 2022). `head="parallel"` foretells all digits in one pass, independently of each
  other, and scores every item by the sum of its digits' log-probabilities (RPG: Hou et al., KDD 2025).
* With `dense` above 0, states also learn products with item vectors, and what the codes have found is ranked by those,
  together with all items that training never met (LIGER: Yang et al., 2024). A model of codes alone can name such an
  item, as its code is in the tree, but seldom does: training never ended there.

What codes say of the users of an item that nobody has used is what is to be expected by what it says.

An item that neither says anything nor was used has a code under a first digit of its own, and is not listed, as nothing
is known of it; one that says nothing but was used has such a code too, and is found like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from zhiyin.arrays import AnyArray, BoolVector, FloatMatrix, FloatVector, IntMatrix, IntVector, LongVector
from zhiyin.data.dataset import Dataset
from zhiyin.data.histories import Histories
from zhiyin.data.queries import Queries
from zhiyin.errors import DataError
from zhiyin.models._item_codes import BOOK, ItemCodes, company_vectors, saved_codes
from zhiyin.models._losses import held_loss, loss_of, times_asked
from zhiyin.models._tables import Known, own_table
from zhiyin.models._texts import ItemTexts
from zhiyin.models._tiger_config import TIGERConfig
from zhiyin.models.transformer import Transformer
from zhiyin.retrieval.exact import NOTHING, hide, search, top_k, top_k_entries
from zhiyin.run import Run
from zhiyin.semantic_ids._tree import CodeTree

if TYPE_CHECKING:
    import torch

    from zhiyin.nn.batches import BatchMaker
    from zhiyin.nn.encoder import Encoder
    from zhiyin.nn.generation import CodeEncoder
    from zhiyin.nn.heads import DigitHead
    from zhiyin.nn.memory import Footprint

FLOATS_AT_ONCE = 2**22
"""About so many numbers are worked on at a time by a search: 16 MiB."""


class TIGER(Transformer):
    """A causal Transformer over items whose states foretell the code of the next one."""

    config: TIGERConfig
    learns: ClassVar[tuple[str, ...]] = (*Transformer.learns, "item_codes", "last_digit", "expected_use")
    no_graph = "searches a tree of codes"

    net: CodeEncoder
    item_codes: IntMatrix
    """(n_items, levels + 1) the digits of each item; the last one tells items of equal codes apart."""
    last_digit: LongVector
    """(1,) how many values the last digit may have."""
    expected_use: FloatMatrix
    """(s, c) who is expected to use an item, by what it says; see `ItemCodes.expected`."""
    codes: ItemCodes
    """The codebook and what it made."""
    tree: CodeTree
    """Of all codes."""

    # ------------------------------------------------------------------ learning

    def _fit_sides(self, train: Dataset, run: Run) -> IntMatrix | None:
        own, begun = self.config, self._begun
        try:
            told = super()._fit_sides(train, run)
        except DataError as error:
            if own.text == "none" or self.texts is not None:  # then it is not about what items say
                raise
            raise self._wordless(error) from None
        said = self.said
        if said is None and own.company < 1:
            try:
                said = ItemTexts.fit(train, own.encoder, own.said_width, run)[1]
            except DataError as error:
                raise self._wordless(error) from None
        used = company_vectors(train.histories, self.n_items, own.company_size, run, self.name) if own.company else None
        codes = begun.codes if isinstance(begun, TIGER) else ItemCodes.fit(own.codebook, said, used, own.company, run)
        self._take_codes(codes)
        for vectors in (said if own.company < 1 else None, used):
            self.known = self.known if vectors is None else self.known | vectors.any(1)
        return told

    def _wordless(self, error: DataError) -> DataError:
        return DataError(f"{error}; where items say nothing, {self.name} takes text=none and company=1")

    def _take_codes(self, codes: ItemCodes) -> None:
        self.codes, self.item_codes = codes, codes.codes
        self.last_digit, self.expected_use = np.array([codes.last]), codes.expected
        self.tree = CodeTree.of(codes.codes, codes.sizes)

    def _told(self) -> Known:
        found = super()._told()
        return replace(found, codes=self.item_codes, sizes=self.codes.sizes, rows=self.config.rows)

    def _made(self, sizes: dict[str, int]) -> Encoder:
        """The net; an item that training does not meet has nothing of its own, rather than what was drawn for it."""
        import torch

        from zhiyin.nn.items import PlainItems

        net = super()._made(sizes)
        table = own_table(net.items)
        if isinstance(table, PlainItems):
            with torch.no_grad():
                table.weight[torch.from_numpy(~self.met)] = 0
        return net

    def _net(self, sizes: dict[str, int]) -> Encoder:
        from zhiyin.nn.generation import CodeEncoder

        return CodeEncoder(self._items(), self.config.embedding_size, sizes, self._head(), **self._shape())

    def _head(self) -> DigitHead:
        from zhiyin.nn.heads import DepthDecoder, ParallelDigits

        own, levels = self.config, len(self.codes.sizes)
        if own.head == "parallel":
            return ParallelDigits(levels, own.embedding_size, own.temperature)
        hidden = own.hidden_size or 4 * own.embedding_size
        return DepthDecoder(
            levels, own.embedding_size, own.n_heads, hidden, own.decoder_layers, own.dropout, own.temperature
        )

    def _footprint(self, histories: Histories) -> Footprint:
        """Each event passes the decoder once for each digit; a digit that is foretold at once costs a fraction."""
        found, own = super()._footprint(histories), self.config
        levels = len(self.codes.sizes)
        deep = levels * own.decoder_layers if own.head == "beam" else -(-levels // 4)
        rows = (found.table_rows or self.n_items) + sum(self.codes.sizes)
        found = replace(found, n_layers=found.n_layers + deep, table_rows=rows)
        return found if own.dense else replace(found, n_negatives=max(self.codes.sizes))

    def _loss(
        self,
        histories: Histories,
        maker: BatchMaker,
        wanted: BoolVector | None,
        told: IntMatrix | None,
        precision: Callable[[], AbstractContextManager[Any]],
    ) -> Callable[..., tuple[torch.Tensor, int, int]]:
        """The loss of digits and `dense` times that of products, in which an item that is never met is no wrong one."""
        net, own = self.net, self.config
        digits = net.digits
        counts = times_asked(own, histories, maker, wanted, self.n_items)
        product = held_loss(net, own, counts, self.met) if own.dense else None

        def answer(states: torch.Tensor, target: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
            with precision():
                found = net.head.loss(states, digits.codes[target], digits)
            return found if product is None else found + own.dense * product(states, target, generator)

        return loss_of(net, own, histories, maker, wanted, told, precision, answer)

    # ------------------------------------------------------------------ other items, other words

    @property
    def reads_text(self) -> bool:
        """Whether a query may say in words what is asked for: only products with item vectors hear of it."""
        return super().reads_text and self.config.dense > 0

    @property
    def speaks(self) -> bool:
        """Whether words have vectors in the space of items: a code is made of what is said, not of shared words."""
        return self.texts is not None

    @property
    def places_by_sides(self) -> bool:
        """Never: a new item has no code without a text."""
        return False

    def _renumbered(self, place: IntVector) -> None:
        assert self.said is not None
        if not len(place):
            raise DataError(f"a catalogue of no items came, and {self.name} would have none to list; give it some")
        self._take_codes(self.codes.moved(place, self.said, Run()))

    def _unused(self, said: torch.Tensor) -> torch.Tensor:
        """(n, d) what they say, and the digits that a codebook gives to it."""
        import torch

        digits = self.net.digits
        codes = np.pad(self.codes.of(said.cpu().numpy(), Run()), ((0, 0), (0, 1)))
        return super()._unused(said) + digits.summed(torch.from_numpy(codes).to(said.device))

    # ------------------------------------------------------------------ answering

    def _score(self, queries: Queries) -> FloatMatrix:
        """(n_queries, n_items) what lists are made by; -inf for an item that the beams have not found."""
        states, own = self._encode(queries), self.config
        if self._exact:
            return self._all(states)
        scores = np.full((len(queries), self.n_items), NOTHING, np.float32)
        owner, item, score = self._found(states, own.beams, self.known, None)
        scores[owner, item] = score
        if own.dense and len(self._cold):
            scores[:, self._cold] = _products(states, self.item_vectors[self._cold])
        return scores

    def _score_of(self, queries: Queries, items: IntVector) -> FloatMatrix:
        """(n_queries, len(items)) of items that beams have not found too."""
        states = self._encode(queries)
        if self.config.dense:
            return _products(states, self.item_vectors[items])
        if self._exact:
            return self._all(states)[:, items]
        wanted = np.zeros(self.n_items, bool)
        wanted[items] = True
        scores = np.full((len(queries), self.n_items), NOTHING, np.float32)
        owner, item, score = self._by_codes(states, max(1, len(items)), wanted & self.known, None)
        scores[owner, item] = score
        return scores[:, items]

    def _score_pairs(self, queries: Queries, items: IntVector) -> FloatVector:
        import torch

        states = self._encode(queries)
        told = ~np.isnan(states[:, 0]) & self.known[items]
        scores = np.full(len(items), NOTHING, np.float32)
        if self.config.dense:
            scores[told] = np.einsum("nd,nd->n", states[told], self.item_vectors[items[told]])
            return scores
        rows, digits = np.flatnonzero(told), self.net.digits
        for start in range(0, len(rows), self._at_once(len(self.codes.sizes))):
            part = rows[start : start + self._at_once(len(self.codes.sizes))]
            with torch.inference_mode():
                codes = digits.codes[self._tensor(items[part].astype(np.int64))]
                scores[part] = self.net.head.log_probs(self._tensor(states[part]), codes, digits).cpu().numpy()
        return scores

    def _best(
        self, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        return self._nearest(self._encode(block), block, k, exclude_seen, allowed)

    def _nearest(
        self, vectors: FloatMatrix, block: Queries, k: int, exclude_seen: bool, allowed: BoolVector | None
    ) -> tuple[IntMatrix, FloatMatrix]:
        """The best items for the states (n_queries, d) of some queries; a search passes over what may not be listed."""
        own, seen = self.config, block.histories if exclude_seen else None
        shown = self.known if allowed is None else self.known & allowed
        found = [self._found(vectors, k if self._exact else max(own.beams, k), shown, seen)]
        if own.dense and len(self._cold):
            cold = shown & ~self.met
            best, products = search(vectors, self.item_vectors, k, seen=seen, allowed=cold, run=Run(threads=1))
            there = best >= 0
            found.append((np.nonzero(there)[0], best[there], products[there]))
        owner, item, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
        shape = (len(vectors), self.n_items)
        entries = sparse.csr_array((score, (owner, item)), shape=shape)
        entries.sort_indices()
        return top_k_entries(entries, k)

    @property
    def _exact(self) -> bool:
        """Whether lists are of the best items by scores that all items have."""
        return self.config.head == "parallel" and not self.config.dense

    @property
    def met(self) -> BoolVector:
        """(n_items,) the items that training met; the others are cold."""
        return self.uses > 0

    @property
    def _cold(self) -> IntVector:
        """The items that training never met, and of which something is known."""
        return np.flatnonzero(self.known & ~self.met).astype(np.int32)

    def _found(
        self, states: FloatMatrix, width: int, shown: BoolVector, seen: Histories | None
    ) -> tuple[LongVector, IntVector, FloatVector]:
        """What lists are made of: `_by_codes`, or with `dense` their items that training met and their products."""
        if not self.config.dense:
            return self._by_codes(states, width, shown, seen)
        owner, item, _ = self._by_codes(states, width, shown & self.met, seen)
        return owner, item, np.einsum("nd,nd->n", states[owner], self.item_vectors[item])

    def _by_codes(
        self, states: FloatMatrix, width: int, shown: BoolVector, seen: Histories | None
    ) -> tuple[LongVector, IntVector, FloatVector]:
        """The best `width` items by their codes: query (m,), in order, item (m,) and log-probability (m,).

        Args:
            states: (n, d); NaN for a query of which nothing is known, for which nothing is found.
            width: so many for each query.
            shown: (n_items,) which items may be found.
            seen: of each query, the items that may not.
        """
        told = np.flatnonzero(~np.isnan(states[:, 0]) & shown.any())
        step = self._at_once(width)
        parts = [
            self._search(states, told[start : start + step], width, shown, seen) for start in range(0, len(told), step)
        ]
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        owner, item, score = (np.concatenate(one) for one in zip(*parts, strict=True))
        return owner, item, score

    def _search(
        self, states: FloatMatrix, rows: LongVector, width: int, shown: BoolVector, seen: Histories | None
    ) -> tuple[LongVector, IntVector, FloatVector]:
        """`_by_codes` of some rows."""
        from zhiyin.nn.beams import Openings, beam_search
        from zhiyin.nn.heads import DepthDecoder

        own = None if seen is None else seen.take(rows)
        head = self.net.head
        if isinstance(head, DepthDecoder):
            openings = Openings(self.tree, shown, own)
            owner, item, score = beam_search(
                head, self.net.digits, self._tensor(states[rows]), self.tree, width, openings
            )
            return rows[owner], item, score
        scores = self._all(states[rows])
        scores[:, ~shown] = NOTHING
        if own is not None:
            hide(scores, own)
        best, values = top_k(scores, min(width, self.n_items))
        there = best >= 0
        return rows[np.nonzero(there)[0]], best[there], values[there]

    def _all(self, states: FloatMatrix) -> FloatMatrix:
        """(n, n_items) the sums of log-probabilities of digits, all foretold at once; -inf where nothing is known."""
        import torch

        from zhiyin.nn.heads import ParallelDigits

        head = self.net.head
        assert isinstance(head, ParallelDigits)
        with torch.inference_mode():
            found = head.all(self._tensor(states), self.net.digits).cpu().numpy().T
        scores: FloatMatrix = np.ascontiguousarray(found)
        scores[np.isnan(states[:, 0])] = NOTHING
        scores[:, ~self.known] = NOTHING
        return scores

    def _tensor(self, values: AnyArray) -> torch.Tensor:
        import torch

        return torch.from_numpy(values).to(self.net.digits.weight.device)

    def _at_once(self, width: int) -> int:
        """So many queries of `width` beams are worked on at a time."""
        row = max(max(self.codes.sizes), 8 * self.config.embedding_size)
        return max(1, FLOATS_AT_ONCE // (width * row))

    def _evidence(self, queries: Queries, items: IntVector) -> FloatMatrix:
        """Log-probabilities: of codes, or of items by the softmax of their scores; without a history, all alike."""
        silent = self._met(queries).histories.lengths == 0
        if self.config.head == "beam" and not self.config.dense:
            found = self._score_of(queries, items)
            found[np.ix_(silent, self.known[items])] = -np.log(max(1, int(np.count_nonzero(self.known))))
            return found
        scores = self._score_of(queries, np.arange(self.n_items, dtype=np.int32))
        silent &= ~np.isfinite(scores).any(1)  # of what words ask for, if they do
        scores[np.ix_(silent, self.known)] = 0
        likely: FloatMatrix = scores[:, items] - logsumexp(scores, axis=1, keepdims=True)
        return likely

    # ------------------------------------------------------------------ saved form

    def _write(self, folder: Path) -> None:
        super()._write(folder)
        self.codes.book.save(folder / BOOK)

    def _read(self, folder: Path) -> None:
        last, company = int(self.last_digit[0]), self.config.company
        self._take_codes(saved_codes(folder, self.item_codes, last, company, self.expected_use))
        super()._read(folder)


def _products(states: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
    """(n, m) of states (n, d) and item vectors (m, d); -inf where one of the two is not known."""
    found: FloatMatrix = states @ vectors.T
    found[np.isnan(found)] = NOTHING
    return found
