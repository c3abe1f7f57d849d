"""Quantizers of exported files: ONNX Runtime's, AIMET's, and that of Google AI Edge."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.tools.export import by_litert, by_onnxruntime, litert_file, onnx_file
from benchmarks.tools.subject import Subject, largest_difference


def onnxruntime_static(subject: Subject) -> str:
    """`quantize_static` in the QDQ format."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    file, quantized = onnx_file(subject), subject.folder / "quantized.onnx"
    name = onnx.load(file).graph.input[0].name

    class Reader(CalibrationDataReader):
        rows: Iterator[dict[str, np.ndarray]] = iter([{name: subject.x}])

        def get_next(self):
            return next(self.rows, None)

    quantize_static(file, quantized, Reader(), quant_format=QuantFormat.QDQ)
    initializers = onnx.load(quantized).graph.initializer
    of_weights = [i for i in initializers if i.name.endswith("_quantized") and len(i.dims) > 1]
    count = sum(int(np.prod(i.dims)) for i in of_weights)
    error = largest_difference(subject.outputs(), by_onnxruntime(subject, quantized))
    return f"{len(of_weights)} kernels, {100 * count / subject.model.count_params():.0f} %, error {error:.2g}"


def aimet(subject: Subject) -> str:
    """AIMET's `QuantizationSimModel`: encodings computed, and exported."""
    import json

    import onnx
    from aimet_onnx.quantsim import QuantizationSimModel

    proto = onnx.load(onnx_file(subject))
    inputs = {proto.graph.input[0].name: subject.x}
    sim = QuantizationSimModel(proto, dummy_input=inputs)
    sim.compute_encodings(lambda session, _: session.run(None, inputs), None)
    found = np.asarray(sim.session.run(None, inputs)[0])
    sim.export(str(subject.folder), "aimet")
    encodings = json.loads((subject.folder / "aimet.encodings").read_text())
    weights, activations = (len(encodings[f"{kind}_encodings"]) for kind in ("param", "activation"))
    error = largest_difference(subject.outputs(), found)
    return f"encodings of {weights} weights and {activations} activations, error {error:.2g}"


def ai_edge(subject: Subject) -> str:
    """AI Edge Quantizer: dynamic range, 8 bits, of what LiteRT exported."""
    from ai_edge_quantizer import quantizer, recipe

    file, quantized = litert_file(subject), subject.folder / "quantized.tflite"
    tool = quantizer.Quantizer(str(file))
    tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    tool.quantize().export_model(str(quantized))
    smaller = quantized.stat().st_size / file.stat().st_size
    error = largest_difference(subject.outputs(), by_litert(subject, quantized))
    return f"{100 * smaller:.0f} % of the size, error {error:.2g}"
