"""A Functional model for the graphs that Keras's own class cannot hold.

`kerasfx` returns a plain Keras Functional model wherever it can. This subclass, which bears the same
class name, is used for chains too deep for Keras's recursive graph walk, for outputs that hold None, for
layers called with a fixed `training` (Keras's class overrides it with that of the model), where `fit` does
not tell every layer of the original that it trains (`handover/training_in_fit.py`), for both sides of an
`if training:`, of which it runs one, for models of one mode alone, and for several calls that add losses.

On JAX `fit` runs the `call` of a model outside of a call context. There each layer that Keras's class
calls begins by clearing the losses that it knows: the one of its own call before, if it is called twice,
and those of other layers whose `id` is that of a loss of an earlier step.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import keras

from kerasfx.ir.structure import map_leaves
from kerasfx.keras_api import internals
from kerasfx.keras_api.open_functional import CallFunction, OpenFunctional
from kerasfx.keras_api.replacing import undone
from kerasfx.runtime import modes, safety
from kerasfx.runtime.codec import decode_structure

SAFE_DEPTH = 300
"""Keras's graph walk takes one Python frame for each node of a chain; the usual limit is 1,000."""

OF_ORIGINAL = (
    "A file of weights fits the model that wrote it; the layers of a prepared model are not named as those "
    "of its original.\n"
    "  do:    for weights of the original: original.load_weights(path), "
    "then kerasfx.copy_weights(original, prepared)"
)

_lock = threading.Lock()
_limits: dict[int, int] = {}
_limit_before = 0


@contextmanager
def room_for(depth: int) -> Iterator[None]:
    """Let Python recurse `depth` levels deep while the block runs.

    The recursion is pure Python, whose frames live on the heap since Python 3.11, so that a high limit
    cannot overflow the C stack.
    """
    block = object()
    with undone(lambda: _set_limit(block, None)):
        _set_limit(block, 4 * depth + 2_000)
        yield


def _set_limit(block: object, needed: int | None) -> None:
    """Let the limit be the highest that any block needs."""
    global _limit_before
    with _lock:
        if not _limits:
            _limit_before = sys.getrecursionlimit()
        if needed is None:
            _limits.pop(id(block), None)
        else:
            _limits[id(block)] = needed
        # The 0 is for `max`, which takes no single number.
        sys.setrecursionlimit(max(_limit_before, 0, *_limits.values()))


