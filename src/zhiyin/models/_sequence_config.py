"""The settings that every sequence model has."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from zhiyin.config import Config, Search, names, setting
from zhiyin.encoders._reader import Reader, reader_of
from zhiyin.nn.reading import Feature

TEXT_SIZE = 64
"""The numbers in which items are told, where no setting says it."""
SOFTMAX_ITEMS = 5_000
"""The largest catalogue for which `loss="auto"` is the softmax over all items."""


class SequenceConfig(Config):
    """Settings that every sequence model has."""

    embedding_size: int = setting(64, ge=4, le=4096, search=Search(32, 256, log=True))
    """The length of a vector."""
    codes: int = setting(0, ge=0, le=256)
    """Where rows of a table are too much: so many codes name the shared pieces of which each item's vector is put
    together (divides `embedding_size`; 8 suit a million items). 0: a row for each item."""
    codes_by: Literal["company", "text"] = "company"
    """What items share pieces by: who uses them, or what they say, as read by `encoder` in `text_size` numbers."""
    max_length: int = setting(200, ge=2, le=20_000)
    """The longest history that is looked at; of a longer one, the last events."""
    dropout: float = setting(0.2, ge=0, lt=1, search=Search(0.0, 0.6))
    """The share of numbers that are dropped at random in training."""
    loss: Literal["auto", "softmax", "sampled_softmax", "bce", "gbce"] = "auto"
    """What training minimises: over all items, or against `n_negatives`. `auto` is softmax in a catalogue of up to
    5,000 items, where it costs little, and sampled_softmax in a larger one."""
    n_negatives: int = setting(512, ge=1, search=Search(64, 4096, log=True))
    """How many items every answer of a batch is held against, but for `softmax`."""
    negatives: Literal["uniform", "popularity", "mixed", "in_batch"] = "uniform"
    """How they are drawn."""
    corrected: bool = False
    """Whether a sampled loss corrects for how often an item is drawn (logQ)."""
    temperature: float | None = setting(None, gt=0, le=1, search=Search(0.03, 0.2, log=True))
    """Hold states against the directions of item vectors: scores are cosines divided by this. None: plain products."""
    calibration: float = setting(0.75, ge=0, le=1)
    """`gbce`'s t: 0 is plain BCE, 1 undoes the overconfidence that sampling brings."""
    features: tuple[Feature, ...] = ("position",)
    """What is told of an event beside its item; what the data lack is left out."""
    item_features: tuple[str, ...] = ()
    """Columns of the item table (text, lists of text, numbers) whose values have vectors that their items share."""
    words: tuple[str, ...] = ()
    """Columns of the item table (text) whose words have vectors that their items share, learnt from behaviour alone."""
    text: Literal["none", "initial", "frozen", "added", "null_space"] = "none"
    """How what items say enters their vectors. `initial`: as their first values; `frozen`: as all there is of them,
    through a learnt map; `added`: that, and a vector of each item's own; `null_space`: as the first `text_size`
    numbers, at a learnt length, an item's own being the others. But for `initial`, items without events are known by
    it."""
    encoder: Reader = Reader()
    """Who reads them: the name of an encoder, or `{"encoder": ..., "settings": {...}}`."""
    text_size: int | None = setting(None, ge=1, le=4096, search=Search(16, 128, log=True))
    """The numbers in which what an item says is told: the leading directions of the encoder's vectors. None: 64, but
    under `null_space` at most half of `embedding_size`."""
    gate: float = setting(0.0, ge=0)
    """An item of n events has n / (n + gate) of its own vector; the fewer, the more it is what it says."""
    hidden_ids: float = setting(0.0, ge=0, lt=1)
    """The share of items that are what they say alone in a training step, so that items without events are no news."""
    neighbours: int = setting(10, ge=0, le=1000)
    """An item that nobody used leans half-way to so many that were, the nearest by what is told of it (`text`, `words`,
    `item_features`). 0: it is what is told of it alone."""
    user_features: tuple[str, ...] = ()
    """Columns of the user table (text, numbers) that are told of each event. A query says them in its `context`, or
    names a user: what the table says of users is kept in the model."""
    blind: float = setting(0.1, ge=0, lt=1)
    """The share of training histories that are told of their items alone, as some queries will, and of those that are
    a stranger's; matters only with features of the data or of users."""
    repeats: Literal["exclude", "allow", "predict"] = "allow"
    """Answers that are in the history already: `exclude` learns nothing from them, `allow` does, `predict` does and
    measures with them (then ask with `exclude_seen=False`)."""
    target_kind: str | None = None
    """Learn to foretell events of this kind alone; the others are still history."""
    epochs: int = setting(40, ge=1, search=Search(5, 200))
    """How often training sees every event, at most."""
    batch_size: int = setting(6400, ge=1)
    """Events in a batch; of a small log so many fewer that an epoch has 16 steps, but 256 at least."""
    learning_rate: float = setting(1e-3, gt=0, search=Search(1e-4, 1e-2, log=True))
    """Of Adam."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate goes on from its full value."""
    warmup: float = setting(1.0, ge=0)
    """Epochs in which the learning rate rises to its full value."""
    regularization: float = setting(0.0, ge=0)
    """Decay of the matrices."""
    clip: float | None = setting(1.0, gt=0)
    """Gradients are scaled down to this length at most; None (in text, none) for no limit. Item tables whose rows learn
    one by one (of 200,000 items on) are not: a row moves by about the learning rate, however long its gradient."""
    average: float = setting(0.998, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what is kept; 0 for none. Item tables whose rows learn one
    by one (of 200,000 items on) are kept as they are."""
    patience: int = setting(5, ge=1)
    """Training stops after so many measurements on the validation part without a better one."""
    measure_every: int = setting(1, ge=1)
    """Epochs between measurements."""
    measured_cases: int = setting(10_000, ge=1)
    """At most so many validation cases are measured, the same ones each time."""

    @field_validator("features", "item_features", "words", "user_features", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return names(value)

    @field_validator("clip", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("encoder", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return reader_of(value)

    @model_validator(mode="after")
    def _widths(self) -> Self:
        what = f"embedding_size {self.embedding_size}"
        if self.own_width <= 0:
            raise ValueError(f"text_size {self.said_width} leaves nothing of {what} for an item's own")
        if self.codes and self.own_width % self.codes:
            left = f" less text_size {self.said_width}" if self.text == "null_space" else ""
            raise ValueError(f"{what}{left} is not divided by codes {self.codes}")
        if self.codes > self.said_width and self.codes_by == "text":
            raise ValueError(f"{self.codes} codes cannot be made of text_size {self.said_width}; take no more codes")
        if self.codes and self.text == "initial":
            raise ValueError("codes are shared by items, so that text cannot be their first values; take text=added")
        return self

    @property
    def tells_text(self) -> bool:
        """Whether what items say is a part of their vectors for good."""
        return self.text in ("frozen", "added", "null_space")

    @property
    def tells_sides(self) -> bool:
        """Whether items have values or words in common."""
        return bool(self.item_features or self.words)

    @property
    def own_width(self) -> int:
        """The length of what an item has of its own, at least."""
        return self.embedding_size - (self.said_width if self.text == "null_space" else 0)

    @property
    def said_width(self) -> int:
        """The length of what an item says."""
        if self.text_size is not None:
            return self.text_size
        return min(TEXT_SIZE, max(1, self.embedding_size // 2)) if self.text == "null_space" else TEXT_SIZE

    def idle(self, n_items: int) -> dict[str, str]:
        """The settings that were changed but do nothing beside the others, each with the reason."""
        whys = self._without_use(self.loss_for(n_items))
        fields = type(self).model_fields
        return {
            name: why for name, why in whys.items() if name in fields and getattr(self, name) != fields[name].default
        }

    def _without_use(self, loss: str) -> dict[str, str]:
        """The settings that nothing reads under this loss, whether changed or not."""
        found: dict[str, str] = {}
        if loss == "softmax":
            why = "loss softmax holds answers against all items"
            found |= dict.fromkeys(("n_negatives", "negatives", "corrected"), why)
        if self.text == "none" and not (self.codes and self.codes_by == "text"):
            found |= dict.fromkeys(("encoder", "text_size"), "text is none")
        if not self.codes:
            found["codes_by"] = "codes is 0"
        if self.text in ("none", "initial", "frozen"):
            found |= dict.fromkeys(("gate", "hidden_ids"), f"text is {self.text}")
        if self.text == "frozen":
            found |= dict.fromkeys(("codes", "neighbours"), "items have nothing of their own under text=frozen")
        elif self.codes:
            found["neighbours"] = "items share pieces"
        elif not (self.tells_text or self.tells_sides):
            found["neighbours"] = "nothing is told of items"
        if loss != "gbce":
            found["calibration"] = f"loss {loss} is not calibrated"
        return found

    def loss_for(self, n_items: int) -> str:
        """The loss in a catalogue of so many items: `loss`, or what "auto" stands for."""
        if self.loss != "auto":
            return self.loss
        return "softmax" if n_items <= SOFTMAX_ITEMS else "sampled_softmax"
