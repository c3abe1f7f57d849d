"""Passes: functions `Graph -> changed`, one file each, and the patterns that they are written with.

    from kerasfx.passes import any_, op, rewrite

    def exp_of_log(graph):
        return rewrite(graph, op.exp(op.log(any_("x"))), lambda graph, found: ...)

    kerasfx.prepare_model(model, passes=[exp_of_log])

`docs/writing_a_pass.md` shows three of them in full.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kerasfx.errors import GraphError, PassError, describe
from kerasfx.ir import Graph, Node, Value
from kerasfx.ir.dims import Question, decisions_go_to
from kerasfx.ir.match import Match, Pattern, any_, constant, either, layer, parameter
from kerasfx.ir.program import TakenBefore
from kerasfx.ir.structure import shown
from kerasfx.keras_api.builtins import is_builtin
from kerasfx.keras_api.internals import all_layers, state_but_seeds
from kerasfx.passes.clean_up.fold_constants import fold_constants
from kerasfx.passes.clean_up.join_casts import join_casts
from kerasfx.passes.clean_up.join_reshapes import join_reshapes
from kerasfx.passes.clean_up.join_transposes import join_transposes
from kerasfx.passes.clean_up.merge_equal import merge_equal
from kerasfx.passes.clean_up.remove_identities import remove_identities
from kerasfx.passes.clean_up.remove_unused import remove_unused
from kerasfx.passes.legalize.ask_fewer_sizes import ask_fewer_sizes
from kerasfx.passes.legalize.split_activations import split_activations
from kerasfx.passes.lower.rule import Lowering
from kerasfx.passes.lower.to_activations import to_activations
from kerasfx.passes.lower.to_convolution import to_convolution
from kerasfx.passes.lower.to_dense import to_dense
from kerasfx.passes.lower.to_dropout import to_dropout
from kerasfx.passes.lower.to_einsum_dense import to_einsum_dense
from kerasfx.passes.lower.to_embedding import to_embedding
from kerasfx.passes.lower.to_merges import to_merges
from kerasfx.passes.lower.to_normalizations import to_normalizations
from kerasfx.passes.lower.to_pooling import to_pooling
from kerasfx.passes.lower.to_rescaling import to_rescaling
from kerasfx.passes.lower.to_reshapes import to_reshapes
from kerasfx.passes.lower.to_resizing import to_resizing
from kerasfx.passes.lower.to_tokens import to_tokens
from kerasfx.passes.lower.use_standard_layers import use_standard_layers
from kerasfx.passes.notes import InsteadOf, Watch
from kerasfx.passes.patterns import op
from kerasfx.progress import begins, logs, step

__all__ = [
    "CLEAN_UP",
    "DEFAULT",
    "LOWERING",
    "MERGE",
    "Match",
    "Pass",
    "Pattern",
    "any_",
    "ask_fewer_sizes",
    "constant",
    "either",
    "fold_constants",
    "join_casts",
    "join_reshapes",
    "join_transposes",
    "layer",
    "merge_equal",
    "op",
    "parameter",
    "remove_identities",
    "remove_unused",
    "rewrite",
    "run",
    "split_activations",
    "to_activations",
    "to_convolution",
    "to_dense",
    "to_dropout",
    "to_einsum_dense",
    "to_embedding",
    "to_merges",
    "to_normalizations",
    "to_pooling",
    "to_rescaling",
    "to_reshapes",
    "to_resizing",
    "to_tokens",
    "use_standard_layers",
]

Pass = Callable[[Graph], bool]
"""It edits a graph and returns whether it changed anything."""

CLEAN_UP: list[Pass] = [fold_constants, join_casts, join_reshapes, join_transposes, remove_identities]
"""Shorten the graph in front of the lowering, whose patterns then meet one form of each thing.

What is joined may come to be an identity, so that those go last. Casts around a norm stay: between the one to
float32 and the one back lies what the norm computes.
"""

MERGE: list[Pass] = [merge_equal, remove_unused]
"""Behind the lowering: a pattern whose inside is used twice is not one that a layer can take the place of."""

LOWERING: list[Pass] = [
    to_dropout,
    to_embedding,
    to_dense,
    to_einsum_dense,
    to_convolution,
    to_normalizations,
    to_activations,
    to_merges,
    to_rescaling,
    to_pooling,
    to_resizing,
    to_reshapes,
    to_tokens,
    use_standard_layers,
]
"""Put built-in layers where functions stood, in this order; `prepare_model(lower=False)` leaves them out."""

DEFAULT: list[Pass] = [*CLEAN_UP, *LOWERING, *MERGE, ask_fewer_sizes]
"""What `prepare_model` runs on every graph, after the passes that it is given; the list may be edited."""

LOWER = (True, False, "fast")
"""The values of `lower`."""


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
    chosen = DEFAULT if passes is None else passes
    require_passes(chosen)
    return _run(graph, chosen, is_ours=passes is None)


def _run(graph: Graph, chosen: Sequence[Pass], is_ours: bool) -> list[str]:
    if TakenBefore not in graph.meta:
        layers = frozenset(map(id, graph.called_layers()))
        graph.meta[TakenBefore] = TakenBefore(frozenset(graph.variables_taken()), layers)
    changed = []
    begins("passes", "passes", len(chosen))
    watch = Watch(graph)
    for each in chosen:
        step()
        try:
            # Ours are known to ask for no number of a free size that matters.
            answer = each(graph) if is_ours else _of_user(each, graph)
            is_known = str(each.__module__).startswith(__name__)
            if _said(each, answer):
                changed.append(name_of(each))
                logs.passes.info("%s changed %s", name_of(each), repr(graph))
            # Ours are tested to tell the truth. Others may edit a graph and say that they did not.
            elif is_known:
                continue
            watch.note(name_of(each), is_ours or is_known)
            # Within the `try`: a graph that is broken is the fault of the pass as well.
            graph.check()
        except Exception as error:
            error.add_note(f"  pass:  {name_of(each)} ({place_of(each)}), on the graph of '{graph.name}'")
            raise
    return changed


def _of_user(each: Pass, graph: Graph) -> bool:
    """What a pass of the user's says; it may neither ask for free sizes nor change the layers themselves."""
    layers = graph.called_layers()
    before = list(map(_config_text, layers))
    with decisions_go_to(_no_number):
        answer = each(graph)
    for found, text in zip(layers, before, strict=True):
        if _config_text(found) != text:
            raise GraphError(
                describe(
                    f"The layer '{found.name}' of the original was changed.",
                    why="a pass edits the graph; what is set on node.layer is set in the model itself, and "
                    "the result would be compared with what it has become",
                    hint='put another layer there: graph.replace(node, graph.make("keras.layers...", x, '
                    "weights={...}, like=node)), and set the original back",
                )
            )
    return answer


