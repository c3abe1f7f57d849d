"""prepare_model and explain, for whom they are written; what they do is in the files beside this one.

wanted     what was asked for, and whether it can be had
flat       models that are flat already
pipeline   trace, edit, make, compare
verifying  compare, and what is told of it
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import keras

from kerasfx import passes as graph_passes
from kerasfx.emitting.telling import flat_already
from kerasfx.errors import TraceError, UnverifiedWarning
from kerasfx.handover import training_in_fit as fit
from kerasfx.handover.hierarchy import original_layers, refused
from kerasfx.handover.left_out import dropped_methods
from kerasfx.handover.linking import about_fit, would_be_unused
from kerasfx.inputs import call_spec, public, require_model, require_one_of
from kerasfx.passes.options import Options
from kerasfx.prepare.flat import comes_back, is_flat
from kerasfx.prepare.pipeline import old_objects_left_alone, prepared_as
from kerasfx.prepare.wanted import Wanted
from kerasfx.progress import CHOICES, shown
from kerasfx.reporting import Clock, Finding, Report
from kerasfx.runtime import modes
from kerasfx.tracing import Hints, run_trace
from kerasfx.tracing.layers.policy import Selector, WholePolicy

__all__ = ["explain", "is_flat", "prepare_model"]


@public
def prepare_model(
    original_model: keras.layers.Layer,
    input_layer: object = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    weights: str = "copy",
    training_in_fit: str = fit.AS_ORIGINAL,
    mode: modes.Mode = modes.BOTH,
    compile: str | None = None,
    keep_class: bool = False,
    strict: bool = False,
    passes: Sequence[graph_passes.Pass] = (),
    lower: bool | str = True,
    unshare: bool = False,
    names: str = "path",
    replace_separable_conv: bool = False,
    replace_relu6: bool = False,
    lower_gelu: str | None = None,
    portable: bool = False,
    verify: bool | str = True,
    hints: Hints | None = None,
    progress: bool | None = None,
) -> keras.Model:
    """Turn a Keras model into an equivalent flat Functional model.

    Args:
        original_model: A model or layer; it is left as it was (an unbuilt one gets built).
        input_layer: What it is called with: a `keras.Input`, an InputLayer, an example array (its first
            dimension is the batch and is free in the result) or a shape, or any list, tuple or dict of
            them. `kerasfx.Inputs(x, context=c)` for a `call` with several arguments. Not needed for
            Functional and Sequential models, nor for models that were built.
        leaves: Layers that stay whole: classes, patterns of paths (`"encoder.*.rotary"`), predicates.
        opened: Built-in layers that are opened, by the same selectors.
        weights: `"copy"` for an independent model; `"share"` for the same layer objects and variables.
        training_in_fit: What `fit` does with layers that the `fit` of the original leaves in inference mode,
            because `training` does not reach them (the report warns of these): `"as_original"` leaves them
            there, `"always"` trains them.
        mode: `"both"`, or `"inference"` or `"training"` for a model of that mode alone, where one graph
            cannot hold what the original does in the two. It is named after its mode, is what the original
            is in a call with `training=False` or `training=True`, and raises `OtherModeError` if it is
            called for the other: `fit` needs `"training"`, `predict` and `evaluate` `"inference"`.
        compile: `"like_original"` compiles the result with the loss, the metrics and a copy of the optimizer
            of the original, its state included, so that `fit` goes on as that of the original would.
        keep_class: The result is of the class of the original, too: its `train_step`, its other methods and
            its attributes work on. What no longer exists, such as an opened layer, is refused when read.
        strict: Raise instead of keeping a custom layer whole.
        passes: Functions that edit the graph, as `kerasfx.trace` gives it, and return whether they did; they
            run in this order, before those of `kerasfx.passes.DEFAULT`.
        lower: Put built-in layers where functions of the model compute the same bits: a `Dense` where it
            multiplies by a weight and adds another. `False` leaves each function a layer of its own, but for
            those without which every number is the same: identities, reshapes in a row, masks made twice;
            `"fast"` takes layers, too, that may differ in the last bit, and the report says by how much.
        unshare: A layer without weights and state that is called several times becomes one for each call, as
            quantizers ask for. Layers with weights, seeds or a class of the user's stay one: the report lists
            them.
        names: What the layers of the result are called: `"path"` after where they are (`blocks_0_proj`), or
            `"original"` as the user called them, where no two layers and no other part of the model have the
            name; the others go by their paths. A number that Keras made up is no name.
        replace_separable_conv: Put a depthwise and a pointwise convolution, which compute the same, where the
            model has a separable one; the report lists those for which Keras has no such two.
        replace_relu6: Put ReLU where the model has ReLU6. What lies above 6 becomes another number, so that
            what is compared is the model before; the report lists the layers.
        lower_gelu: `"erf"` writes the exact GELU by `erf`, which TensorFlow writes by `erfc`, for which ONNX
            has no operation. The last digits change: what is compared is the model before.
        portable: Make a model whose file Keras loads alone, on any backend: functions become operations of
            Keras, and weights that they take are the tables of `Embedding` layers.
        verify: Compare the result with the original before it is returned: on the example arrays given as
            `input_layer`, and on random ones besides, and as thoroughly as `kerasfx.compare` does if there
            are `passes`. Where the original accepts none of them, an `UnverifiedWarning` says
            so. `"inference"` is for passes that are right in inference only: nothing compares training.
        hints: Example sizes by input name, `{"tokens": (2, 128)}`. Python code that asks about a free size
            is answered for these, and the result checks the answers whenever it is called. Code that reads
            the number (`range(t)`) is answered, too; the result then works for this size alone.
        progress: Show how far it has come. `None` shows a bar on a terminal and in a notebook if it takes
            longer than a second, and nothing in a CI or where Keras was asked for quiet
            (`keras.config.disable_interactive_logging()`); `True` shows it at once, in lines on the standard
            error where there is no terminal; `False` nothing. For a log see `logging.getLogger("kerasfx")`.

    Returns:
        A Functional model named `<name>_prepared`, or `<name>_prepared_inference`; `kerasfx.report` tells
        how it came to be. A model that is flat already comes back unchanged, if it is for both modes.

    Raises:
        UnsupportedModelError: `original_model` is no Keras model or layer, or with `keep_class` no model of
            one argument.
        InputRequiredError: The inputs are not known.
        InputMismatchError: `input_layer` does not fit the model.
        TraceError: The model itself cannot be represented.
        OpaqueLayerError: `strict`, and a custom layer had to be kept whole.
        NotPortableError: `portable`, and nodes prevent it; the message lists them.
        NotEquivalentError: `verify`, and the result differs.
        PassError: One of `passes` is no function, or returns no answer. What a pass raises itself, and the
            GraphError for a graph that it broke, has a note that names the pass.
        ValueError: An option has no such value, or `portable` stands beside `keep_class`; or the original is
            not compiled or its optimizer cannot be copied although the result is to be compiled alike.
    """
    clock = Clock()
    require_model(original_model, "prepare_model", input_layer)
    wanted = Wanted(
        leaves=leaves,
        opened=opened,
        weights=weights,
        training_in_fit=training_in_fit,
        mode=mode,
        compile=compile,
        keep_class=keep_class,
        strict=strict,
        passes=passes,
        lower=lower,
        options=Options(unshare, names, replace_separable_conv, replace_relu6, lower_gelu),
        portable=portable,
        verify=verify,
        hints=hints,
        progress=progress,
    )
    wanted.require_valid()
    wanted.require_possible_for(original_model)
    if comes_back(original_model, wanted):
        return original_model
    with shown(progress, original_model.name):
        spec = call_spec(original_model, input_layer)
        with old_objects_left_alone():
            result = prepared_as(wanted, original_model, spec, clock)
    if result.unverified:
        # Behind this frame is that of what `public` makes of this function, and then its caller.
        warnings.warn(f"{original_model.name}: {result.unverified.told}", UnverifiedWarning, stacklevel=3)
    return result.model


@public
def explain(
    model: keras.layers.Layer,
    input_layer: object = None,
    *,
    leaves: Sequence[Selector] = (),
    opened: Sequence[Selector] = (),
    mode: modes.Mode = modes.BOTH,
    hints: Hints | None = None,
    progress: bool | None = None,
) -> Report:
    """List everything that `prepare_model` would open, keep or warn about, without making a model.

    Args:
        model: A Keras model or layer.
        input_layer: What it is called with, as for `prepare_model`.
        leaves: Layers that stay whole, as for `prepare_model`.
        opened: Built-in layers that are opened, as for `prepare_model`.
        mode: The mode, as for `prepare_model`.
        hints: Example sizes, as for `prepare_model`.
        progress: Show how far it has come, as for `prepare_model`.

    Returns:
        A report; `print` it.

    Raises:
        UnsupportedModelError, InputRequiredError, InputMismatchError: As `prepare_model`.
    """
    require_model(model, "explain", input_layer)
    require_one_of(mode=(mode, modes.MODES), progress=(progress, CHOICES))
    spec = call_spec(model, input_layer)
    if not (leaves or opened) and mode == modes.BOTH and is_flat(model):
        return replace(flat_already(model), result=None)
    try:
        with shown(progress, model.name):
            traced = run_trace(model, spec, WholePolicy.of(leaves, opened), hints, mode)
    except TraceError as error:
        finding = Finding("opaque", "", str(error))
        return Report(model.name, findings=[finding], before=[refused(model, str(error))])
    origin, graph = traced.origin, traced.graph
    findings = [
        *origin.findings,
        *about_fit(graph, origin, fit.AS_ORIGINAL),
        *dropped_methods(model),
        *would_be_unused(graph, origin),
    ]
    before = original_layers(origin, graph)
    functions = sum(node.layer is None for node in graph.nodes)
    calls = {"layer": len(graph.called_layers()), "function": functions}
    return Report(model.name, origin.opened, findings=findings, before=before, mode=mode, graph=calls)
