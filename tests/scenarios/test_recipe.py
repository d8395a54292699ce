"""Recipes: read from TOML, refused with the file, the key and what was expected, and copied for a person."""

import tomllib
from pathlib import Path

import pytest

from zhiyin import scenarios
from zhiyin.errors import ConfigError
from zhiyin.scenarios.recipe import Recipe, recipe_of, text_of, write_copy

PLAIN = 'title = "a"\nfamily = "content"\npurpose = "b"\n'


def test_every_recipe_can_be_read_and_has_a_page() -> None:
    pages = Path(__file__).parents[2] / "docs" / "scenarios"
    assert len(scenarios.available()) >= 7
    for name in scenarios.available():
        assert Recipe.named(name).data.world is not None
        assert f"zhiyin scenarios run {name}" in (pages / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "my.toml is no TOML"),
        (PLAIN + "[data]\nworld='news'\n[pipelines]\n", "did you mean 'pipeline'"),
        (PLAIN + "[data]\nworld='news'\n[pipeline]\ncases = 1\n", "setting 'pipeline.cases' of .*my.toml: got 1; .*10"),
        (PLAIN + "[data]\nworld='news'\nsource='x'\n", "world and source came; exactly one"),
        (PLAIN + "[data]\n", "none came; exactly one of world, source, events and table"),
        (PLAIN + "[data]\nsource='x'\nsettings={seed=1}\n", "settings are those of a world"),
        (PLAIN + "[data]\nworld='news'\n[good.bounds.'gini@10']\nmost=0.5\n", "'gini@10', which is not measured"),
        (PLAIN + "metrics=['ndcg@10']\n[data]\nworld='news'\n[good.bounds.'ndcg@10']\n", "neither least nor most"),
        ("family = 'content'\npurpose='b'\n[data]\nworld='news'\n", "setting 'title'"),
        ("title='a'\nfamily = 'sport'\npurpose='b'\n[data]\nworld='news'\n", "setting 'family'.*'commerce'"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as error:
        Recipe.load(path)
    assert "my.toml" in str(error.value)


def test_files_that_are_not_there_and_names_that_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the scenario"):
        recipe_of(str(tmp_path / "no.toml"))
    with pytest.raises(ConfigError, match="did you mean 'products'"):
        recipe_of("product")


@pytest.mark.parametrize("name", scenarios.available())
def test_a_copy_is_the_same_recipe_with_its_comments(tmp_path: Path, name: str) -> None:
    path = write_copy(name, tmp_path / "my.toml")
    assert Recipe.load(path) == Recipe.named(name)
    assert path.read_text(encoding="utf-8").endswith(text_of(name))
    assert tomllib.loads(path.read_text(encoding="utf-8")) == tomllib.loads(text_of(name))


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already"):
        write_copy("products", tmp_path / "my.toml")
    assert (tmp_path / "my.toml").read_text(encoding="utf-8") == "mine"
    with pytest.raises(ConfigError, match="unknown scenario"):
        write_copy("nothing", tmp_path / "other.toml")
    assert not (tmp_path / "other.toml").exists()
