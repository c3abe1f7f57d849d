"""Which layers and variables of two models belong together: recorded, or read off their graphs.

A model that was saved and loaded, or cloned, has no provenance. It still is the graph that preparing the
original gives, so the caller prepares the original again and the two graphs are walked side by side. Names
play no part in it: automatic ones differ between processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from kerasfx.errors import WeightsMismatchError, describe
from kerasfx.handover.computed import ComputedWeight
from kerasfx.handover.copying import corresponding
from kerasfx.handover.provenance import VariablePair, provenance_of
from kerasfx.keras_api import internals
from kerasfx.keras_api.builtins import is_builtin
from kerasfx.runtime.layers import AddLoss, Constant, Op

LayerPair = tuple[keras.layers.Layer, keras.layers.Layer]


@dataclass(frozen=True)
class Correspondence:
    """What belongs together in two models.

    Attributes:
        layers: Pairs of layers that the same code made.
        variables: Pairs of variables that are in no such layers: weights used by ops, states of seeds.
        computed: Variables of the second that are computed from variables of the first.
        computed_back: Variables of the first that are computed from variables of the second.
    """

    layers: tuple[LayerPair, ...]
    variables: tuple[VariablePair, ...] = ()
    computed: tuple[ComputedWeight, ...] = ()
    computed_back: tuple[ComputedWeight, ...] = ()

    def reversed(self) -> Correspondence:
        """The same, seen from the other model."""
        layers = tuple((y, x) for x, y in self.layers)
        variables = tuple((w, v) for v, w in self.variables)
        return Correspondence(layers, variables, self.computed_back, self.computed)


def recorded(a: keras.Layer, b: keras.Layer) -> Correspondence | None:
    """What of `a` is what of `b`, if one was prepared from the other in this process."""
    if _original_of(b) is a:
        return _recorded(b)
    return _recorded(a).reversed() if _original_of(a) is b else None


def read_off_graphs(
    a: keras.Layer, flat_a: keras.Model, b: keras.Layer, flat_b: keras.Model
) -> Correspondence:
    """What of `a` is what of `b`, each an original or a model prepared from it, loaded or cloned as well.

    Args:
        a: A model.
        flat_a: `a` itself if it is flat, or what was prepared from it.
        b: Another.
        flat_b: The same of `b`.

    Raises:
        WeightsMismatchError: The models are not prepared from models of the same code.
    """
    found = _by_variable_in_new_layers(_layers_side_by_side(flat_a, flat_b), flat_a, flat_b)
    if flat_a is not a:
        found = _from_original(flat_a, found)
    return found if flat_b is b else _from_original(flat_b, found.reversed()).reversed()


def _by_variable_in_new_layers(pairs: list[LayerPair], *models: keras.Model) -> Correspondence:
    """Pairs of layers; of those that a pass has made, pairs of their variables.

    With shared weights such a layer holds the variables of the original, whose names are other.
    """
    # Of two models that were loaded neither has a record; their new layers are alike.
    known = [record for record in map(provenance_of, models) if record]
    new = {id(layer) for record in known for layer, _ in record.new_layers}
    apart = [(x, y) for x, y in pairs if {id(x), id(y)} & new]
    for x, y in apart:
        if len(x.variables) != len(y.variables):
            raise _changed(x if len(x.variables) > len(y.variables) else y)
    return Correspondence(
        tuple((x, y) for x, y in pairs if not {id(x), id(y)} & new),
        tuple(p for x, y in apart for p in zip(x.variables, y.variables, strict=True)),
    )


def _original_of(model: keras.layers.Layer) -> keras.layers.Layer | None:
    known = provenance_of(model)
    return known.original if known else None


def _recorded(prepared: keras.layers.Layer) -> Correspondence:
    """What of the original became what of `prepared`; layers first, for they may have changed since."""
    known = provenance_of(prepared)
    assert known is not None
    for layer, variables in known.new_layers:
        if {id(v) for v in layer.variables} != set(map(id, variables)):
            raise _changed(layer)
    inside = {id(w) for _, y in known.layers for w in y.variables}
    own = {id(w) for w in prepared.variables if id(w) not in inside}
    pairs = tuple(p for p in known.variables if id(p[1]) in own)
    return Correspondence(tuple(known.layers), pairs, tuple(known.computed))


def _from_original(prepared: keras.layers.Layer, found: Correspondence) -> Correspondence:
    """`found`, which begins at `prepared`, beginning at the original of `prepared`."""
    known = _recorded(prepared)
    layers = {id(y): x for x, y in known.layers}
    variables = {id(w): v for v, w in known.variables}
    computed = {id(weight.variable): weight for weight in known.computed}
    # What is no layer of the original goes by variable.
    rest = [pair for x, y in found.layers if id(x) not in layers for pair in corresponding(x, y)]
    pairs = (*rest, *found.variables)
    return Correspondence(
        tuple((layers[id(x)], y) for x, y in found.layers if id(x) in layers),
        tuple((variables[id(v)], w) for v, w in pairs if id(v) in variables),
        tuple(computed[id(v)].now_in(w) for v, w in pairs if id(v) in computed),
        found.computed_back,
    )


def _layers_side_by_side(a: keras.Model, b: keras.Model) -> list[LayerPair]:
    """The pairs of layers with variables that stand at the same places of two Functional models."""
    if len(a.outputs) != len(b.outputs):
        raise _differ(a, b, f"they have {len(a.outputs)} and {len(b.outputs)} outputs")
    # Both ways: a layer that is called twice must not meet two layers, nor two meet one.
    there: dict[int, keras.layers.Layer] = {}
    back: dict[int, keras.layers.Layer] = {}
    pairs: list[LayerPair] = []
    for x, y in _calls_side_by_side(a, b):
        if id(x) not in there and id(y) not in back and getattr(x, "variables", ()):
            pairs.append((x, y))
        if there.setdefault(id(x), y) is not y or back.setdefault(id(y), x) is not x:
            raise _differ(a, b, f"{_shown(x)} and {_shown(y)} stand at one place together, elsewhere apart")
    return pairs[::-1]  # inputs first


def _calls_side_by_side(a: keras.Model, b: keras.Model) -> Iterator[LayerPair]:
    """The pairs of operations that the outputs of two models come from, call by call."""
    seen: set[tuple[int, int]] = set()
    waiting = list(zip(a.outputs, b.outputs, strict=True))
    while waiting:
        ours, theirs = waiting.pop()
        if (id(ours), id(theirs)) in seen:
            continue
        seen.add((id(ours), id(theirs)))
        x, y = internals.call_that_made(ours), internals.call_that_made(theirs)
        forms = [(type(c.operation), c.result, len(c.inputs)) for c in (x, y)]
        has_form = forms[0] == forms[1]
        if not has_form or not _is_set_alike(x.operation, y.operation):
            what = f"{_shown(x.operation)} stands where '{b.name}' has {_shown(y.operation)}"
            raise _differ(a, b, f"{what}, which has other settings" if has_form else what)
        yield x.operation, y.operation
        waiting.extend(zip(x.inputs, y.inputs, strict=True))


ASKED = {
    Op: ("op", "arguments", "small_constants"),
    # A large one is among the weights, and a clone has zeros there.
    Constant: ("held",),
    AddLoss: ("when",),
}
"""Which settings of our own layers say what they compute; no others do."""

OF_ONE_LAYER = (
    "name",
    "module",
    "registered_name",
    "trainable",
    "dtype",
    "seed",
    "build_config",
    "compile_config",
    "shared_object_id",
    "batch_shape",
    "query_shape",
    "key_shape",
    "value_shape",
    "input_layers",
    "output_layers",
    "inbound_nodes",
)
"""Entries of a config in which layers of two models differ that are one layer of the code."""

OF_WEIGHTS = ("initializer", "regularizer", "constraint")
"""Ends of the names of such entries."""

OF_CHANGED_LAYERS = ("lora", "quantization", "gptq", "awq")
"""Beginnings of the names of such entries: LoRA deltas, and what comes with quantized weights."""


def _is_set_alike(x: keras.Operation, y: keras.Operation) -> bool:
    """Whether two operations of one class do the same with their inputs and weights.

    A pass may leave a graph in its form and compute other things. What has a class of the user's is not
    asked: no pass makes such, and its config may be anything.
    """
    # Refused later, with the names of the weights.
    ours, theirs = _shapes(x), _shapes(y)
    if ours and theirs and ours != theirs:
        return True
    for cls, asked in ASKED.items():
        if isinstance(x, cls):
            return all(_plain(getattr(x, key)) == _plain(getattr(y, key)) for key in asked)
    is_ours = internals.module_of(type(x)).startswith("kerasfx.")
    if is_ours or not isinstance(x, internals.Layer) or not isinstance(y, internals.Layer):
        return True
    if not is_builtin(type(x)) or isinstance(x, keras.layers.InputLayer):
        return True
    try:
        return _without_what_may_differ(x.get_config()) == _without_what_may_differ(y.get_config())
    except Exception:  # a layer of the user's inside may have no config
        return True


def _shapes(operation: keras.Operation) -> list[tuple[int, ...]] | None:
    """The shapes of its weights; None for one with LoRA deltas or quantized weights."""
    is_changed = getattr(operation, "lora_enabled", False) or getattr(operation, "quantization_mode", None)
    return None if is_changed else [tuple(v.shape) for v in getattr(operation, "variables", ())]


def _without_what_may_differ(config: object) -> object:
    """A config, or a part of one, without the entries that may differ."""
    if isinstance(config, dict):
        return {key: _without_what_may_differ(x) for key, x in config.items() if not _may_differ(str(key))}
    if isinstance(config, (list, tuple)):
        return [_without_what_may_differ(x) for x in config]
    return _plain(config)


def _plain(x: object) -> object:
    """A part of a config as a file has it; of what no file has, its kind alone."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(value) for value in x]
    if isinstance(x, (np.ndarray, np.generic)):
        return x.tolist()
    # NaN is not even equal to itself.
    is_number = isinstance(x, (int, float)) and x == x
    return x if x is None or isinstance(x, str) or is_number else type(x).__name__


def _may_differ(key: str) -> bool:
    return key in OF_ONE_LAYER or key.endswith(OF_WEIGHTS) or key.startswith(OF_CHANGED_LAYERS)


def _changed(layer: keras.layers.Layer) -> WeightsMismatchError:
    return WeightsMismatchError(
        describe(
            f"{type(layer).__name__} '{layer.name}' has other variables than when it was made; nothing was "
            "copied.",
            why="a pass put it where the original has functions or other layers, which take no LoRA deltas "
            "and no quantized weights",
            hint="copy before such changes",
        )
    )


def _shown(operation: keras.Operation) -> str:
    return f"{type(operation).__name__} '{operation.name}'"


def _differ(a: keras.Model, b: keras.Model, why: str) -> WeightsMismatchError:
    return WeightsMismatchError(
        describe(
            f"'{a.name}' and '{b.name}' are not the same graph, and nothing was copied.",
            why=why,
            hint="if the model was prepared with options (leaves=, hints=, passes=, Inputs(...)), prepare "
            "the original with the same options, copy to or from that, and between that and the original "
            '(with weights="share" they are one)',
        )
    )