@keras.saving.register_keras_serializable("kerasfx")
class Functional(OpenFunctional):
    """A Functional model of any depth, with None among its outputs if need be.

    Args:
        inputs, outputs, name: As for `keras.Model`.
        template: Structure of the outputs, with the position of each in the flat `outputs` as its leaves
            and None where the model returns None; None if `outputs` has the structure itself.
        training: Which `training` calls get that do not simply follow the model, by the name of the layer:
            for each of its calls `kerasfx.ir.Training` as a dict, or None. Without it, what the tensors say
            on which `emit` wrote it.
        takes_training: Whether `fit` passes `training` to the model.
        mode: `"inference"` or `"training"` for a model of one mode alone, which refuses the other.
        training_fixed_in, training_from_context, training_passed_to: What files of earlier versions have in
            the place of `training`: the names of layers.
    """

    SETTINGS: ClassVar[dict[str, Any]] = {"template": None, "takes_training": True, "mode": None}

    def __init__(self, *args: Any, **kwargs: Any):
        given = {k: kwargs.pop(k) for k in self.SETTINGS if k in kwargs}
        rules = {k: kwargs.pop(k) for k in modes.SAVED if k in kwargs}
        outputs = kwargs["outputs"] if "outputs" in kwargs else args[1]
        # `clone_model` makes a chain as deep as this one, in no block of ours.
        with room_for(internals.count_calls(keras.tree.flatten(outputs))):
            super().__init__(*args, **kwargs)
        _require_settings({**given, **rules}, len(self.outputs))
        # `keras.models.clone_model` hands over inputs, outputs and name alone.
        given = given or getattr(self.outputs[0], "kerasfx_settings", {})
        # Named so that no attribute of the user's class, which the result may get, has the same name.
        self._kerasfx_settings = {**self.SETTINGS, **given}
        modes.write(internals.nodes_of(self), rules)
        if not self._kerasfx_settings["takes_training"]:
            internals.take_no_training(self)

    def call(self, inputs: object, training: object = None, mask: object = None, **kwargs: object) -> Any:
        flat = self.flat_inputs(inputs)
        # As Keras's own `call` does.
        for x, x_mask in zip(flat, keras.tree.flatten(mask) if mask is not None else (), strict=False):
            if x_mask is not None:
                internals.set_mask(x, x_mask)
        found = internals.training_of_context()
        # `fit` asks for shapes in a mode of its own choice, before it trains in the right one.
        for said in (training, found) if not internals.is_for_shapes_alone() else ():
            modes.require(self._kerasfx_settings["mode"], said, self.name)
        is_outside = not internals.is_in_call_context()
        # The calls below get contexts, in which no layer clears the losses of an earlier step.
        if is_outside:
            internals.forget_losses(self)
        given = modes.Given(training, found, is_outside)
        outputs = self._walk(flat, modes.planned(self, given), partial(_run, given))
        if not is_outside:
            # Every call leaves its own `training` there.
            internals.set_training_of_context(found)
        return self._arranged(outputs)

    def compute_output_spec(self, inputs: object, training: object = None, mask: object = None) -> Any:
        return self._arranged(super().compute_output_spec(inputs))

    def through_graph(self, inputs: object, operation_fn: CallFunction, call_fn: CallFunction | None) -> Any:
        if not hasattr(self, "_kerasfx_settings"):  # while it is made, Keras looks whether all is connected
            return super().through_graph(inputs, operation_fn, call_fn)

        def run(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            operation = operation_fn(node.operation)
            outputs = operation(*args, **kwargs) if call_fn is None else call_fn(operation, *args, **kwargs)
            modes.copy_rule(node.outputs[0], keras.tree.flatten(outputs)[0])
            return outputs

        outputs = self._walk(keras.tree.flatten(inputs), internals.nodes_of(self), run)
        for tensor in keras.tree.flatten(outputs):
            if isinstance(tensor, keras.KerasTensor):
                tensor.kerasfx_settings = dict(self._kerasfx_settings)  # pyright: ignore[reportAttributeAccessIssue]
        return outputs

    def _walk(self, flat: list[Any], nodes: Iterable[Any], run: Callable[..., Any]) -> Any:
        """The outputs, where `run(node, args, kwargs)` makes each of the calls of `nodes`."""
        known = {id(x): y for x, y in zip(self.inputs, flat, strict=True)}
        for node in nodes:
            args, kwargs = modes.filled(node, known)
            outputs = keras.tree.flatten(run(node, args, kwargs))
            known.update({id(x): y for x, y in zip(node.outputs, outputs, strict=False)})
        outputs = [known[id(x)] for x in self.outputs]
        return self.packed(outputs)

    @property
    def kerasfx_mode(self) -> str:
        """The one mode for which the model was made, or "both"."""
        return self._kerasfx_settings["mode"] or modes.BOTH

    def _arranged(self, outputs: object) -> Any:
        template = self._kerasfx_settings["template"]
        if template is None:
            return outputs
        flat = keras.tree.flatten(outputs)
        return map_leaves(lambda i: None if i is None else flat[i], decode_structure(template))

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        try:
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        # What Keras says of a file whose weights are not those of this model.
        except ValueError as error:
            error.add_note(OF_ORIGINAL)
            raise

    def settings(self) -> dict[str, Any]:
        """What the constructor takes besides inputs, outputs and a name."""
        # The tensors hold the only record of them.
        rules = modes.read(internals.nodes_of(self))
        return {**self._kerasfx_settings, **({"training": rules} if rules else {})}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        rules = {k: config[k] for k in modes.SAVED if k in config}
        modes.require_sound(rules)
        others = {k: v for k, v in config.items() if k not in rules}
        with room_for(len(config["layers"])):
            model = super().from_config(others, custom_objects=custom_objects)
        modes.write(internals.nodes_of(model), modes.renamed(rules, _names_since(config["layers"], model)))
        return model


def _names_since(saved: list[dict[str, Any]], model: keras.Model) -> dict[str, str]:
    """Saved name -> name, of the layers that Keras named anew: their config does not hold their name."""
    names = [layer.name for layer in model.operations]
    said = [each.get("config", {}).get("name") for each in saved]
    # In one order, as far as the names tell.
    is_known = len(said) == len(names) and all(a in (None, b) for a, b in zip(said, names, strict=True))
    return dict(zip((each["name"] for each in saved), names, strict=True)) if is_known else {}


def _require_settings(given: dict[str, Any], outputs: int) -> None:
    """Refuse settings, which may come from a file, of another kind than those above.

    Raises:
        UnsafeFileError: They are.
    """

    def require_place(i: object) -> None:
        safety.require(i is None or (type(i) is int and 0 <= i < outputs), "A template names no output.")

    safety.require_structure(given.get("template"), require_place)
    modes.require_sound(given)
    safety.require(given.get("mode") in (None, *modes.MODES[1:]), "mode is none.")
    safety.require(type(given.get("takes_training", True)) is bool, "takes_training is no bool.")


def _run(given: modes.Given, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make the call of `node` with the `training` that is meant for it.

    Outside of a call context it gets one of its own, in which layers do not clear losses.
    """
    operation, rule = node.operation, modes.rule_of(node)
    training = given.to(rule)
    is_told = rule is not None or training is not None
    if is_told and internals.takes_training(operation):
        kwargs = {**kwargs, "training": training}
    if given.is_outside:
        with internals.call_context(training):
            return operation(*args, **kwargs)
    internals.set_training_of_context(training)
    return operation(*args, **kwargs)
