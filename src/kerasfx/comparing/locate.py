"""Where two models part: the first pair of corresponding layers with unequal outputs.

Replaces `keras.Layer.__call__` for as long as someone looks. The replacement does nothing in
threads that do not look, and the original is put back when the last one is done.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kerasfx.comparing.measure import (
    Difference,
    Tolerance,
    is_tensor,
    structure_difference,
)
from kerasfx.comparing.pairing import LayerPair
from kerasfx.comparing.result import format_difference
from kerasfx.comparing.run import (
    Call,
    call_directly,
    run,
)
from kerasfx.comparing.states import State, present_state
from kerasfx.keras_api.arrays import to_numpy
from kerasfx.keras_api.replacing import Replaced, replace, undone

Record = Callable[[keras.Layer, Any], None]
CallDifference = tuple[LayerPair, Difference | None]
"""A pair of layers and what differs in one call of the second; None where the first has no call left."""

_thread = threading.local()


@dataclass(frozen=True)
class FirstDifference:
    """Where two models part.

    Attributes:
        layer: Name of the first layer of the prepared model whose outputs differ; None if there
            is none.
        reason: What differs there.
        max_abs_difference: The largest difference of its outputs.
        last_equal: Name of the last layer before it whose outputs agree; None if there is none.
    """

    layer: str | None
    reason: str
    max_abs_difference: float
    last_equal: str | None

    def __str__(self) -> str:
        after = f"after layer '{self.last_equal}', the last with equal outputs"
        if self.layer is None:
            return after if self.last_equal else "unknown: no layer of the two could be compared"
        by = format_difference(self.max_abs_difference)
        here = f"at layer '{self.layer}' ({self.reason or by})"
        return f"{here}, {after}" if self.last_equal else f"{here}, the first that was compared"


@contextlib.contextmanager
def observed_calls(record: Record) -> Iterator[None]:
    """Has `record(layer, outputs)` called after every `Layer.__call__` of this thread."""
    previous = getattr(_thread, "record", None)
    with Replaced(_install), undone(lambda: setattr(_thread, "record", previous)):
        _thread.record = record
        yield


def _install() -> None:
    replace(keras.Layer, "__call__", _observing(keras.Layer.__call__))


def _observing(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def observed(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = call(layer, *args, **kwargs)
        record = getattr(_thread, "record", None)
        if record is not None:
            record(layer, outputs)
        return outputs

    return observed


def locate_first_difference(
    a: keras.Layer,
    b: keras.Layer,
    inputs: object,
    pairs_of_layers: Sequence[LayerPair],
    *,
    states: tuple[State, State] | None = None,
    training: bool | None = False,
    call_a: Call = call_directly,
    tolerance: Tolerance | None = None,
) -> FirstDifference:
    """Runs both models once and finds the first layer whose outputs differ.

    Arguments and errors are those of `differences_of_calls`.
    """
    return first_of(
        differences_of_calls(
            a,
            b,
            inputs,
            pairs_of_layers,
            states=states,
            training=training,
            call_a=call_a,
            tolerance=tolerance,
        )
    )


def differences_of_calls(
    a: keras.Layer,
    b: keras.Layer,
    inputs: object,
    pairs_of_layers: Sequence[LayerPair],
    *,
    states: tuple[State, State] | None = None,
    training: bool | None = False,
    call_a: Call = call_directly,
    tolerance: Tolerance | None = None,
) -> list[CallDifference]:
    """Runs both models once and compares each call of a layer with that of its partner.

    What the original computes is held until its partner has run; of the prepared model only numbers stay.

    Args:
        a: The original.
        b: The prepared model.
        inputs: Arrays in the structure that `b` takes.
        pairs_of_layers: Pairs (layer of `a`, layer of `b`).
        states: Values for the variables of both models; None takes those they have.
        training: The training mode of the calls.
        call_a: How to call the original with `inputs`.
        tolerance: How far the outputs of equal layers may be apart.

    Returns:
        Each call of a layer of `b` that has a partner, in order of execution, with what differs there.

    Raises:
        Exception: Whatever the models raise.
    """
    states = states or (present_state(a.variables), present_state(b.variables))
    pairs = {id(y): (x, y) for x, y in pairs_of_layers if not _lost_activation(x, y)}
    # A layer may be called several times.
    outputs_of_a: dict[int, list[Any]] = {id(x): [] for x, _ in pairs.values()}
    found: list[CallDifference] = []

    def keep(layer: keras.Layer, outputs: object) -> None:
        if id(layer) in outputs_of_a:
            outputs_of_a[id(layer)].extend(_concrete(outputs))

    def compare(layer: keras.Layer, outputs: object) -> None:
        if id(layer) in pairs:
            pair = pairs[id(layer)]
            candidates = outputs_of_a[id(pair[0])]
            found.extend(
                (pair, _take_closest(candidates, values, tolerance or Tolerance()))
                for values in _concrete(outputs)
            )

    with observed_calls(keep):
        run(a, inputs, states[0], training=training, call=call_a)
    with observed_calls(compare):
        run(b, inputs, states[1], training=training)
    return found


def _lost_activation(ours: keras.Layer, theirs: keras.Layer) -> bool:
    """Whether the activation of a layer became a function behind it, so that its result is another."""
    linear = keras.activations.linear
    return getattr(theirs, "activation", None) is linear is not getattr(ours, "activation", None)


def _concrete(outputs: object) -> list[Any]:
    """The outputs as arrays, in a list; empty inside a compiled loop, where they have no values."""
    try:
        return [keras.tree.map_structure(lambda x: to_numpy(x) if is_tensor(x) else x, outputs)]
    # Each backend has its own error for reading what has no value yet.
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return []


def first_of(calls: Iterable[CallDifference]) -> FirstDifference:
    """The first call that differs."""
    last_equal = None
    for (_, layer), found in calls:
        if found is not None and not found.within:
            return FirstDifference(layer.name, found.reason, found.largest, last_equal)
        last_equal = layer.name if found is not None else last_equal
    return FirstDifference(None, "", 0.0, last_equal)


def _take_closest(candidates: list[Any], outputs: object, tolerance: Tolerance) -> Difference | None:
    """Compares with the first equal call of the partner, else with its next; uses that call up.

    A layer called several times may run in another order in the other model.
    """
    differences = [structure_difference(c, outputs, tolerance) for c in candidates]
    if not differences:
        return None
    # Where none agrees, the next in order is the most likely partner.
    index = next((i for i, found in enumerate(differences) if found.within), 0)
    candidates.pop(index)
    return differences[index]
