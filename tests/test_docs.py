"""The examples in the documents run, as one session per page."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zhiyin.cli.listing import ROOMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {"__name__": f"example_{page.stem}"}
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(compile(block, str(page), "exec"), session)


def test_every_component_has_a_page_that_says_how_to_list_it() -> None:
    spec = importlib.util.spec_from_file_location("site_components", ROOT / "docs" / "_components.py")
    assert spec is not None
    assert spec.loader is not None
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    assert {folder for folders in site.PAGES.values() for folder in folders} == set(site.ROOMS) == set(ROOMS)
    for folder, (package, _) in site.ROOMS.items():
        room = importlib.import_module(package)
        for name in room.available():
            assert f"zhiyin list {folder} {name}" in site.page(folder, name, room.get(name))


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists() and not (page.parent / os.path.normpath(target)).exists()
    ]
    assert not broken, broken


def test_the_readmes_are_in_step() -> None:
    """Both languages show the same commands, pictures and numbers."""
    english, chinese = (page.read_text(encoding="utf-8") for page in PAGES[:2])

    def facts(text: str) -> list[str]:
        plain = re.sub(r"!\[[^\]]*\]", "![]", text)
        return sorted(re.findall(r"`[^`\n]+`|!\[\]\([^)]+\)|\b\d+\.\d+\b", plain))

    assert facts(english) == facts(chinese)
    assert english.count("\n#") == chinese.count("\n#")


def test_the_numbers_in_the_documents_are_those_of_the_results() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
