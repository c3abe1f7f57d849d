"""The rooms of the house: which module may import which."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import kerasfx

pytestmark = pytest.mark.once

SOURCES = Path(kerasfx.__file__).parent
FACE = "kerasfx"
"""The package itself, which imports what is public and is imported by nobody."""


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(SOURCES.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES.rglob("*.py")}


def imports_of(module: str) -> set[str]:
    """The modules that a module imports anywhere, in functions and for type checkers as well."""
    return set(_imported(ast.parse(MODULES[module].read_text())))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def circles(edges: dict[str, set[str]] | None = None) -> list[set[str]]:
    """The sets of modules that import each other, by what each one reaches."""
    edges = edges or {name: imports_of(name) & MODULES.keys() for name in MODULES}
    reached = {name: _reached(name, edges) for name in edges}
    found = {frozenset(b for b in reached[a] if a in reached[b]) | {a} for a in edges if a in reached[a]}
    return [set(circle) for circle in found]


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    waiting, seen = list(edges[start]), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(edges[name])
    return seen


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("kerasfx.ir")))
def test_the_graph_needs_neither_keras_nor_a_backend(module):
    packages = {name.partition(".")[0] for name in imports_of(module)}
    assert packages.isdisjoint({"keras", "tensorflow", "jax", "torch", "ml_dtypes"})


def test_no_public_function_hides_a_module():
    # `import kerasfx.tracing.session as s` asks the package for `tracing`, which has to be the room.
    names = {name for name in kerasfx.__all__ if not isinstance(getattr(kerasfx, name), ModuleType)}
    assert {f"{FACE}.{name}" for name in names}.isdisjoint(MODULES)


def test_no_module_imports_itself_by_a_way_round():
    assert circles() == []


def test_a_circle_would_be_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert circles(edges) == [{"a", "b", "c"}]


ROOMS = (
    *("version", "errors", "ir", "keras_api", "runtime", "progress", "reporting", "inputs", "passes"),
    *("tracing", "handover", "comparing", "emitting", "prepare", "weights", "aimet"),
    *("source_code", "viewing", "cli", "__main__"),
)
"""From the ground up: a room knows those before it alone."""


def room_of(module: str) -> str:
    """The folder or the single file below the package that a module is in."""
    return module.split(".")[1]


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m != FACE))
def test_a_room_knows_those_below_it_alone(module):
    known = {room_of(name) for name in imports_of(module) & MODULES.keys() - {FACE}}
    assert known <= set(ROOMS[: ROOMS.index(room_of(module)) + 1])


def test_nobody_knows_the_face():
    assert [name for name in MODULES if FACE in imports_of(name)] == []


def test_modules_are_named_where_they_are_imported():
    """`importlib` would hide a circle: below the face it loads modules of the backends alone."""
    for path in (path for name, path in MODULES.items() if name != FACE):
        loaded = [
            argument
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func)
            for argument in map(ast.unparse, node.args)
        ]
        assert not [x for x in loaded if "kerasfx" in x or "__name__" in x or "__package__" in x], path


def test_parameters_have_types():
    # `benchmarks/house.py` prints the share of each room.
    functions = [n for m in MODULES.values() for n in ast.walk(ast.parse(m.read_text())) if is_function(n)]
    given = [a for f in functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
    said = [ast.unparse(a.annotation) for a in given if a.annotation]
    assert said.count("Any") < 0.15 * len(said)


def is_function(node: ast.AST) -> bool:
    """Whether a node defines a function."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
