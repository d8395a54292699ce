"""Cross-border: what is told in which language, sold to which country, and liked in which culture."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zhiyin.arrays import AnyArray, DoubleMatrix
from zhiyin.config import setting
from zhiyin.scenarios.worlds.base import Moment, Tastes, TastesConfig

COUNTRIES = ("china", "germany", "spain", "britain")
LANGUAGES = ("zh", "de", "es", "en")
"""That of each country, in their order."""

WORDS = {
    "zh": ("爵士", "歌剧", "朋克", "民谣", "太空", "爱情", "犯罪", "喜剧"),
    "de": ("Jazz", "Oper", "Punk", "Volkslied", "Weltraum", "Liebe", "Verbrechen", "Komödie"),
    "es": ("jazz", "ópera", "punk", "folclore", "espacio", "amor", "crimen", "comedia"),
    "en": ("jazz", "opera", "punk", "folk", "space", "romance", "crime", "comedy"),
}
"""What the first groups are called."""


class CrossBorderConfig(TastesConfig):
    """Settings of `cross_border`."""

    n_items: int = setting(240, ge=1)
    """The size of the catalogue."""
    n_events: int = setting(6_000, ge=1)
    """How many events there are; a few less, where somebody has nothing left to use."""
    n_groups: int = setting(8, ge=1, le=8)
    """Groups of tastes; each item belongs to one."""
    english: float = setting(0.5, ge=0, le=1)
    """The part of people elsewhere who read English too."""
    ships: float = setting(0.6, ge=0, le=1)
    """The chance that an item is sold to each other country."""
    culture: float = setting(1.0, ge=0)
    """How much the appeal of groups differs from country to country (sigma of a log-normal)."""


class CrossBorder(Tastes):
    """Chances are those of tastes, times culture, of what a person can read and have; once each."""

    config: CrossBorderConfig
    fits: AnyArray
    """(n_users, n_items) what each person can read, and have sent home."""
    appeal: DoubleMatrix
    """(n_users, n_groups) of each group in the person's country."""

    def _made(self, rng: np.random.Generator) -> None:
        own, n = self.config, len(COUNTRIES)
        home, told = rng.integers(0, n, own.n_users), rng.integers(0, n, own.n_items)
        reads = np.arange(n) == home[:, None]
        reads[:, -1] |= rng.random(own.n_users) < own.english
        sent = (rng.random((own.n_items, n)) < own.ships) | (np.arange(n) == told[:, None])
        self.fits = reads[:, told] & sent[:, home].T
        self.appeal = rng.lognormal(0, own.culture, (n, own.n_groups))[home]
        language = [LANGUAGES[one] for one in told]
        title = [f"{WORDS[one][group]} {at}" for at, (one, group) in enumerate(zip(language, self.group, strict=True))]
        self.items = (
            self.items.set_column(self.items.column_names.index("title"), "title", pa.array(title))
            .drop_columns(["text"])
            .append_column("language", pa.array(language))
            .append_column("sold_in", pa.array([_some(COUNTRIES, row) for row in sent]))
        )
        self.users = self.users.append_column("language", pa.array([_some(LANGUAGES, row) for row in reads]))
        self.users = self.users.append_column("country", pa.array([COUNTRIES[one] for one in home]))

    def chances(self, at: Moment) -> DoubleMatrix:
        """See the class."""
        found: DoubleMatrix = self.likes(at) * self.appeal[at.who][:, self.group] * self.fits[at.who] * (at.used == 0)
        return found


def _some(names: tuple[str, ...], row: AnyArray) -> list[str]:
    return [name for name, there in zip(names, row.tolist(), strict=True) if there]
