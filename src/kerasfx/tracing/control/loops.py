"""Built-in layers that call another layer step by step, said with functions of `keras.ops`.

`TimeDistributed` and `RNN` run loops of the backend. Where they hold code of the user's they are opened. A
loop of a few known steps is unrolled, so that the layers in it stay layers; any other becomes a body.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import keras
from keras import ops

from kerasfx.errors import UnsupportedOperationError
from kerasfx.ir import Node
from kerasfx.ir.dims import Dim
from kerasfx.keras_api import internals
from kerasfx.tracing.control.bodies import UNROLLED
from kerasfx.tracing.layers.calls import run_inside
from kerasfx.tracing.native.twins import arguments_of
from kerasfx.tracing.recorder import Args, Function, Kwargs
from kerasfx.tracing.session import Session
from kerasfx.tracing.state.effects import Effects


def patches() -> Iterator[tuple[Any, str, Function]]:
    """What is replaced while tracing: owner, name, `replacement(session, original, args, kwargs)`."""
    yield keras.layers.TimeDistributed, "call", functools.partial(_stand_in, _time_distributed)
    yield keras.layers.RNN, "call", _with_open_cells
    # In the package, where Keras looks up these at each call.
    yield internals.backend, "rnn", functools.partial(_stand_in, _rnn)
    for name in FUSED:
        yield internals.backend, name, functools.partial(_stand_in, _not_fused)


FUSED = ("lstm", "gru")
"""Functions of the backend for a whole loop; Keras steps the cell where one is not implemented."""


def _not_fused(session: Session, *_: Any) -> Any:
    raise NotImplementedError


def _stand_in(
    recorder: Function,
    session: Session,
    original: Function,
    args: Args,
    kwargs: Kwargs,
) -> Any:
    given = arguments_of(original, args, kwargs)
    if not session.in_user_code or given is None:
        return original(*args, **kwargs)
    return recorder(session, *(value for value, _ in given.values()))


def _with_open_cells(session: Session, original: Function, args: Args, kwargs: Kwargs) -> Any:
    """`RNN.call`, which calls stacked cells once before the loop, for the shapes of their dropout masks."""
    if session.in_user_code:
        _open_cells(session)
    return original(*args, **kwargs)


def _is_short(steps: object) -> bool:
    return isinstance(steps, int) and steps <= UNROLLED


def _time_first(x: Any) -> Any:
    """`x` with its first two axes swapped."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def _time_distributed(
    session: Session, layer: keras.Layer, inputs: object, training: object, mask: object
) -> Any:
    """`TimeDistributed.call`: that of the inner layer, without what `Layer.__call__` does around it."""
    inner = layer.layer
    options = {"training": training} if internals.takes_training(inner) else {}

    def step(x: Any, step_mask: Any = None) -> Any:
        masks = {} if step_mask is None else {"mask": step_mask}
        return run_inside(session, inner, (x,), {**options, **masks})

    is_masked = mask is not None and internals.takes_mask(inner)
    elements = tuple(_time_first(x) for x in ((inputs, mask) if is_masked else (inputs,)))
    steps = elements[0].shape[0]
    if _is_short(steps):
        return _time_first(ops.stack([step(*(x[i] for x in elements)) for i in range(steps)]))
    return _time_first(ops.vectorized_map(lambda element: step(*element), elements))


# Recurrent layers


@dataclass(frozen=True)
class _Loop:
    """How a backend steps a cell.

    Attributes:
        cell: Takes the input of a step and a tuple of states; returns the output and new states.
        states: The initial states.
        is_unrolled: Whether the layer asks for a loop in Python.
        gives_zeros: Whether a masked step gives zeros.
    """

    cell: Function
    states: Any
    is_unrolled: bool
    gives_zeros: bool

    @property
    def is_scan(self) -> bool:
        """Whether it is JAX's own loop, which masks in its own way."""
        return keras.backend.backend() == "jax" and not self.is_unrolled

    @property
    def repeats_output(self) -> bool:
        """Whether a masked step gives the output of the step before, which a loop then carries."""
        return self.is_unrolled or not (self.gives_zeros or self.is_scan)

    def step(self, flat_states: list[Any], before: object, x: Any, mask: object) -> tuple[Any, list[Any]]:
        """One step: the output and the new states."""
        states = keras.tree.pack_sequence_as(self.states, flat_states)
        output, new_states = self.cell(x, tuple(states))
        flat = keras.tree.flatten(new_states)
        if mask is None:
            return output, flat
        output = self._where(mask, output, self._instead(output, before, states))
        return output, [self._where(mask, *pair) for pair in zip(flat, flat_states, strict=True)]

    def _instead(self, output: Any, before: object, states: Any) -> Any:
        """What a masked step gives."""
        if self.repeats_output:
            return before
        if self.gives_zeros:
            return ops.zeros_like(output)
        # JAX takes the first state for the output of the step before; of stacked cells, that of the last.
        return states[-1][0] if keras.tree.is_nested(states[0]) else states[0]

    def _where(self, mask: object, x: Any, otherwise: object) -> Any:
        # JAX's own loop widens a mask by one axis, whatever the rank.
        rank = 2 if self.is_scan else len(x.shape)
        return ops.where(ops.expand_dims(mask, tuple(range(1, rank))), x, otherwise)


