"""Which variable of the original is which variable of the prepared model."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerasfx.comparing.result import Check
from kerasfx.comparing.run import Call, call_directly
from kerasfx.comparing.states import State
from kerasfx.handover.computed import ComputedWeight
from kerasfx.handover.provenance import provenance_of
from kerasfx.ir.structure import identifier
from kerasfx.keras_api.arrays import same_bits, to_numpy
from kerasfx.keras_api.internals import all_layers, metrics_of_layers, own_state, unseeded
from kerasfx.runtime.layers import Constant, Op
from kerasfx.tracing.where import Paths

Pair = tuple[keras.Variable, keras.Variable]
LayerPair = tuple[keras.Layer, keras.Layer]

_BY_STRUCTURE = (
    "variables were paired by path, value and position, because '{b}' does not know that it was "
    "prepared from '{a}' (it was loaded, or made by hand); pass variables=[(of a, of b), ...] "
    "to say which belong together"
)
_BY_CHANCE = (
    "random states differ, and were not compared: what was made without a seed, such as Dropout(0.1), begins "
    "with another one whenever it is loaded, since no file holds it"
)


@dataclass(frozen=True)
class Pairing:
    """How two models correspond.

    Attributes:
        variables: Pairs (variable of the original, variable of the prepared model).
        computed: Variables of the prepared model that are computed from variables of the original.
        unused: Variables of the original that no output depends on, rightly without partner.
        constants: Variables that only the prepared model has: it keeps large constants in them.
        seeds: Variables that only the prepared model has: layers that a pass has made draw with them.
        layers: Pairs (layer of the original, layer of the prepared model), in execution order.
        call: Calls the original with inputs structured like those of the prepared model.
        examples: The arrays that the model was prepared with, in the structure of its inputs, or None.
        by_chance: The `id`s of variables of the original, random states, that may differ from their partners.
        notes: What the reader of the comparison should know about the pairing.
    """

    variables: tuple[Pair, ...]
    computed: tuple[ComputedWeight, ...] = ()
    unused: tuple[keras.Variable, ...] = ()
    constants: tuple[keras.Variable, ...] = ()
    seeds: tuple[keras.Variable, ...] = ()
    layers: tuple[LayerPair, ...] = ()
    call: Call = call_directly
    examples: Any = None
    by_chance: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def followed(self) -> set[int]:
        """The `id`s of the variables of the original that have a partner, or have gone into one."""
        into_others = {id(v) for weight in self.computed for v in weight.originals}
        return {id(v) for v, _ in self.variables} | into_others

    @property
    def joins_losses(self) -> bool:
        """Whether regularizers of several weights have become one, of the weight that these were put into."""
        alike = [weight for weight in self.computed if weight.trains_alike]
        return any(sum(v.regularizer is not None for v in weight.originals) > 1 for weight in alike)

    @property
    def lost_regularizers(self) -> list[str]:
        """What is said of each weight whose regularizer no weight of the prepared model can have."""
        computed = [weight for weight in self.computed if not weight.trains_alike]
        lost = [(v, weight) for weight in computed for v in weight.originals if v.regularizer is not None]
        return [f"the regularizer of '{v.path}' is not that of '{w.variable.path}', {w}" for v, w in lost]


def pairing_of(
    a: keras.Layer,
    b: keras.Layer,
    variables: Iterable[Pair] | None = None,
    call_a: Call | None = None,
) -> Pairing:
    """Finds the correspondence: given, recorded while preparing, or guessed from structure.

    Args:
        a: The original.
        b: The prepared model.
        variables: The pairs, when the caller knows them.
        call_a: How to call the original, when the caller knows it.
    """
    known = _recorded(a, b)
    if known is None:
        given = None if variables is None else tuple(variables)
        known = _guessed(a, b, given)
    elif variables is not None:
        known = replace(known, variables=tuple(variables))
    if not _was_made_from(a, b):
        known = _without_chance(a, b, known)
    return replace(known, call=call_a) if call_a else known


def _recorded(a: keras.Layer, b: keras.Layer) -> Pairing | None:
    """What `prepare_model` remembers of `b`, if it was made from this very `a`."""
    known = provenance_of(b)
    if known is None or known.original is not a:
        return None
    return Pairing(
        variables=(*known.variables, *known.metrics),
        computed=tuple(known.computed),
        unused=tuple(known.unused),
        constants=tuple(known.constants),
        seeds=tuple(known.seeds),
        layers=tuple(known.layers),
        call=known.call,
        examples=known.examples,
    )


def _was_made_from(a: keras.Layer, b: keras.Layer) -> bool:
    """Whether `b` was made from `a` in this process, and has taken over all of its states."""
    known = provenance_of(b)
    return known is not None and known.original is a and not known.is_found_out


def _without_chance(a: keras.Layer, b: keras.Layer, pairing: Pairing) -> Pairing:
    """The pairing in which random states are excused that differ because neither model was given a seed."""
    drawn = [{id(g.state) for g in unseeded(all_layers(model))} for model in (a, b)]
    pairs = [(v, w) for v, w in pairing.variables if id(v) in drawn[0] and id(w) in drawn[1]]
    differ = frozenset(id(v) for v, w in pairs if not _equal(v, w))
    notes = (
        (_BY_CHANCE.format(count="1 random state" if len(differ) == 1 else f"{len(differ)} random states"),)
        if differ
        else ()
    )
    return replace(pairing, by_chance=differ, notes=(*pairing.notes, *notes))


def _guessed(a: keras.Layer, b: keras.Layer, variables: tuple[Pair, ...] | None) -> Pairing:
    """A pairing from what the two models look like, as far as the variables are not given."""
    constants = _constants_of(b)
    counted = pair_by_structure(state_of_metrics(a), state_of_metrics(b))
    if variables is not None:
        given = {id(v) for v, _ in variables}
        counted = [(v, w) for v, w in counted if id(v) not in given]
        layers = _guessed_layers(a, b, variables)
        return Pairing((*variables, *counted), constants=constants, layers=layers)
    # Of two models that were prepared, both have them.
    ours = _constants_of(a)
    alike = pair_by_structure(ours, constants)
    constants = tuple(_without(list(constants), [w for _, w in alike]))
    # Found by class, and left out: they have no partner, and could take one by their value.
    rest = [
        _without(m.variables, [*left]) for m, left in ((a, ours), (b, (*constants, *(w for _, w in alike))))
    ]
    pairs = (*pair_by_structure(*rest), *alike, *counted)
    return Pairing(
        variables=pairs,
        constants=constants,
        layers=_guessed_layers(a, b, pairs),
        notes=(_BY_STRUCTURE.format(a=a.name, b=b.name),),
    )


def _constants_of(model: keras.Layer) -> tuple[keras.Variable, ...]:
    layers = all_layers(model)
    own = [v for layer in layers if isinstance(layer, Constant) for v in layer.variables]
    held = [v for layer in layers if isinstance(layer, Op) for v in layer.constants]
    return tuple(own + held)


def _guessed_layers(a: keras.Layer, b: keras.Layer, variables: Iterable[Pair]) -> tuple[LayerPair, ...]:
    """Pairs of layers of one class that own paired variables, or that share a unique name.

    `prepare_model` names layers after their paths, which those of the original without weights go by here.
    """
    theirs = _unique(all_layers(b)[1:], _layer_key)
    # It lists a layer as often as it has looked for layers.
    known = {id(layer): (path, layer) for path, layer in Paths(a).below_root()}.values()
    by_path = _unique(known, lambda found: (identifier(found[0]), type(found[1])))
    ours = {key: layer for key, (_, layer) in by_path.items()} | _unique(all_layers(a)[1:], _layer_key)
    pairs = {id(layer): (ours[key], layer) for key, layer in theirs.items() if key in ours}
    owners = [{id(v): x for x in all_layers(m)[1:] for v in own_state(x)} for m in (a, b)]
    for v, w in variables:
        x, y = owners[0].get(id(v)), owners[1].get(id(w))
        if x is not None and type(x) is type(y):
            pairs[id(y)] = (x, y)
    return tuple(pairs.values())


def state_of_metrics(model: keras.Layer) -> list[keras.Variable]:
    """What the metrics have counted that layers of a model hold: Keras counts it apart from its variables."""
    return [v for metric in metrics_of_layers(model) for v in metric.variables]


def _layer_key(layer: keras.Layer) -> Hashable:
    return layer.name, type(layer)


def pair_by_structure(ours: Sequence[keras.Variable], theirs: Sequence[keras.Variable]) -> list[Pair]:
    """Pairs variables of equal shape and dtype: by path, value, end of path, name, position.

    Each step pairs what is unique on both sides and leaves the rest to the next. A wrong guess does
    no harm: the perturbed outputs of wrongly paired models differ.
    """
    steps: list[Callable[[keras.Variable], Hashable]] = [
        # Without the name of the model, which differs.
        lambda v: tuple(v.path.split("/")[1:]) or v.path,
        lambda v: to_numpy(v).tobytes(),
        lambda v: tuple(v.path.split("/")[-2:]),
        lambda v: v.name,
    ]
    rest, others, pairs = list(ours), list(theirs), []
    for step in steps:
        keys = [_unique(side, lambda v, step=step: _typed(v, step(v))) for side in (rest, others)]
        found = [(v, keys[1][key]) for key, v in keys[0].items() if key in keys[1]]
        rest = _without(rest, [v for v, _ in found])
        others = _without(others, [w for _, w in found])
        pairs += found
    # The last guess; what does not fit has no partner, which `check_variables` says.
    alike = [(v, w) for v, w in zip(rest, others, strict=False) if _typed(v, 0) == _typed(w, 0)]
    return pairs + alike


def _typed(variable: keras.Variable, key: Hashable) -> Hashable:
    return tuple(variable.shape), variable.dtype, key


def _unique(items: Iterable[Any], key_of: Callable[[Any], Hashable]) -> dict[Hashable, Any]:
    keyed = [(key_of(item), item) for item in items]
    counts = Counter(key for key, _ in keyed)
    return {key: item for key, item in keyed if counts[key] == 1}


def _without(items: list[Any], taken: list[Any]) -> list[Any]:
    ids = {id(item) for item in taken}
    return [item for item in items if id(item) not in ids]


def check_variables(a: keras.Layer, b: keras.Layer, pairing: Pairing) -> Check:
    """Is every variable of both models accounted for, and is each equal to its partner?"""
    faults = [*_unpaired(a, b, pairing), *_paired_twice(pairing.variables)]
    of_a, of_b = trained_ids(a), trained_ids(b)
    for ours, theirs in pairing.variables:
        faults += _pair_faults(ours, theirs, (is_trained(ours, of_a), is_trained(theirs, of_b)))
        if id(ours) not in pairing.by_chance and not _equal(ours, theirs):
            faults.append(f"values of '{ours.path}' and '{theirs.path}' differ")
    for weight in pairing.computed:
        faults += _computed_faults(weight, of_a, of_b)
    faults += [f"the constant '{w.path}' is trained" for w in pairing.constants if is_trained(w, of_b)]
    detail = f"{len(pairing.variables)} pairs, {len(pairing.unused)} unused"
    detail += f", {len(pairing.computed)} computed" if pairing.computed else ""
    detail += f", {len(pairing.constants)} constants" if pairing.constants else ""
    detail += f", {len(pairing.seeds)} seeds of new layers" if pairing.seeds else ""
    return Check(
        name="variables",
        passed=not faults,
        exact=not faults,
        max_abs_difference=float("inf") if faults else 0.0,
        detail=_some(faults) or detail,
    )


def _some(faults: list[str], limit: int = 3) -> str:
    more = f"; and {len(faults) - limit} more" if len(faults) > limit else ""
    return "; ".join(faults[:limit]) + more


def _unpaired(a: keras.Layer, b: keras.Layer, pairing: Pairing) -> list[str]:
    ours = pairing.followed | {id(v) for v in pairing.unused}
    partners = [*(w for _, w in pairing.variables), *(weight.variable for weight in pairing.computed)]
    theirs = {id(w) for w in (*partners, *pairing.constants, *pairing.seeds)}
    # Keras counts the variables of metrics apart.
    held = {id(w) for w in (*b.variables, *state_of_metrics(b))}
    outside = [w for w in partners if id(w) not in held]
    return [
        *(f"'{v.path}' of the original is missing" for v in a.variables if id(v) not in ours),
        *(f"'{w.path}' has no counterpart" for w in b.variables if id(w) not in theirs),
        *(f"'{w.path}', a partner, is not in the model" for w in outside),
    ]


def _paired_twice(pairs: Iterable[Pair]) -> list[str]:
    """A variable used in two places must stay one, or training moves the copies apart."""
    partners: dict[int, tuple[str, set[int]]] = {}
    for x, y in [*((v, w) for v, w in pairs), *((w, v) for v, w in pairs)]:
        partners.setdefault(id(x), (x.path, set()))[1].add(id(y))
    return [f"'{path}' has {len(ids)} partners" for path, ids in partners.values() if len(ids) > 1]


def _pair_faults(ours: keras.Variable, theirs: keras.Variable, trained: tuple[bool, bool]) -> list[str]:
    if tuple(ours.shape) != tuple(theirs.shape):
        return [f"shape of '{ours.path}' {tuple(ours.shape)} became {tuple(theirs.shape)}"]
    if ours.dtype != theirs.dtype:
        return [f"dtype of '{ours.path}' {ours.dtype} became {theirs.dtype}"]
    faults = []
    if trained[0] != trained[1]:
        faults.append(f"'{ours.path}' trainable {trained[0]} became {trained[1]}")
    return faults


def _equal(ours: keras.Variable, theirs: keras.Variable) -> bool:
    """Whether two variables have the same values, to the bit, so that NaN equals itself.

    On JAX a variable holds what its initializer returned, be it integers in a variable of floats: these
    are equal as numbers.
    """
    a, b = to_numpy(ours), to_numpy(theirs)
    return ours is theirs or (same_bits(a, b) if a.dtype == b.dtype else np.array_equal(a, b))


def _computed_faults(
    weight: ComputedWeight, trained_in_a: dict[int, bool], trained_in_b: dict[int, bool]
) -> list[str]:
    faults = []
    if weight.trains_alike:
        trained = is_trained(weight.variable, trained_in_b)
        others = [v for v in weight.originals if is_trained(v, trained_in_a) != trained]
        faults = [f"'{v.path}' trainable {not trained} became {trained}" for v in others]
    if not same_bits(weight.value(to_numpy), to_numpy(weight.variable)):
        faults.append(f"'{weight.variable.path}' is not {weight}")
    return faults


def trained_ids(model: keras.Layer) -> dict[int, bool]:
    """Whether `fit` would train each of the model's variables, by id."""
    trained = {id(v) for v in model.trainable_variables}
    return {id(v): id(v) in trained for v in model.variables}


def is_trained(variable: keras.Variable, trained: dict[int, bool]) -> bool:
    """Whether `fit` trains a variable; one of an untracked layer goes by its own flag."""
    return trained.get(id(variable), bool(variable.trainable))


def aligned(state: State, pairing: Pairing, own: State) -> State:
    """`own`, the state of the prepared model, with the original's values where they fit."""
    sources = {
        id(theirs): ours
        for ours, theirs in pairing.variables
        if id(ours) in state and tuple(ours.shape) == tuple(theirs.shape)
    }
    computed = {
        id(weight.variable): weight
        for weight in pairing.computed
        if all(id(v) in state for v in weight.originals)
    }

    def value_of(variable: keras.Variable) -> Any:
        if id(variable) in computed:
            return computed_in(state, computed[id(variable)])
        if id(variable) in sources:
            return keras.ops.convert_to_tensor(state.value(sources[id(variable)]), dtype=variable.dtype)
        return own.value(variable)

    return State(own.variables.values(), value_of)


def computed_in(state: State, weight: ComputedWeight) -> object:
    """The value of a computed weight in a state of the original, a tensor."""
    array = weight.value(lambda v: to_numpy(state.value(v)))
    return keras.ops.convert_to_tensor(array, dtype=weight.variable.dtype)
