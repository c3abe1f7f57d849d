"""Finds out that a model of a file is what preparing another one gives, so that they are compared by that.

`compare` knows which weight of a prepared model is which of its original as long as both are in the process
that made one of the other. Without that it pairs weights by paths and values, which may be those of others: a
model whose biases are all 0 would be said to differ from its own result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from kerasfx.errors import NotCopyableError, WeightsMismatchError
from kerasfx.handover.copying import corresponding
from kerasfx.handover.correspondence import read_off_graphs
from kerasfx.handover.provenance import Provenance, attach, provenance_of
from kerasfx.keras_api import internals
from kerasfx.prepare import is_flat, prepare_model


def recognize(original: Any, loaded: Any, inputs: Any) -> None:
    """Remember with `loaded` what `prepare_model(original)` remembers with its result, if they are one graph.

    Where they are not, as of a model that was prepared with options, nothing is done.

    Args:
        original: A model that was built.
        loaded: The model that may have been prepared from it.
        inputs: What the original is called with.
    """
    if is_flat(original) or internals.input_structure(loaded) is None:
        return
    try:
        again = prepare_model(original, inputs, verify=False, progress=False)
    # A model that cannot be prepared can be compared all the same, and raises there what it raises.
    except Exception:
        return
    known = provenance_of(again)
    if known is None:
        return
    try:
        found = _said_of(loaded, again, known)
    except (KeyError, NotCopyableError, WeightsMismatchError):
        return
    attach(loaded, found)


def _said_of(loaded: Any, again: Any, known: Provenance) -> Provenance:
    """What is known of `again`, of the layers and variables of `loaded` that stand at the same places.

    Raises:
        WeightsMismatchError, NotCopyableError: The two are not the same graph.
        KeyError: A variable has no partner.
    """
    found = read_off_graphs(again, again, loaded, loaded)
    pairs = [*found.variables, *(pair for x, y in found.layers for pair in corresponding(x, y))]
    variables: dict[int, keras.Variable] = {id(v): w for v, w in pairs}
    # Those without weights are in no such pair; of one graph they have the same names.
    by_name = {(layer.name, type(layer)): layer for layer in internals.all_layers(loaded)}
    layers = {id(x): y for x, y in found.layers}
    stands_for = {
        id(y): layers.get(id(y)) or by_name.get((y.name, type(y))) for y in (y for _, y in known.layers)
    }
    return replace(
        known,
        variables=[(v, variables[id(w)]) for v, w in known.variables],
        computed=[weight.now_in(variables[id(weight.variable)]) for weight in known.computed],
        metrics=[(v, variables[id(w)]) for v, w in known.metrics],
        constants=[variables[id(w)] for w in known.constants],
        seeds=[variables[id(w)] for w in known.seeds],
        layers=[(x, z) for x, y in known.layers if (z := stands_for[id(y)]) is not None],
        new_layers=[],
        is_found_out=True,
    )
