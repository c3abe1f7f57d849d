"""Keras's own post-training quantization: `model.quantize(mode)`."""

from __future__ import annotations

import itertools

import keras

from benchmarks.tools.subject import Subject, largest_difference, leaf_layers, share

CALIBRATED = ("gptq", "awq")
"""The modes that need data, and to be told the blocks of the model."""


def run(subject: Subject, mode: str) -> str:
    """How many layers and which share of the weights are quantized, the error, and whether the file loads."""
    model, before = subject.model, subject.outputs()
    sizes = {id(layer): layer.count_params() for layer in leaf_layers(model)}
    total = model.count_params()
    if mode in CALIBRATED:
        quantize_blocks(subject, mode)
    else:
        model.quantize(mode)
    quantized = [layer for layer in leaf_layers(model) if is_quantized(layer, mode)]
    reached = share(sum(sizes[id(layer)] for layer in quantized), total)
    error = largest_difference(before, subject.outputs())
    return f"{len(quantized)} layers, {reached}, error {error:.2g}, {subject.loads_elsewhere(model)}"


def quantize_blocks(subject: Subject, mode: str) -> None:
    """The layers of the blocks, of which alone Keras calibrates any."""
    model, told = subject.model, structure(subject)
    # In the config it would be a part of every saved layer, and hold that layer.
    model.get_quantization_layer_structure = lambda mode: told
    inside = {id(layer) for block in told["sequential_blocks"] for layer in leaf_layers(block)}
    model.quantize(mode, config=config(subject, mode), filters=lambda layer: id(layer) in inside)


def config(subject: Subject, mode: str) -> object:
    """How much of which data calibrates."""
    make = keras.quantizers.GPTQConfig if mode == "gptq" else keras.quantizers.AWQConfig
    rows = subject.example.batch(16)
    return make(
        dataset=[rows],
        tokenizer=object(),
        num_samples=8,
        sequence_length=rows.shape[1],
        group_size=-1,
    )


def is_quantized(layer: keras.layers.Layer, mode: str) -> bool:
    """Whether a layer is of that mode, and was given data where that needs any."""
    of_mode = getattr(layer, "quantization_mode", None) == mode
    return of_mode and (mode not in CALIBRATED or getattr(layer, f"is_{mode}_calibrated"))


def structure(subject: Subject) -> dict[str, list[keras.layers.Layer]]:
    """The layers before the blocks, and the blocks: attributes of the original, cuts of a flat model."""
    model = subject.model
    if not subject.is_prepared:
        return {"pre_block_layers": [model.embed], "sequential_blocks": model.blocks}
    borders = [_last_output(model, name) for name in ("embed", "blocks_0", "blocks_1")]
    blocks = [keras.Model(x, y) for x, y in itertools.pairwise(borders)]
    return {"pre_block_layers": [keras.Model(model.inputs, borders[0])], "sequential_blocks": blocks}


def _last_output(model: keras.Model, block: str) -> keras.KerasTensor:
    return [layer for layer in model.layers if layer.name.startswith(block)][-1].output
