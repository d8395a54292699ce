"""The settings of `tiger`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from zhiyin.config import Search, setting
from zhiyin.models._item_codes import Coder, coder_of
from zhiyin.models.transformer import TransformerConfig


class TIGERConfig(TransformerConfig):
    """Settings of `tiger`."""

    head: Literal["beam", "parallel"] = "beam"
    """How digits are foretold: each after those before it, by a beam search down the tree of codes; or all at once."""
    codebook: Coder = Coder(settings={"balanced": True})
    """Who makes the codes: the name of a codebook, or `{"codebook": ..., "settings": {"levels": ..., ...}}`. By default
    `residual_kmeans`, balanced; with `head=parallel`, product_quantizer with 16 levels or more tells more apart."""
    company: float = setting(0.5, ge=0, le=1, search=Search(0.0, 1.0))
    """The part of what codes are made of that is about who uses an item; the rest is what it says, as read by `encoder`
    in `text_size` numbers. With 1, and `text` none, items need no text."""
    company_size: int = setting(64, ge=1, le=4096)
    """The numbers in which it is told who uses an item."""
    beams: int = setting(50, ge=1, le=10_000, search=Search(10, 200, log=True))
    """So many codes are followed for each query, or as many as the list is long; with `dense`, also so many of the best
    items of `head=parallel` are ranked anew."""
    decoder_layers: int = setting(1, ge=1, le=16)
    """The blocks of the decoder that foretells a digit after those before it."""
    rows: bool = True
    """Whether items have, beside the vectors of their digits, rows of their own. Without, a catalogue takes a few
    vectors for each digit, whatever its size; then `text` is none or frozen."""
    text: Literal["none", "initial", "frozen", "added", "null_space"] = "added"
    """How what items say enters their vectors, beside their digits; `frozen` is as in LIGER. See `transformer`."""
    temperature: float | None = setting(0.07, gt=0, le=1, search=Search(0.03, 0.2, log=True))
    """Hold states against the directions of the vectors of digits and items: what is held against is a cosine divided
    by this. None: plain products, with which digits are learnt in two or three times as many epochs."""
    dense: float = setting(1.0, ge=0)
    """How much the loss of products with item vectors weighs beside that of digits. Above 0, the best items by their
    codes, and those that training never met, are ranked by these products; 0: by their codes alone."""

    @field_validator("codebook", mode="before")
    @classmethod
    def _coded(cls, value: Any) -> Any:
        return coder_of(value)

    @model_validator(mode="after")
    def _rowless(self) -> Self:
        if not self.rows and self.text not in ("none", "frozen"):
            raise ValueError(f"text={self.text} gives items rows of their own, rows is false; take frozen or none")
        return self

    def _without_use(self, loss: str) -> dict[str, str]:
        found = super()._without_use(loss)
        if self.company < 1:
            found = {name: why for name, why in found.items() if name not in ("encoder", "text_size")}
        if not self.company:
            found["company_size"] = "company is 0"
        if self.head == "parallel":
            found["decoder_layers"] = "head parallel has no decoder"
            if not self.dense:
                found["beams"] = "head parallel scores all items"
        if not self.dense:
            found |= dict.fromkeys(("loss", "n_negatives", "negatives", "corrected", "calibration"), "dense is 0")
        if self.text == "frozen":
            found["rows"] = "items have nothing of their own under text=frozen"
        return found
