"""The text of a module whose `build()` makes a model."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from kerasfx.keras_api import internals
from kerasfx.keras_api.names import made_up_of
from kerasfx.runtime.function_layers import Named
from kerasfx.runtime.functional import Functional
from kerasfx.source_code import graph, values
from kerasfx.source_code.constructors import ADAPTED, ADAPTED_CODE, Constructors
from kerasfx.source_code.functions import Arguments
from kerasfx.source_code.graph import Call
from kerasfx.source_code.layout import STEP, WIDTH, Brackets, Expression, Text, call, lines
from kerasfx.source_code.naming import Names
from kerasfx.source_code.values import CannotBeWrittenError

BUILD = "build"

UNPACKED = 3
"""Up to so many results of a call have variables of their own."""


@dataclass(frozen=True)
class Origin:
    """What is known of where the layers of a model come from.

    Attributes:
        ranks: The place of each layer, by name.
        groups: What to write above the layers of one part of the original, by name.
    """

    ranks: dict[str, int] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


class Module:
    """The text, and what could not be written.

    Args:
        model: The model.
        origin: Where its layers come from.

    Attributes:
        problems: For each layer that cannot be written, by name, the reason.
    """

    def __init__(self, model: keras.Model, origin: Origin):
        self.problems: dict[str, str] = {}
        self.objects = Constructors(self._nested)
        self._functions: list[str] = []
        self._names = Names(("keras", "kerasfx", "np", BUILD, ADAPTED))
        self._model = model
        for layer, what in graph.in_two_places(model):
            self.problems.setdefault(layer.name, f"{type(layer).__name__}: {what}")
        self._function(model, BUILD, origin)

    def __str__(self) -> str:
        adapted = [ADAPTED_CODE] if self.objects.has_statistics else []
        body = "\n\n\n".join([*adapted, *self._functions])
        return f"{self._docstring()}\n\n{self._imports(body)}\n\n\n{body}\n"

    def _docstring(self) -> str:
        name = self._model.name.replace('"', "'").replace("\\", "/")
        return f'"""The Keras model \'{name}\'; `build()` makes it, with new weights."""'

    def _imports(self, body: str) -> str:
        used = {
            ast.unparse(node)
            for node in ast.walk(ast.parse(body))
            if isinstance(node, (ast.Name, ast.Attribute))
        }
        modules = {"keras", *self.objects.modules, *(["kerasfx"] if "kerasfx.layers" in used else [])}
        numpy = ["import numpy as np"] if "np" in used else []
        return "\n".join(sorted([f"import {name}" for name in modules] + numpy))

    def _nested(self, model: keras.Model) -> Expression:
        name = self._names.new(f"{BUILD}_{model.name}")
        self._function(model, name, Origin())
        return call(name)

    def _function(self, model: keras.Model, name: str, origin: Origin) -> None:
        body = _Body(self, model, origin)
        # Those of models inside have been written by then, and stand above.
        text = "\n".join(body.lines())
        self._functions.append(f"def {name}() -> keras.Model:\n{text}")


