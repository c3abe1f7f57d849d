"""What a Functional model lets one do: clone it, read inner outputs, cut it, draw it, ask for gradients."""

from __future__ import annotations

import keras
import numpy as np

from benchmarks.tools.subject import Subject, largest_difference


def clone(subject: Subject) -> str:
    """`clone_model` with a `clone_function` that puts LeakyReLU where ReLU was, and with one that copies."""
    model = subject.model
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config(layer.get_config())
    )
    copy.set_weights(model.get_weights())
    difference = largest_difference(subject.outputs(), subject.outputs(copy))
    replaced = []

    def leaky(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.ReLU):
            replaced.append(layer.name)
            return keras.layers.LeakyReLU(0.1, name=layer.name)
        return type(layer).from_config(layer.get_config())

    other = keras.models.clone_model(model, clone_function=leaky)
    other.set_weights(model.get_weights())
    changed = largest_difference(subject.outputs(), subject.outputs(other))
    if replaced and not changed:
        return f"{len(replaced)} ReLUs replaced, AND NOTHING CHANGED"
    exact = "exact" if difference == 0 else f"differs by {difference:.1e}"
    return f"copy {exact}, {len(replaced)} ReLUs replaced by LeakyReLU"


def features(subject: Subject) -> str:
    """Of how many layers one model gives the outputs, by their names."""
    model = subject.model
    names = [layer.name for layer in model.layers]
    tensors = {name: model.get_layer(name).output for name in names}
    extractor = keras.Model(model.inputs, tensors)
    found = extractor(subject.x)
    last = largest_difference(subject.outputs(), keras.ops.convert_to_numpy(found[model.output_names[0]]))
    return f"{len(found)} of {len(names)} layers{'' if last == 0 else f', differs by {last:.1e}'}"


def cuts(subject: Subject) -> str:
    """At how many inner tensors, of those that all data passes, the model can be cut and gives the same."""
    model = subject.model
    tensors = [layer.output for layer in model.layers if isinstance(layer.output, keras.KerasTensor)]
    ends = {id(t) for t in (*model.inputs, *model.outputs)}
    inner = [t for t in tensors if id(t) not in ends and _is_passed_by_all(model, t)]
    values = keras.Model(model.inputs, {str(i): t for i, t in enumerate(inner)})(subject.x)
    right = sum(_is_right(subject, t, values[str(i)]) for i, t in enumerate(inner))
    return f"{right} of {len(inner)} tensors"


def _is_passed_by_all(model: keras.Model, tensor: keras.KerasTensor) -> bool:
    """Whether no way from the input of the model to its output goes around a tensor."""
    reached, waiting = {id(tensor)}, list(model.outputs)
    while waiting:
        each = waiting.pop()
        if id(each) in reached:
            continue
        reached.add(id(each))
        made_by = each._keras_history.operation
        # They take a tensor to belong to the model, and nothing of it.
        if type(made_by).__name__ in ("Parameter", "Constant"):
            continue
        if any(each is x for x in model.inputs):
            return False
        waiting += made_by._inbound_nodes[each._keras_history.node_index].input_tensors
    return True


def _is_right(subject: Subject, tensor: keras.KerasTensor, value: object) -> bool:
    try:
        rest = keras.Model(tensor, subject.model.outputs)
    except ValueError:  # something that the output needs comes another way
        return False
    [found] = keras.tree.flatten(rest(value))
    return largest_difference(subject.outputs(), keras.ops.convert_to_numpy(found)) == 0


def plot(subject: Subject) -> str:
    """How many boxes and arrows `plot_model` draws."""
    file = subject.folder / "model.png"
    keras.utils.plot_model(subject.model, file, show_shapes=True, show_layer_names=True)
    dot = keras.utils.model_to_dot(subject.model)
    nodes = [n for n in dot.get_nodes() if n.get_label()]
    return f"{len(nodes)} boxes, {len(dot.get_edges())} arrows" if file.stat().st_size else "an empty file"


def grad_cam(subject: Subject) -> str:
    """The heat map of the last convolution (Selvaraju et al., 2017), as the Keras example makes it."""
    import tensorflow as tf

    model = subject.model
    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    both = keras.Model(model.inputs, [last.output, model.output])
    with tf.GradientTape() as tape:
        maps, logits = both(subject.x)
        score = tf.reduce_sum(tf.reduce_max(logits, axis=-1))
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = np.maximum(tf.reduce_sum(weights * maps, axis=-1), 0)
    return f"of {last.name}, {heat.shape[1]}x{heat.shape[2]}" if heat.max() > 0 else "AN EMPTY MAP"
