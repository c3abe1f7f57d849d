"""The weights of a layer that a pass wants: what each one is, and what it brings along.

A weight of the original has more than a value: whether it is trained, a regularizer, a constraint. A file
keeps none of that with the variable, but in the config of the layer, and `trainable` for the whole layer
alone. So all of it is written into the config, and what no config can say is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasfx.emitting.making import Making
from kerasfx.errors import GraphError, describe
from kerasfx.handover import recorded
from kerasfx.handover.computed import ComputedWeight, array_of
from kerasfx.handover.copying import kind_called, kind_of, reachable
from kerasfx.handover.placement import assign_array, hand_over
from kerasfx.ir import Node, Value
from kerasfx.ir.targets import weights_by_name
from kerasfx.ir.weights import Computed, is_trained
from kerasfx.keras_api import internals
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.builtins import ELEMENTWISE, WEIGHT_KINDS, arguments_for
from kerasfx.keras_api.initial_values import Begun
from kerasfx.reporting import Finding

# What a weight brings along


def config_of(node: Node, cls: type, making: Making) -> dict[str, Any]:
    """What the weights of `node` say of the config of its layer, of class `cls`.

    Raises:
        GraphError: The config cannot say it, or the pass has said something else.
    """
    if not node.weights:
        return {}
    if issubclass(cls, keras.layers.Normalization):
        why = "it computes with numbers that it makes of its weights when it is adapted or loaded"
        raise _refusal(node, "they are not what the layer computes with", why, "leave it to functions")
    said = {**dict(_kept(node, cls, making)), **_trainable(node)}
    given = node.spec.config if node.spec else {}
    for key, value in said.items():
        if key in given and _plain(_read(given[key], key)) != _plain(value):
            raise _refusal(
                node,
                f"its config says {key}={_shown(given[key])}, but its weights say {_shown(value)}",
                "a weight keeps what it has in the original",
                f"leave {key} out of the config",
            )
    return said


def _kept(node: Node, cls: type, making: Making) -> Iterator[tuple[str, object]]:
    """Regularizers and constraints, by the arguments of `cls` that take them."""
    arguments = set(inspect.signature(cls).parameters)
    # Several weights may share an argument, such as the kernels of an attention.
    found: dict[str, object] = {}
    for name, value in node.weights.items():
        for kind in WEIGHT_KINDS:
            own = own_of(value, name, kind, node, making)
            key = next((k for k in arguments_for(name, kind) if k in arguments), None)
            if key is None and own is not None:
                hint = "leave the weight to functions, whose weights keep theirs"
                raise _refusal(node, f"{cls.__name__} can have no {kind} for '{name}'", "", hint)
            if key is not None and _plain(found.setdefault(key, own)) != _plain(own):
                why = f"{cls.__name__} has one {key} for all of them"
                raise _refusal(node, f"its weights have several kinds of {kind}", why, "make layers apart")
    return iter(found.items())


def own_of(value: Value, name: str, kind: str, node: Node, making: Making) -> object:
    """The regularizer or constraint that a weight, which `node` takes as `name`, has in the original.

    Raises:
        GraphError: It does not go along, because the weight is rearranged.
    """
    if not isinstance(value.producer, Computed):
        variable = value.variable
        if variable is None:
            return None
        called_with = [recorded.argument_of(variable)]
        return making.loadable(getattr(variable, kind), kind, called_with, node.path)
    expression = value.producer.expression
    found = [(v.variable, getattr(v.variable, kind)) for v in expression.parameters]
    given = [(v, x) for v, x in found if x is not None]
    if not given:
        return None
    if not expression.is_rearrangement:
        what = f"the {kind} of {given[0][0].path} is not that of '{name}', which is computed from it"
        making.tell([Finding("warning", node.path, f"{node.name}: {what}", node.source)])
        return None
    first = given[0][1]
    if not isinstance(first, ELEMENTWISE) or any(_plain(x) != _plain(first) for _, x in found):
        why = f"{type(first).__name__} asks where in the weight an element lies, and '{name}' is {expression}"
        raise _refusal(node, f"the {kind} of {given[0][0].path} does not go along", why, "")
    return first


def _read(given: object, key: str) -> object:
    """An entry of a config as the object that it stands for."""
    reader = {"regularizer": keras.regularizers.get, "constraint": keras.constraints.get}
    return reader.get(key.rpartition("_")[2], lambda x: x)(given)


def _shown(x: object) -> str:
    return repr(x) if x is None or isinstance(x, (bool, str)) else type(x).__name__


def _plain(x: object) -> object:
    """A regularizer or constraint as something that can be compared; other values are themselves."""
    if isinstance(x, keras.regularizers.Regularizer):
        return keras.regularizers.serialize(x)
    return keras.constraints.serialize(x) if isinstance(x, keras.constraints.Constraint) else x


# Whether it is trained


def _trainable(node: Node) -> dict[str, bool]:
    """`trainable` for the config of the layer, where its weights say something of it.

    Keras saves it for a whole layer: of a Dense whose bias alone is frozen, a file forgets that it is.
    """
    slots = (node.spec.slots if node.spec else None) or {}
    by_name = {name: is_trained(value) for name, value in node.weights.items()}
    # A pass may freeze a layer whose weights are frozen; `config_of` compares.
    if node.spec and node.spec.config.get("trainable") is False:
        return {"trainable": any(by_name.values())}
    moving = [name for name, trained in by_name.items() if trained and not slots[name].trainable]
    if moving:
        what = f"'{moving[0]}' is never trained by this layer, but {_what(node, moving[0])} is trained"
        raise _refusal(node, what, "", "leave the weight to functions")
    asked = {name: trained for name, trained in by_name.items() if slots[name].trainable}
    if len(set(asked.values())) > 1:
        named = [next(n for n, trained in asked.items() if trained is wanted) for wanted in (True, False)]
        raise _refusal(
            node,
            f"{_what(node, named[0])} is trained and {_what(node, named[1])} is not",
            f"as '{named[0]}' and '{named[1]}' of one layer they would both be trained once the model is "
            "saved and loaded, because Keras saves `trainable` for a whole layer",
            "let the pass leave such nodes as they are, or make two layers",
        )
    return {"trainable": all(asked.values())} if asked else {}


def _what(node: Node, name: str) -> str:
    value = node.weights[name]
    return value.variable.path if value.variable is not None else f"%{value.name}"


# What it is


def begun_for(node: Node, making: Making) -> Begun:
    """How the variables of the layer for `node` begin: as the variables of the original that it is given."""
    given = [(name, value.variable) for name, value in node.weights.items()]
    sources = [(kind_called(name, v), v) for name, v in given if v is not None]
    # Shared, they are put in the place of those that the layer makes.
    return Begun(kind_of, sources, kept=not making.share)


def give(layer: keras.layers.Layer, node: Node, making: Making, begun: Begun) -> None:
    """Give a layer that was built for `node` its weights, and note where they come from.

    Args:
        layer: The layer.
        node: The node.
        making: The model in the making.
        begun: Which weights have their values already.

    Raises:
        GraphError: It has others than the node says, as one whose `slots` were written by hand may.
    """
    slots: dict[str, keras.Variable] = weights_by_name(layer)
    if slots.keys() != node.weights.keys():
        has, given = (", ".join(names) or "none" for names in (slots, node.weights))
        why = "weights that nobody set are random numbers"
        raise _refusal(node, f"it has {has}; given are {given}", why, "make the node by graph.make")
    # Before any is written.
    held = [name for name, own in slots.items() if id(own) in making.of_original]
    if held:
        what = f"the layer has '{slots[held[0]].path}' of the original as its '{held[0]}'"
        raise _refusal(node, what, "writing to it would change the original", "")
    for name, value in node.weights.items():
        _give(layer, slots[name], value, making, begun)
        if making.share and _is_held(slots[name], layer):
            hint = 'weights="copy", or leave the weight to functions'
            raise _refusal(node, f"'{name}' cannot be put in the place of the layer's own", "", hint)
    if node.weights:
        making.record.new_layers.append((layer, list(layer.variables)))


def _is_held(own: keras.Variable, layer: keras.layers.Layer) -> bool:
    """Whether a layer still has `own` somewhere, in a list for one, where a shared variable should be."""
    if any(own is v for v in layer.variables):
        return False
    # It is not tracked any more; a list or a closure may hold it still.
    parts = internals.all_layers(layer)
    held = (x for part in parts for x in internals.attributes_of_class(part).values())
    return any(x is own for value in held for x in reachable(value))


def _give(layer: keras.layers.Layer, own: keras.Variable, value: Value, making: Making, begun: Begun) -> None:
    variable = value.variable
    if variable is None:
        compute(own, value, making)
    elif making.share:
        internals.put_in_place(layer, own, variable)
        making.record.variables.append((variable, variable))
    else:
        # The flag of the variable itself: the config said that of the layer.
        own.trainable = variable.trainable
        if not begun.has_value_of(own, variable):
            hand_over(own, variable)
        making.record.variables.append((variable, own))


def compute(own: keras.Variable, value: Value, making: Making) -> None:
    """Give a variable of the model what `value`, which is no variable of the original, is now."""
    assign_array(own, array_now(value))
    own.trainable = is_trained(value)
    if isinstance(value.producer, Computed) and value.producer.expression.parameters:
        making.record.computed.append(ComputedWeight.of(own, value.producer.expression))
    else:
        making.record.constants.append(own)


def array_now(value: Value) -> np.ndarray:
    """The array of a weight that is no variable of the original."""
    if isinstance(value.producer, Computed):
        return value.producer.expression.evaluate(lambda v: array_of(v, to_numpy))
    return array_of(value, to_numpy)


def require_shareable(values: list[Value]) -> None:
    """Refuse weights that are no variables of the original, where these are to be shared.

    Raises:
        ValueError: There is one.
    """
    computed = [(v, v.producer.expression) for v in values if isinstance(v.producer, Computed)]
    for value, expression in computed:
        raise ValueError(
            describe(
                f'weights="share" is not possible: the weight %{value.name} is {expression}.',
                why="a weight that is computed when the model is made is no variable of the original",
                hint='weights="copy", or leave out the pass that computes it',
            )
        )


def _refusal(node: Node, what: str, why: str, hint: str) -> GraphError:
    kind = node.spec.class_name.rpartition(".")[2] if node.spec else node.function
    where = f"{node.path or 'the model'}" + (f", {node.source.in_full}" if node.source else "")
    message = f"Node '{node.name}' ({kind}) cannot have the weights that it was given: {what}."
    return GraphError(describe(message, where=where, why=why, hint=hint))
