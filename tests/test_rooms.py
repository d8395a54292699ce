"""Open rooms list themselves from their files; the type stubs of their lazy names are not stale."""

import subprocess
import sys

import pytest

from zhiyin import models
from zhiyin._rooms import OPEN, stub, stub_file
from zhiyin.errors import ConfigError


@pytest.mark.parametrize("package", OPEN)
def test_stubs_are_fresh(package: str) -> None:
    assert stub_file(package).read_text(encoding="utf-8") == stub(package), "stale: run `make stubs`"


@pytest.mark.parametrize("package", OPEN)
def test_every_file_holds_its_class(package: str) -> None:
    room = sys.modules.get(package) or __import__(package, fromlist=["available"])
    for name in room.available():
        found = room.get(name)
        assert found.__name__.lower() == name.replace("_", "")
        assert getattr(room, found.__name__) is found


def test_foreign_components_are_found_by_path() -> None:
    assert models.get("zhiyin.models.popularity:Popularity") is models.Popularity
    with pytest.raises(ConfigError, match=r"package\.module:Class"):
        models.get("no.such.module:Thing")


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'popularity'"):
        models.get("popularty")
    with pytest.raises(AttributeError, match="NoSuchModel"):
        _ = models.NoSuchModel


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_front_door_and_listing_import_nothing_heavy() -> None:
    heavy = "{'torch', 'pandas', 'polars', 'duckdb', 'scipy', 'pyarrow', 'numpy', 'pydantic'} & set(sys.modules)"
    assert run(f"import sys, zhiyin; print({heavy})").strip() == "set()"
    assert run(f"import sys, zhiyin.models as m; m.available(); print({heavy})").strip() == "set()"


def test_the_front_door_has_few_names_and_all_open() -> None:
    import zhiyin

    assert len(zhiyin.__all__) <= 14
    assert run("import zhiyin; print(zhiyin.models.available()[0])").strip() == "als"
    for name in zhiyin.__all__:
        assert getattr(zhiyin, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = zhiyin.nothing_like_it
