"""hls4ml: the model as C++ for an FPGA, compiled here and compared."""

from __future__ import annotations

import numpy as np
from hls4ml.converters import convert_from_keras_model

from benchmarks.tools.subject import Subject, largest_difference


def run(subject: Subject) -> str:
    """The difference of what the compiled model gives, in 24 bits."""
    hls = convert_from_keras_model(
        subject.model,
        hls_config={
            "Model": {"Precision": {"default": "ap_fixed<24,10>"}, "ReuseFactor": 1, "Strategy": "Latency"}
        },
        io_type="io_parallel",
        output_dir=str(subject.folder / "hls"),
        project_name="tool",
        backend="Vitis",
    )
    hls.compile()
    found = np.asarray(hls.predict(np.ascontiguousarray(subject.x))).reshape(subject.outputs().shape)
    return f"compiled, differs by {largest_difference(subject.outputs(), found):.1e}"
