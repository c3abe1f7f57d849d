"""A plan as the source code of a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from textwrap import indent

import keras

from tests.random_models.plans import Block, Plan
from tests.random_models.steps import KINDS
from tests.random_models.steps.python import HELPERS
from tests.random_models.values import BATCH, TIME, Value
from tests.random_models.writing import MIXED, STYLES, InnerClass, Writer

IMPORTS = """\
import collections
import dataclasses
import functools

import keras
import numpy as np
from keras import layers, ops
"""
NATIVE_IMPORTS = {
    "tensorflow": "import tensorflow as tf\n",
    "jax": "import jax\nfrom jax import numpy as jnp\n",
    "torch": "import torch\nfrom torch.nn import functional as F\n",
}
FLAT, SEQUENCE = Value("x", (BATCH, 4)), Value("x", (BATCH, 6, 4))
TOKENS = Value("x", (BATCH, 6), "int32")
# Only TensorFlow has tensors of strings.
WORDS = replace(TOKENS, dtype="string") if keras.backend.backend() == "tensorflow" else TOKENS
ARGUMENTS = {
    "flat": (FLAT,),
    "sequence": (SEQUENCE,),
    "free": (SEQUENCE.of_shape((BATCH, TIME, 4)),),
    "tokens": (TOKENS,),
    "masked": (TOKENS.of_shape((BATCH, TIME)),),
    "pair": (SEQUENCE, replace(FLAT, name="other")),
    "dict": (SEQUENCE, replace(FLAT, name="other")),
    "keyword": (SEQUENCE, replace(SEQUENCE, name="other")),
    "image": (Value("x", (BATCH, 4, 4, 2)),),
    "words": (WORDS,),
}
"""The tensors that a model is called with, by the form of its inputs."""

LOOKUPS = (
    "layers.StringLookup(vocabulary=['a', 'b', 'c'])",
    "layers.Hashing(11)",
    "layers.StringLookup(vocabulary=['c', 'a'], num_oov_indices=3, mask_token='')",
)
"""Layers that give numbers to words."""

SIGNATURES = {
    "training": ", training=None",
    "training_false": ", training=False",
    "training_true": ", training=True",
    "masked": ", mask=None",
    "masked_training": ", training=None, mask=None",
    "inherited_training": ", training=None",
    "kwargs": ", **kwargs",
    "stars": ", *more",
}


@dataclass
class Sources:
    """The code of a module while it is written.

    Attributes:
        classes: The classes, the innermost first.
        shared: The names of the layers that classes share, by the code that makes them.
    """

    classes: list[str] = field(default_factory=list)
    shared: dict[str, str] = field(default_factory=dict)
    _inner: dict[object, InnerClass] = field(default_factory=dict)
    _number: int = 0

    def inner(self, block: Block, arguments: Sequence[Value]) -> InnerClass:
        """The class of an inner layer for such arguments, written once."""
        key = block, tuple((x.shape, x.dtype) for x in arguments)
        if key not in self._inner:
            names = ("x", "other")
            given = [replace(x, name=name) for x, name in zip(arguments, names, strict=False)]
            form = "plain" if len(given) == 1 else ("pair", "keyword")[block.returns % 2]
            self._number += 1
            self._inner[key] = self._written(f"Inner{self._number}", block, given, form)
        return self._inner[key]

    def top(self, plan: Plan) -> InnerClass:
        """The class of the model or of its only layer."""
        base = "keras.Model" if plan.top == "model" else "layers.Layer"
        body = replace(plan.body, returns=plan.body.returns % 4) if plan.top == "functional" else plan.body
        # JAX's `fit` and `predict` know no policy of the outermost model, as docs/design.md says.
        if keras.backend.backend() == "jax" and STYLES[body.style] in MIXED:
            body = replace(body, style=0)
        form = plan.inputs if plan.inputs in ("pair", "dict", "keyword") else "plain"
        return self._written("Net", body, ARGUMENTS[plan.inputs], form, base, plan.inputs == "masked")

    def _written(
        self,
        name: str,
        block: Block,
        arguments: Sequence[Value],
        form: str,
        base: str = "layers.Layer",
        masks: bool = False,
    ) -> InnerClass:
        takes_mode = name != "Net" and form == "plain" and block.style == 22
        w = Writer(block, arguments, self.inner, self.share)
        w.tensors = list(arguments)
        _begin(w, form, masks, takes_mode)
        for step in block.steps:
            w.take(step, KINDS[step.kind])
        outputs = _returned(w, top=name == "Net")
        if w.style == "model":
            base = "keras.Model"
        self.classes.append(_class(w, name, base, form, takes_mode))
        return InnerClass(name, outputs, form == "pair", w.knows_training, takes_mode)

    def share(self, code: str) -> str:
        """The name of a layer that classes share."""
        return self.shared.setdefault(code, f"layer_{len(self.shared)}")


def source_of(plan: Plan, backend: str) -> str:
    """The module of a plan: its classes, and a function `make` that makes the model."""
    sources = Sources()
    made = sources.top(plan)
    shared = [f"    shared[{name!r}] = {code}" for code, name in sources.shared.items()]
    lines = ["def make():", "    shared.clear()", *shared, *_making(plan, made)]
    parts = (
        IMPORTS + NATIVE_IMPORTS[backend],
        HELPERS.strip("\n"),
        "shared = {}",
        *sources.classes,
        "\n".join(lines),
    )
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _making(plan: Plan, made: InnerClass) -> list[str]:
    if plan.top != "functional":
        return [f"    return {made.name}(name='net')"]
    lines = []
    for x in ARGUMENTS[plan.inputs]:
        shape = tuple(dim if isinstance(dim, int) else None for dim in x.shape[1:])
        lines.append(f"    {x} = keras.Input({shape}, dtype={x.dtype!r}, name={x.name!r})")
    inputs = {"pair": "[x, other]", "dict": "{'x': x, 'other': other}", "keyword": "x, other=other"}.get(
        plan.inputs, "x"
    )
    given = "[x, other]" if plan.inputs == "keyword" else inputs
    return [*lines, f"    return keras.Model({given}, {made.name}()({inputs}), name='net')"]


def _begin(w: Writer, form: str, masks: bool, takes_mode: bool) -> None:
    """What every `call` does first: takes its inputs apart, looks tokens up, uses the mask."""
    if form == "pair":
        w.line("x, other = inputs")
    elif form == "dict":
        w.line("x, other = inputs['x'], inputs['other']")
    elif form == "keyword":
        w.line("if other is None:\n    other = x")
    x = w.arguments[0]
    if w.style == "kwargs":
        w.line("training = kwargs.get('training')")
    if takes_mode and x.is_float:
        w.line("x = x + 1.0 if mode == 'add' else x * 0.5")
    if x.dtype == "string":
        x = w.value(f"ops.cast({w.layer(LOOKUPS[w.block.owns % len(LOOKUPS)])}(x), 'int32')", TOKENS)
        # No step takes strings.
        w.tensors = [x]
    if x.dtype == "int32" and x.rank == 2 and x.is_batched:
        code = f"layers.Embedding(11, 4, mask_zero={masks})"
        w.tensors.append(
            w.value(
                f"{w.layer(code)}(ops.clip({x}, 0, 10))" if w.block.owns % 2 else f"{w.layer(code)}({x})",
                Value("", (*x.shape, 4)),
            )
        )
    if w.knows_mask and x.is_sequence and form == "plain":
        w.line("if mask is not None:\n    x = x * ops.cast(ops.expand_dims(mask, -1), x.dtype)")


def _returned(w: Writer, top: bool) -> tuple[tuple[object, Value], ...]:
    """Writes the last line of `call`; what is returned, by key."""
    last, middle = w.tensors[-1], w.tensors[len(w.tensors) // 2]
    if last.dtype not in ("float32", "int32", "bool") or w.is_mixed:
        last = w.value(f"ops.cast({last}, 'float32')", replace(last, dtype="float32"))
        middle = last
    middle = last if middle.dtype not in ("float32", "int32", "bool") or not middle.is_batched else middle
    kind = w.block.returns if w.knows_mask is False else 0
    if top and not last.is_batched:
        last = w.tensors[0]
    match kind:
        case 2:
            w.line(f"return {last}, {middle}")
            return (0, last), (1, middle)
        case 3:
            w.line(f"return {{'main': {last}, 'side': {middle}}}")
            return ("main", last), ("side", middle)
        case 4:
            w.line(f"return {{'main': {last}, 'none': None, 'side': [{middle}]}}")
            return (("main", last),)
        case 5 if not top:
            w.line(f"return [{last}, 3, 'word', None]")
            return ((0, last),)
    if kind == 1 and last.is_float:
        last = w.value(f"{last} + 0.1 * ops.mean({middle})" if middle.is_float else f"{last} * 0.5", last)
    w.line(f"return {last}")
    return ((None, last),)


def _class(w: Writer, name: str, base: str, form: str, takes_mode: bool) -> str:
    style = w.style
    first = {"pair": "inputs", "dict": "inputs", "keyword": "x, other=None"}.get(form, "x")
    mode = ", mode='add'" if takes_mode else ""
    head = f"self, {first}{mode}{SIGNATURES.get(style, '')}"
    policy = {"float16": "dtype='mixed_float16', ", "bfloat16": "dtype='mixed_bfloat16', "}.get(style, "")
    # Models give names to their layers; a name of the user's may occur twice.
    named = "name='inner_name', " if style == "named" and name != "Net" else ""
    made = [f"super().__init__({named}{policy}**kwargs)", *w.made]
    if style == "frozen" and name != "Net":
        made.append("self.trainable = False")
    if style in ("masked", "masked_training", "computes_mask") and _keeps_time(w):
        made.append("self.supports_masking = True")
    methods = [_method("__init__(self, **kwargs)", made)]
    if w.built:
        methods.append(_method("build(self, input_shape)", [*w.built, "self.built = True"]))
    call = "transform" if style == "delegates" else "call"
    decorator = "@noted\n" if style == "decorated" else ""
    methods.append(decorator + _method(f"{call}({head})", w.lines))
    if style == "delegates":
        methods.append(_method(f"call({head})", [f"return self.transform({_handed(form, mode)})"]))
    if style == "computes_mask" and form == "plain":
        methods.append(_method("compute_mask(self, inputs, mask=None)", ["return None"]))
    if not style.startswith("inherited"):
        return f"class {name}({base}):\n" + indent("\n\n".join(methods), "    ")
    text = f"class {name}Base({base}):\n" + indent("\n\n".join(methods), "    ")
    training = ", training=training" if style == "inherited_training" else ""
    derived = _method(f"call({head})", [f"return super().call({_handed(form, mode)}{training})"])
    return f"{text}\n\n\nclass {name}({name}Base):\n" + indent(derived, "    ")


def _handed(form: str, mode: str) -> str:
    names = {"pair": "inputs", "dict": "inputs", "keyword": "x, other=other"}.get(form, "x")
    return names + (", mode=mode" if mode else "")


def _keeps_time(w: Writer) -> bool:
    """Whether a mask of the first argument is one of what is returned."""
    return w.tensors[-1].shape[:2] == w.arguments[0].shape[:2]


def _method(signature: str, lines: Sequence[str]) -> str:
    return f"def {signature}:\n" + indent("\n".join(lines), "    ")