def _config_text(of: keras.layers.Layer) -> str:
    """The config of a layer of Keras as text, to see whether it changes; "" where that would say nothing."""
    if not is_builtin(type(of)):
        return ""
    try:
        text = repr(of.get_config())
    except Exception:  # of a cell or layer of the user's inside
        return ""
    # An object of the user's may be made anew at each request.
    return "" if " at 0x" in text else text


def _no_number(question: Question) -> None:
    raise GraphError(
        describe(
            f"A pass asks for a size that is free: {question}.",
            why="the answer for the sizes of an example may be wrong for others, and nothing would check it",
            hint="ask isinstance(size, int) first, or size.same_as(other) whether two are one; leave the "
            "node alone where the size is free",
        )
    )


def rewrite(graph: Graph, pattern: Pattern, build: Callable[[Graph, Match], Node | Value | None]) -> bool:
    """Replace what a pattern finds, in bodies of control flow too; returns whether anything was.

    Args:
        graph: The graph, which is edited.
        pattern: What to look for.
        build: `build(graph, found)` gives the node that replaces `found.root`, or the Value that its uses
            take from then on, or None to leave it. Nodes that it needs besides it inserts itself:
            `graph.insert_before(found.root, node)`. What lies inside of the pattern is removed where nothing
            uses it any more.

    Raises:
        GraphError: A node cannot replace what was found; the message says what is lost or added.
    """
    changed = False
    for place, found in pattern.find(graph):
        new = build(place, found)
        if new is not None:
            note = InsteadOf.of(found.nodes)
            _put(place, found.root, new)
            if isinstance(new, Node):
                new.meta[InsteadOf] = note
            changed = True
            # From the outside in: what is removed frees what it took.
            for node in found.nodes[1:]:
                if not any(v.users or v.is_output for v in node.results):
                    place.remove(node)
    return changed


def _put(graph: Graph, root: Node, new: object) -> None:
    if isinstance(new, Node):
        graph.replace(root, new)
    elif isinstance(new, Value) and isinstance(root.outputs, Value):
        graph.replace_uses(root.outputs, new)
        graph.remove(root)
    else:
        raise GraphError(
            describe(
                f"'{root.name}' cannot be replaced by {shown(new)}.",
                hint="return a node of graph.make, the one Value that takes the place of its result, or None",
            )
        )


def run_default(
    graph: Graph,
    lower: bool | str,
    original: keras.layers.Layer,
    shares: bool = False,
    opened: Mapping[str, str] | None = None,
) -> None:
    """Run `DEFAULT`, or what of it is no lowering.

    Args:
        graph: The graph, which is edited.
        lower: One of `LOWER`. With "fast" rules are applied, too, that may change the last bit.
        original: What the graph was traced from.
        shares: Whether the result takes the variables of the original, none of them rearranged.
        opened: The class of each layer that was opened, by its path, if the user asked for any.
    """
    states = frozenset(id(v) for part in all_layers(original) for v in state_but_seeds(part))
    graph.meta[Lowering] = Lowering(lower == "fast", shares, states, opened or {})
    skipped = () if lower else LOWERING
    _run(graph, [p for p in DEFAULT if p not in skipped], is_ours=True)


def require_passes(passes: object) -> None:
    """Refuse what is no list of passes.

    Raises:
        PassError: It is no list or tuple, or one of its entries cannot be called with a graph.
    """
    if not isinstance(passes, (list, tuple)):
        raise _no_pass(f"passes= takes a list of functions, not {passes!r} of type {type(passes).__name__}.")
    for each in passes:
        if not callable(each):
            raise _no_pass(f"A pass is a function of a graph, not {each!r} of type {type(each).__name__}.")
        misfit = _takes_something_else(each)
        if misfit:
            raise _no_pass(f"A pass is called with the graph alone, and {misfit} cannot be.")


def _takes_something_else(each: Any) -> str:
    """A pass with its signature, where that does not fit; "" where it does."""
    try:
        signature = inspect.signature(each)
    # Functions written in C have none.
    except ValueError:
        return ""
    try:
        signature.bind(None)
    except TypeError:
        return f"{name_of(each)}{signature}"
    return ""


def _no_pass(what: str) -> PassError:
    return PassError(describe(what, hint="passes=[my_pass], where `def my_pass(graph): ... return changed`"))


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