class _Body:
    """The body of a function that builds a model."""

    def __init__(self, module: Module, model: keras.Model, origin: Origin):
        self.module, self.model, self.origin = module, model, origin
        self.names = Names(("keras", "kerasfx", "np", ADAPTED, *module.objects.modules))
        self.arguments = Arguments(self._name_of, module.objects)
        self.tensors: dict[int, str] = {}
        self.shared: dict[int, Text] = {}
        self.group = ""

    def lines(self) -> Iterator[str]:
        """Its lines."""
        if isinstance(self.model, keras.Sequential):
            yield from self._sequential(self.model)
            return
        for tensor in self.model.inputs:
            yield from self._input(tensor)
        calls = graph.calls_of(self.model, self.origin.ranks)
        self.counts = Counter(id(c.operation) for c in calls)
        self.used = {id(t) for t in (*self.model.outputs, *(t for c in calls for t in c.needs))}
        for each in calls:
            yield from self._comment(each)
            yield from self._statement(each)
        yield from lines(self._functional(), "return ")

    # The model

    def _sequential(self, model: keras.Sequential) -> Iterator[str]:
        symbolic = internals.input_of_sequential(model)
        first = [] if symbolic is None else [_input_of(symbolic)]
        layers = [self._constructor(layer) for layer in model.layers]
        items = values.sequence([*first, *layers], lambda x: x)
        given = {"name": values.word(model.name), **_frozen(model)}
        yield from lines(call("keras.Sequential", items, **given), "return ")

    def _functional(self) -> Expression:
        structures = internals.input_structure(self.model), internals.output_structure(self.model)
        inputs, outputs = (self.arguments.of(x) for x in structures)
        given = {"inputs": inputs, "outputs": outputs, "name": values.word(self.model.name)}
        head = "keras.Model"
        if isinstance(self.model, Functional):
            self.module.objects.modules.add("kerasfx.runtime.functional")
            head = "kerasfx.runtime.functional.Functional"
            told = self.model.settings().items()
            given |= {k: values.literal(x) for k, x in told if x != Functional.SETTINGS.get(k)}
        return call(head, **given, **_frozen(self.model))

    def _input(self, tensor: Any) -> Iterator[str]:
        expression = _input_of(tensor)
        self.tensors[id(tensor)] = name = self.names.new(internals.call_that_made(tensor).operation.name)
        yield from lines(expression, f"{name} = ")

    # Calls

    def _comment(self, each: Call) -> Iterator[str]:
        group = self.origin.groups.get(each.operation.name, "")
        if group and group != self.group:
            yield f"{STEP}# {group}"
        self.group = group or self.group

    def _statement(self, each: Call) -> Iterator[str]:
        is_shared = self.counts[id(each.operation)] > 1
        layer = each.operation
        if is_shared and id(layer) not in self.shared and isinstance(layer, keras.layers.Layer):
            self.shared[id(layer)] = Text(self.names.new(layer.name))
            yield from lines(self._constructor(layer), f"{self.shared[id(layer)]} = ")
        try:
            said = self._said(each)
        except CannotBeWrittenError as error:
            self.module.problems.setdefault(layer.name, f"{type(layer).__name__}: {error}")
            said = Text("None")
        yield from lines(*self._assigned(each, said))

    def _said(self, each: Call) -> Expression:
        """The call as an expression."""
        layer = each.operation
        if not isinstance(layer, keras.layers.Layer):
            return self.arguments.public_call(each)
        is_shared = id(layer) in self.shared
        if isinstance(layer, Named) and not is_shared:
            found = self.arguments.function_layer(each)
            if found is not None:
                return found
        head = self.shared[id(layer)] if is_shared else self._constructor(layer)
        kwargs = {k: self.arguments.of(x) for k, x in each.kwargs.items()}
        return call(head, *map(self.arguments.of, each.args), **kwargs)

    def _constructor(self, layer: keras.layers.Layer) -> Expression:
        try:
            if type(layer) in (internals.Functional, Functional, keras.Sequential):
                return self.module._nested(layer)
            return self.module.objects.layer(layer)
        except CannotBeWrittenError as error:
            self.module.problems.setdefault(layer.name, f"{type(layer).__name__}: {error}")
            return Text("None")

    def _assigned(self, each: Call, said: Expression) -> tuple[Expression, str]:
        """What is assigned to which variables."""
        structure = graph.structure_of(each)
        name = made_up_of(each.operation) or each.operation.name
        if structure is None:
            said, structure = call("keras.tree.flatten", said), list(range(len(each.outputs)))
        is_flat = isinstance(structure, (list, tuple)) and list(structure) == list(range(len(structure)))
        # On one line, with names that may get a number.
        fits = len(each.outputs) * (len(name) + 6) <= WIDTH - len(STEP) - len(" = (")
        if is_flat and fits and 1 < len(each.outputs) <= UNPACKED:
            unpacked = [self._variable(t, f"{name}_{i}") for i, t in enumerate(each.outputs)]
            return said, f"{', '.join(unpacked)} = "
        variable = self.names.new(name)
        for i, place in _places(structure):
            self.tensors[id(each.outputs[i])] = f"{variable}{place}"
        return said, f"{variable} = "

    def _variable(self, tensor: Any, wish: str) -> str:
        if id(tensor) not in self.used:
            return "_"
        self.tensors[id(tensor)] = self.names.new(wish)
        return self.tensors[id(tensor)]

    def _name_of(self, tensor: Any) -> Text:
        return Text(self.tensors[id(tensor)])


def _frozen(model: keras.Model) -> dict[str, Expression]:
    return {} if model.trainable else {"trainable": Text("False")}


def _places(structure: Any, before: str = "") -> Iterator[tuple[int, str]]:
    """The leaves of a structure, each with how it is taken out."""
    if isinstance(structure, (list, tuple)):
        for i, x in enumerate(structure):
            yield from _places(x, f"{before}[{i}]")
    elif isinstance(structure, dict):
        for key, x in structure.items():
            yield from _places(x, f"{before}[{values.literal(key)}]")
    else:
        yield structure, before


def _input_of(tensor: Any) -> Brackets:
    """The `keras.Input` that makes an input of a model."""
    config = internals.call_that_made(tensor).operation.get_config()
    shape = tuple(config.pop("batch_shape"))
    name = values.word(config.pop("name"))
    unusual = {
        k: values.literal(x) for k, x in config.items() if (k, x) not in (("dtype", "float32"), (k, False))
    }
    if shape[:1] == (None,):
        return call("keras.Input", values.literal(shape[1:]), **unusual, name=name)
    return call("keras.Input", **{"batch_shape": values.literal(shape), **unusual, "name": name})
