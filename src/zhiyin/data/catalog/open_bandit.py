"""Open Bandit Dataset: what a fashion shop showed, with the chance of showing it, and whether people clicked (ZOZO)."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from zhiyin.data.catalog._files import Files
from zhiyin.data.catalog._reading import ID, delimited
from zhiyin.data.catalog.base import Download, Licence, PublicSet, Source, Tables, Wheel

CAMPAIGNS, POLICIES = ("all", "men", "women"), ("random", "bts")
FEATURES = [f"user_feature_{number}" for number in range(4)]
LOG = {
    "timestamp": pa.timestamp("us", "UTC"),
    "item_id": ID,
    "position": pa.int32(),
    "click": pa.int8(),
    "propensity_score": pa.float64(),
    **dict.fromkeys(FEATURES, pa.string()),
}
CONTEXT = {
    "item_id": ID,
    "item_feature_0": pa.float32(),
    **{f"item_feature_{number}": pa.string() for number in (1, 2, 3)},
}
LICENCE = Licence("CC BY 4.0: any use with credit to ZOZO, Inc.", "https://research.zozo.com/data.html")
CITATION = (
    "Yuta Saito, Shunsuke Aihara, Megumi Matsutani and Yusuke Narita. 2021. Open Bandit Dataset and Pipeline: Towards "
    "Realistic and Reproducible Off-Policy Evaluation. NeurIPS Datasets and Benchmarks. https://arxiv.org/abs/2008.07146"
)


def parse(files: Files) -> Tables:
    """Exposures with their propensities; events are clicks and views, of groups of people.

    Nobody is identified: `user_id` is the four hashed features of a person together, so many people share one. Items
    belong to a campaign: `men-12`. Item features are hashed anew for each policy; those of the random policy are kept.
    """
    return {"events": _events(files), "exposures": _exposures(files), "items": _items(files)}


def _logs(files: Files) -> Iterator[tuple[str, str, pa.Table]]:
    for campaign in CAMPAIGNS:
        for policy in POLICIES:
            for table in delimited(files, f"{policy}/{campaign}/{campaign}.csv", LOG):
                yield campaign, policy, table


def _exposures(files: Files) -> Iterator[pa.Table]:
    for campaign, policy, log in _logs(files):
        yield pa.table(
            {
                "policy": pa.array([policy] * log.num_rows),
                "campaign": pa.array([campaign] * log.num_rows),
                "user_id": _people(log),
                "item_id": _named(campaign, log["item_id"]),
                "time": pc.divide(log["timestamp"].cast(pa.int64()), 1_000_000),
                "position": log["position"],
                "propensity": log["propensity_score"],
                "clicked": pc.equal(log["click"], 1),
                **{name: log[name] for name in FEATURES},
            }
        )


def _events(files: Files) -> Iterator[pa.Table]:
    for campaign, _, log in _logs(files):
        yield pa.table(
            {
                "user_id": _people(log),
                "item_id": _named(campaign, log["item_id"]),
                "time": pc.divide(log["timestamp"].cast(pa.int64()), 1_000_000),
                "kind": pc.if_else(pc.equal(log["click"], 1), "click", "view"),
            }
        )


def _items(files: Files) -> Iterator[pa.Table]:
    for campaign in CAMPAIGNS:
        for table in delimited(files, f"random/{campaign}/item_context.csv", CONTEXT):
            yield table.set_column(0, "item_id", _named(campaign, table["item_id"]))


def _people(log: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*(pc.utf8_slice_codeunits(log[name], 0, 8) for name in FEATURES), "-")


def _named(campaign: str, items: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(campaign, items, "-")


FILES = tuple(
    f"{policy}/{campaign}/{name}"
    for campaign in CAMPAIGNS
    for policy, name in (
        *((policy, f"{campaign}.csv") for policy in POLICIES),
        ("random", "item_context.csv"),
    )
)
ABOUT = (
    "Slots of a fashion shop's page filled by a random and by a Thompson-sampling policy in three campaigns of "
    "November 2019, with the chance of each item and the clicks: for off-policy evaluation, not for ranking tastes."
)
HOMEPAGE = "https://research.zozo.com/data.html"

SETS = (
    PublicSet(
        name="open-bandit",
        title="Open Bandit Dataset, sample",
        about=f"{ABOUT} 10,000 exposures of each policy and campaign.",
        licence=LICENCE,
        citation=CITATION,
        homepage=HOMEPAGE,
        sources=(Source(parse, FILES, wheel=Wheel("obp==0.4.1")),),
        counts={"items": 160, "events": 60_000},
    ),
    PublicSet(
        name="open-bandit-full",
        title="Open Bandit Dataset",
        about=f"{ABOUT} About 26 million exposures (11 GB unpacked).",
        licence=LICENCE,
        citation=CITATION,
        homepage=HOMEPAGE,
        sources=(Source(parse, FILES, (Download("https://research.zozo.com/data_release/open_bandit_dataset.zip"),)),),
        counts={"items": 160},
    ),
)
