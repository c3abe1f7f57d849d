"""Quantization-aware training with qkeras-v3: `model_quantize`, then a step of training."""

from __future__ import annotations

import numpy as np
from qkeras.utils import model_quantize

from benchmarks.tools.lora import fit_one_step
from benchmarks.tools.subject import Subject, largest_difference, share

KERNELS = {"kernel_quantizer": "quantized_bits(4, 0, 1)", "bias_quantizer": "quantized_bits(4)"}
CONFIG = {
    "QDense": KERNELS,
    "QConv2D": KERNELS,
    "QActivation": {"relu": "quantized_relu(4)"},
    "QBatchNormalization": {},
}


def run(subject: Subject) -> str:
    """How many layers become quantized ones, their share of the weights, and whether a step trains them."""
    model = subject.model
    quantized = model_quantize(model, CONFIG, activation_bits=4, transfer_weights=True)
    ours = [layer for layer in quantized.layers if type(layer).__module__.startswith("qkeras")]
    with_weights = [layer for layer in ours if layer.weights]
    reached = share(sum(layer.count_params() for layer in with_weights), model.count_params())
    error = largest_difference(subject.outputs(), subject.outputs(quantized))
    before = [np.array(w) for layer in with_weights for w in layer.trainable_weights]
    loss = fit_one_step(subject, quantized)
    after = [np.array(w) for layer in with_weights for w in layer.trainable_weights]
    moved = sum(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    trained = f"a step trains {moved} of {len(after)} weights (loss {loss:.2f})"
    return f"{len(ours)} layers, {reached}, error {error:.2g}, {trained}"
