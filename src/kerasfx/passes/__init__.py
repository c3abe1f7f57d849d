"""Passes: functions `Graph -> changed`, one file each, and the patterns that they are written with.

    from kerasfx.passes import any_, op

    def gelu_by_tanh(graph):
        changed = False
        for graph, found in op.gelu(any_("x"), approximate=False).find(graph):
            ...
        return changed

    kerasfx.prepare_model(model, passes=[gelu_by_tanh])

`docs/writing_a_pass.md` shows three of them in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from kerasfx.errors import PassError, describe
from kerasfx.ir import Graph
from kerasfx.ir.match import Functions, Match, Pattern, any_, constant, either, layer, parameter
from kerasfx.passes.legalize.ask_fewer_sizes import ask_fewer_sizes
from kerasfx.passes.lower.use_standard_layers import use_standard_layers

__all__ = [
    "DEFAULT",
    "Match",
    "Pass",
    "Pattern",
    "any_",
    "ask_fewer_sizes",
    "constant",
    "either",
    "layer",
    "op",
    "parameter",
    "run",
    "use_standard_layers",
]

Pass = Callable[[Graph], bool]
"""It edits a graph and returns whether it changed anything."""

DEFAULT: list[Pass] = [use_standard_layers, ask_fewer_sizes]
"""What `prepare_model` runs on every graph, after the passes that it is given; the list may be edited."""

op = Functions("keras.ops", keras.ops)
"""Patterns of the functions of `keras.ops`: `op.add(any_("x"), 1.0)`."""


def run(graph: Graph, passes: Sequence[Pass] | None = None) -> list[str]:
    """Run passes on a graph, one after the other, and check it after each.

    Args:
        graph: The graph, which is edited.
        passes: What to run; `DEFAULT` by default.

    Returns:
        The names of those that changed it.

    Raises:
        PassError: One is no function, or does not say whether it changed the graph. What a pass raises
            itself, and the GraphError for a graph that it broke, has a note that names the pass.
    """
    changed = []
    for each in DEFAULT if passes is None else passes:
        require_pass(each)
        try:
            if _said(each, each(graph)):
                changed.append(name_of(each))
            graph.check()
        except Exception as error:
            error.add_note(f"  pass:  {name_of(each)} ({place_of(each)}), on the graph of '{graph.name}'")
            raise
    return changed


def require_pass(each: object) -> None:
    """Refuse what is no pass.

    Raises:
        PassError: It cannot be called.
    """
    if not callable(each):
        what = f"A pass is a function of a graph, not {each!r} of type {type(each).__name__}."
        raise PassError(
            describe(what, hint="passes=[my_pass], where `def my_pass(graph): ... return changed`")
        )


def name_of(each: Pass) -> str:
    """The name by which messages call a pass."""
    return getattr(each, "__name__", None) or type(each).__name__


def place_of(each: Pass) -> str:
    """The file and line of a pass, or its module."""
    code = getattr(each, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else type(each).__module__


def _said(each: Pass, answer: object) -> bool:
    if isinstance(answer, bool):
        return answer
    raise PassError(
        describe(
            f"The pass {name_of(each)} returned {answer!r}, and not whether it changed the graph.",
            hint="return True where it did and False where it did not",
        )
    )
