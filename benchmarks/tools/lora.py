"""Low-rank adapters: `layer.enable_lora(rank)` on each layer that has it, then a step of training."""

from __future__ import annotations

import keras
import numpy as np

from benchmarks.tools.subject import Subject, leaf_layers, share


def run(subject: Subject, rank: int = 2) -> str:
    """How many layers take adapters, their share of the weights, and whether the step moved them alone."""
    model = subject.model
    total, count = model.count_params(), 0
    reached = 0
    for layer in leaf_layers(model):
        layer.trainable = hasattr(layer, "enable_lora")
        if layer.trainable:
            reached += layer.count_params()
            layer.enable_lora(rank)
            count += 1
    adapters = [v for v in model.variables if "lora_kernel" in v.path or "lora_embeddings" in v.path]
    if not adapters:
        return "0 layers"
    kept = [v for v in model.variables if "lora" not in v.path and v.path.endswith(("kernel", "embeddings"))]
    before = [np.array(v) for v in [*adapters, *kept]]
    fit_one_step(subject, model)
    moved = [not np.array_equal(a, np.array(v)) for a, v in zip(before, [*adapters, *kept], strict=True)]
    # One of the two factors starts at zero, so that the other has no gradient at the first step.
    right = any(moved[: len(adapters)]) and not any(moved[len(adapters) :])
    trained = "a step trains them alone" if right else "A STEP TRAINS OTHER WEIGHTS, OR NONE"
    return f"{count} layers, {share(reached, total)}, {trained}, {subject.loads_elsewhere(model)}"


def fit_one_step(subject: Subject, model: keras.Model, learning_rate: float = 0.01) -> float:
    """The loss of one step of `fit`."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    labels = subject.example.labels(len(subject.x))
    return model.fit(subject.x, labels, epochs=1, batch_size=len(labels), verbose=0).history["loss"][0]
