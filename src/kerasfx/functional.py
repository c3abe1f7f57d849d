"""A Functional model for the graphs that Keras's own class cannot hold.

`kerasfx` returns a plain Keras Functional model wherever it can. This subclass, which bears the same
class name, is used for chains too deep for Keras's recursive graph walk, for outputs that hold None, for
layers called with a fixed `training` (Keras's class overrides it with that of the model), where `fit` does
not tell every layer of the original that it trains (`kerasfx.fit`), and for several calls that add losses.

On JAX `fit` runs the `call` of a model outside of a call context. There each layer that Keras's class
calls begins by clearing the losses that it knows: the one of its own call before, if it is called twice,
and those of other layers whose `id` is that of a loss of an earlier step.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import keras

from kerasfx import keras_internals as internals
from kerasfx import safety
from kerasfx.codec import decode_structure
from kerasfx.ir import map_leaves

SAFE_DEPTH = 300
"""Keras's graph walk takes one Python frame for each node of a chain; the usual limit is 1,000."""

_lock = threading.Lock()
_limits: list[int] = []
_limit_before = 0


@contextmanager
def room_for(depth: int) -> Iterator[None]:
    """Let Python recurse `depth` levels deep while the block runs.

    The recursion is pure Python, whose frames live on the heap since Python 3.11, so that a high limit
    cannot overflow the C stack.
    """
    global _limit_before
    needed = 4 * depth + 2_000
    with _lock:
        if not _limits:
            _limit_before = sys.getrecursionlimit()
        _limits.append(needed)
        sys.setrecursionlimit(max(_limit_before, *_limits))
    try:
        yield
    finally:
        with _lock:
            _limits.remove(needed)
            sys.setrecursionlimit(max(_limit_before, *_limits, 0))


@keras.saving.register_keras_serializable("kerasfx")
class Functional(internals.Functional):
    """A Functional model of any depth, with None among its outputs if need be.

    Args:
        inputs, outputs, name: As for `keras.Model`.
        template: Structure of the outputs, with the position of each in the flat `outputs` as its leaves
            and None where the model returns None; None if `outputs` has the structure itself.
        training_fixed_in: Names of the layers whose calls fix `training`.
        training_from_context: Names of the layers that find `training` in Keras's call context alone.
        training_passed_to: Names of the layers that get `training` although their `call` does not take it,
            for the layers inside.
        takes_training: Whether `fit` passes `training` to the model.
    """

    SETTINGS: ClassVar[dict[str, Any]] = {
        "template": None,
        "training_fixed_in": (),
        "training_from_context": (),
        "training_passed_to": (),
        "takes_training": True,
    }

    def __init__(self, *args: Any, **kwargs: Any):
        given = {k: kwargs.pop(k) for k in self.SETTINGS if k in kwargs}
        super().__init__(*args, **kwargs)
        _require_settings(given, len(self.outputs))
        # `keras.models.clone_model` hands over inputs, outputs and name alone.
        given = given or getattr(self.outputs[0], "kerasfx_settings", {})
        self._settings = {**self.SETTINGS, **given}
        if not self._settings["takes_training"]:
            internals.take_no_training(self)

    def call(self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any) -> Any:
        flat = self._standardize_inputs(inputs)
        for x, x_mask in zip(flat, keras.tree.flatten(mask) if mask is not None else (), strict=False):
            if x_mask is not None:
                internals.set_mask(x, x_mask)
        # Read now: a layer called with a fixed `training` leaves that in the context.
        found = internals.training_of_context()
        is_outermost = not internals.is_in_call_context()
        if is_outermost:
            internals.forget_losses(self)

        def prepared(operation: Any) -> Any:
            run = self._with_training(operation, training, found)
            return _in_context_of_its_own(run) if is_outermost else run

        return self._arranged(self._run_through_graph(flat, operation_fn=prepared))

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return self._arranged(super().compute_output_spec(inputs))

    def _run_through_graph(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super()._run_through_graph(*args, **kwargs)
        for tensor in keras.tree.flatten(outputs):
            if isinstance(tensor, keras.KerasTensor):
                tensor.kerasfx_settings = self._settings  # pyright: ignore[reportAttributeAccessIssue]
        return outputs

    def _with_training(self, operation: Any, training: Any, found: Any) -> Any:
        """`operation` with the `training` of the model, or the one found in the context, or its own."""
        name, settings = operation.name, self._settings
        if name in settings["training_from_context"]:
            given = {} if found is None else {"training": found}
            # Keras's record of the call holds the default value of the argument.
            return lambda *args, training=None, **kwargs: operation(*args, **kwargs, **given)
        wanted = internals.takes_training(operation) or name in settings["training_passed_to"]
        if training is None or name in settings["training_fixed_in"] or not wanted:
            return operation
        return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": training})

    def _arranged(self, outputs: Any) -> Any:
        template = self._settings["template"]
        if template is None:
            return outputs
        flat = keras.tree.flatten(outputs)
        return map_leaves(lambda i: None if i is None else flat[i], decode_structure(template))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._settings}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        with room_for(len(config["layers"])):
            return super().from_config(config, custom_objects=custom_objects)


def _require_settings(given: dict[str, Any], outputs: int) -> None:
    """Refuse settings, which may come from a file, of another kind than those above.

    Raises:
        UnsafeFileError: They are.
    """

    def require_place(i: Any) -> None:
        safety.require(i is None or (type(i) is int and 0 <= i < outputs), "A template names no output.")

    safety.require_structure(given.get("template"), require_place)
    for name in ("training_fixed_in", "training_from_context", "training_passed_to"):
        names = given.get(name, ())
        is_list = isinstance(names, (list, tuple)) and all(isinstance(x, str) for x in names)
        safety.require(is_list, f"{name} is no list of names of layers.")
    safety.require(type(given.get("takes_training", True)) is bool, "takes_training is no bool.")


def _in_context_of_its_own(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run` inside a call context, where layers do not clear losses; no `training` is left to the next."""

    def inside(*args: Any, **kwargs: Any) -> Any:
        with internals.call_context(None):
            return run(*args, **kwargs)

    return inside
