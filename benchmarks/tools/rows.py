"""The rows of the table: a tool, the environment that holds it, and the models that it is asked about."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from benchmarks.tools.models import EXAMPLES
from benchmarks.tools.subject import Subject

ALL = tuple(EXAMPLES)
DECODERS = ("decoder", "tied_decoder")


@dataclass(frozen=True)
class Row:
    """What one tool is asked.

    Attributes:
        title: As the table says it.
        module: In this package.
        function: Of the module; `function(subject, *arguments)` gives the outcome as text.
        arguments: For the function.
        environment: One of `requirements/tools-*.txt`.
        models: By name.
        backend: Of Keras.
        opened: Built-in layers that are opened while preparing.
    """

    title: str
    module: str
    function: str = "run"
    arguments: tuple[str, ...] = ()
    environment: str = "tools-keras"
    models: tuple[str, ...] = ALL
    backend: str = "tensorflow"
    opened: tuple[type, ...] = ()

    @property
    def run(self) -> Callable[[Subject], str]:
        module = importlib.import_module(f"benchmarks.tools.{self.module}")
        function = getattr(module, self.function)
        return lambda subject: function(subject, *self.arguments)


_quantize = partial(Row, module="keras_quantize")
_opened = partial(_quantize, opened=(keras.layers.MultiHeadAttention,), models=("vit",))
_exported = partial(Row, environment="tools-onnx")

ROWS = {
    row.title: row
    for row in (
        _quantize("quantize int8", arguments=("int8",)),
        _opened("quantize int8, attention opened", arguments=("int8",)),
        _quantize("quantize int4", arguments=("int4",)),
        _opened("quantize int4, attention opened", arguments=("int4",)),
        _quantize("quantize float8", arguments=("float8",)),
        _quantize("quantize gptq", arguments=("gptq",), models=DECODERS),
        _quantize("quantize awq", arguments=("awq",), models=DECODERS),
        Row("qkeras-v3 model_quantize", "qkeras_quantize"),
        Row("hls4ml", "hls", models=("residual_cnn", "mlp_by_hand")),
        Row("enable_lora", "lora"),
        Row("clone_model", "surgery", "clone"),
        Row("features by name", "surgery", "features"),
        Row("cut from an inner tensor", "surgery", "cuts"),
        Row("plot_model", "surgery", "plot"),
        Row("netron", "netron_graph"),
        Row("Grad-CAM", "surgery", "grad_cam", models=("residual_cnn",)),
        Row("shap GradientExplainer", "shap_values", models=("residual_cnn", "vit", "mlp_by_hand")),
        _exported("ONNX from TensorFlow", "export", "onnx"),
        _exported("ONNX from torch", "export", "onnx", backend="torch"),
        _exported("ONNX Runtime QDQ", "after_export", "onnxruntime_static"),
        _exported("ONNX Runtime QDQ, from torch", "after_export", "onnxruntime_static", backend="torch"),
        _exported("aimet_onnx", "after_export", "aimet"),
        _exported("aimet_onnx, from torch", "after_export", "aimet", backend="torch"),
        Row("LiteRT", "export", "litert", environment="tools-litert"),
        Row("ai-edge-quantizer", "after_export", "ai_edge", environment="tools-litert"),
    )
}
"""By title, in the order of the table."""
