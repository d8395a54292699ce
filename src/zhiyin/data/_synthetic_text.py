"""What the items of a synthetic world say: titles, texts, categories, prices and creators that follow their tastes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zhiyin.arrays import IntVector

THEMES: dict[str, tuple[str, str]] = {
    "jazz": ("music", "saxophone swing trumpet improvised blues quartet brass midnight smoky standards bebop club"),
    "opera": ("music", "aria soprano orchestra libretto tenor overture velvet stage chorus duet conductor tragic"),
    "punk": ("music", "guitar loud garage riot basement drums rebel anthem distortion youth raw shout"),
    "folk": ("music", "fiddle ballad acoustic village harvest banjo river storyteller wooden waltz lantern hymn"),
    "space": ("films", "starship galaxy orbit alien astronaut nebula rocket signal colony gravity comet wormhole"),
    "romance": ("films", "wedding letter kiss summer heartbreak promise dance sunset lovers reunion secret bouquet"),
    "crime": (
        "films",
        "detective heist alibi murder evidence gangster suspect undercover ransom witness trial fugitive",
    ),
    "comedy": ("films", "prank roommate awkward disguise laughter mishap uncle cousin parody chaos holiday slapstick"),
    "gardening": ("home", "seedling rose trowel compost pruning orchard tulip greenhouse soil fern watering bloom"),
    "cooking": ("home", "skillet saffron recipe dough simmer roast cinnamon bakery broth spice oven marinade"),
    "woodwork": ("home", "oak chisel lathe workbench walnut joinery varnish plane carving timber clamp sawdust"),
    "knitting": ("home", "yarn needles wool pattern scarf merino stitch cardigan crochet mittens cosy skein"),
    "climbing": ("outdoors", "carabiner summit rope granite boulder ridge belay crampon alpine ledge harness glacier"),
    "cycling": (
        "outdoors",
        "derailleur saddle gravel sprint peloton chain handlebar descent tyre velodrome cadence spokes",
    ),
    "sailing": ("outdoors", "mast harbour spinnaker tide rudder regatta anchor hull compass breeze deck knots"),
    "birding": ("outdoors", "binoculars heron migration feather marsh warbler nest falcon plumage dawn hide songbird"),
}
COMMON = "new classic complete little great first modern everyday favourite quiet golden essential".split()  # noqa: SIM905
_STARTS = "ba ke li mo nu pra sto tri va zel".split()  # noqa: SIM905
_ENDS = "dan fer gom lin mar nox pol rin tas vek".split()  # noqa: SIM905


def theme(group: int) -> tuple[str, str, list[str]]:
    """The category, its parent and the words of a taste group; beyond the themes with real words, invented ones.

    >>> theme(0)[:2], theme(16)[:2]
    (('jazz', 'music'), ('badan', 'department 4'))
    """
    if group < len(THEMES):
        name = list(THEMES)[group]
        parent, words_of_it = THEMES[name]
        return name, parent, words_of_it.split()
    rng = np.random.default_rng(group)
    words = [_invented(*rng.integers(0, 10, 3)) for _ in range(12)]
    place = group - len(THEMES)
    name = _STARTS[place % 10] + _ENDS[place // 10 % 10] + ("" if place < 100 else str(place // 100))
    return name, f"department {group // 4}", words


def _invented(first: int, second: int, third: int) -> str:
    return _STARTS[first] + _STARTS[second] + _ENDS[third]


def group_names(n_groups: int) -> list[str]:
    """The category of each taste group."""
    return [theme(group)[0] for group in range(n_groups)]


def item_table(
    ids: pa.Array, primary: IntVector, secondary: IntVector, launch: pa.Array, rng: np.random.Generator
) -> pa.Table:
    """The catalogue: `item_id, title, text, categories, price, creator, available_from`; words follow the groups.

    Ten words in a text: six from the item's first group, two from its second, two that say nothing.
    """
    n, n_groups = len(ids), int(max(primary.max(), secondary.max())) + 1
    themes = [theme(group) for group in range(n_groups)]
    words = np.array([words for _, _, words in themes])  # (n_groups, 12)
    own = words[primary[:, None], rng.integers(0, 12, (n, 6))]
    other = words[secondary[:, None], rng.integers(0, 12, (n, 2))]
    common = np.array(COMMON)[rng.integers(0, len(COMMON), (n, 2))]
    texts = [" ".join(row) for row in np.concatenate([common[:, :1], own, common[:, 1:], other], axis=1).tolist()]
    titles = [f"{one} {two} {number}".capitalize() for number, (one, two) in enumerate(own[:, :2].tolist())]
    creator = (rng.pareto(1.2, n) * 3).astype(np.int64) % 40
    usual = 8 * 1.25 ** (primary % 16)
    return pa.table(
        {
            "item_id": ids,
            "title": titles,
            "text": texts,
            "categories": [[themes[group][1], themes[group][0]] for group in primary.tolist()],
            "price": np.round(usual * rng.lognormal(0, 0.5, n), 2),
            "creator": [f"{themes[g][0]} maker {c}" for g, c in zip(primary.tolist(), creator.tolist(), strict=True)],
            "available_from": launch,
        }
    )
