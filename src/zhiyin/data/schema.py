"""Schema: the roles that columns of a raw table play, and how they are found.

A column gets its role by name (`user_id`), by alias (`userId`, `reviewerID`, `visitorid`: capitals and punctuation do
not matter, and the typed headers of atomic files, `user_id:token`, are understood) or by a mapping that a person wrote.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from zhiyin.errors import DataError, unknown

How = Literal["named", "alias", "mapping"]
"""How a column got its role."""

_THINGS = (
    "item movie product book artist track song video article news business game app recipe anime poi venue location "
    "listing hotel property job course ad creative campaign post photo image podcast show episode restaurant beer wine "
    "content document doc media story answer question merchant store place page paper film music album good goods sku "
    "object entity playlist tweet thread fund offer coupon"
)
_PEOPLE = "user customer reviewer visitor client member person player reader viewer buyer account profile"


def _ids(nouns: str) -> str:
    return " ".join(f"{noun}id" for noun in nouns.split())


_TYPED = re.compile(r":(token|float)(_seq)?$")

# Per role, tiers of aliases: a column of an earlier tier beats one of a later; two columns of one tier compete.
_EVENT_ALIASES: dict[str, tuple[str, ...]] = {
    "user_id": (
        "userid uid user users " + _ids(_PEOPLE) + " usernumber userno useridx custid",
        "customer reviewer visitor member clientid deviceid username userhash author authorid",
    ),
    "item_id": (
        "itemid iid item items asin parentasin isbn sku gtin " + _ids(_THINGS),
        "itemno itemidx itemnumber product movie book artist track song video article business game subreddit url",
    ),
    "time": (
        "time timestamp ts unixtime unixreviewtime eventtime ratingtimestamp timestampms timems createdat clicktime",
        "datetime createtime createdtime checkintime reviewtime eventdatetime created utctime localtime",
        "date eventdate day reviewdate ratingdate",
    ),
    "position": ("position pos order rank step sequence seq sequencenumber index",),
    "kind": (
        "kind event eventtype eventname action actiontype behavior behaviour behaviortype behaviourtype activity",
    ),
    "value": (
        "value rating score stars overall ratings bookrating userrating rate preference",
        "weight plays playcount count listens watchratio hours playtime quantity qty",
    ),
    "session_id": ("sessionid session sid usersession visitid sessionkey sessionnumber",),
}

# Of a catalogue and of users only the id is needed; for the others the first alias that is there wins.
_ITEM_ALIASES: dict[str, tuple[str, ...]] = {
    "item_id": (_EVENT_ALIASES["item_id"][0], "id"),
    "title": ("title name headline movietitle producttitle productname itemname booktitle moviename trackname",),
    "description": ("description text desc body plot summary abstract overview synopsis details",),
    "categories": ("categories genres genre category tags topics maincategory categoryname class",),
    "price": ("price cost currentprice listprice unitprice",),
    "language": ("language lang languagecode originallanguage",),
    "creator": ("creator author authors artistname artist director seller channel publisher brand",),
    "available_from": ("availablefrom releasedate published publishedat publishdate publicationdate launchdate",),
    "available_until": ("availableuntil expires expiresat validuntil enddate",),
    "type": ("type itemtype producttype contenttype mediatype",),
    "image": ("image imageurl imurl imageurls imagepath poster posterurl thumbnail cover coverurl photo",),
    "audio": ("audio audiourl audiopath previewurl",),
}
_USER_ALIASES: dict[str, tuple[str, ...]] = {"user_id": (_EVENT_ALIASES["user_id"][0], "id")}


@dataclass(frozen=True, slots=True)
class Schema:
    """What a kind of table may hold: its roles with their aliases, and which of them must be there."""

    what: str
    """Also the name of its section in a recipe."""
    aliases: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    strict: bool
    """Whether two columns that fit one role equally well are an error, or the earlier alias just wins."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles in the order of the table that is made of them."""
        return tuple(self.aliases)

    def tiers(self, role: str) -> list[list[str]]:
        """The aliases of a role in plain letters, the strongest first; those inside one tier are equally strong."""
        tiers = [tier.split() for tier in self.aliases[role]]
        return tiers if self.strict else [[alias] for tier in tiers for alias in tier]


EVENTS = Schema("events", _EVENT_ALIASES, ("user_id", "item_id"), strict=True)
ITEMS = Schema("items", _ITEM_ALIASES, ("item_id",), strict=False)
USERS = Schema("users", _USER_ALIASES, ("user_id",), strict=False)


@dataclass(frozen=True, slots=True)
class Match:
    """One decision: this column plays this role, and how that was found."""

    role: str
    column: str
    how: How

    def __str__(self) -> str:
        said = {"named": "by its name", "alias": "by alias", "mapping": "as mapped"}[self.how]
        return f"{self.role} is column {self.column!r} ({said})"


def untyped(name: str) -> str:
    """The name without the type that headers of atomic files carry.

    >>> untyped("release_year:token"), untyped("title")
    ('release_year', 'title')
    """
    return _TYPED.sub("", name)


def plain(name: str) -> str:
    """The letters and digits of a column name, small, for comparison with aliases.

    >>> plain("Reviewer-ID"), plain("user_id:token")
    ('reviewerid', 'userid')
    """
    small = unicodedata.normalize("NFKC", untyped(name.strip())).casefold()
    return "".join(letter for letter in small if letter.isalnum())


