"""Figures of the source itself: types, comments, sizes of files and functions, who knows whom.

python benchmarks/house.py                        prints a Markdown table; needs nothing but Python
"""

import ast
import statistics
import tokenize
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src" / "kerasfx"


def parameters(tree: ast.AST) -> Iterator[ast.arg]:
    """The parameters of every function, but not `self` and `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            yield from (x for x in named if x is not None and x.arg not in ("self", "cls"))


def is_any(parameter: ast.arg) -> bool:
    """Whether it is annotated as `Any` and nothing else."""
    return parameter.annotation is not None and ast.unparse(parameter.annotation) == "Any"


def comment_lines(path: Path) -> int:
    """The lines with a comment, those for tools left out."""
    with tokenize.open(path) as file:
        comments = [t for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.COMMENT]
    return sum(not t.string.startswith(("# pyright", "# noqa", "# type")) for t in comments)


def function_lengths(tree: ast.AST) -> Iterator[int]:
    """The lines of every function, its docstring left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            yield (node.end_lineno or 0) - node.lineno + 1 - len((docstring or "").split("\n"))


def row(name: str, files: list[Path]) -> str:
    """One line of the table."""
    trees = [ast.parse(file.read_text()) for file in files]
    lines = [len(file.read_text().splitlines()) for file in files]
    found = [x for tree in trees for x in parameters(tree)]
    lengths = sorted(n for tree in trees for n in function_lengths(tree))
    cells = (
        name,
        len(files),
        sum(lines),
        max(lines),
        f"{100 * sum(map(is_any, found)) / max(1, len(found)):.1f}",
        f"{100 * sum(map(comment_lines, files)) / max(1, sum(lines)):.1f}",
        f"{statistics.median(lengths):.0f}" if lengths else "-",
        lengths[-1] if lengths else "-",
    )
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print a line for each room and one for all."""
    files = sorted(SOURCES.rglob("*.py"))
    rooms: dict[str, list[Path]] = {}
    for file in files:
        parts = file.relative_to(SOURCES).parts
        rooms.setdefault(f"{parts[0]}/" if len(parts) > 1 else "at the top", []).append(file)
    print("| room | files | lines | longest file | bare `Any`, % | comments, % | median function | longest |")
    print("|---|---|---|---|---|---|---|---|")
    for name, of_room in sorted(rooms.items()):
        print(row(name, of_room))
    print(row("all", files))


if __name__ == "__main__":
    main()
