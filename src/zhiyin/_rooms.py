"""Open rooms: a folder that lists itself from its files, without importing them.

One file is one component: the stem is its name (`item_knn`), the class is the stem without underscores, in any capitals
(`ItemKNN`). Files that start with an underscore, and `base.py`, are the room's own furniture.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zhiyin.errors import ConfigError, unknown


class Room:
    """The contents of one open room."""

    def __init__(self, package: str, noun: str) -> None:
        self.package, self.noun = package, noun

    def available(self) -> tuple[str, ...]:
        """The names of all components of the room, sorted; imports none of them."""
        folder = Path(str(sys.modules[self.package].__file__)).parent
        stems = (file.stem for file in folder.glob("*.py"))
        return tuple(sorted(stem for stem in stems if stem != "base" and not stem.startswith("_")))

    def get(self, name: str) -> Any:
        """The class called `name`: a file of this room, or `package.module:Class` for somebody else's.

        Raises:
            ConfigError: nothing of that name is here (the message names the nearest), or it is nothing for this room.
        """
        if ":" in name:
            return self._foreign(name)
        if name not in self.available():
            raise ConfigError(unknown(self.noun, name, self.available()))
        return self._class_in(name)

    def _foreign(self, path: str) -> Any:
        module, _, attribute = path.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"cannot load {self.noun} {path!r}: {error}; write it as package.module:Class") from error
        if not isinstance(found, type) or getattr(found, "room", None) != self.package:
            base = f"{self.package}.base"
            raise ConfigError(f"{path!r} is no {self.noun}: a class that derives from the one in {base} is expected")
        return found

    def _class_in(self, stem: str) -> Any:
        module = importlib.import_module(f"{self.package}.{stem}")
        wanted = stem.replace("_", "")
        for name, value in vars(module).items():
            if name.lower() == wanted and isinstance(value, type):
                return value
        raise ConfigError(f"{self.package}.{stem} holds no class named {wanted!r} (in any capitals)")

    def attribute(self, name: str) -> Any:
        """The class of that attribute name, imported on first touch (`models.EASE` -> models/ease.py)."""
        if name[:1].isupper():
            for stem in self.available():
                if stem.replace("_", "") == name.lower():
                    found = self._class_in(stem)
                    if found.__name__ == name:
                        return found
        raise AttributeError(f"module {self.package!r} has no attribute {name!r}")


def open_room(
    package: str, noun: str
) -> tuple[Callable[[], tuple[str, ...]], Callable[[str], Any], Callable[[str], Any]]:
    """Return `available`, `get` and `__getattr__` for the package of an open room."""
    room = Room(package, noun)
    return room.available, room.get, room.attribute


# ---------------------------------------------------------------------- type stubs of the lazy names

OPEN = (
    "zhiyin.models",
    "zhiyin.encoders",
    "zhiyin.semantic_ids",
    "zhiyin.metrics",
    "zhiyin.splitting",
    "zhiyin.data.steps",
    "zhiyin.ranking.features",
    "zhiyin.ranking.rankers",
    "zhiyin.ranking.rerankers",
    "zhiyin.ranking.uplift",
)
"""The open rooms whose lazy names get a type stub."""


def stub(package: str) -> str:
    """The type stub of an open room, read from its files without importing them."""
    folder = Path(str(importlib.import_module(package).__file__)).parent
    room = Room(package, "component")
    lines = ["# Written by `make stubs`; edit the files of the room instead.", "from typing import Any", ""]
    for stem in room.available():
        name = _class_name(folder / f"{stem}.py", stem)
        lines.append(f"from {package}.{stem} import {name} as {name}")
    lines += ["", "def available() -> tuple[str, ...]: ...", "def get(name: str) -> Any: ..."]
    return "\n".join([*lines, *_own_names(folder / "__init__.py")]) + "\n"


def _class_name(file: Path, stem: str) -> str:
    import ast

    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.lower() == stem.replace("_", ""):
            return node.name
    raise ConfigError(f"{file.name} holds no class named {stem.replace('_', '')!r} (in any capitals)")


def _own_names(file: Path) -> list[str]:
    """Public functions and constants of the room's own `__init__.py`, with the imports that their types need."""
    import ast

    imports, names = [], []
    nodes = [part for node in ast.parse(file.read_text(encoding="utf-8")).body for part in _parts(node)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module not in {"__future__", "typing", "zhiyin._rooms"}:
            imports.append(ast.unparse(node))
        elif isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
            names.append(f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            returns = ast.unparse(node.returns) if node.returns else "Any"
            names.append(f"def {node.name}({ast.unparse(node.args)}) -> {returns}: ...")
    return imports + names if names else []


def _parts(node: Any) -> list[Any]:
    """The statement, or those inside `if TYPE_CHECKING:`."""
    import ast

    return list(node.body) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" else [node]


def stub_file(package: str) -> Path:
    """Where the stub of a room is kept."""
    return Path(str(importlib.import_module(package).__file__)).with_suffix(".pyi")


if __name__ == "__main__":
    for each in OPEN:
        stub_file(each).write_text(stub(each), encoding="utf-8")