def _rnn(
    session: Session,
    step_function: Any,
    inputs: object,
    initial_states: object,
    go_backwards: bool,
    mask: object,
    constants: object,
    unroll: bool,
    input_length: object,
    time_major: bool,
    zero_output_for_mask: bool,
    return_all_outputs: bool,
) -> Any:
    """Record the loop of an RNN; returns the last output, all outputs and the last states."""
    _open_cells(session)
    rows = inputs if time_major else keras.tree.map_structure(_time_first, inputs)
    steps = keras.tree.flatten(rows)[0].shape[0]
    # Identity first: `==` may be a question about a free size, which would be guarded.
    is_plain = constants is None and not time_major and (input_length is steps or input_length == steps)
    if not is_plain or (unroll and isinstance(steps, Dim)):
        raise _unsupported(session, "A loop over a cell is asked for in a way that is not recorded.")
    loop = _Loop(step_function, initial_states, unroll, zero_output_for_mask)
    masks = None if mask is None else _time_first(ops.cast(mask, "bool"))
    run = _unrolled if unroll or _is_short(steps) else functools.partial(_scanned, session)
    order = _backwards if go_backwards else lambda x: x
    with _alike_on_all_backends(session, unroll):
        outputs, flat_states = run(loop, order(rows), order(masks))
    last = outputs[-1]
    if unroll and masks is not None and zero_output_for_mask and keras.backend.backend() != "jax":
        # Keras turns the steps around and not the mask of all outputs.
        last, outputs = _zeroed(masks[0 if go_backwards else -1], last), _zeroed(masks, outputs)
    # JAX's own loop gives all outputs, wanted or not.
    if not (return_all_outputs or loop.is_scan):
        outputs = ops.expand_dims(last, 0)
    return last, _time_first(outputs), keras.tree.pack_sequence_as(initial_states, flat_states)


def _open_cells(session: Session) -> None:
    """Open the built-in cells of the layer, which keep a dropout mask from step to step."""
    layers = internals.all_layers(session.frame.layer)
    session.policy.forced_open |= {id(x) for x in layers if hasattr(x, "state_size")}


def _backwards(x: Any) -> Any:
    return None if x is None else keras.tree.map_structure(lambda rows: ops.flip(rows, axis=0), x)


def _zeroed(mask: Any, x: Any) -> Any:
    axes = tuple(range(len(mask.shape), len(x.shape)))
    return ops.where(ops.expand_dims(mask, axes), x, ops.zeros_like(x))


def _row(x: Any, index: int) -> Any:
    return None if x is None else keras.tree.map_structure(lambda rows: rows[index], x)


def _unrolled(loop: _Loop, rows: Any, masks: Any) -> tuple[Any, list[Any]]:
    flat, before, outputs = keras.tree.flatten(loop.states), None, []
    for i in range(keras.tree.flatten(rows)[0].shape[0]):
        # Only where a masked first step needs it: it costs a call of the cell.
        if before is None and masks is not None and loop.repeats_output:
            before = _zero_output(loop, rows)
        before, flat = loop.step(flat, before, _row(rows, i), _row(masks, i))
        outputs.append(before)
    return ops.stack(outputs), flat


def _scanned(session: Session, loop: _Loop, rows: Any, masks: Any) -> tuple[Any, list[Any]]:
    """A scan whose results are what it carries, because TensorFlow's takes no others."""

    def body(carry: list[Any], row: Any) -> Any:
        *flat, before = carry
        x, mask = row if masks is not None else (row, None)
        output, flat = loop.step(flat, before, x, mask)
        return [*flat, output], [*flat, output]

    # Its layers are opened as in the body itself, though only a shape is wanted of them.
    with session.inside_body():
        start = [*keras.tree.flatten(loop.states), _zero_output(loop, rows)]
    carry, results = cast("Any", ops.scan(body, start, rows if masks is None else (rows, masks)))
    return results[-1], carry[:-1]


def _zero_output(loop: _Loop, rows: Any) -> Any:
    """The output before the first step; as in the backends, a step that is thrown away tells its shape."""
    return ops.zeros_like(loop.cell(_row(rows, 0), tuple(loop.states))[0])


@contextmanager
def _alike_on_all_backends(session: Session, unroll: bool) -> Iterator[None]:
    """Refuse cells that do more than returning results, unless the loop is one in Python.

    TensorFlow and PyTorch call a cell once more than there are steps, JAX calls it once.
    """
    before, start = session.effects.copy(), len(session.graph.nodes)
    yield
    acts = any(map(_acts, session.graph.nodes[start:])) or _done(session.effects) != _done(before)
    if acts and not unroll:
        raise _unsupported(session, "A cell draws random numbers, adds a loss or changes state.")


def _done(effects: Effects) -> tuple[Any, ...]:
    # Not what was asked about sizes: the answers are the same however often it is asked.
    return effects.last_draw, effects.assigned, effects.losses, effects.metric_calls


def _acts(node: Node) -> bool:
    """Whether a layer in a step does more than returning results."""
    if node.spec:
        return "activity_regularizer" in node.spec.config
    layers = internals.all_layers(node.layer) if node.layer is not None else []
    return any(x.activity_regularizer is not None or x.non_trainable_variables for x in layers)


def _unsupported(session: Session, what: str) -> UnsupportedOperationError:
    return session.unsupported(what, why="how often a cell is called differs from backend to backend")
