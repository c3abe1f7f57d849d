"""Private names of Keras are in one room, each with what it is needed for."""

import ast
import functools
import re
from pathlib import Path

import pytest

import kerasfx

pytestmark = pytest.mark.once

SOURCES = Path(kerasfx.__file__).parent
ROOM = SOURCES / "keras_api"
TREES = {path: ast.parse(path.read_text()) for path in sorted(SOURCES.rglob("*.py"))}
OUTSIDE = [path for path in TREES if ROOM not in path.parents]

OF_PYTHON = {"_getframe"}
"""The private name of another library that everybody uses."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.isidentifier()


def own_names(tree: ast.AST) -> set[str]:
    """The names that a module gives to something: functions, classes, variables, attributes of `self`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found |= {node.attr} if is_self(node.value) else set()
    return found


@functools.cache
def names_of_ours() -> set[str]:
    return set().union(*map(own_names, TREES.values()))


def is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def borrowed(path: Path) -> set[str]:
    """The private attributes in a module that nobody in this package defines, as they are written there.

    On `self` they may be defined by any class of ours, elsewhere only by the module itself.
    """
    everywhere, here = names_of_ours(), own_names(TREES[path])
    return {
        ast.unparse(node)
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in OF_PYTHON
        if node.attr not in (everywhere if is_self(node.value) else here)
    }


def words_of(path: Path) -> set[str]:
    """The strings of a module but those that document something or are parts of others."""
    nodes = list(ast.walk(TREES[path]))
    documenting = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
    parts = {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
    constants = [n for n in nodes if isinstance(n, ast.Constant) and id(n) not in documenting | parts]
    return {n.value for n in constants if isinstance(n.value, str)}


@functools.cache
def documented(path: Path) -> set[str]:
    """The private names in the docstring of a module of the room."""
    text = ast.get_docstring(TREES[path]) or ""
    return set(re.findall(r"\b_[a-z]\w*", text))


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda p: str(p.relative_to(SOURCES)))
def test_no_private_name_of_keras_outside_of_its_room(path):
    """Neither its private package nor a private attribute, nor the name of one for `getattr` and its kin."""
    imported = {
        name
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
    }
    assert not [name for name in imported if name.startswith("keras.src")]
    assert not [word for word in words_of(path) if "keras.src" in word]
    assert borrowed(path) == set()
    of_keras = set().union(*(documented(p) for p in TREES if ROOM in p.parents))
    assert words_of(path) & of_keras == set()


@pytest.mark.parametrize("path", [p for p in TREES if ROOM in p.parents], ids=lambda p: p.name)
def test_each_private_name_in_the_room_says_what_for(path):
    """The docstring of the module names it."""
    used = {name.rpartition(".")[2] for name in borrowed(path)}
    assert used - documented(path) == set()


def test_the_rule_finds_what_it_should(tmp_path, monkeypatch):
    """A test that can fail: one line for each way to reach a private name."""
    lines = {
        "layer._losses": "layer._losses",
        "self.layer._tracker": "self.layer._tracker",
        "self._outputs_struct": "self._outputs_struct",
    }
    for line, expected in lines.items():
        path = tmp_path / "room.py"
        monkeypatch.setitem(TREES, path, ast.parse(line))
        assert borrowed(path) == {expected}
