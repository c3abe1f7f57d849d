"""Python code of a Functional model, which people read and edit rather than graphs."""

from __future__ import annotations

from pathlib import Path

import keras

from kerasfx import reporting
from kerasfx.errors import SourceError, describe
from kerasfx.keras_api import internals
from kerasfx.keras_api.random_state import random_state_kept
from kerasfx.runtime.functional import Functional, room_for
from kerasfx.source_code.checking import built_by, first_difference
from kerasfx.source_code.constructors import shortly
from kerasfx.source_code.module import Module, Origin

WRITABLE = (internals.Functional, Functional, keras.Sequential)


def to_source(model: keras.Model, *, verify: bool = True) -> str:
    """Write the Python code that builds a Functional model.

    The code is a module with a function `build()`, which makes the model with new weights: give it those of
    `model` by `set_weights`, or by `load_weights` from a file. Large constants are among the weights; what a
    `Normalization` adapted to stands in the code. Each layer is made by its constructor, with the arguments
    that are not the usual ones, and each call is a statement; loops are unrolled, as they are in the model.
    The code is formatted as ruff and black do it.

    What `compile` was given is not written, nor is what `fit` of a class of the user's does.

    Args:
        model: A Functional or Sequential model that `prepare_model` made, that was loaded, or that was made
            by hand, of layers of Keras, of kerasfx and of modules that can be imported.
        verify: Whether to run the code and to compare what it builds with `model`: each layer, argument,
            call, shape and weight, though not its numbers.

    Returns:
        The code.

    Raises:
        SourceError: `model` is of a class of the user's, or something in it cannot be written; the message
            lists every layer. Also where the code would build another model.
    """
    _require_writable(model)
    with random_state_kept(), internals.fresh_names(), room_for(len(model.layers)):
        module = Module(model, _origin(model))
    if module.problems:
        raise SourceError(_problems(model, module.problems))
    code = str(module)
    if verify:
        _verify(model, code)
    return code


def _require_writable(model: keras.Model) -> None:
    if type(model) in WRITABLE:
        return
    why = "code is written of Functional and Sequential models, whose calls are known"
    hint = "kerasfx.to_source(kerasfx.prepare_model(model))"
    if isinstance(model, internals.Functional) and reporting.was_prepared(model):
        why = "it was prepared with keep_class=True, and code has no place for what the class does"
        hint = "prepare the original without keep_class, and write the code of the result"
    raise SourceError(
        describe(
            f"There is no code for '{getattr(model, 'name', model)}' of class {type(model).__name__}.",
            why=why,
            hint=hint,
        )
    )


def _origin(model: keras.Model) -> Origin:
    if not reporting.was_prepared(model):
        return Origin()
    report = reporting.report(model)
    opened = {layer.path: layer for layer in report.before if layer.became == "opened"}
    groups = {}
    for name, layer in report.layers.items():
        # A weight stands where it is first taken, whatever layer has it.
        if layer.kind in ("input", "weight"):
            continue
        group = layer.path if layer.path in opened else layer.path.rpartition(".")[0]
        groups[name] = _told(opened[group]) if group in opened else group
    return Origin({name: i for i, name in enumerate(report.layers)}, groups)


def _told(layer: reporting.OriginalLayer) -> str:
    """A layer of the original: its path, its class and where its `call` is."""
    source = layer.source
    place = f", {Path(source.file).name}:{source.line}" if source else ""
    return f"{layer.path}{': ' if layer.path else ''}{layer.class_name}{place}"


def _problems(model: keras.Model, problems: dict[str, str]) -> str:
    listed = "\n".join(f"  {name}: {what}" for name, what in problems.items())
    return describe(
        f"{len(problems)} of the layers of '{model.name}' cannot be written as code:\n{listed}",
        hint="model.save(...), which keeps them, or prepare the model so that they are opened",
    )


def _verify(model: keras.Model, code: str) -> None:
    try:
        difference = first_difference(model, built_by(code))
    # Whatever Keras or a class of the user's raises.
    except Exception as error:
        difference = shortly(error)
    if difference:
        raise SourceError(
            describe(
                f"The code of '{model.name}' does not build the same model, and is not returned.",
                why=difference,
                hint="model.save(...), which keeps all of it; verify=False shows the code as it is",
            )
        )
