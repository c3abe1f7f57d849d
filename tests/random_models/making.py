"""The code of a plan as a model, and the inputs that it is called with."""

import linecache
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras
import numpy as np

import kerasfx
from tests.random_models.plans import Plan
from tests.random_models.sources import ARGUMENTS, source_of
from tests.random_models.values import BATCH, MODULE, TIME, Value

ROWS, STEPS = 2, 8


@dataclass(frozen=True)
class Made:
    """A model that was made.

    Attributes:
        plan: Its plan.
        source: Its code.
        model: The model; not built unless it is a Functional one.
        inputs: Arrays in the structure that it is called with.
        keywords: Arrays that it is called with by name.
        input_layer: What `prepare_model` is given.
    """

    plan: Plan
    source: str
    model: keras.Layer
    inputs: Any
    keywords: dict[str, Any]
    input_layer: Any

    def called(self, **options: Any) -> Any:
        """What the model returns."""
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (self.inputs, self.keywords))
        return self.model(tensors[0], **tensors[1], **options)


def made(plan: Plan) -> Made:
    """A new model of a plan; two of them are equal to the bit."""
    source = source_of(plan, keras.backend.backend())
    keras.utils.set_random_seed(1)
    model = _module(source).make()
    arguments = ARGUMENTS[plan.inputs]
    arrays = [_array(x, seed) for seed, x in enumerate(arguments)]
    # Nobody can make words up.
    is_given_arrays = plan.is_given_arrays or any(x.dtype == "string" for x in arguments)
    given = arrays if is_given_arrays else [_input(x) for x in arguments]
    inputs, keywords = _structured(plan, arrays)
    layer, by_name = _structured(plan, given)
    if by_name:
        layer = kerasfx.Inputs(layer, **by_name)
    return Made(plan, source, model, inputs, keywords, layer)


def _module(source: str) -> ModuleType:
    """The code as a module, whose lines can be read as those of a file."""
    module = ModuleType(MODULE)
    module.__file__ = f"<{MODULE}>"
    sys.modules[MODULE] = module
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    exec(compile(source, module.__file__, "exec"), vars(module))
    return module


def _structured(plan: Plan, tensors: list[Any]) -> tuple[Any, dict[str, Any]]:
    """The tensors as the model is called with them: its inputs, and those by name."""
    if plan.inputs == "pair" or (plan.inputs == "keyword" and plan.top == "functional"):
        return tensors, {}
    if plan.inputs == "dict":
        return {"x": tensors[0], "other": tensors[1]}, {}
    if plan.inputs == "keyword":
        return tensors[0], {"other": tensors[1]}
    return tensors[0], {}


def _array(x: Value, seed: int) -> np.ndarray:
    shape = [{BATCH: ROWS, TIME: STEPS}.get(dim, dim) for dim in x.shape]
    random = np.random.default_rng(seed)
    if x.dtype == "string":
        return random.choice(np.array(["a", "b", "c", "", "other"], "object"), shape)
    if x.dtype == "int32":
        values = random.integers(1, 11, shape).astype("int32")
        values[-1, -2:] = 0
        return values
    return random.standard_normal(shape).astype("float32")


def _input(x: Value) -> keras.KerasTensor:
    shape = [dim if isinstance(dim, int) else None for dim in x.shape[1:]]
    return keras.Input(shape, dtype=x.dtype, name=x.name)
