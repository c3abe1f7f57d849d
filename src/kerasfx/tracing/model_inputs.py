"""The inputs of the model itself: the tensors that its `call` is traced with."""

from __future__ import annotations

from typing import Any

from kerasfx.inputs import CallSpec, InputSpec
from kerasfx.ir import map_leaves
from kerasfx.ir.build import Spec, specs_like
from kerasfx.ir.dims import Dim
from kerasfx.reporting import Finding
from kerasfx.tracing.recorder import Tensor
from kerasfx.tracing.session import Session
from kerasfx.tracing.sizes.examples import ExampleSizes
from kerasfx.tracing.sizes.guards import fixed_sizes


def arguments_of_call(
    session: Session, spec: CallSpec, sizes: ExampleSizes
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Make the inputs of the graph; returns the arguments, positional and by keyword, of the model's call."""
    # By object: what is given in two places is one input.
    made: dict[int, Tensor] = {}

    def make(x: object) -> object:
        if not isinstance(x, InputSpec):
            return x
        if id(x) not in made:
            made[id(x)] = _input_tensor(session, x, sizes.of(x))
        return made[id(x)]

    def checked(x: object) -> object:
        if not isinstance(x, InputSpec):
            return x
        make(x)
        fixed = sizes.fixed_axes(x)
        return _with_fixed_sizes(session, made[id(x)], fixed) if fixed else made[id(x)]

    struct = map_leaves(make, spec.struct)
    session.graph.inputs = map_leaves(lambda t: t.value, struct)
    args, kwargs = map_leaves(checked, (spec.args, spec.kwargs))
    return args, kwargs


def _input_tensor(session: Session, spec: InputSpec, examples: Any) -> Tensor:
    """A tensor for a model input; None in its shape becomes a Dim with the pair of sizes at that axis."""
    value = session.graph.add_input(spec.name, (), spec.dtype)
    sizes = enumerate(spec.shape)
    value.shape = tuple(Dim.axis(value, k, examples[k]) if d is None else d for k, d in sizes)
    return session.tensor_of(value)


def _with_fixed_sizes(session: Session, tensor: Tensor, sizes: dict[int, int]) -> Tensor:
    """`tensor` behind a check that some axes have the sizes given, which are known from then on."""
    node = fixed_sizes(tensor.value, sizes)
    for k, n in sizes.items():
        what = f"{tensor.value.name}.shape[{k}] is {n} in the result: other sizes tried do not fit"
        session.findings.append(Finding("fixed", "", what))
    specs = [
        Spec(tuple(sizes.get(k, d) for k, d in enumerate(like.shape)), like.dtype)
        for like in specs_like(tensor.value)
    ]
    return session.finish(node, specs)