def is_known(name: str) -> bool:
    """Whether a name is that of a role, or an alias of one, in any kind of table (used to tell headers from data)."""
    return plain(name) in _KNOWN


_KNOWN = frozenset(
    alias
    for schema in (EVENTS, ITEMS, USERS)
    for role, tiers in schema.aliases.items()
    for alias in (plain(role), *(one for tier in tiers for one in tier.split()))
)


def match_roles(
    columns: Sequence[str], mapping: Mapping[str, str | int], schema: Schema, source: str
) -> tuple[Match, ...]:
    """Decide which column plays which role.

    Args:
        columns: the names that are there.
        mapping: role -> column name, or the number of the column counted from 0; beats every guess. "" stands for no
            column: nothing plays that role.
        schema: the roles to look for.
        source: what to call the table in messages.

    Raises:
        DataError: a mapped column is not there, a role is unknown, two columns compete for a role, one column is given
            two roles, or a role that must be there is not found.
    """
    matches = {role: Match(role, _mapped(role, wanted, columns, schema, source), "mapping")
               for role, wanted in mapping.items() if wanted != ""}  # fmt: skip
    taken = {match.column for match in matches.values()}
    if len(taken) < len(matches):
        raise DataError(f"{source}: one column is mapped to two roles: {dict(mapping)}; give each role its own column")
    for role in schema.roles:
        free = [name for name in columns if name not in taken]
        found = None if role in mapping else _named(role, free) or _by_alias(role, free, schema, source)
        if found is not None:
            matches[role] = found
            taken.add(found.column)
    for role in schema.required:
        if role not in matches:
            raise DataError(_missing(role, columns, [one for one in columns if one not in taken], schema, source))
    return tuple(matches[role] for role in schema.roles if role in matches)


def column_number(wanted: str | int) -> int | None:
    """The number of a column (from 0) that a mapping means, also written as text; None where it means a name."""
    if isinstance(wanted, int):
        return wanted
    return int(wanted) if wanted.isascii() and wanted.isdigit() else None


def _mapped(role: str, wanted: str | int, columns: Sequence[str], schema: Schema, source: str) -> str:
    if role not in schema.aliases:
        raise DataError(unknown(f"role for {schema.what}", role, schema.aliases))
    if isinstance(wanted, str) and wanted in columns:
        return wanted
    number = column_number(wanted)
    if number is not None:
        if not 0 <= number < len(columns):
            raise DataError(
                f"{source}: role {role!r} is mapped to column number {number}, but there are {len(columns)} columns, "
                f"counted from 0: {_listed(columns)}"
            )
        return columns[number]
    wanted = str(wanted)
    alike = [name for name in columns if untyped(name.strip()).casefold() == wanted.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    raise DataError(
        f"{source}: role {role!r} is mapped to a column that is not there: {unknown('column', wanted, columns)}"
    )


def _named(role: str, columns: Sequence[str]) -> Match | None:
    for name in columns:
        if untyped(name.strip()) == role:
            return Match(role, name, "named")
    return None


def _by_alias(role: str, columns: Sequence[str], schema: Schema, source: str) -> Match | None:
    for tier in ([plain(role)], *schema.tiers(role)):
        fitting = [name for name in columns if plain(name) in tier]
        if len(fitting) > 1 and schema.strict:
            raise DataError(
                f"{source}: columns {_listed(fitting)} compete for the role {role!r}; say which one it is: "
                f"{_how_to_map(role, fitting[0], schema)}"
            )
        if fitting:
            return Match(role, fitting[0], "alias")
    return None


def _missing(role: str, columns: Sequence[str], free: Sequence[str], schema: Schema, source: str) -> str:
    if columns and all(re.fullmatch(r"column\d+", name) for name in columns):
        return (
            f"{source} has no header, so the role {role!r} cannot be found by name; say which column it is by its "
            f'number from 0 to {len(columns) - 1}: roles={{"user_id": 0, "item_id": 1, ...}} (at the prompt --role '
            f"{_at_prompt(role, '0', schema)}); or, if the first row does name the columns, header=True (--read "
            "header=true)"
        )
    hint = ""
    if role == "user_id" and any(plain(name) in _EVENT_ALIASES["session_id"][0].split() for name in columns):
        hint = " (for a log of anonymous sessions, let the session play the user)"
    example = next(iter([*free, *columns]), "its_name")
    return (
        f"{source}: no column for the role {role!r}; the columns are {_listed(columns)}. "
        f"Say which one it is: {_how_to_map(role, example, schema)}{hint}"
    )


def _how_to_map(role: str, example: str, schema: Schema) -> str:
    return (
        f'roles={{"{role}": "{example}"}} (at the prompt --role {_at_prompt(role, example, schema)}), '
        f'or {role} = "{example}" under [{schema.what}.roles] of a recipe'
    )


def _at_prompt(role: str, column: str, schema: Schema) -> str:
    return shlex.quote(f"{'' if schema is EVENTS else schema.what + '.'}{role}={column}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:30])
    return shown + (f" and {len(names) - 30} more" if len(names) > 30 else "")
